//! Reads an HTTP/1.1 request strictly: head, body and form fields.
//!
//! One request per connection. Deadlines are those of the stream.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};

use httparse::{Header, Status};

use crate::text::decode_percent;

/// Bytes of the request line and headers. On localhost, browsers also send the cookies
/// that other programs there have set.
const MAX_HEAD: usize = 32 * 1024;

const MAX_HEADERS: usize = 100;

const MAX_BODY: usize = 256 * 1024;

/// The first byte of a TLS handshake. It has no line ends, so both sides would wait; and
/// browsers try HTTPS first.
const TLS_HANDSHAKE: u8 = 22;

/// A request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::admin) struct Request {
    pub(in crate::admin) method: String,
    /// The path as sent, without the query.
    pub(in crate::admin) path: String,
    /// The text behind the question mark.
    pub(in crate::admin) query: String,
    pub(in crate::admin) host: Option<String>,
    pub(in crate::admin) origin: Option<String>,
    /// `Sec-Fetch-Site`: how the browser relates the requesting page to this one.
    pub(in crate::admin) fetch_site: Option<String>,
    /// `X-Forwarded-Host`: the name by which the proxy nearest to the client was called.
    pub(in crate::admin) forwarded_host: Option<String>,
    pub(in crate::admin) authorization: Option<String>,
    pub(in crate::admin) content_type: Option<String>,
    /// How the response may be compressed; of several headers, the first.
    pub(in crate::admin) accept_encoding: Option<String>,
    pub(in crate::admin) body: Vec<u8>,
}

/// Why a request could not be read.
#[derive(Debug)]
pub(in crate::admin) enum RequestError {
    /// The peer is gone or too slow: no response is sent.
    Disconnected(io::Error),
    /// The request is invalid: status and text of the response.
    Rejected(u16, &'static str),
}

impl From<io::Error> for RequestError {
    fn from(error: io::Error) -> RequestError {
        RequestError::Disconnected(error)
    }
}

/// What the headers say about the body.
#[derive(Debug, Default, PartialEq, Eq)]
struct BodyInfo {
    length: usize,
    /// The peer waits for `100 Continue` before it sends the body.
    expects: bool,
}

/// Reads a request. `before_body` is called between head and body, to set the next
/// deadline. Bytes behind the body are ignored: a connection has one request.
///
/// # Errors
/// [`RequestError`].
pub(in crate::admin) fn read<S: Read + Write>(
    stream: &mut S,
    before_body: impl FnOnce(&mut S),
) -> Result<Request, RequestError> {
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

/// Reads up to the empty line, and includes it.
fn read_head(reader: &mut impl BufRead) -> Result<Vec<u8>, RequestError> {
    if reader.fill_buf()?.first() == Some(&TLS_HANDSHAKE) {
        return reject(400, "this is HTTP, not HTTPS");
    }
    let mut head = Vec::new();
    loop {
        let start = head.len();
        let left = (MAX_HEAD + 1 - start) as u64;
        let length = reader.by_ref().take(left).read_until(b'\n', &mut head)?;
        if head.len() > MAX_HEAD {
            return Err(RequestError::Rejected(431, "the headers are too long"));
        }
        if length == 0 {
            return Err(RequestError::Disconnected(ErrorKind::UnexpectedEof.into()));
        }
        // The parser skips empty lines before the request. They count against the limit, or a
        // peer could send them for ever.
        let has_begun = !head[..start].iter().all(u8::is_ascii_whitespace);
        if has_begun && matches!(&head[start..], b"\r\n" | b"\n") {
            return Ok(head);
        }
    }
}

/// Parses the head. The body is not read yet.
fn parse(head: &[u8]) -> Result<(Request, BodyInfo), RequestError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(head) {
        Ok(Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return reject(431, "there are too many headers"),
        Ok(Status::Partial) | Err(_) => return reject(400, "this is not HTTP/1.1"),
    }
    let target = parsed.path.unwrap_or_default();
    let Some((path, query)) = split(target) else {
        return reject(400, "the path is not understood");
    };
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        ..Request::default()
    };
    let announced = take_headers(parsed.headers, &mut request)?;
    if parsed.version == Some(1) && request.host.is_none() {
        return reject(400, "there is no Host header");
    }
    Ok((request, announced))
}

/// Path and query of a request target.
fn split(target: &str) -> Option<(&str, &str)> {
    if !target.starts_with('/') || target.contains('#') {
        return None;
    }
    Some(target.split_once('?').unwrap_or((target, "")))
}

fn take_headers(headers: &[Header<'_>], request: &mut Request) -> Result<BodyInfo, RequestError> {
    let mut announced = BodyInfo::default();
    let mut length = None;
    for Header { name, value } in headers {
        match name.to_ascii_lowercase().as_str() {
            "host" => set_once(&mut request.host, value)?,
            "origin" => set_once(&mut request.origin, value)?,
            "sec-fetch-site" => set_once(&mut request.fetch_site, value)?,
            "x-forwarded-host" if request.forwarded_host.is_none() => {
                let first = text(value)?
                    .split(',')
                    .next()
                    .map(|it| it.trim().to_owned());
                request.forwarded_host = first;
            }
            "authorization" => set_once(&mut request.authorization, value)?,
            "accept-encoding" if request.accept_encoding.is_none() => {
                request.accept_encoding = text(value).ok();
            }
            "content-type" => set_once(&mut request.content_type, value)?,
            "content-length" => set_once(&mut length, value)?,
            // Where proxy and server disagree about the end of a body, one of them
            // reads a part of it as a request (request smuggling).
            "transfer-encoding" => return reject(501, "Transfer-Encoding is not understood"),
            "expect" if value.eq_ignore_ascii_case(b"100-continue") => announced.expects = true,
            "expect" => return reject(417, "Expect is not understood"),
            // Cookies and other headers are not used, so they may hold any bytes.
            _ => {}
        }
    }
    if let Some(length) = length {
        announced.length = body_length(&length)?;
    }
    Ok(announced)
}

fn body_length(text: &str) -> Result<usize, RequestError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(length) if digits && length <= MAX_BODY => Ok(length),
        _ if digits => reject(413, "the body is too long: 256 KiB are possible"),
        _ => reject(400, "Content-Length is not a number"),
    }
}

/// A header's value as text. httparse lets no control characters pass.
fn text(value: &[u8]) -> Result<String, RequestError> {
    match std::str::from_utf8(value) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(_) => reject(400, "a header is not UTF-8"),
    }
}

/// Sets a value that may occur once: two readers may choose different ones of two.
fn set_once(field: &mut Option<String>, value: &[u8]) -> Result<(), RequestError> {
    match field.replace(text(value)?) {
        None => Ok(()),
        Some(_) => reject(400, "a header is there twice"),
    }
}

fn reject<T>(status: u16, why: &'static str) -> Result<T, RequestError> {
    Err(RequestError::Rejected(status, why))
}

/// Form fields: names and values in the order in which they were sent.
pub(in crate::admin) type Fields = Vec<(String, String)>;

/// Decodes `application/x-www-form-urlencoded` (URL Standard), as browsers and curl send
/// it. Stricter than browsers: `None` for half an escape, or for bytes that are not UTF-8.
pub(in crate::admin) fn fields(text: &[u8]) -> Option<Fields> {
    text.split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let end = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = match end {
                Some(end) => (&pair[..end], &pair[end + 1..]),
                None => (pair, &b""[..]),
            };
            Some((decode(name)?, decode(value)?))
        })
        .collect()
}

/// Decodes a name or value of a form, in which a plus sign is a blank.
fn decode(text: &[u8]) -> Option<String> {
    let blanks = text.iter().map(|byte| match byte {
        b'+' => b' ',
        other => *other,
    });
    decode_percent(&blanks.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// A peer whose input is complete.
    struct Peer {
        sent: Cursor<Vec<u8>>,
        response: Vec<u8>,
    }

    impl Read for Peer {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.sent.read(buffer)
        }
    }

    impl Write for Peer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.response.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn peer(text: &[u8]) -> Peer {
        Peer {
            sent: Cursor::new(text.to_vec()),
            response: Vec::new(),
        }
    }

    fn request(text: &str) -> Request {
        read(&mut peer(text.as_bytes()), |_| {}).unwrap()
    }

    /// The status of the error response; 0 if none would be sent.
    fn status_of(text: impl AsRef<[u8]>) -> u16 {
        match read(&mut peer(text.as_ref()), |_| {}) {
            Ok(request) => panic!("taken: {request:?}"),
            Err(RequestError::Disconnected(_)) => 0,
            Err(RequestError::Rejected(status, _)) => status,
        }
    }

    #[test]
    fn a_request_is_read_with_its_body_and_no_further() {
        let got = request(
            "\r\n\r\nPOST /do?a=b?c HTTP/1.1\r\nhOST: x:1\r\nContent-Type: text/plain\r\n\
         Origin: http://x:1\r\nSec-Fetch-Site: same-origin\r\nAuthorization: Basic eA==\r\n\
         Accept-Encoding: gzip\r\nAccept-Encoding: x\r\nContent-Length: 4\r\nX: y\r\n\r\nbodyGET / HTTP/1.1\r\n\r\n",
        );
        let some = |text: &str| Some(text.to_owned());
        let expected = Request {
            method: "POST".to_owned(),
            path: "/do".to_owned(),
            query: "a=b?c".to_owned(),
            host: some("x:1"),
            origin: some("http://x:1"),
            fetch_site: some("same-origin"),
            forwarded_host: None,
            authorization: some("Basic eA=="),
            content_type: some("text/plain"),
            accept_encoding: some("gzip"),
            body: b"body".to_vec(),
        };
        assert_eq!(got, expected);
        assert_eq!(request("GET / HTTP/1.0\n\n").host, None);
    }

    #[test]
    fn what_can_be_understood_in_two_ways_is_refused() {
        let post = |headers: &str| {
            status_of(format!(
                "POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n0\r\n\r\n"
            ))
        };
        assert_eq!(post("Transfer-Encoding: chunked"), 501);
        assert_eq!(post("Content-Length: 1\r\nContent-Length: 1"), 400);
        for length in ["", "-1", "+1", "0x1", "1,1", "1 1"] {
            assert_eq!(post(&format!("Content-Length: {length}")), 400, "{length}");
        }
        assert_eq!(post("Host: y"), 400);
        assert_eq!(post("Content-Length : 1"), 400);
        assert_eq!(post("X: y\r\n continued"), 400);
        assert_eq!(post("Expect: the worst"), 417);
        assert_eq!(status_of("GET / HTTP/1.1\r\n\r\n"), 400);
        for line in [
            "GET http://x/ HTTP/1.1",
            "GET /#a HTTP/1.1",
            "GET x HTTP/1.1",
            "GET / HTTP/2.0",
            "GET /",
            "GET  / HTTP/1.1",
            "* / HTTP/1.1 x",
        ] {
            assert_eq!(
                status_of(format!("{line}\r\nHost: x\r\n\r\n")),
                400,
                "{line}"
            );
        }
        for header in ["Host", "Origin", "Authorization", "Content-Length"] {
            let mut text = format!("GET / HTTP/1.1\r\nX: y\r\n{header}: ").into_bytes();
            text.extend_from_slice(b"\xff\r\n\r\n");
            assert_eq!(status_of(text), 400, "{header}");
        }
        assert_eq!(status_of("\u{16}\u{3}\u{1}\n\n"), 400);
    }

    #[test]
    fn what_other_programs_have_set_as_cookies_does_no_harm() {
        let cookies = "x".repeat(16 * 1024);
        let head = format!("GET /a HTTP/1.1\r\nHost: x\r\nCookie: {cookies}\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(b"Cookie: user=M\xfcller\r\nX: \xe3\x81\xff\r\n\r\n");
        let got = read(&mut peer(&bytes), |_| {}).unwrap();
        assert_eq!((got.path.as_str(), got.host.as_deref()), ("/a", Some("x")));
    }

    #[test]
    fn of_several_proxies_the_first_says_what_it_was_called() {
        let of = |headers: &str| {
            let text = format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n");
            request(&text).forwarded_host
        };
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(of("X-Forwarded-Host: a.example , b"), named("a.example"));
        assert_eq!(
            of("X-Forwarded-Host: a:81\r\nX-Forwarded-Host: b"),
            named("a:81")
        );
        assert_eq!(of("Y: z"), None);
    }

    #[test]
    fn there_is_a_limit_to_everything() {
        let head = |rest: &str| status_of(format!("GET / HTTP/1.1\r\nHost: x\r\n{rest}\r\n\r\n"));
        assert_eq!(head(&format!("X: {}", "y".repeat(MAX_HEAD))), 431);
        assert_eq!(head(&"X: y\r\n".repeat(MAX_HEADERS)), 431);
        assert_eq!(status_of("x".repeat(MAX_HEAD + 1)), 431);
        assert_eq!(head(&format!("Content-Length: {}", MAX_BODY + 1)), 413);
        assert_eq!(head(&format!("Content-Length: {}", "9".repeat(40))), 413);
        assert_eq!(status_of("\r\n".repeat(MAX_HEAD)), 431);
        let most = "X: y\r\n".repeat(MAX_HEADERS - 2) + "X: y";
        let whole = request(&format!("GET / HTTP/1.1\r\nHost: x\r\n{most}\r\n\r\n"));
        assert_eq!(whole.path, "/");
    }

    #[test]
    fn a_peer_that_leaves_in_the_middle_is_not_answered() {
        let whole = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab";
        for length in 0..whole.len() {
            assert_eq!(status_of(&whole.as_bytes()[..length]), 0, "{length}");
        }
        // One that begins with TLS waits for us.
        assert_eq!(status_of(b"\x16\x03\x01"), 400);
    }

    #[test]
    fn a_peer_that_waits_for_leave_to_send_gets_it_and_one_that_does_not_does_not() {
        let head =
            "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
        // It waits: the body is not there, so the connection ends here.
        let mut waiting = peer(head.as_bytes());
        assert!(read(&mut waiting, |_| {}).is_err());
        assert_eq!(waiting.response, b"HTTP/1.1 100 Continue\r\n\r\n");
        let mut hasty = peer(format!("{head}ab").as_bytes());
        assert_eq!(read(&mut hasty, |_| {}).unwrap().body, b"ab");
        assert_eq!(hasty.response, b"");
    }

    #[test]
    fn fields_are_taken_apart_and_unescaped() {
        let of = |text: &str| fields(text.as_bytes()).unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(of(""), []);
        assert_eq!(
            of("a=1&b=x+y&&c&a=%C3%A4%26%3d&=v"),
            [
                pair("a", "1"),
                pair("b", "x y"),
                pair("c", ""),
                pair("a", "ä&="),
                pair("", "v")
            ]
        );
    }

    #[test]
    fn half_an_escape_and_what_is_no_text_are_refused() {
        for text in ["a=%", "a=%4", "a=%4g", "a=%+1", "a=%ff", "%=1", "a=\u{0}%"] {
            assert_eq!(fields(text.as_bytes()), None, "{text}");
        }
    }
}
