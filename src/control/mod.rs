//! The control plane: owns the configuration, changes it, and runs the data plane by it. It moves
//! no bytes: the workers do.

mod apply;
mod changes;
mod check_schedule;
mod config_file;
mod controller;
mod data_plane;
#[cfg(feature = "dns")]
mod dns;
mod draining;
mod end_verbs;
mod ending;
mod error;
mod fd_budget;
mod handle;
mod history;
mod inheritance;
mod known_names;
mod limits;
mod line_protocol;
mod listeners;
mod member_count;
mod member_questions;
mod member_verbs;
mod members;
mod questions;
mod ready_verbs;
mod recovery;
mod resolutions;
mod resolver;
mod routing_loops;
mod running;
mod save;
mod signals;
mod status;
mod threads;
mod undo;
mod upgrade;
mod wanted;
mod watch;

pub use crate::balance::{HISTOGRAM_MS, Health, MINUTES};
pub(crate) use crate::relay::{Backend, Escaped};
pub use crate::relay::{
    ClientLookup, DURATIONS_S, EndReason, EndedSessions, Event, HostName, Phase, RecentEvent,
    SessionEnd, SessionStatus, Topic,
};
pub(crate) use crate::relay::{EventBus, Subscription};
pub use apply::{Commit, Reconfigure};
pub use config_file::{Changed, File, FileError};
pub use controller::ControllerThread;
pub use data_plane::{Bound, DataPlane, RetryOutcome};
#[cfg(all(feature = "dns", feature = "internals"))]
#[doc(hidden)]
pub use dns::fuzz_dns_reply;
#[cfg(feature = "dns")]
pub use dns::preload as preload_name_servers;
pub use draining::{DrainingProcess, MAX_DRAINING, Predecessors};
pub use error::Error;
pub(crate) use handle::push_clean;
pub use handle::{Actor, Handle, OutputFormat, Request, Response, ResponseData};
pub use limits::limits;
pub use line_protocol::{LineProtocol, LineReply, ParsedLine};
pub use member_count::MemberCount;
pub use member_questions::member_warnings;
pub use resolver::resolve_all as resolve_names;
pub use routing_loops::routing_loop_warnings;
pub use save::{SaveError, Saved};
pub use signals::{CaughtSignals, Signal, forward_signals};
pub use status::{
    GroupStatus, HostStatus, Outcome, Readiness, ServiceStatus, Sessions, Status, StoredStatus,
};
pub use threads::{LifecycleEvent, Liveness, processors};
pub use upgrade::{Consent, Known, Offer, Successor, Upgrader, checksum};
pub use wanted::{listen_options, places_of_resolved, resolve_places};

use std::fmt;
use std::sync::Arc;

use crate::balance::Schedulers;

/// Settings of a data plane.
pub struct Options {
    /// Number of worker threads, at least 1.
    pub workers: usize,
    /// Limit of open sessions, at least 1. Descriptors may limit them further.
    pub most_sessions: usize,
    /// The schedulers that groups may use.
    pub schedulers: Arc<Schedulers>,
    /// Called when the last session has ended or a thread has panicked, on the thread that
    /// notices.
    pub on_event: Arc<dyn Fn(LifecycleEvent) + Send + Sync>,
    /// Starts a successor; `None` if the program cannot.
    pub upgrader: Option<Upgrader>,
    /// Earlier processes that drain.
    pub predecessors: Predecessors,
}

impl Options {
    /// Options with built-in schedulers and no limit of sessions but descriptors.
    pub fn new(
        workers: usize,
        on_event: impl Fn(LifecycleEvent) + Send + Sync + 'static,
    ) -> Options {
        Options {
            workers,
            most_sessions: usize::MAX,
            schedulers: Arc::default(),
            on_event: Arc::new(on_event),
            upgrader: None,
            predecessors: Predecessors::default(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("workers", &self.workers)
            .field("most_sessions", &self.most_sessions)
            .field("schedulers", &self.schedulers)
            .finish_non_exhaustive()
    }
}
