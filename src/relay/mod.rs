//! The data plane: worker threads that accept, pick, connect and copy.
//!
//! The only room that knows mio. It knows nothing of files, operators or why
//! something is to be served: the director tells it what, through a mailbox.

mod action;
mod attempts;
mod client_lookup;
mod clock;
mod connect;
mod connection;
mod end;
mod event_bus;
mod failure;
mod half_stream;
mod handoff;
mod haproxy_names;
mod health_log;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod late;
mod listener;
mod listing;
mod mailbox;
mod plan;
mod port_gates;
mod probe;
mod pump;
mod recent_events;
mod session;
mod shared;
#[cfg(test)]
mod simulator;
mod slab;
mod tcp_transport;
mod tcplog;
mod timeouts;
mod timer_wheel;
mod worker;
mod worker_stats;

pub use client_lookup::ClientLookup;
pub use clock::Clock;
pub use end::EndReason;
pub use event_bus::{Event, HostName, SessionEnd};
pub(crate) use event_bus::{EventBus, Subscription};
pub(crate) use handoff::Handoffs;
#[cfg(feature = "web")]
pub(crate) use haproxy_names::{Backend, Escaped};
pub(crate) use health_log::log_health_change;
pub use listener::ListenKey;
pub(crate) use listing::{Listing, Slice};
pub use listing::{Phase, SessionStatus};
pub(crate) use mailbox::{Mailbox, WorkerLiveness, WorkerMessage};
pub(crate) use plan::{Group, Plan, Service, ServiceStats};
pub(crate) use probe::{Probe, ProbePriority, ProbeResult, ProbeWaker, Prober, probe_timeout_ms};
pub(crate) use recent_events::RecentEvents;
pub use recent_events::{RecentEvent, Topic};
pub(crate) use shared::Shared;
pub(crate) use timeouts::TimeoutsMs;
pub(crate) use worker::Worker;
pub(crate) use worker_stats::{ResourceError, WorkerStats};
