//! Errors of commands: one that cannot be parsed, and one that cannot be applied; each says what
//! would be right.

use std::fmt;

use super::table::CommandSchema;
use super::{GroupKey, ListenChoice};
use crate::config::error::ErrorKind;
use crate::config::redact::{Quoted, Shown};
use crate::config::{Endpoint, Error, Limit, ListenAddress};

/// Why a command cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseError {
    /// The line is empty.
    Empty,
    /// A control character in a line.
    ControlCharacter(char),
    /// A quote that is not closed.
    UnclosedQuote,
    /// An unknown escape.
    UnknownEscape(char),
    /// A command that does not exist.
    UnknownVerb {
        /// As written.
        found: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// The beginning of several commands.
    AmbiguousVerb {
        /// As written.
        found: String,
        /// What begins so.
        candidates: Vec<&'static str>,
    },
    /// A word that is no `key=value`.
    NoPair {
        /// As written.
        found: String,
        /// The command.
        command: &'static CommandSchema,
    },
    /// A key that the command does not take.
    UnknownKey {
        /// As written.
        found: String,
        /// The command.
        command: &'static CommandSchema,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// A key that is given twice.
    KeyTwice {
        /// The key.
        key: &'static str,
    },
    /// Two keys that say the same.
    OneOf {
        /// The one.
        key: &'static str,
        /// The one that may replace it.
        other: &'static str,
    },
    /// A required key is missing.
    MissingKey {
        /// The key.
        key: &'static str,
        /// The command.
        command: &'static CommandSchema,
    },
    /// An option that does not exist.
    UnknownOption {
        /// As written.
        found: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// The mask `***` instead of a password.
    HiddenPassword,
    /// An invalid value of a key.
    Value(ErrorKind),
}

impl From<ErrorKind> for ParseError {
    fn from(kind: ErrorKind) -> Self {
        ParseError::Value(kind)
    }
}

impl std::error::Error for ParseError {}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseError::Empty => f.write_str("a verb is needed: help lists them"),
            ParseError::ControlCharacter(found) => write!(
                f,
                "a line may have no control characters: write \"{0}\", with the quotes",
                found.escape_unicode()
            ),
            ParseError::UnclosedQuote => f.write_str("a quote is not closed: write \\\" for one"),
            ParseError::UnknownEscape(found) => write!(
                f,
                "\\{} means nothing in quotes: write \\\\ for a backslash",
                Shown(&found.to_string())
            ),
            ParseError::UnknownVerb { found, nearest } => {
                write!(f, "there is no verb {}", Quoted(found))?;
                match nearest {
                    Some(nearest) => write!(f, ": is {nearest} meant?"),
                    None => f.write_str(": help lists them"),
                }
            }
            ParseError::AmbiguousVerb { found, candidates } => {
                let candidates = candidates.join(", ");
                write!(f, "{} may be {candidates}: write more of it", Quoted(found))
            }
            ParseError::NoPair { found, command } => {
                write!(f, "{} is no key=value: ", Quoted(found))?;
                write_synopsis(f, command)
            }
            ParseError::UnknownKey {
                found,
                command,
                nearest,
            } => {
                write!(f, "{} does not take {}=: ", command.name, Shown(found))?;
                match nearest {
                    Some(nearest) => write!(f, "is {nearest}= meant?"),
                    None => write_synopsis(f, command),
                }
            }
            ParseError::KeyTwice { key } => write!(f, "{key}= is given twice"),
            ParseError::OneOf { key, other } => {
                write!(f, "{key}= and {other}= say the same: give one of them")
            }
            ParseError::MissingKey { key, command } => {
                write!(f, "{} needs {key}=: ", command.name)?;
                write_synopsis(f, command)
            }
            ParseError::UnknownOption { found, nearest } => {
                write!(f, "there is no option {}", Quoted(found))?;
                match nearest {
                    Some(nearest) => write!(f, ": is {nearest} meant?"),
                    None => f.write_str(": help setOption lists them"),
                }
            }
            ParseError::HiddenPassword => f.write_str(
                "password is \"***\", which stands for one that is not shown: give the \
                 crypt(3) string itself",
            ),
            ParseError::Value(kind) => kind.fmt(f),
        }
    }
}

fn write_synopsis(f: &mut fmt::Formatter<'_>, command: &CommandSchema) -> fmt::Result {
    if command.keys().is_empty() {
        return write!(f, "{} takes nothing", command.name);
    }
    write!(f, "it takes {}", command.synopsis())
}

/// Why a verb cannot be applied; the configuration is unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// A named item does not exist.
    Missing {
        /// Its kind.
        what: &'static str,
        /// Its name.
        name: String,
        /// What does not have it, such as `service "web"`; empty for the configuration.
        owner: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// A name that is in use by another of its kind.
    Taken {
        /// Its kind.
        what: &'static str,
        /// The name.
        name: String,
        /// What has it, such as `service "web"`; empty for the configuration.
        owner: String,
    },
    /// No host of the group, or more than one, is at this address.
    HostsAt {
        /// The group.
        group: GroupKey,
        /// The address.
        address: Endpoint,
        /// The hosts there.
        names: Vec<String>,
    },
    /// A host that stands for a member of a name: the file does not have it.
    Member {
        /// Its name.
        name: String,
        /// The host that stands for all members.
        template: String,
    },
    /// No member of a name, although its name is like one.
    NoMember {
        /// Its name.
        name: String,
        /// The host that stands for all members.
        template: String,
    },
    /// The service has no such listener, or several with this port.
    NoListen {
        /// The service.
        service: String,
        /// The address or port given.
        listen: ListenChoice,
        /// Where it listens.
        listens: Vec<ListenAddress>,
    },
    /// The address is in use by a service.
    ListenTaken {
        /// Where.
        address: ListenAddress,
        /// The user.
        service: String,
    },
    /// The only listener of the service.
    LastListen {
        /// The service.
        service: String,
    },
    /// The enabled group would be left without hosts.
    LastHost {
        /// The group.
        group: GroupKey,
    },
    /// The enabled group would be left without a usable host.
    LastUsableHost {
        /// The group.
        group: GroupKey,
    },
    /// The group would be enabled, and has no usable host.
    UnusableGroup {
        /// The group.
        group: GroupKey,
    },
    /// The group has a route, and would be left without a usable host, or has none and would get
    /// its first route.
    UnusableRoute {
        /// The group.
        group: GroupKey,
    },
    /// The group is enabled.
    EnabledGroup {
        /// The group.
        group: GroupKey,
    },
    /// The group has no check of this number.
    NoCheck {
        /// The group.
        group: GroupKey,
        /// The number given.
        number: usize,
        /// How many it has.
        count: usize,
    },
    /// The service has no route of this number.
    NoRoute {
        /// The service.
        service: String,
        /// The number given.
        number: usize,
        /// How many it has.
        count: usize,
    },
    /// A route names the group.
    RoutedGroup {
        /// The group.
        group: GroupKey,
        /// The number of the first such route.
        number: usize,
    },
    /// The only group of its service.
    LastGroup {
        /// The group.
        group: GroupKey,
    },
    /// A user with neither password nor key.
    NoCredentials {
        /// The user.
        user: String,
    },
    /// A certificate without its key, or a key without its certificate.
    IncompletePair {
        /// The option that has a value.
        option: &'static str,
        /// The one that has none.
        other: &'static str,
    },
    /// An enabled admin interface needs an address.
    NoListenAddress {
        /// The option to set first.
        option: &'static str,
    },
    /// An enabled admin interface cannot lose its address.
    InterfaceEnabled {
        /// The option to set to false first.
        option: &'static str,
    },
    /// An option that does not exist, or not with this value.
    Option(ParseError),
    /// The configuration would exceed a limit of files.
    TooMuch(Limit),
}

impl From<Error> for CommandError {
    fn from(error: Error) -> Self {
        CommandError::Option(ParseError::Value(error.kind))
    }
}

/// Refuses values that do not go together: `mistake` says which, if any.
pub(super) fn refuse_mistake(mistake: Option<impl Into<ErrorKind>>) -> Result<(), CommandError> {
    match mistake {
        None => Ok(()),
        Some(mistake) => Err(CommandError::Option(ParseError::Value(mistake.into()))),
    }
}

impl std::error::Error for CommandError {}

impl fmt::Display for CommandError {
    #[expect(
        clippy::too_many_lines,
        reason = "one short arm a kind, and none can be forgotten"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandError::Missing {
                what,
                name,
                owner,
                nearest,
            } => missing(f, what, name, owner, nearest.as_deref()),
            CommandError::Taken { what, name, owner } => match owner.as_str() {
                "" => write!(f, "there is a {what} {} already", Quoted(name)),
                owner => write!(f, "{owner} has a {what} {} already", Quoted(name)),
            },
            CommandError::HostsAt {
                group,
                address,
                names,
            } => hosts_at(f, group, address, names),
            CommandError::Member { name, template } => write!(
                f,
                "host {} comes and goes with the name that host {} has: change that one; this \
                 one can be drained, set to down and up, and retried",
                Quoted(name),
                Quoted(template)
            ),
            CommandError::NoMember { name, template } => write!(
                f,
                "the name that host {} has tells of no member {}: status lists those that there are",
                Quoted(template),
                Quoted(name)
            ),
            CommandError::NoListen {
                service,
                listen,
                listens,
            } => no_listen(f, service, listen, listens),
            CommandError::ListenTaken { address, service } => write!(
                f,
                "{address} is listened on already, by service {}",
                Quoted(service)
            ),
            CommandError::LastListen { service } => write!(
                f,
                "service {} listens nowhere else: switchPort moves it, delService removes it",
                Quoted(service)
            ),
            CommandError::LastHost { group } => {
                write!(
                    f,
                    "{group} is enabled and would have no hosts: force=true insists"
                )
            }
            CommandError::LastUsableHost { group } => {
                no_usable_host(f, group, "is enabled and would have", "another")
            }
            CommandError::UnusableGroup { group } => no_usable_host(f, group, "has", "a"),
            CommandError::UnusableRoute { group } => {
                no_usable_host(f, group, "has a route and would have", "a")
            }
            CommandError::EnabledGroup { group } => {
                write!(
                    f,
                    "{group} is enabled: enable another one first, or insist with force=true"
                )
            }
            CommandError::NoCheck {
                group,
                number,
                count,
            } => write!(f, "{group} has no check {number}: it has {count}"),
            CommandError::NoRoute {
                service,
                number,
                count,
            } => write!(
                f,
                "service {} has no route {number}: it has {count}",
                Quoted(service)
            ),
            CommandError::RoutedGroup { group, number } => write!(
                f,
                "{group} has a route: change or remove route {number} first (setRoute, delRoute)"
            ),
            CommandError::LastGroup { group } => write!(
                f,
                "{group} is the only one: add another one first, or remove the service with delService"
            ),
            CommandError::NoCredentials { user } => write!(
                f,
                "user {} could never log in: give a password or a key",
                Quoted(user)
            ),
            CommandError::IncompletePair { option, other } => write!(
                f,
                "{option} would be without {other}: set both, or neither, between begin and commit"
            ),
            CommandError::NoListenAddress { option } => {
                write!(f, "there is no address to listen on: set {option} first")
            }
            CommandError::InterfaceEnabled { option } => write!(
                f,
                "the admin interface is enabled: set {option} to false first"
            ),
            CommandError::Option(error) => error.fmt(f),
            CommandError::TooMuch(limit) => limit.fmt(f),
        }
    }
}

fn no_usable_host(
    f: &mut fmt::Formatter<'_>,
    group: &GroupKey,
    has: &str,
    which: &str,
) -> fmt::Result {
    write!(
        f,
        "{group} {has} no usable host, so new sessions would fail: bring {which} host up first, \
         or insist with force=true"
    )
}

fn missing(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    name: &str,
    owner: &str,
    nearest: Option<&str>,
) -> fmt::Result {
    match owner {
        "" => write!(f, "there is no {what} {}", Quoted(name))?,
        owner => write!(f, "{owner} has no {what} {}", Quoted(name))?,
    }
    nearest
        .iter()
        .try_for_each(|name| write!(f, ": is {} meant?", Quoted(name)))
}

fn no_listen(
    f: &mut fmt::Formatter<'_>,
    service: &str,
    listen: &ListenChoice,
    listens: &[ListenAddress],
) -> fmt::Result {
    write!(f, "service {} ", Quoted(service))?;
    match listen {
        ListenChoice::Port(port) => write!(f, "has not one listener of port {port}")?,
        ListenChoice::Address(address) => write!(f, "does not listen at {address}")?,
    }
    f.write_str(": it listens at ")?;
    list(f, listens)
}

fn hosts_at(
    f: &mut fmt::Formatter<'_>,
    group: &GroupKey,
    address: &Endpoint,
    names: &[String],
) -> fmt::Result {
    if names.is_empty() {
        return write!(f, "{group} has no host at {address}");
    }
    write!(
        f,
        "{group} has several hosts at {address}: say name= for one of "
    )?;
    list(f, names.iter().map(|name| Quoted(name)))
}

/// Writes the first few, separated by commas.
fn list(
    f: &mut fmt::Formatter<'_>,
    items: impl IntoIterator<Item = impl fmt::Display>,
) -> fmt::Result {
    const MOST: usize = 8;
    for (index, item) in items.into_iter().enumerate() {
        match index {
            0 => write!(f, "{item}")?,
            MOST => return f.write_str(", ..."),
            _ => write!(f, ", {item}")?,
        }
    }
    Ok(())
}

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (group, service) = (Quoted(&self.group), Quoted(&self.service));
        write!(f, "group {group} of service {service}")
    }
}
