//! An answer, and how it is written.
//!
//! Every answer ends the connection, and says what a browser may do with it.

use std::io::{self, Write};

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::admin) struct Answer {
    status: u16,
    content_type: &'static str,
    /// Further headers. What is in them is ours, and has no line ends.
    headers: Vec<(&'static str, String)>,
    body: String,
}

/// A browser takes nothing from elsewhere, shows nothing in anybody's frame, sends
/// forms nowhere else, and keeps nothing.
const ALWAYS: &str = "Connection: close\r\n\
    Cache-Control: no-store\r\n\
    Content-Security-Policy: default-src 'self'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'\r\n\
    X-Content-Type-Options: nosniff\r\n\
    X-Frame-Options: DENY\r\n\
    Cross-Origin-Resource-Policy: same-origin\r\n\
    Referrer-Policy: same-origin\r\n";

impl Answer {
    pub(in crate::admin) fn new(status: u16, content_type: &'static str, body: String) -> Answer {
        Answer {
            status,
            content_type,
            headers: Vec::new(),
            body,
        }
    }

    /// Text for people and programs alike.
    pub(in crate::admin) fn text(status: u16, body: impl Into<String>) -> Answer {
        Answer::new(status, "text/plain; charset=utf-8", body.into())
    }

    pub(in crate::admin) fn html(status: u16, body: String) -> Answer {
        Answer::new(status, "text/html; charset=utf-8", body)
    }

    pub(in crate::admin) fn json(status: u16, body: String) -> Answer {
        Answer::new(status, "application/json", body + "\n")
    }

    /// Go and look there.
    pub(in crate::admin) fn see(path: String) -> Answer {
        Answer::text(303, String::new()).with("Location", path)
    }

    #[must_use]
    pub(in crate::admin) fn with(mut self, name: &'static str, value: String) -> Answer {
        self.headers.push((name, value));
        self
    }

    /// Writes it; without its body if that was not asked for.
    ///
    /// # Errors
    /// The peer's: gone, or too slow.
    pub(in crate::admin) fn write(&self, out: &mut impl Write, head_only: bool) -> io::Result<()> {
        let mut bytes = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{ALWAYS}",
            self.status,
            reason(self.status),
            self.content_type,
            self.body.len()
        );
        for (name, value) in &self.headers {
            bytes += &format!("{name}: {value}\r\n");
        }
        bytes += "\r\n";
        if !head_only {
            bytes += &self.body;
        }
        out.write_all(bytes.as_bytes())?;
        out.flush()
    }
}

/// The words for a status.
pub(in crate::admin) fn reason(status: u16) -> &'static str {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_how_long_it_is_and_that_it_is_the_last() {
        let mut bytes = Vec::new();
        let answer = Answer::text(404, "ä\n").with("Allow", "GET".to_owned());
        answer.write(&mut bytes, false).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 404 Not Found\r\n"), "{head}");
        for line in ["Content-Length: 3", "Connection: close", "Allow: GET"] {
            assert!(head.lines().any(|it| it == line), "{line} is not in {head}");
        }
        assert_eq!(body, "ä\n");

        let mut bytes = Vec::new();
        answer.write(&mut bytes, true).unwrap();
        assert!(bytes.ends_with(b"\r\n\r\n"));
    }
}
