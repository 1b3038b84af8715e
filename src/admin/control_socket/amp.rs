//! AMP, Twisted's Asynchronous Messaging Protocol: the command `GetClientAddress`, by
//! which a host asks which client a connection belongs to.
//!
//! txLoadBalancer had it from Apple's Calendar Server. Bytes in, bytes out: no socket.
//!
//! A box is pairs of a key and a value, each behind its length in two bytes, the
//! higher one first; a key without length ends it. No key is longer than 255
//! bytes: the first byte of every box is 0.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The first byte that any AMP client sends.
pub(super) const FIRST_BYTE: u8 = 0;

/// Bytes of a box. A question needs a tenth.
const MAX_BOX: usize = 4096;
const MAX_PAIRS: usize = 16;
/// Bytes of a key: the first byte of its length must be 0.
const MAX_KEY: usize = 255;

/// Why the connection is closed: the bytes are not AMP, or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin) enum Malformed {
    /// A key of more than 255 bytes.
    Key,
    /// A box that is longer than any question, or has more in it.
    TooLong,
    /// A box without a command.
    NoCommand,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::Key => "a key of more than 255 bytes",
            Malformed::TooLong => "a box longer than any command",
            Malformed::NoCommand => "a box without a command",
        })
    }
}

/// Reads questions from a stream of bytes, and answers them.
#[derive(Debug, Default)]
pub(in crate::admin) struct Amp {
    received: Vec<u8>,
}

impl Amp {
    /// Takes bytes in, and appends the answers to all complete questions to `out`.
    /// `client_of` returns the client of the connection with a local address.
    ///
    /// # Errors
    /// The stream cannot be parsed any further.
    pub(in crate::admin) fn receive(
        &mut self,
        bytes: &[u8],
        client_of: impl Fn(SocketAddr) -> Option<SocketAddr>,
        out: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        self.received.extend_from_slice(bytes);
        let mut done = 0;
        while let Some((question, length)) = first_box(&self.received[done..])? {
            done += length;
            answer(&question, &client_of, out)?;
        }
        self.received.drain(..done);
        Ok(())
    }
}

/// The pairs of a box.
type Pairs<'a> = Vec<(&'a [u8], &'a [u8])>;

/// The first box of `bytes` and its length, if it is complete.
fn first_box(bytes: &[u8]) -> Result<Option<(Pairs<'_>, usize)>, Malformed> {
    let mut pairs = Vec::new();
    let mut rest = bytes;
    loop {
        if bytes.len() - rest.len() > MAX_BOX || pairs.len() > MAX_PAIRS {
            return Err(Malformed::TooLong);
        }
        match rest {
            [0, 0, ..] => return Ok(Some((pairs, bytes.len() - rest.len() + 2))),
            [1..=255, ..] => return Err(Malformed::Key),
            _ => {}
        }
        let Some((key, after)) = sized(rest)? else {
            return Ok(None);
        };
        let Some((value, after)) = sized(after)? else {
            return Ok(None);
        };
        pairs.push((key, value));
        rest = after;
    }
}

/// A length-prefixed value, and the bytes behind it.
type Sized<'a> = (&'a [u8], &'a [u8]);

/// The length-prefixed value at the start of `bytes`, if it is complete.
fn sized(bytes: &[u8]) -> Result<Option<Sized<'_>>, Malformed> {
    let Some((length, after)) = bytes.split_first_chunk() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes(*length));
    match length > MAX_BOX {
        true => Err(Malformed::TooLong),
        false => Ok(after.split_at_checked(length)),
    }
}

fn answer(
    question: &Pairs<'_>,
    client_of: impl Fn(SocketAddr) -> Option<SocketAddr>,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let value = |key: &str| {
        let mut pairs = question.iter();
        pairs
            .find(|(name, _)| *name == key.as_bytes())
            .map(|(_, value)| *value)
    };
    let command = value("_command").ok_or(Malformed::NoCommand)?;
    // A command without a tag expects no answer.
    let Some(tag) = value("_ask") else {
        return Ok(());
    };
    if command != b"GetClientAddress" {
        let command = String::from_utf8_lossy(command);
        let unhandled = format!("Unhandled Command: '{}'", command.escape_default());
        put_error(tag, "UNHANDLED", &unhandled, out);
        return Ok(());
    }
    let Some(local) = local_address(value("host"), value("port")) else {
        let wrong = "host has to be an IP address, and port a number from 1 to 65535";
        put_error(tag, "UNKNOWN", wrong, out);
        return Ok(());
    };
    match client_of(local) {
        Some(client) => put_box(
            &[
                ("_answer", tag),
                ("host", client.ip().to_canonical().to_string().as_bytes()),
                ("port", client.port().to_string().as_bytes()),
            ],
            out,
        ),
        None => {
            let unknown = format!("no one client is known to be behind {local}");
            put_error(tag, "UNKNOWN_PORT", &unknown, out);
        }
    }
    Ok(())
}

/// The address of the two arguments. A scope behind the IP address is ignored.
fn local_address(host: Option<&[u8]>, port: Option<&[u8]>) -> Option<SocketAddr> {
    let host = str::from_utf8(host?).ok()?;
    let (host, _scope) = host.split_once('%').unwrap_or((host, ""));
    let ip: IpAddr = host.parse().ok()?;
    let port: u16 = str::from_utf8(port?).ok()?.parse().ok()?;
    (port > 0).then_some(SocketAddr::new(ip, port))
}

fn put_error(tag: &[u8], code: &str, description: &str, out: &mut Vec<u8>) {
    put_box(
        &[
            ("_error", tag),
            ("_error_code", code.as_bytes()),
            ("_error_description", description.as_bytes()),
        ],
        out,
    );
}

fn put_box(pairs: &[(&str, &[u8])], out: &mut Vec<u8>) {
    for (key, value) in pairs {
        put_sized(key.as_bytes(), MAX_KEY, out);
        put_sized(value, usize::from(u16::MAX), out);
    }
    out.extend_from_slice(&[0, 0]);
}

/// Appends a length-prefixed value, cut to `most` bytes. Only values from a question
/// could be longer, and [`MAX_BOX`] limits those.
fn put_sized(bytes: &[u8], most: usize, out: &mut Vec<u8>) {
    let bytes = &bytes[..bytes.len().min(most)];
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: (&str, &[u8]) = ("_ask", b"1");
    const COMMAND: (&str, &[u8]) = ("_command", b"GetClientAddress");

    fn boxed(pairs: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_box(pairs, &mut bytes);
        bytes
    }

    fn question(host: &str, port: &str) -> Vec<u8> {
        boxed(&[
            TAG,
            COMMAND,
            ("host", host.as_bytes()),
            ("port", port.as_bytes()),
        ])
    }

    fn client_of(local: SocketAddr) -> Option<SocketAddr> {
        match (local.ip().to_canonical(), local.port()) {
            (IpAddr::V4(_), 5) => "[::ffff:192.0.2.1]:80".parse().ok(),
            (IpAddr::V6(_), 6) => "[2001:db8::1]:81".parse().ok(),
            _ => None,
        }
    }

    fn answer_to(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut out = Vec::new();
        let outcome = Amp::default().receive(bytes, client_of, &mut out);
        outcome.map(|()| out)
    }

    #[test]
    fn a_question_is_answered_in_the_bytes_that_twisted_expects() {
        let question = b"\0\x04_ask\0\x011\0\x08_command\0\x10GetClientAddress\
            \0\x04host\0\x0810.0.0.1\0\x04port\0\x015\0\0";
        let answer = b"\0\x07_answer\0\x011\0\x04host\0\x09192.0.2.1\0\x04port\0\x0280\0\0";
        assert_eq!(answer_to(question).unwrap(), answer);
        assert_eq!(question[0], FIRST_BYTE);
    }

    #[test]
    fn addresses_are_taken_and_given_as_hosts_know_them() {
        for host in ["::1", "fe80::1%eth0"] {
            let answer = answer_to(&question(host, "6")).unwrap();
            let expected: &[(&str, &[u8])] =
                &[("_answer", b"1"), ("host", b"2001:db8::1"), ("port", b"81")];
            assert_eq!(answer, boxed(expected), "{host}");
        }
        let answer = answer_to(&question("::ffff:10.0.0.1", "5")).unwrap();
        assert!(answer.windows(9).any(|part| part == b"192.0.2.1"));
    }

    #[test]
    fn a_question_without_an_answer_gets_an_error() {
        let cases: &[(Vec<u8>, &str)] = &[
            (question("10.0.0.1", "6"), "UNKNOWN_PORT"),
            (question("10.0.0.1", "65535"), "UNKNOWN_PORT"),
            (question("10.0.0.1", "65536"), "UNKNOWN"),
            (question("10.0.0.1", "0"), "UNKNOWN"),
            (question("localhost", "5"), "UNKNOWN"),
            (boxed(&[TAG, COMMAND]), "UNKNOWN"),
            (boxed(&[TAG, ("_command", b"St\xffop\n")]), "UNHANDLED"),
        ];
        for (question, code) in cases {
            let answer = answer_to(question).unwrap();
            let (pairs, length) = first_box(&answer).unwrap().unwrap();
            assert_eq!(length, answer.len());
            let names: Vec<_> = pairs.iter().map(|(key, _)| *key).collect();
            let expected = ["_error", "_error_code", "_error_description"];
            assert_eq!(names, expected.map(str::as_bytes));
            assert_eq!(pairs[0].1, b"1");
            assert_eq!(pairs[1].1, code.as_bytes());
            assert!(pairs[2].1.is_ascii(), "{:?}", pairs[2].1);
        }
    }

    #[test]
    fn questions_may_come_in_any_pieces_and_several_at_once() {
        let questions = [
            question("10.0.0.1", "5"),
            boxed(&[COMMAND, ("host", b"10.0.0.1"), ("port", b"5")]),
            question("10.0.0.1", "7"),
        ]
        .concat();
        let expected = answer_to(&questions).unwrap();
        assert_eq!(
            expected,
            [
                answer_to(&question("10.0.0.1", "5")).unwrap(),
                answer_to(&question("10.0.0.1", "7")).unwrap()
            ]
            .concat()
        );
        for size in 1..questions.len() {
            let (mut amp, mut out) = (Amp::default(), Vec::new());
            for piece in questions.chunks(size) {
                amp.receive(piece, client_of, &mut out).unwrap();
            }
            assert_eq!(out, expected, "in pieces of {size}");
            assert!(amp.received.is_empty());
        }
    }

    #[test]
    fn what_is_not_of_the_protocol_ends_it_before_it_costs_memory() {
        let many: Vec<(&str, &[u8])> = vec![("k", b"v"); MAX_PAIRS + 1];
        let long = vec![b'x'; MAX_BOX];
        let cases: &[(Vec<u8>, Malformed)] = &[
            (b"status\n".to_vec(), Malformed::Key),
            (b"\x01\x00".to_vec(), Malformed::Key),
            (b"\0\x01k\xff\xff".to_vec(), Malformed::TooLong),
            (boxed(&many), Malformed::TooLong),
            (boxed(&[("a", &long), ("b", &long)]), Malformed::TooLong),
            (boxed(&[TAG]), Malformed::NoCommand),
            (b"\0\0".to_vec(), Malformed::NoCommand),
        ];
        for (bytes, error) in cases {
            assert_eq!(answer_to(bytes), Err(*error), "{bytes:?}");
        }
        let half: Vec<_> = b"\0\x01k\x10\0".iter().chain(&long[1..]).copied().collect();
        assert_eq!(answer_to(&half), Ok(Vec::new()));
    }
}
