//! What happens in the data plane, for people and programs: event bus, recent events, logs.

mod event_bus;
pub(super) mod health_log;
mod recent_events;
pub(super) mod tcplog;

pub use event_bus::{Event, HostName, RecentEvent, SessionEnd, Topic};
pub(crate) use event_bus::{EventBus, Subscription};
pub(crate) use recent_events::RecentEvents;
