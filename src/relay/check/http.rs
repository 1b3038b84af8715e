//! The request of an HTTP check, and the status of its response.

use super::{check_address, in_url};
use crate::config::Check;
use crate::os::address::Address;

/// The request for a host at `address`.
pub(super) fn request(check: &Check, address: &Address) -> String {
    let address = in_url(&check_address(check, address));
    let host = match check.hostname.as_str() {
        "" => &address,
        name => name,
    };
    format!(
        "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: txlb\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n",
        check.path
    )
}

/// What an answer begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StatusLine<'a> {
    /// More bytes are needed.
    Unfinished,
    /// The status of the final response, and its reason.
    Status(u16, &'a [u8]),
    /// A TLS record: the host answers plain text by an alert.
    Tls,
    /// Something else.
    NotHttp,
}

/// The status of the final response in an answer: interim responses (1xx) are skipped.
pub(super) fn status_line(mut answer: &[u8]) -> StatusLine<'_> {
    if let [0x15, 0x03, ..] = answer {
        return StatusLine::Tls;
    }
    loop {
        let line = match line_of(answer) {
            Some((line, _)) => line,
            None if may_begin(answer) => return StatusLine::Unfinished,
            None => return StatusLine::NotHttp,
        };
        let Some((status, reason)) = parse(line) else {
            return StatusLine::NotHttp;
        };
        // 101 is no interim response: another protocol follows.
        if status >= 200 || status == 101 {
            return StatusLine::Status(status, reason);
        }
        match after_headers(answer) {
            Some(rest) => answer = rest,
            None => return StatusLine::Unfinished,
        }
    }
}

/// The first line without its end, and what follows.
fn line_of(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    let line = &text[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &text[end + 1..]))
}

/// What follows the blank line after the headers.
fn after_headers(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        let (line, rest) = line_of(text)?;
        if line.is_empty() {
            return Some(rest);
        }
        text = rest;
    }
}

const VERSION: &[u8] = b"HTTP/1.";

/// Whether an unfinished line may be a status line; each digit and blank has its place.
fn may_begin(line: &[u8]) -> bool {
    let fits = |(index, byte): (usize, &u8)| match index {
        0..7 => *byte == VERSION[index],
        8 => *byte == b' ',
        7 | 9..12 => byte.is_ascii_digit(),
        12 => matches!(byte, b' ' | b'\r'),
        _ => true,
    };
    // A TLS alert may come in pieces, too.
    line == [0x15] || line.iter().enumerate().all(fits)
}

/// Status and reason of a whole line.
fn parse(line: &[u8]) -> Option<(u16, &[u8])> {
    let (status, reason) = (line.get(9..12)?, line.get(13..).unwrap_or_default());
    let status = std::str::from_utf8(status).ok()?.parse().ok()?;
    (may_begin(line) && status >= 100).then_some((status, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_status_of_the_final_response_counts() {
        let table: &[(&[u8], StatusLine<'_>)] = &[
            (b"", StatusLine::Unfinished),
            (b"HTTP/1.1 200", StatusLine::Unfinished),
            (b"HTTP/1.1 200 OK\r\n", StatusLine::Status(200, b"OK")),
            (b"HTTP/1.0 404\n", StatusLine::Status(404, b"")),
            (
                b"HTTP/1.1 500 a b\r\nX: y\r\n",
                StatusLine::Status(500, b"a b"),
            ),
            (b"HTTP/1.1 100 Continue\r\n\r\n", StatusLine::Unfinished),
            (b"HTTP/1.1 103 Hints\r\nLink: x\r\n", StatusLine::Unfinished),
            (
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 H\r\nL: x\r\n\r\nHTTP/1.1 204 \r\n",
                StatusLine::Status(204, b""),
            ),
            (b"HTTP/1.1 101 Up\r\n", StatusLine::Status(101, b"Up")),
            (b"HTTP/1.1 100 C\r\n\r\nSSH-", StatusLine::NotHttp),
            (b"HTTP/2 200\r\n", StatusLine::NotHttp),
            (b"HTTP/1.1 20", StatusLine::Unfinished),
            (b"HTTP/1.1 20\r\n", StatusLine::NotHttp),
            (b"HTTP/1.1 2000\r\n", StatusLine::NotHttp),
            (b"HTTP/1.1 099 x\r\n", StatusLine::NotHttp),
            (b"HTTP/1.1  200\r\n", StatusLine::NotHttp),
            (b"http/1.1 200 OK\r\n", StatusLine::NotHttp),
            (b"220 mail", StatusLine::NotHttp),
            (b"\r\n", StatusLine::NotHttp),
            (&[0x15], StatusLine::Unfinished),
            (&[0x15, 0x03, 0x01, 0, 2], StatusLine::Tls),
            (&[0x15, 0x04], StatusLine::NotHttp),
        ];
        for (answer, expected) in table {
            let text = String::from_utf8_lossy(answer);
            assert_eq!(status_line(answer), *expected, "{text}");
        }
    }

    #[test]
    fn a_request_names_the_host() {
        let request = |check: Check, address: &str| {
            let text = request(&Arc::new(check), &Address::Ip(address.parse().unwrap()));
            assert!(text.ends_with("\r\n\r\n"));
            let lines: Vec<_> = text.split("\r\n").take(2).map(str::to_owned).collect();
            lines.join(" | ")
        };
        let own = || Check {
            path: "/ready?a".to_owned(),
            ..Check::default()
        };
        assert_eq!(
            request(own(), "10.0.0.1:80"),
            "GET /ready?a HTTP/1.1 | Host: 10.0.0.1:80"
        );
        let named = Check {
            hostname: "a.example".to_owned(),
            ..own()
        };
        assert_eq!(
            request(named, "10.0.0.1:80"),
            "GET /ready?a HTTP/1.1 | Host: a.example"
        );
        let elsewhere = Check {
            port: Some(8008),
            ip: Some("::1".parse().unwrap()),
            ..own()
        };
        assert_eq!(
            request(elsewhere, "10.0.0.1:80"),
            "GET /ready?a HTTP/1.1 | Host: [::1]:8008"
        );
    }
}
