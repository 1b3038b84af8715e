//! The data plane: worker threads that accept, pick, connect and copy.
//!
//! The only room that knows mio. It knows nothing of files, operators or why
//! something is to be served: the director tells it what, through a mailbox.

mod announce;
mod attempts;
mod clock;
mod connect;
mod end;
mod failure;
mod flow;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod journal;
mod late;
mod link;
mod listener;
mod listing;
mod lobby;
mod mailbox;
mod meters;
mod naming;
mod news;
mod origins;
mod plan;
mod port_gates;
mod probe;
mod pump;
mod session;
mod shared;
#[cfg(test)]
mod simulator;
mod slab;
mod sockets;
mod step;
mod tcplog;
mod timeouts;
mod timers;
mod worker;

pub(crate) use announce::announce;
pub use clock::Clock;
pub use end::EndReason;
pub(crate) use journal::Journal;
pub use journal::{Happening, Topic};
pub use listener::ListenKey;
pub(crate) use listing::{Listing, Slice};
pub use listing::{Phase, SessionStatus};
pub(crate) use lobby::Lobbies;
pub(crate) use mailbox::{Mailbox, Order, Pulse};
pub(crate) use meters::{Meters, Trouble};
#[cfg(feature = "web")]
pub(crate) use naming::{Backend, Escaped};
pub use news::{Event, HostName, SessionEnd};
pub(crate) use news::{Hearing, News};
pub use origins::Origins;
pub(crate) use plan::{Group, Plan, Service, Tally};
pub(crate) use probe::{Bell, Probe, Prober, Urgency, Verdict, probe_timeout_ms};
pub(crate) use shared::Shared;
pub(crate) use timeouts::TimeoutsMs;
pub(crate) use worker::Worker;
