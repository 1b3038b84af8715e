//! The data plane: workers accept clients, pick hosts, connect to them and relay bytes.
//!
//! Only this module uses mio. It reads no file and knows no operator: the controller sends each
//! worker a `Plan` through its mailbox.

mod byte_reader;
mod check;
mod client_hello;
mod client_lookup;
mod clock;
mod connection;
mod end_rate;
mod ending;
mod engine;
mod events;
mod failure;
mod first_bytes;
#[cfg(any(test, feature = "internals"))]
#[doc(hidden)]
pub mod fuzz;
mod handoff;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod mailbox;
mod plan;
mod port_gate;
mod probe;
mod proxy_protocol;
mod session;
mod session_record;
mod shared;
#[cfg(test)]
mod simulator;
mod slab;
mod source;
mod tcp_transport;
mod timer_wheel;
mod transport;
mod worker;

pub(crate) use check::{Dialogue, Verdict, check_address, check_timeout_ms};
pub use client_lookup::ClientLookup;
pub use clock::Clock;
pub(crate) use end_rate::{EndRate, INTERVAL_MS};
pub(crate) use ending::{
    EndCause, EndRequest, FoundSession, HostCauses, SessionFilter, address_of, keep_longest_silent,
};
pub(crate) use events::tcplog::Backend;
#[cfg(feature = "web")]
pub(crate) use events::tcplog::Escaped;
pub use events::{Event, HostName, RecentEvent, SessionEnd, Topic};
pub(crate) use events::{EventBus, Subscription};
pub use failure::EndReason;
pub(crate) use failure::ResourceError;
pub(crate) use first_bytes::MAX_FIRST_BYTES;
pub(crate) use mailbox::{Mailbox, WorkerLiveness, WorkerMessage};
pub use plan::ListenKey;
pub(crate) use plan::{Group, ListenerPlan, Plan, Routes, Service, ServiceStats};
pub(crate) use probe::{Probe, ProbePriority, ProbeResult, ProbeWaker, Prober, probe_timeout_ms};
pub use session::Phase;
pub(crate) use session::TimeoutsMs;
pub use session_record::SessionStatus;
pub(crate) use session_record::{SessionListPart, SessionListRequest};
pub(crate) use shared::{Shared, WorkerStats};
pub(crate) use worker::Worker;
