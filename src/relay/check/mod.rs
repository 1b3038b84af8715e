//! The dialogue of a check with a host, from the connect to the verdict: a state machine without
//! I/O. `relay/probe` connects and moves the bytes.

mod http;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::balance::{AgentReport, Failure};
use crate::config::{Check, CheckKind, write_byte};
use crate::os::address::Address;

use self::http::StatusLine;

/// The most bytes of an answer that are looked at.
pub(crate) const MOST_ANSWER_BYTES: usize = 16 * 1024;

/// Bytes of an answer that a reason shows.
const SHOWN_BYTES: usize = 80;

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// What was expected came.
    Passed,
    /// Something else came, or nothing.
    Failed(Failure),
    /// An agent said this.
    Report(AgentReport),
    /// An agent said nothing that can be understood, for this reason: nothing changes.
    NoReport(String),
}

/// The result in words, for a check that logs its own.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Passed => f.write_str("passed"),
            Verdict::Failed(failure) => write!(f, "failed: {failure}"),
            Verdict::Report(report) => write!(f, "{report}"),
            Verdict::NoReport(why) => write!(f, "no report: {why}"),
        }
    }
}

/// A check that is connecting, or talks to its host.
#[derive(Debug)]
pub(crate) struct Dialogue {
    check: Arc<Check>,
    /// Where it connects to, if that is not the host's own address.
    elsewhere: Option<Address>,
    request: Vec<u8>,
    sent: usize,
    answer: Vec<u8>,
    /// Bytes of the answer that need not be searched again.
    searched: usize,
}

impl Dialogue {
    /// A check of the host at `address`.
    pub(crate) fn new(check: &Arc<Check>, address: &Address) -> Dialogue {
        let target = check_address(check, address);
        let request = match check.kind {
            CheckKind::Tcp => Vec::new(),
            CheckKind::Send | CheckKind::Agent => check.send.bytes().to_vec(),
            CheckKind::Http => http::request(check, address).into_bytes(),
        };
        Dialogue {
            check: Arc::clone(check),
            elsewhere: Some(target).filter(|target| target != address),
            request,
            sent: 0,
            answer: Vec::new(),
            searched: 0,
        }
    }

    /// The host accepted.
    pub(crate) fn connected(&self) -> Option<Verdict> {
        match self.check.kind {
            CheckKind::Tcp => Some(Verdict::Passed),
            _ => self.all_sent(),
        }
    }

    /// The host accepted and reset the connection at once. That is enough where a connection is.
    pub(crate) fn reset_at_once(&self) -> Verdict {
        self.connected().unwrap_or_else(|| self.ended(true))
    }

    /// The same check from its start.
    pub(crate) fn restarted(self) -> Dialogue {
        Dialogue {
            sent: 0,
            answer: Vec::new(),
            searched: 0,
            ..self
        }
    }

    /// The bytes that are still to be sent.
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.request[self.sent..]
    }

    /// So many bytes more were sent.
    pub(crate) fn sent(&mut self, bytes: usize) -> Option<Verdict> {
        self.sent = (self.sent + bytes).min(self.request.len());
        self.all_sent()
    }

    /// Where nothing is expected, sending is enough.
    fn all_sent(&self) -> Option<Verdict> {
        let is_enough = self.check.kind == CheckKind::Send && self.check.expect.is_empty();
        (is_enough && self.unsent().is_empty()).then_some(Verdict::Passed)
    }

    /// These bytes came.
    pub(crate) fn received(&mut self, bytes: &[u8]) -> Option<Verdict> {
        let room = MOST_ANSWER_BYTES - self.answer.len();
        self.answer.extend(&bytes[..bytes.len().min(room)]);
        let verdict = match self.check.kind {
            CheckKind::Tcp => Some(Verdict::Passed),
            CheckKind::Send => self.find_expected(),
            CheckKind::Http => self.read_status(),
            CheckKind::Agent => self.read_report(),
        };
        verdict.or_else(|| (self.answer.len() == MOST_ANSWER_BYTES).then(|| self.too_long()))
    }

    /// The host ended its side, or reset the connection after it had accepted.
    pub(crate) fn ended(&self, by_reset: bool) -> Verdict {
        let how = if by_reset {
            "a reset"
        } else {
            "the end of the connection"
        };
        let got = match self.answer.is_empty() {
            true => how.to_owned(),
            false => format!("{} and {how}", quoted(&self.answer)),
        };
        self.failed(&self.expected(), &got)
    }

    /// The time is over.
    pub(crate) fn timed_out(&self, is_connected: bool) -> Verdict {
        let time = seconds(self.check.timeout);
        match (is_connected, self.answer.is_empty()) {
            (false, _) => self.failed(&format!("a connection within {time}"), "none"),
            (true, true) => self.failed(&format!("an answer within {time}"), "none"),
            (true, false) => {
                let got = format!("{} in {time}", quoted(&self.answer));
                self.failed(&self.expected(), &got)
            }
        }
    }

    /// The connect failed.
    pub(crate) fn not_connected(&self, failure: Failure) -> Verdict {
        match &self.elsewhere {
            _ if !self.check.decides() => Verdict::NoReport(failure.to_string()),
            None => Verdict::Failed(failure),
            Some(_) => self.failure(failure.to_string()),
        }
    }

    fn too_long(&self) -> Verdict {
        let within = format!(" in the first {MOST_ANSWER_BYTES} bytes of the answer");
        let expected = match self.check.kind {
            CheckKind::Send => quoted(self.check.expect.bytes()),
            _ => self.expected(),
        };
        self.failed(&(expected + &within), &quoted(&self.answer))
    }

    /// What a passing check gets, in words.
    fn expected(&self) -> String {
        match self.check.kind {
            CheckKind::Tcp => "a connection".to_owned(),
            CheckKind::Send => format!("{} in the answer", quoted(self.check.expect.bytes())),
            CheckKind::Http => format!("status {} of GET {}", self.check.status, self.check.path),
            CheckKind::Agent => "a line of the agent".to_owned(),
        }
    }

    fn failed(&self, expected: &str, got: &str) -> Verdict {
        self.failure(format!("expected {expected}, got {got}"))
    }

    fn failure(&self, reason: String) -> Verdict {
        let reason = match &self.elsewhere {
            Some(address) => format!("{address}: {reason}"),
            None => reason,
        };
        match self.check.decides() {
            true => Verdict::Failed(Failure::Check(reason)),
            false => Verdict::NoReport(reason),
        }
    }

    fn find_expected(&mut self) -> Option<Verdict> {
        let expected = self.check.expect.bytes();
        if expected.is_empty() {
            return None;
        }
        let mut places = self.answer[self.searched..].windows(expected.len());
        let found = places.any(|place| place == expected);
        // An expected text may begin in what has come and end in what comes.
        self.searched = (self.answer.len() + 1).saturating_sub(expected.len());
        found.then_some(Verdict::Passed)
    }

    fn read_status(&self) -> Option<Verdict> {
        let got = match http::status_line(&self.answer) {
            StatusLine::Unfinished => return None,
            StatusLine::Status(status, _) if self.check.status.contains(status) => {
                return Some(Verdict::Passed);
            }
            StatusLine::Status(status, reason) => {
                let reason = shown(reason);
                format!("{status} {reason}").trim_end().to_owned()
            }
            StatusLine::Tls => "a TLS alert: it speaks TLS".to_owned(),
            StatusLine::NotHttp => format!("{}, which is no HTTP/1", quoted(&self.answer)),
        };
        Some(self.failed(&self.expected(), &got))
    }

    /// A report ends at the first end of a line.
    fn read_report(&self) -> Option<Verdict> {
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r' | 0);
        let end = self.answer.iter().position(is_end)?;
        Some(Verdict::Report(AgentReport::parse(&self.answer[..end])))
    }
}

/// Where a check of the host at `address` connects to. A process with a Unix socket is on this
/// machine, so a port alone is one of the loopback; without a port the socket itself is checked.
pub(crate) fn check_address(check: &Check, address: &Address) -> Address {
    let Some(port) = check.port.or(address.port()) else {
        return address.clone();
    };
    match check.ip {
        // The host's own address keeps its interface.
        None if address.ip().is_some() => address.with_port(port),
        ip => SocketAddr::new(ip.unwrap_or(Ipv4Addr::LOCALHOST.into()), port).into(),
    }
}

/// How long a check may take.
pub(crate) fn check_timeout_ms(check: &Check) -> u64 {
    u64::try_from(check.timeout.as_millis()).unwrap_or(u64::MAX)
}

/// Bytes in quotes, escaped and cut.
fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", shown(bytes))
}

/// Bytes escaped and cut.
fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes.iter().take(SHOWN_BYTES) {
        // Writing to memory does not fail.
        let _ = write_byte(&mut text, *byte);
    }
    if bytes.len() > SHOWN_BYTES {
        text.push_str("...");
    }
    text
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

/// An address as in a URL: IPv6 in brackets, without its interface. A Unix socket is this machine.
fn in_url(address: &Address) -> String {
    let Some(address) = address.socket_address() else {
        return "localhost".to_owned();
    };
    match address.ip() {
        IpAddr::V4(ip) => format!("{ip}:{}", address.port()),
        IpAddr::V6(ip) => format!("[{ip}]:{}", address.port()),
    }
}

#[cfg(test)]
mod tests;
