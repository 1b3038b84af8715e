//! Commands of operators: changes, actions and questions, the same on every admin interface.
//!
//! A [`Command`] is parsed from a line, arguments or a web form, and encoded as a line; the
//! [`table`] lists all. A [`Verb`] is one change: a pure function from a configuration to the next.

mod apply;
mod complete;
mod diff;
mod encode;
mod error;
mod line;
mod list;
mod option;
mod parse;
mod previous_values;
pub mod table;
#[cfg(test)]
mod tests;

pub use apply::apply_all;
pub use complete::{complete, last_word};
pub use diff::{diff, script};
pub use error::{CommandError, ParseError};
pub use line::words;
pub(super) use list::longest_rising_sequence;
pub use option::{OptionSchema, options};

use std::fmt;
use std::time::Duration;

use self::table::CommandSchema;
use super::{Access, Endpoint, Host, HostState, ListenAddress, Scheduler, User};

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// A change of the configuration.
    Change(Verb),
    /// An action that does not change the configuration.
    Action(Action),
    /// A question.
    Question(Question),
    /// Brackets around several changes that become one.
    Batch(Batch),
}

impl Command {
    /// The change, if it is one.
    ///
    /// # Errors
    /// It is no change; the text is for the operator.
    pub fn into_change(self) -> Result<Verb, String> {
        match self {
            Command::Change(verb) => Ok(verb),
            other => Err(format!(
                "{} is no change of the configuration",
                other.name()
            )),
        }
    }
}

/// One change of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verb {
    /// Add a host.
    AddHost {
        /// The group.
        group: GroupKey,
        /// The host.
        host: Host,
        /// Position among the others; last if `None`.
        insert_at: Option<InsertAt>,
    },
    /// Remove a host.
    DelHost {
        /// The group.
        group: GroupKey,
        /// Which host.
        host: HostChoice,
        /// Even if that empties the enabled group.
        force: bool,
    },
    /// Remove all hosts of a group.
    DelAllHosts {
        /// The group.
        group: GroupKey,
        /// Even if it is enabled.
        force: bool,
    },
    /// Change a host.
    SetHost {
        /// The host.
        host: HostKey,
        /// Its address.
        address: Option<Endpoint>,
        /// Its weight.
        weight: Option<u32>,
        /// New position among the others.
        insert_at: Option<InsertAt>,
        /// Its new name.
        rename: Option<String>,
    },
    /// Change a host's weight.
    SetWeight {
        /// The host.
        host: HostKey,
        /// Its weight.
        weight: u32,
    },
    /// Change a host's wanted state: `drainHost`, `hostAdminDown`, `hostAdminUp`.
    SetState {
        /// The host.
        host: HostKey,
        /// Its state.
        state: HostState,
    },
    /// Add a group without hosts, not enabled.
    NewGroup {
        /// The group.
        group: GroupKey,
        /// Its scheduler.
        scheduler: Scheduler,
        /// Bits of an IPv6 address that identify a client.
        sticky_prefix: u8,
        /// Position among the others; last if `None`.
        insert_at: Option<InsertAt>,
    },
    /// Remove a group with its hosts.
    DelGroup {
        /// The group.
        group: GroupKey,
        /// Even if it is enabled: then the first of the others is enabled.
        force: bool,
    },
    /// Enable a group: it gets the new sessions.
    EnableGroup {
        /// The group.
        group: GroupKey,
    },
    /// Change a group's scheduler and position.
    ChangeScheduler {
        /// The group.
        group: GroupKey,
        /// Its scheduler.
        scheduler: Scheduler,
        /// Bits of an IPv6 address that identify a client, if that changes.
        sticky_prefix: Option<u8>,
        /// New position among the others.
        insert_at: Option<InsertAt>,
    },
    /// Add a service with the empty, enabled group `main` (`leastc`).
    NewService {
        /// Its name.
        service: String,
        /// Where it listens.
        listen: ListenAddress,
        /// Position among the others; last if `None`.
        insert_at: Option<InsertAt>,
    },
    /// Remove a service with its groups.
    DelService {
        /// Its name.
        service: String,
    },
    /// Change a service's timeouts and position. `Some(None)` is no limit.
    SetService {
        /// Its name.
        service: String,
        /// `connectTimeout`.
        connect: Option<Option<Duration>>,
        /// `idleTimeout`.
        idle: Option<Option<Duration>>,
        /// `halfClosedTimeout`.
        half_closed: Option<Option<Duration>>,
        /// New position among the others.
        insert_at: Option<InsertAt>,
    },
    /// Add a listener.
    AddListen {
        /// The service's name.
        service: String,
        /// The new address.
        address: ListenAddress,
        /// Position among the others; last if `None`.
        insert_at: Option<InsertAt<ListenAddress>>,
    },
    /// Remove a listener.
    DelListen {
        /// The service's name.
        service: String,
        /// Its address.
        address: ListenAddress,
    },
    /// Move a listener to another port or address.
    SwitchPort {
        /// The service's name.
        service: String,
        /// The old address or port.
        from: ListenChoice,
        /// The new one; a port alone keeps the address.
        to: ListenChoice,
    },
    /// Add a user.
    AddUser {
        /// The user.
        user: User,
        /// Position among the others; last if `None`.
        insert_at: Option<InsertAt>,
    },
    /// Change a user.
    SetUser {
        /// Their name.
        name: String,
        /// A crypt(3) string; an empty one removes the password.
        password: Option<Secret>,
        /// The access rights.
        access: Option<Access>,
        /// All their keys.
        keys: Option<Vec<String>>,
        /// New position among the others.
        insert_at: Option<InsertAt>,
    },
    /// Remove a user.
    DelUser {
        /// Their name.
        name: String,
    },
    /// Change any other attribute or element of the file.
    SetOption {
        /// Its path in the file, such as `manager.hostCheck.interval`.
        name: String,
        /// Its value as in the file; an empty one removes it.
        value: String,
    },
}

/// An action that does not change the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Try a failed host again now.
    RetryHost {
        /// The host.
        host: HostKey,
    },
    /// Write the running configuration to its file.
    SaveConfig {
        /// Even if the file has been changed meanwhile.
        force: bool,
    },
    /// Read the file again.
    Reload {
        /// Even if unsaved changes are lost.
        force: bool,
    },
    /// Open the log anew.
    ReopenLog,
    /// Stop.
    Shutdown {
        /// Time for open sessions; `None` is the same as for a SIGTERM.
        grace: Option<Duration>,
    },
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Question {
    /// The status.
    Status,
    /// The open sessions.
    Sessions,
    /// The running configuration, or the stored one.
    Config {
        /// Which view.
        view: View,
    },
    /// The verbs that make the running configuration from the stored one.
    Diff,
    /// Completions of a line.
    Complete {
        /// The line up to the cursor.
        line: String,
    },
    /// The list of commands, or help on one.
    Help {
        /// The command.
        verb: Option<&'static CommandSchema>,
    },
}

/// A way to look at the configuration. Passwords are `***` in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum View {
    /// What is in effect, with every default written out.
    #[default]
    Effect,
    /// The file as it would be if it were saved now.
    Running,
    /// The file as it was last read or saved.
    Stored,
}

impl View {
    /// Every one.
    pub const ALL: [View; 3] = [View::Effect, View::Running, View::Stored];

    /// The word for it in verbs.
    pub fn as_str(self) -> &'static str {
        match self {
            View::Effect => "effect",
            View::Running => "running",
            View::Stored => "stored",
        }
    }
}

/// Brackets around several changes that become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batch {
    /// Keep the changes that follow.
    Begin,
    /// Make them, all or none.
    Commit,
    /// Forget them.
    Abort,
}

/// Identifies a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKey {
    /// Its service's name.
    pub service: String,
    /// Its name.
    pub group: String,
}

/// Identifies a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostKey {
    /// Its group.
    pub group: GroupKey,
    /// Its name.
    pub name: String,
}

/// Identifies a host within a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostChoice {
    /// By its name.
    Name(String),
    /// By its address, as the ancestors did: the only host there.
    Address(Endpoint),
}

/// Identifies a listener of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenChoice {
    /// By the port alone, whatever the address.
    Port(u16),
    /// In full.
    Address(ListenAddress),
}

/// Position of an item in its list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InsertAt<T = String> {
    /// Directly before this one.
    Before(T),
    /// After all others.
    Last,
}

/// A secret, masked in debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
