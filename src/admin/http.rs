//! HTTP/1.1 as far as the admin page needs it: one request on a connection, strictly
//! read, and one answer.
//!
//! Bytes in, bytes out. What is answered, and who may ask, is `web`'s business; how
//! long a peer may take is the stream's.

mod answer;
mod form;

pub(super) use answer::{Answer, reason};
pub(super) use form::{Fields, fields};

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};

use httparse::{Header, Status};

/// The request line and the headers together. On localhost, browsers send along the
/// cookies that other programs there have set.
const MAX_HEAD: usize = 32 * 1024;

const MAX_HEADERS: usize = 100;

const MAX_BODY: usize = 256 * 1024;

/// What TLS begins with. It has no line ends, so the end of the first line would be
/// waited for by both; and browsers try HTTPS first.
const TLS_HANDSHAKE: u8 = 22;

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// As it came, without what is behind a question mark.
    pub(super) path: String,
    /// What is behind the question mark.
    pub(super) query: String,
    pub(super) host: Option<String>,
    pub(super) origin: Option<String>,
    /// `Sec-Fetch-Site`: what the browser says of who asks.
    pub(super) fetch_site: Option<String>,
    /// `X-Forwarded-Host`: what a proxy says it was called, the one nearest to the client.
    pub(super) forwarded_host: Option<String>,
    pub(super) authorization: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) body: Vec<u8>,
}

/// Why there is no request.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The peer is gone, or was too slow: nobody is there to be told.
    Lost(io::Error),
    /// It is not one that is understood: this is to be answered.
    Refused(u16, &'static str),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Lost(error)
    }
}

/// How the body is announced.
#[derive(Debug, Default, PartialEq, Eq)]
struct Announced {
    length: usize,
    /// The peer waits to be told that it may send it.
    expects: bool,
}

/// Reads a request: its head, and once `before_body` has made `stream` ready for it,
/// its body. What comes behind it is nobody's: there is one request on a connection.
///
/// # Errors
/// [`Trouble`].
pub(super) fn read<S: Read + Write>(
    stream: &mut S,
    before_body: impl FnOnce(&mut S),
) -> Result<Request, Trouble> {
    let mut reader = BufReader::new(stream);
    let (mut request, announced) = parse(&read_head(&mut reader)?)?;
    before_body(reader.get_mut());
    if announced.expects && reader.buffer().is_empty() {
        let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
        reader.get_mut().write_all(go_on)?;
        reader.get_mut().flush()?;
    }
    request.body = vec![0; announced.length];
    reader.read_exact(&mut request.body)?;
    Ok(request)
}

/// Everything up to the empty line, with it.
fn read_head(reader: &mut impl BufRead) -> Result<Vec<u8>, Trouble> {
    if reader.fill_buf()?.first() == Some(&TLS_HANDSHAKE) {
        return refuse(400, "this is HTTP, not HTTPS");
    }
    let mut head = Vec::new();
    loop {
        let start = head.len();
        let left = (MAX_HEAD + 1 - start) as u64;
        let length = reader.by_ref().take(left).read_until(b'\n', &mut head)?;
        if head.len() > MAX_HEAD {
            return Err(Trouble::Refused(431, "the headers are too long"));
        }
        if length == 0 {
            return Err(Trouble::Lost(ErrorKind::UnexpectedEof.into()));
        }
        // Empty lines before the request are too many, and passed over by whoever parses it;
        // but they count, or there would be no end to them.
        let has_begun = !head[..start].iter().all(u8::is_ascii_whitespace);
        if has_begun && matches!(&head[start..], b"\r\n" | b"\n") {
            return Ok(head);
        }
    }
}

/// What the head says; the body is yet to come.
fn parse(head: &[u8]) -> Result<(Request, Announced), Trouble> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(head) {
        Ok(Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return refuse(431, "there are too many headers"),
        Ok(Status::Partial) | Err(_) => return refuse(400, "this is not HTTP/1.1"),
    }
    let target = parsed.path.unwrap_or_default();
    let Some((path, query)) = split(target) else {
        return refuse(400, "the path is not understood");
    };
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        ..Request::default()
    };
    let announced = take_headers(parsed.headers, &mut request)?;
    if parsed.version == Some(1) && request.host.is_none() {
        return refuse(400, "there is no Host header");
    }
    Ok((request, announced))
}

/// The path of a target, and what is behind its question mark.
fn split(target: &str) -> Option<(&str, &str)> {
    if !target.starts_with('/') || target.contains('#') {
        return None;
    }
    Some(target.split_once('?').unwrap_or((target, "")))
}

fn take_headers(headers: &[Header<'_>], request: &mut Request) -> Result<Announced, Trouble> {
    let mut announced = Announced::default();
    let mut length = None;
    for Header { name, value } in headers {
        match name.to_ascii_lowercase().as_str() {
            "host" => once(&mut request.host, value)?,
            "origin" => once(&mut request.origin, value)?,
            "sec-fetch-site" => once(&mut request.fetch_site, value)?,
            "x-forwarded-host" if request.forwarded_host.is_none() => {
                let first = text(value)?
                    .split(',')
                    .next()
                    .map(|it| it.trim().to_owned());
                request.forwarded_host = first;
            }
            "authorization" => once(&mut request.authorization, value)?,
            "content-type" => once(&mut request.content_type, value)?,
            "content-length" => once(&mut length, value)?,
            // Where two readers disagree about where a body ends, one of them reads
            // part of it as a request.
            "transfer-encoding" => return refuse(501, "Transfer-Encoding is not understood"),
            "expect" if value.eq_ignore_ascii_case(b"100-continue") => announced.expects = true,
            "expect" => return refuse(417, "this cannot be expected"),
            // Cookies and others, whatever is in them: nobody reads them here.
            _ => {}
        }
    }
    if let Some(length) = length {
        announced.length = body_length(&length)?;
    }
    Ok(announced)
}

fn body_length(text: &str) -> Result<usize, Trouble> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(length) if digits && length <= MAX_BODY => Ok(length),
        _ if digits => refuse(413, "the body is too long: 256 KiB are possible"),
        _ => refuse(400, "Content-Length is not a number"),
    }
}

/// A header's value. httparse has seen to it that there are no control characters.
fn text(value: &[u8]) -> Result<String, Trouble> {
    match std::str::from_utf8(value) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(_) => refuse(400, "a header is not UTF-8"),
    }
}

/// What is said twice may be understood in two ways.
fn once(place: &mut Option<String>, value: &[u8]) -> Result<(), Trouble> {
    match place.replace(text(value)?) {
        None => Ok(()),
        Some(_) => refuse(400, "a header is there twice"),
    }
}

fn refuse<T>(status: u16, why: &'static str) -> Result<T, Trouble> {
    Err(Trouble::Refused(status, why))
}

#[cfg(test)]
mod tests;
