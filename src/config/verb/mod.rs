//! What an operator can ask for: the words that every door shares.
//!
//! A [`Command`] is parsed from a line, from a program's arguments or from a web
//! form, and printed as a line; the [`table`] says what there is. A [`Verb`] is
//! one change: a pure function from a configuration to the next one. Who may ask,
//! and what is done about the answer, is known elsewhere.

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
pub use option::{OptionSchema, options};

use std::fmt;
use std::time::Duration;

use self::table::CommandSchema;
use super::{Access, Endpoint, Host, HostState, ListenAddress, Scheduler, User};

/// Anything that can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// A change of the configuration.
    Change(Verb),
    /// Something to be done that changes nothing in the configuration.
    Action(Action),
    /// Something to be told.
    Question(Question),
    /// The brackets around changes that are one.
    Batch(Batch),
}

impl Command {
    /// The change that it is.
    ///
    /// # Errors
    /// It is none: in words for who asked for it.
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
    /// A new host in a group.
    AddHost {
        /// The group.
        group: GroupKey,
        /// The host.
        host: Host,
        /// Where among the others: without it, behind them.
        insert_at: Option<InsertAt>,
    },
    /// A host leaves its group.
    DelHost {
        /// The group.
        group: GroupKey,
        /// Which host.
        host: HostChoice,
        /// Even if the enabled group is empty then.
        force: bool,
    },
    /// All hosts leave a group.
    DelAllHosts {
        /// The group.
        group: GroupKey,
        /// Even if it is enabled.
        force: bool,
    },
    /// What is said of a host.
    SetHost {
        /// The host.
        host: HostKey,
        /// Its address.
        address: Option<Endpoint>,
        /// Its weight.
        weight: Option<u32>,
        /// Where among the others.
        insert_at: Option<InsertAt>,
        /// Its new name.
        rename: Option<String>,
    },
    /// A host's weight alone.
    SetWeight {
        /// The host.
        host: HostKey,
        /// Its weight.
        weight: u32,
    },
    /// What the operator wants of a host: `drainHost`, `hostAdminDown`, `hostAdminUp`.
    SetState {
        /// The host.
        host: HostKey,
        /// Its state.
        state: HostState,
    },
    /// A new group without hosts, not enabled.
    NewGroup {
        /// The group.
        group: GroupKey,
        /// Its scheduler.
        scheduler: Scheduler,
        /// How many bits of an IPv6 address make a client.
        sticky_prefix: u8,
        /// Where among the others: without it, behind them.
        insert_at: Option<InsertAt>,
    },
    /// A group goes, with its hosts.
    DelGroup {
        /// The group.
        group: GroupKey,
        /// Even if it is enabled: the first of the others is enabled then.
        force: bool,
    },
    /// A group gets the new sessions of its service.
    EnableGroup {
        /// The group.
        group: GroupKey,
    },
    /// How a group picks its hosts, and where it stands.
    ChangeScheduler {
        /// The group.
        group: GroupKey,
        /// Its scheduler.
        scheduler: Scheduler,
        /// How many bits of an IPv6 address make a client, if that changes.
        sticky_prefix: Option<u8>,
        /// Where among the others.
        insert_at: Option<InsertAt>,
    },
    /// A new service with the empty, enabled group `main` (`leastc`).
    NewService {
        /// Its name.
        service: String,
        /// Where it listens.
        listen: ListenAddress,
        /// Where among the others: without it, behind them.
        insert_at: Option<InsertAt>,
    },
    /// A service goes, with all it has.
    DelService {
        /// Its name.
        service: String,
    },
    /// How long a service waits, and where it stands. `Some(None)` is for ever.
    SetService {
        /// Its name.
        service: String,
        /// `connectTimeout`.
        connect: Option<Option<Duration>>,
        /// `idleTimeout`.
        idle: Option<Option<Duration>>,
        /// `halfClosedTimeout`.
        half_closed: Option<Option<Duration>>,
        /// Where among the others.
        insert_at: Option<InsertAt>,
    },
    /// One more place where a service listens.
    AddListen {
        /// The service's name.
        service: String,
        /// Where it is to listen too.
        address: ListenAddress,
        /// Where among the others: without it, behind them.
        insert_at: Option<InsertAt<ListenAddress>>,
    },
    /// A service no longer listens somewhere.
    DelListen {
        /// The service's name.
        service: String,
        /// Where it does not listen any more.
        address: ListenAddress,
    },
    /// A service listens somewhere else.
    SwitchPort {
        /// The service's name.
        service: String,
        /// Where it listened.
        from: ListenChoice,
        /// Where it is to listen instead; a port alone keeps the address.
        to: ListenChoice,
    },
    /// Somebody new who may log in.
    AddUser {
        /// Who.
        user: User,
        /// Where among the others: without it, behind them.
        insert_at: Option<InsertAt>,
    },
    /// What is said of a user.
    SetUser {
        /// Their name.
        name: String,
        /// A crypt(3) string; an empty one takes the password away.
        password: Option<Secret>,
        /// What they may do.
        access: Option<Access>,
        /// Their keys, all of them.
        keys: Option<Vec<String>>,
        /// Where among the others.
        insert_at: Option<InsertAt>,
    },
    /// Somebody may no longer log in.
    DelUser {
        /// Their name.
        name: String,
    },
    /// Anything else in the file.
    SetOption {
        /// Where it is in the file, such as `manager.hostCheck.interval`.
        name: String,
        /// Its value as in the file; an empty one takes it out of the file.
        value: String,
    },
}

/// Something to be done that changes nothing in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Try a failed host again, now.
    RetryHost {
        /// The host.
        host: HostKey,
    },
    /// Write the running configuration to its file.
    SaveConfig {
        /// Even if somebody else has changed the file.
        force: bool,
    },
    /// Read the file again.
    Reload {
        /// Even if changes are lost that were not saved.
        force: bool,
    },
    /// Open the log anew.
    ReopenLog,
    /// Stop.
    Shutdown {
        /// How long open sessions have; without it, as long as after a SIGTERM.
        grace: Option<Duration>,
    },
}

/// Something to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Question {
    /// How everything is.
    Status,
    /// The open sessions.
    Sessions,
    /// The running configuration, or the stored one.
    Config {
        /// How it is wanted.
        view: View,
    },
    /// The verbs that make the running configuration from the stored one.
    Diff,
    /// How a line may go on.
    Complete {
        /// The line, up to where it is to go on.
        line: String,
    },
    /// What can be asked for, or one command of it.
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

/// The brackets around changes that are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batch {
    /// Keep the changes that follow.
    Begin,
    /// Make them, all or none.
    Commit,
    /// Forget them.
    Abort,
}

/// What a group is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKey {
    /// Its service's name.
    pub service: String,
    /// Its name.
    pub group: String,
}

/// What a host is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostKey {
    /// Its group.
    pub group: GroupKey,
    /// Its name.
    pub name: String,
}

/// A host of a known group, said in one of two ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostChoice {
    /// By its name.
    Name(String),
    /// By its address, as the ancestors did: the only host there.
    Address(Endpoint),
}

/// Where a service listens, said in one of two ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenChoice {
    /// By the port alone, whatever the address.
    Port(u16),
    /// In full.
    Address(ListenAddress),
}

/// Where something goes among others of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InsertAt<T = String> {
    /// Right before this one.
    Before(T),
    /// Behind all others.
    Last,
}

/// Something that debug output must not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
