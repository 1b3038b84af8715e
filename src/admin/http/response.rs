//! An HTTP response: status, headers, body, and how it is written.
//!
//! Every response closes the connection and has the security headers of [`ALWAYS`].

use std::borrow::Cow;
use std::io::{self, Write};

use super::compression::{self, StaticFile};
use super::request::Request;
use crate::admin::page;

/// A response.
#[derive(Debug)]
pub(super) struct Response {
    status: u16,
    content_type: &'static str,
    /// Further headers. Their values come from this program, and have no line ends.
    headers: Vec<(&'static str, String)>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// As it is or as gzip: made for this response, or a file that never changes.
    Whole(Cow<'static, [u8]>),
    /// Written in chunks, straight to the client.
    Export(Export),
}

/// Writes a snapshot in some format. Must write the same bytes each time.
struct Export(Box<ExportFn>);

type ExportFn = dyn Fn(&mut dyn Write) -> io::Result<()>;

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Export")
    }
}

/// A writer that counts bytes.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Security headers: the browser loads nothing from elsewhere, shows the page in no
/// frame, sends forms nowhere else, and stores nothing.
const ALWAYS: &str = "Connection: close\r\n\
    Cache-Control: no-store\r\n\
    Content-Security-Policy: default-src 'self'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'\r\n\
    X-Content-Type-Options: nosniff\r\n\
    X-Frame-Options: DENY\r\n\
    Cross-Origin-Resource-Policy: same-origin\r\n\
    Referrer-Policy: same-origin\r\n";

impl Response {
    pub(super) fn new(status: u16, content_type: &'static str, body: String) -> Response {
        Response {
            status,
            content_type,
            headers: Vec::new(),
            body: Body::Whole(body.into_bytes().into()),
        }
    }

    /// A snapshot, which may be shared with other responses. Memory is needed for one chunk at a
    /// time.
    pub(super) fn export(
        content_type: &'static str,
        export: impl Fn(&mut dyn Write) -> io::Result<()> + 'static,
    ) -> Response {
        Response {
            status: 200,
            content_type,
            headers: Vec::new(),
            body: Body::Export(Export(Box::new(export))),
        }
    }

    /// Plain text.
    pub(super) fn text(status: u16, body: impl Into<String>) -> Response {
        Response::new(status, "text/plain; charset=utf-8", body.into())
    }

    pub(super) fn html(status: u16, body: String) -> Response {
        Response::new(status, "text/html; charset=utf-8", body)
    }

    pub(super) fn json(status: u16, body: String) -> Response {
        Response::new(status, "application/json", body + "\n")
    }

    /// A redirect to `path` after a POST (303 See Other).
    pub(super) fn see_other(path: String) -> Response {
        Response::text(303, String::new()).with_header("Location", path)
    }

    /// A file that never changes, as gzip if the request takes it.
    pub(super) fn file(
        content_type: &'static str,
        file: &'static StaticFile,
        request: &Request,
    ) -> Response {
        let compressed = compression::is_wanted(request)
            .then(|| file.compressed())
            .flatten();
        Response {
            status: 200,
            content_type,
            headers: Vec::new(),
            body: Body::Whole(compressed.unwrap_or(file.text().as_bytes()).into()),
        }
        .varying(compressed.is_some())
    }

    /// The same as gzip, if the request takes it.
    pub(super) fn compressed_for(mut self, request: &Request) -> Response {
        let compressed = match &self.body {
            Body::Whole(bytes) if compression::is_wanted(request) => compression::compress(bytes),
            _ => None,
        };
        let is_compressed = compressed.is_some();
        if let Some(bytes) = compressed {
            self.body = Body::Whole(bytes.into());
        }
        self.varying(is_compressed)
    }

    fn varying(self, is_compressed: bool) -> Response {
        let response = self.with_header("Vary", "Accept-Encoding".to_owned());
        match is_compressed {
            true => response.with_header("Content-Encoding", "gzip".to_owned()),
            false => response,
        }
    }

    #[must_use]
    pub(super) fn with_header(mut self, name: &'static str, value: String) -> Response {
        self.headers.push((name, value));
        self
    }

    /// Bytes of memory that the body takes while it is written.
    pub(super) fn size(&self) -> usize {
        match &self.body {
            Body::Whole(Cow::Owned(bytes)) => bytes.len(),
            Body::Whole(Cow::Borrowed(_)) | Body::Export(_) => 0,
        }
    }

    /// Writes the response, for `head_only` without its body.
    ///
    /// # Errors
    /// The peer is gone or too slow.
    pub(super) fn write(&self, out: &mut impl Write, head_only: bool) -> io::Result<()> {
        let mut bytes = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{ALWAYS}",
            self.status,
            reason(self.status),
            self.content_type,
            self.body.length()?
        );
        for (name, value) in &self.headers {
            bytes += &format!("{name}: {value}\r\n");
        }
        bytes += "\r\n";
        out.write_all(bytes.as_bytes())?;
        match &self.body {
            _ if head_only => {}
            Body::Whole(bytes) => out.write_all(bytes)?,
            Body::Export(export) => export.0(out)?,
        }
        out.flush()
    }
}

impl Body {
    /// The length in bytes. An export is written twice, the first time to count.
    fn length(&self) -> io::Result<usize> {
        match self {
            Body::Whole(bytes) => Ok(bytes.len()),
            Body::Export(export) => {
                let mut length = Length(0);
                export.0(&mut length)?;
                Ok(length.0)
            }
        }
    }
}

/// The reason phrase of a status.
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        303 => "See Other",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Answer",
    }
}

/// An error page, with a link to the admin page that is right for the request's path.
pub(super) fn error_page(request: &Request, status: u16, text: &str) -> Response {
    let depth = request.path.matches('/').count().saturating_sub(1);
    let home = format!("./{}", "../".repeat(depth));
    Response::html(status, page::error(&home, status, reason(status), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_how_long_it_is_and_that_it_is_the_last() {
        let mut bytes = Vec::new();
        let response = Response::text(404, "ä\n").with_header("Allow", "GET".to_owned());
        response.write(&mut bytes, false).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 404 Not Found\r\n"), "{head}");
        for line in ["Content-Length: 3", "Connection: close", "Allow: GET"] {
            assert!(head.lines().any(|it| it == line), "{line} is not in {head}");
        }
        assert_eq!(body, "ä\n");

        let mut bytes = Vec::new();
        response.write(&mut bytes, true).unwrap();
        assert!(bytes.ends_with(b"\r\n\r\n"));

        let response = Response::export("text/plain", |out| {
            out.write_all(b"ab").and_then(|()| out.write_all(b"c"))
        });
        for (head_only, end) in [(false, "\r\n\r\nabc"), (true, "\r\n\r\n")] {
            let mut bytes = Vec::new();
            response.write(&mut bytes, head_only).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            assert!(
                text.contains("Content-Length: 3\r\n") && text.ends_with(end),
                "{text}"
            );
        }
    }

    fn request(path: &str) -> Request {
        Request {
            path: path.to_owned(),
            ..Request::default()
        }
    }

    #[test]
    fn links_of_an_error_lead_to_the_page_from_any_path() {
        let link = |path: &str| {
            let mut text = Vec::new();
            error_page(&request(path), 404, "")
                .write(&mut text, false)
                .unwrap();
            let text = String::from_utf8(text).unwrap();
            let link = text
                .split("href=\"")
                .find(|it| it.contains("Go to the admin page"));
            link.and_then(|it| it.split('"').next()).unwrap().to_owned()
        };
        assert_eq!(link("/x"), "./");
        assert_eq!(link("/api/x"), "./../");
        assert_eq!(link("/api/x/"), "./../../");
    }
}
