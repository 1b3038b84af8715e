//! On whose behalf something is done, in words for the log.

use std::fmt;
use std::net::SocketAddr;

/// On whose behalf something is done, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Actor {
    /// A signal, by its name, such as `HUP`.
    Signal(&'static str),
    /// Somebody on this machine, as the system vouches for them.
    Control {
        /// The user.
        uid: u32,
        /// The process, where the system tells.
        pid: Option<i32>,
    },
    /// Somebody who logged in.
    User {
        /// As configured.
        name: String,
        /// Where they are.
        from: SocketAddr,
        /// How they came in, such as `web`.
        door: &'static str,
    },
    /// The program that txlb is part of.
    Program,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Signal(name) => write!(f, "SIG{name}"),
            Actor::Control { uid, pid: None } => write!(f, "uid {uid} (control)"),
            Actor::Control {
                uid,
                pid: Some(pid),
            } => write!(f, "uid {uid}, process {pid} (control)"),
            Actor::User { name, from, door } => {
                write!(f, "user {} from {from} ({door})", name.escape_debug())
            }
            Actor::Program => f.write_str("the program"),
        }
    }
}
