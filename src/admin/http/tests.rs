//! What is a request, and what is not.

use super::*;
use std::io::Cursor;

/// A peer that has sent everything at once.
struct Peer {
    sent: Cursor<Vec<u8>>,
    heard: Vec<u8>,
}

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.sent.read(buffer)
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.heard.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn peer(text: &[u8]) -> Peer {
    Peer {
        sent: Cursor::new(text.to_vec()),
        heard: Vec::new(),
    }
}

fn request(text: &str) -> Request {
    read(&mut peer(text.as_bytes()), |_| {}).unwrap()
}

/// The status of the answer; 0 if there is nobody to answer.
fn refusal(text: impl AsRef<[u8]>) -> u16 {
    match read(&mut peer(text.as_ref()), |_| {}) {
        Ok(request) => panic!("taken: {request:?}"),
        Err(Trouble::Lost(_)) => 0,
        Err(Trouble::Refused(status, _)) => status,
    }
}

#[test]
fn a_request_is_read_with_its_body_and_no_further() {
    let got = request(
        "\r\n\r\nPOST /do?a=b?c HTTP/1.1\r\nhOST: x:1\r\nContent-Type: text/plain\r\n\
         Origin: http://x:1\r\nSec-Fetch-Site: same-origin\r\nAuthorization: Basic eA==\r\n\
         Content-Length: 4\r\nX: y\r\n\r\nbodyGET / HTTP/1.1\r\n\r\n",
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
        body: b"body".to_vec(),
    };
    assert_eq!(got, expected);
    assert_eq!(request("GET / HTTP/1.0\n\n").host, None);
}

#[test]
fn what_can_be_understood_in_two_ways_is_refused() {
    let post = |headers: &str| {
        refusal(format!(
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
    assert_eq!(refusal("GET / HTTP/1.1\r\n\r\n"), 400);
    for line in [
        "GET http://x/ HTTP/1.1",
        "GET /#a HTTP/1.1",
        "GET x HTTP/1.1",
        "GET / HTTP/2.0",
        "GET /",
        "GET  / HTTP/1.1",
        "* / HTTP/1.1 x",
    ] {
        assert_eq!(refusal(format!("{line}\r\nHost: x\r\n\r\n")), 400, "{line}");
    }
    for header in ["Host", "Origin", "Authorization", "Content-Length"] {
        let mut text = format!("GET / HTTP/1.1\r\nX: y\r\n{header}: ").into_bytes();
        text.extend_from_slice(b"\xff\r\n\r\n");
        assert_eq!(refusal(text), 400, "{header}");
    }
    assert_eq!(refusal("\u{16}\u{3}\u{1}\n\n"), 400);
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
    let head = |rest: &str| refusal(format!("GET / HTTP/1.1\r\nHost: x\r\n{rest}\r\n\r\n"));
    assert_eq!(head(&format!("X: {}", "y".repeat(MAX_HEAD))), 431);
    assert_eq!(head(&"X: y\r\n".repeat(MAX_HEADERS)), 431);
    assert_eq!(refusal("x".repeat(MAX_HEAD + 1)), 431);
    assert_eq!(head(&format!("Content-Length: {}", MAX_BODY + 1)), 413);
    assert_eq!(head(&format!("Content-Length: {}", "9".repeat(40))), 413);
    assert_eq!(refusal("\r\n".repeat(MAX_HEAD)), 431);
    let most = "X: y\r\n".repeat(MAX_HEADERS - 2) + "X: y";
    let whole = request(&format!("GET / HTTP/1.1\r\nHost: x\r\n{most}\r\n\r\n"));
    assert_eq!(whole.path, "/");
}

#[test]
fn a_peer_that_leaves_in_the_middle_is_not_answered() {
    let whole = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab";
    for length in 0..whole.len() {
        assert_eq!(refusal(&whole.as_bytes()[..length]), 0, "{length}");
    }
    // One that begins with TLS waits for us.
    assert_eq!(refusal(b"\x16\x03\x01"), 400);
}

#[test]
fn a_peer_that_waits_for_leave_to_send_gets_it_and_one_that_does_not_does_not() {
    let head = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    // It waits: the body is not there, so the connection ends here.
    let mut waiting = peer(head.as_bytes());
    assert!(read(&mut waiting, |_| {}).is_err());
    assert_eq!(waiting.heard, b"HTTP/1.1 100 Continue\r\n\r\n");
    let mut hasty = peer(format!("{head}ab").as_bytes());
    assert_eq!(read(&mut hasty, |_| {}).unwrap().body, b"ab");
    assert_eq!(hasty.heard, b"");
}
