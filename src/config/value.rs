//! Kinds of values, of attributes and of keys of verbs: how each is parsed and written.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::address::is_host_name;
use super::check::CheckValue;
use super::error::{Error, ErrorKind, Position, nearest};
use super::listener::{networks_text, proxy_text, send_proxy_text};
use super::nameservers::nameservers_text;
use super::redact::Quoted;
use super::seconds::parse_seconds;
pub(super) use super::seconds::seconds_text;
use super::verb::{ListenChoice, View};
use super::{
    Access, AddressError, CustomNames, Endpoint, Group, Host, HostState, Initial, ListenAddress,
    Network, Scheduler, Service, Web, WhenFailed,
};

/// Kind of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueKind {
    /// Name of an existing service.
    Service,
    /// Name of an existing group of the service.
    Group,
    /// Name of an existing host of the group.
    Host,
    /// Name of an existing user.
    User,
    /// A name that is not in use.
    NewName,
    /// Address of a host.
    HostAddress,
    /// Address of a listener.
    ListenAddress,
    /// Address of a listener, or its port alone.
    ListenAddressOrPort,
    /// A scheduler.
    Scheduler,
    /// A whole number from 0 to 1000000.
    Weight,
    /// A whole number from 1 to 128.
    Prefix,
    /// `up`, `drain` or `down`.
    State,
    /// A boolean, or `srv`.
    Each,
    /// Addresses of name servers; none stands for those of the system.
    Nameservers,
    /// `up` or `down`.
    Initial,
    /// `keep` or `end`.
    WhenFailed,
    /// The name of an interface; empty for none.
    Interface,
    /// Addresses that connections come from, or `client`; empty is the system's choice.
    Source,
    /// A whole number from 1 to 100000, a second.
    Rate,
    /// A whole number of bytes from 0 to 1048576.
    Replay,
    /// `off` or `require`.
    Proxy,
    /// `off`, `v1` or `v2`.
    SendProxy,
    /// Names that TLS clients ask for, some with `*.` in front.
    ServerNames,
    /// Protocols that TLS clients offer (ALPN).
    Protocols,
    /// The number of a route in its service, from 1.
    RouteNumber,
    /// The id of an open session, in hexadecimal digits.
    SessionId,
    /// An address, or the addresses with a common prefix, such as `10.0.0.0/8`.
    Network,
    /// Several of these; none stands for all addresses.
    Networks,
    /// `full` or `readonly`.
    Access,
    /// The number of a change, as `history` shows it.
    Generation,
    /// `problems`.
    Problems,
    /// `effect`, `running` or `stored`.
    View,
    /// A boolean.
    Flag,
    /// A boolean; in a file any other word is false, as in the ancestors.
    LooseFlag,
    /// A time in seconds; 0 is never.
    Seconds,
    /// A time in seconds, more than 0.
    Timeout,
    /// A time in seconds; 0 is never. In a file a boolean, too, as in txLoadBalancer.
    Refresh,
    /// A time in seconds; 0 is at once.
    Grace,
    /// A crypt(3) string, which is not shown.
    Secret,
    /// A public key in OpenSSH's one-line form.
    PublicKey,
    /// The path of a file.
    Path,
    /// The path of a socket; `None` for none, as in txLoadBalancer.
    SocketPath,
    /// Permission bits in octal.
    Mode,
    /// Host names without ports.
    HostNames,
    /// `tcplog`, `json`, or a text with `%{NAME}` fields.
    LogFormat,
    /// A value of a check.
    Check(CheckValue),
    /// The name of an option.
    OptionName,
    /// The value of an option.
    OptionValue,
    /// The name of a command.
    Command,
    /// A part of a line.
    Line,
}

impl ValueKind {
    /// The canonical spelling of a value as verbs take it: stricter than in a file, where the
    /// ancestors took any word for a boolean.
    pub(super) fn canonical(self, value: &Value<'_>) -> Result<String, Error> {
        Ok(match self {
            ValueKind::Service
            | ValueKind::Group
            | ValueKind::Host
            | ValueKind::User
            | ValueKind::NewName => value.name()?,
            ValueKind::HostAddress => value.address::<Endpoint>()?.to_string(),
            ValueKind::ListenAddress => value.address::<ListenAddress>()?.to_string(),
            ValueKind::ListenAddressOrPort => value.listen_choice()?.to_string(),
            ValueKind::Scheduler => value.scheduler(&CustomNames::Any)?.to_string(),
            ValueKind::Weight => value.weight()?.to_string(),
            ValueKind::Prefix => value.prefix()?.to_string(),
            ValueKind::State => value.state()?.as_str().to_owned(),
            ValueKind::Each => value.each()?.as_str().to_owned(),
            ValueKind::Nameservers => nameservers_text(&value.nameservers()?),
            ValueKind::Initial => value.initial()?.as_str().to_owned(),
            ValueKind::WhenFailed => value.when_failed()?.as_str().to_owned(),
            ValueKind::Interface => value.or_empty(Value::interface)?.unwrap_or_default(),
            ValueKind::Source => value.source()?.to_string(),
            ValueKind::Rate => value.rate()?.to_string(),
            ValueKind::Replay => value.replay()?.to_string(),
            ValueKind::Proxy => proxy_text(value.proxy()?),
            ValueKind::SendProxy => send_proxy_text(value.send_proxy()?),
            ValueKind::ServerNames => value.server_names()?.join(" "),
            ValueKind::Protocols => value.protocols()?.join(" "),
            ValueKind::RouteNumber => value.route_number()?.to_string(),
            ValueKind::SessionId => format!("{:x}", value.session_id()?),
            ValueKind::Network => value.network()?.to_string(),
            ValueKind::Networks => networks_text(&value.networks()?),
            ValueKind::Access => value.access()?.as_str().to_owned(),
            ValueKind::Generation => value.generation()?.to_string(),
            ValueKind::Problems => value.problems()?.to_owned(),
            ValueKind::View => value.view()?.as_str().to_owned(),
            ValueKind::Flag | ValueKind::LooseFlag => value.boolean()?.to_string(),
            ValueKind::Seconds | ValueKind::Refresh | ValueKind::Grace => {
                seconds_text(value.seconds()?)
            }
            ValueKind::Timeout => seconds_text(Some(value.timeout()?)),
            ValueKind::PublicKey => value.key()?,
            ValueKind::Path | ValueKind::SocketPath => path_text(&value.path()?),
            ValueKind::Mode => mode_text(value.mode()?),
            ValueKind::HostNames => value.host_names()?.join(" "),
            ValueKind::LogFormat => value.log_format()?.to_string(),
            ValueKind::Check(of) => of.canonical(value)?,
            // What these name is looked up by their verbs.
            ValueKind::OptionName | ValueKind::OptionValue | ValueKind::Command => {
                value.text.to_owned()
            }
            ValueKind::Secret | ValueKind::Line => value.text.to_owned(),
        })
    }
}

/// A value of the file, with its place.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    /// Name of its attribute or element.
    pub(super) of: &'static str,
    /// The value, references decoded.
    pub(super) text: &'a str,
    /// Byte offset of the attribute or element.
    pub(super) offset: usize,
    /// The whole file, to compute positions.
    pub(super) original: &'a str,
}

/// A larger value is most likely a mistake of units.
const MAX_DURATION: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// txLoadBalancer's word for no address.
pub(super) const NO_ADDRESS: &str = "None";

const SECONDS: &str =
    "seconds, such as 5 or 0.5, or with a unit, such as 500ms or 1m, at most ten years";

/// Words for true, as in txLoadBalancer, and for false.
const TRUE: [&str; 5] = ["yes", "1", "on", "enable", "true"];
const FALSE: [&str; 5] = ["no", "0", "off", "disable", "false"];

impl<'a> Value<'a> {
    /// A value outside of a file: its errors have no position.
    pub(super) fn detached(of: &'static str, text: &'a str) -> Self {
        Value {
            of,
            text,
            offset: 0,
            original: text,
        }
    }
}

impl Value<'_> {
    /// An error at the value.
    pub(super) fn error(&self, kind: ErrorKind) -> Error {
        Error {
            position: self.position_of(self.offset),
            kind,
        }
    }

    /// The position of another byte offset of the same file.
    pub(super) fn position_of(&self, offset: usize) -> Position {
        Position::at(self.original, offset)
    }

    pub(super) fn bad_value(&self, expected: &'static str) -> Error {
        self.error(ErrorKind::BadValue {
            of: self.of,
            found: self.text.to_owned(),
            expected,
        })
    }

    /// A boolean as in the ancestors: five words are true, all others false.
    pub(super) fn flag(&self) -> bool {
        flag(self.text)
    }

    /// The boolean, if it is one of the known words.
    pub(super) fn boolean_word(&self) -> Option<bool> {
        match (is_one_of(self.text, TRUE), is_one_of(self.text, FALSE)) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    }

    /// A warning, if it is no known boolean: the ancestors took it for false.
    pub(super) fn boolean_warning(&self) -> Option<String> {
        if self.boolean_word().is_some() {
            return None;
        }
        let (of, found) = (self.of, Quoted(self.text));
        let advice = match nearest(self.text, TRUE.into_iter().chain(FALSE)) {
            Some(word) => format!("is {word} meant?"),
            None => "write true or false".to_owned(),
        };
        Some(format!(
            "{of} is {found}, which is taken for false: {advice}"
        ))
    }

    /// A boolean of an attribute that the ancestors did not have: only known words.
    pub(super) fn boolean(&self) -> Result<bool, Error> {
        self.boolean_word()
            .ok_or_else(|| self.bad_value("true or false"))
    }

    /// The permission bits of a file, in octal.
    pub(super) fn mode(&self) -> Result<u32, Error> {
        let octal = (3..=4).contains(&self.text.len())
            && self.text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let mode = u32::from_str_radix(self.text, 8).ok();
        mode.filter(|mode| octal && *mode <= 0o777)
            .ok_or_else(|| self.bad_value("permission bits in octal, such as 0660"))
    }

    /// A path that differs from `other`.
    pub(super) fn path_other_than(&self, other: &Path) -> Result<PathBuf, Error> {
        let path = self.path()?;
        match path == other {
            true => Err(self.bad_value("a path other than that of socket")),
            false => Ok(path),
        }
    }

    /// The refresh interval of the page; `None` is never. txLoadBalancer had a boolean here.
    pub(super) fn refresh(&self) -> Result<Option<Duration>, Error> {
        match (parse_seconds(self.text), self.boolean_word()) {
            (None, Some(true)) => Ok(Some(Web::REFRESH)),
            (None, Some(false)) => Ok(None),
            _ => self.seconds(),
        }
    }

    /// A time; `None` for 0.
    pub(super) fn seconds(&self) -> Result<Option<Duration>, Error> {
        let duration = parse_seconds(self.text).filter(|duration| *duration <= MAX_DURATION);
        let duration = duration.ok_or_else(|| self.bad_value(SECONDS))?;
        Ok(Some(duration).filter(|duration| !duration.is_zero()))
    }

    /// A time that is not 0.
    pub(super) fn timeout(&self) -> Result<Duration, Error> {
        let more_than_0 = "seconds, such as 5 or 0.5, more than 0 and at most ten years";
        let timeout = self.seconds()?;
        timeout.ok_or_else(|| self.bad_value(more_than_0))
    }

    /// An address of a host or a listener.
    pub(super) fn address<T: FromStr<Err = AddressError>>(&self) -> Result<T, Error> {
        self.text.parse().map_err(|error| {
            let found = self.text.to_owned();
            self.error(ErrorKind::BadAddress {
                attribute: self.of,
                found,
                error,
            })
        })
    }

    /// The name of something.
    pub(super) fn name(&self) -> Result<String, Error> {
        match is_name(self.text) {
            true => Ok(self.text.to_owned()),
            false => Err(self.bad_value("1 to 255 bytes without control characters")),
        }
    }

    /// The path of a file, which need not exist.
    pub(super) fn path(&self) -> Result<PathBuf, Error> {
        match self.text {
            "" => Err(self.bad_value("a path")),
            path => Ok(path.into()),
        }
    }

    /// A whole number within these bounds, in digits.
    pub(super) fn whole_number<T: FromStr + PartialOrd>(
        &self,
        bounds: RangeInclusive<T>,
        expected: &'static str,
    ) -> Result<T, Error> {
        let digits = self.text.bytes().all(|byte| byte.is_ascii_digit());
        let number = self.text.parse().ok();
        number
            .filter(|number| digits && bounds.contains(number))
            .ok_or_else(|| self.bad_value(expected))
    }

    /// A host's weight.
    pub(super) fn weight(&self) -> Result<u32, Error> {
        self.whole_number(0..=Host::MAX_WEIGHT, "a whole number from 0 to 1000000")
    }

    /// Bits of an IPv6 address that identify a client.
    pub(super) fn prefix(&self) -> Result<u8, Error> {
        self.whole_number(1..=Group::WHOLE_ADDRESS, "a whole number from 1 to 128")
    }

    /// What the operator wants of a host.
    pub(super) fn state(&self) -> Result<HostState, Error> {
        [HostState::Up, HostState::Drain, HostState::Down]
            .into_iter()
            .find(|state| state.as_str() == self.text)
            .ok_or_else(|| self.bad_value("up, drain or down"))
    }

    /// What a new host is before its first check.
    pub(super) fn initial(&self) -> Result<Initial, Error> {
        [Initial::Up, Initial::Down]
            .into_iter()
            .find(|initial| initial.as_str() == self.text)
            .ok_or_else(|| self.bad_value("up or down"))
    }

    /// What becomes of the sessions of a host that has failed.
    pub(super) fn when_failed(&self) -> Result<WhenFailed, Error> {
        [WhenFailed::Keep, WhenFailed::End]
            .into_iter()
            .find(|it| it.as_str() == self.text)
            .ok_or_else(|| self.bad_value("keep or end"))
    }

    /// How many a second.
    pub(super) fn rate(&self) -> Result<u32, Error> {
        self.whole_number(1..=Service::MAX_END_RATE, "a whole number from 1 to 100000")
    }

    /// How many bytes are kept for another host.
    pub(super) fn replay(&self) -> Result<u32, Error> {
        let expected = "a whole number of bytes from 0 to 1048576";
        self.whole_number(0..=Group::MAX_REPLAY, expected)
    }

    /// The id of a session, as lists of sessions show it.
    pub(super) fn session_id(&self) -> Result<u64, Error> {
        let digits = self.text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = u64::from_str_radix(self.text, 16).ok();
        id.filter(|_| digits)
            .ok_or_else(|| self.bad_value("the id of a session, as sessions shows it"))
    }

    /// Addresses with a common prefix.
    pub(super) fn network(&self) -> Result<Network, Error> {
        self.text
            .parse()
            .map_err(|()| self.bad_value("an address such as 10.0.0.7, or a network, 10.0.0.0/8"))
    }

    /// Access rights, in upper or lower case.
    pub(super) fn access(&self) -> Result<Access, Error> {
        [Access::Full, Access::ReadOnly]
            .into_iter()
            .find(|access| access.as_str().eq_ignore_ascii_case(self.text))
            .ok_or_else(|| self.bad_value("full or readonly"))
    }

    /// A group's scheduler, built-in or custom.
    pub(super) fn scheduler(&self, custom: &CustomNames) -> Result<Scheduler, Error> {
        Scheduler::parse(self.text, custom).map_err(|kind| self.error(kind))
    }

    /// A way to look at the configuration.
    pub(super) fn view(&self) -> Result<View, Error> {
        let known = View::ALL.into_iter().find(|it| it.as_str() == self.text);
        known.ok_or_else(|| self.bad_value("effect, running or stored"))
    }

    /// A listener: a number is a port, anything else a full address.
    pub(super) fn listen_choice(&self) -> Result<ListenChoice, Error> {
        let address: ListenAddress = self.address()?;
        Ok(match self.text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => ListenChoice::Port(address.port),
            false => ListenChoice::Address(address),
        })
    }

    /// Its words, with blanks or commas between them.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        let is_between = |character: char| character == ',' || character.is_ascii_whitespace();
        self.text.split(is_between).filter(|word| !word.is_empty())
    }

    /// Names and addresses without ports, separated by blanks or commas.
    pub(super) fn host_names(&self) -> Result<Vec<String>, Error> {
        let names: Vec<_> = self.words().map(str::to_owned).collect();
        match names
            .iter()
            .all(|name| is_host_name(name) || name.parse::<IpAddr>().is_ok())
        {
            true => Ok(names),
            false => Err(self.bad_value("host names without ports, blanks between them")),
        }
    }
}

/// Permission bits as in a file.
pub(super) fn mode_text(bits: u32) -> String {
    format!("{bits:04o}")
}

pub(super) fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Whether it is one of the words for true.
pub(super) fn flag(text: &str) -> bool {
    is_one_of(text, TRUE)
}

fn is_one_of(text: &str, words: [&str; 5]) -> bool {
    words.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Whether this is a valid name. U+FFFE and U+FFFF are no XML characters.
fn is_name(text: &str) -> bool {
    const LONGEST_NAME: usize = 255;
    (1..=LONGEST_NAME).contains(&text.len()) && is_one_line(text)
}

pub(super) fn is_one_line(text: &str) -> bool {
    !text.contains(|character: char| {
        character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_255_bytes_and_fits_on_a_line() {
        let longest = "ä".repeat(127) + "b";
        for name in ["a", " ", "<&\"'>", "💾", &longest] {
            assert!(is_name(name), "{name}");
        }
        let too_long = "ä".repeat(128);
        for name in ["", "a\nb", "\u{7f}", "\u{85}", "\u{fffe}", &too_long] {
            assert!(!is_name(name), "{name}");
        }
    }
}
