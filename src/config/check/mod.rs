//! `<check>`: how the hosts of a group are checked.

mod values;

pub(crate) use self::values::write_byte;
pub use self::values::{ByteString, CheckValue, Misspelt, StatusRanges};

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::attributes::CHECK;
use super::error::ErrorKind;

/// A periodic check of each host of a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Check {
    /// What it does (`type`).
    pub kind: CheckKind,
    /// Time from one check of a host to the next; [`Check::LEAST_INTERVAL`] or more.
    pub interval: Duration,
    /// The same while the host has failed; `None` is as `interval`.
    pub down_interval: Option<Duration>,
    /// How long a check may take, from its connect to its verdict.
    pub timeout: Duration,
    /// Passes in a row that make a failed host healthy, 1 to [`Check::MOST_IN_A_ROW`].
    pub rise: u16,
    /// Failures in a row that make a host failed, 1 to [`Check::MOST_IN_A_ROW`].
    pub fall: u16,
    /// Connect to this port instead of the host's.
    pub port: Option<u16>,
    /// Connect to this address instead of the host's.
    pub ip: Option<IpAddr>,
    /// What is sent to the host, by `send` and `agent`.
    pub send: ByteString,
    /// What the answer must contain, for `send`.
    pub expect: ByteString,
    /// Path of the request, for `http`.
    pub path: String,
    /// Status codes that pass, for `http`.
    pub status: StatusRanges,
    /// The `Host` header, for `http`; an empty one is the address.
    pub hostname: String,
    /// Whether each result that differs from the one before is logged.
    pub log: bool,
}

impl Check {
    /// The shortest interval and timeout.
    pub const LEAST_INTERVAL: Duration = Duration::from_millis(10);

    /// The greatest `rise` and `fall`.
    pub const MOST_IN_A_ROW: u16 = 1000;

    /// Checks of one group at most.
    pub const MOST_OF_A_GROUP: usize = 16;

    /// Whether its results decide about health: an agent only tells what it wants.
    pub fn decides(&self) -> bool {
        self.kind != CheckKind::Agent
    }

    /// The first attribute that is missing, or that its type does not have.
    pub(super) fn mistake(&self) -> Option<CheckError> {
        let new = Check::default();
        let kind = self.kind;
        let foreign = CHECK.attributes.iter().find(|attribute| {
            !kind.has(attribute.name) && (attribute.get)(self) != (attribute.get)(&new)
        });
        if let Some(attribute) = foreign {
            let attribute = attribute.name;
            return Some(CheckError::Foreign { kind, attribute });
        }
        match kind {
            CheckKind::Agent if self.port.is_none() => Some(CheckError::NoPort),
            CheckKind::Send if self.send.is_empty() && self.expect.is_empty() => {
                Some(CheckError::NothingToSay)
            }
            _ => None,
        }
    }
}

impl Default for Check {
    fn default() -> Self {
        Check {
            kind: CheckKind::Tcp,
            interval: Duration::from_secs(2),
            down_interval: None,
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
            port: None,
            ip: None,
            send: ByteString::default(),
            expect: ByteString::default(),
            path: "/".to_owned(),
            status: StatusRanges::default(),
            hostname: String::new(),
            log: false,
        }
    }
}

/// What a check does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckKind {
    /// Connects.
    Tcp,
    /// Sends bytes, and looks for others in the answer.
    Send,
    /// Sends a GET request, and looks at the status of the response.
    Http,
    /// Asks an agent beside the host, by HAProxy's protocol.
    Agent,
}

impl CheckKind {
    /// Every kind.
    pub const ALL: [CheckKind; 4] = [
        CheckKind::Tcp,
        CheckKind::Send,
        CheckKind::Http,
        CheckKind::Agent,
    ];

    /// The word for it in files and verbs.
    pub fn as_str(self) -> &'static str {
        match self {
            CheckKind::Tcp => "tcp",
            CheckKind::Send => "send",
            CheckKind::Http => "http",
            CheckKind::Agent => "agent",
        }
    }

    /// Whether a check of this kind looks at an attribute.
    fn has(self, attribute: &str) -> bool {
        match attribute {
            "send" => matches!(self, CheckKind::Send | CheckKind::Agent),
            "expect" => self == CheckKind::Send,
            "path" | "status" | "hostname" => self == CheckKind::Http,
            _ => true,
        }
    }
}

/// Why a check makes no sense as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckError {
    /// An attribute that checks of this kind do not have.
    Foreign {
        /// The kind.
        kind: CheckKind,
        /// The attribute.
        attribute: &'static str,
    },
    /// An agent without a port: it does not listen where the host does.
    NoPort,
    /// Neither `send` nor `expect`.
    NothingToSay,
}

impl CheckError {
    /// The attribute that is there but should not be.
    pub(super) fn attribute(self) -> Option<&'static str> {
        match self {
            CheckError::Foreign { attribute, .. } => Some(attribute),
            CheckError::NoPort | CheckError::NothingToSay => None,
        }
    }
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckError::Foreign { kind, attribute } => {
                let kinds = CheckKind::ALL.into_iter().filter(|it| it.has(attribute));
                let kinds: Vec<_> = kinds.map(CheckKind::as_str).collect();
                write!(
                    f,
                    "a check of type {} has no {attribute}: it goes with type {}",
                    kind.as_str(),
                    kinds.join(" or ")
                )
            }
            CheckError::NoPort => {
                f.write_str("a check of type agent needs port: where the agent listens")
            }
            CheckError::NothingToSay => f.write_str("a check of type send needs send or expect"),
        }
    }
}

impl From<CheckError> for ErrorKind {
    fn from(error: CheckError) -> Self {
        ErrorKind::Check(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::Value;

    #[test]
    fn what_a_type_does_not_have_is_a_mistake() {
        let table = [
            (
                "tcp",
                "path",
                "/x",
                Some("a check of type tcp has no path: it goes with type http"),
            ),
            (
                "http",
                "send",
                "a",
                Some("a check of type http has no send: it goes with type send or agent"),
            ),
            (
                "agent",
                "expect",
                "a",
                Some("a check of type agent has no expect: it goes with type send"),
            ),
            (
                "agent",
                "send",
                "a",
                Some("a check of type agent needs port: where the agent listens"),
            ),
            (
                "send",
                "log",
                "true",
                Some("a check of type send needs send or expect"),
            ),
            ("send", "expect", "a", None),
            ("agent", "port", "5", None),
            ("http", "status", "200", None),
            ("tcp", "path", "/", None),
        ];
        for (kind, attribute, value, mistake) in table {
            let mut check = Check::default();
            for (name, text) in [("type", kind), (attribute, value)] {
                let set = CHECK
                    .attributes
                    .iter()
                    .find(|it| it.name == name)
                    .unwrap()
                    .set;
                let value = Value::detached(name_of(name), text);
                set(&mut check, &value, &crate::config::CustomNames::None).unwrap();
            }
            let found = check.mistake().map(|mistake| mistake.to_string());
            assert_eq!(found.as_deref(), mistake, "{kind} {attribute}");
        }
    }

    fn name_of(name: &str) -> &'static str {
        CHECK
            .attributes
            .iter()
            .find(|it| it.name == name)
            .unwrap()
            .name
    }
}
