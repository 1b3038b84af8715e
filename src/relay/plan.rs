//! What is served at the moment: made by the director, read by the workers.
//!
//! A plan never changes; a new one takes its place. What lives on from one to
//! the next (groups with their trackers, tallies) is shared between them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::health_log::HealthLog;
use super::listener::ListenKey;
use super::recent_events::RecentEvents;
use super::timeouts::TimeoutsMs;
use crate::balance::HostPool;

/// Which service is behind each listener.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The services by where they listen.
    pub(crate) doors: HashMap<ListenKey, Arc<Service>>,
    /// How many services there are.
    pub(crate) services: usize,
    /// Whether each session is logged.
    pub(crate) log_sessions: bool,
    /// Whether hosts can ask whose a connection is.
    pub(crate) notes_origins: bool,
}

/// A service as the workers see it.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) timeouts: TimeoutsMs,
    /// The group that gets new sessions.
    pub(crate) group: Arc<Group>,
    pub(crate) tally: Arc<ServiceStats>,
}

/// A group of hosts and its picker.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) service: String,
    pub(crate) name: String,
    tracker: Mutex<HostPool>,
    announcer: HealthLog,
    journal: Option<RecentEvents>,
}

impl Group {
    pub(crate) fn new(service: &str, name: &str, tracker: HostPool) -> Group {
        Group {
            service: service.to_owned(),
            name: name.to_owned(),
            tracker: Mutex::new(tracker),
            announcer: HealthLog::default(),
            journal: None,
        }
    }

    /// What becomes of its hosts is noted there.
    pub(crate) fn noted_in(self, journal: RecentEvents) -> Group {
        Group {
            journal: Some(journal),
            ..self
        }
    }

    /// Where that is noted.
    pub(super) fn journal(&self) -> Option<&RecentEvents> {
        self.journal.as_ref()
    }

    /// What was said of its hosts.
    pub(crate) fn announcer(&self) -> &HealthLog {
        &self.announcer
    }

    /// The picker. The lock is short: no system call is made under it.
    pub(crate) fn tracker(&self) -> MutexGuard<'_, HostPool> {
        // A tracker is whole between its calls; a thread that panicked in one
        // ends the balancer anyway.
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody has the picker just now.
    #[cfg(test)]
    pub(crate) fn is_locked(&self) -> bool {
        self.tracker.try_lock().is_err()
    }
}

/// What a service has seen; kept for as long as there is a service of its name.
#[derive(Debug, Default)]
pub(crate) struct ServiceStats {
    open: AtomicU64,
    total: AtomicU64,
}

impl ServiceStats {
    pub(crate) fn enter(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.total.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn leave(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Sessions open now.
    pub(crate) fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Clients accepted so far.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}
