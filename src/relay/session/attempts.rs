//! The hosts that a client was tried on, at most 16, and the timeouts that limit the attempts.

use std::time::Duration;

use crate::balance::{HostId, PickContext};
use crate::config::Timeouts;

/// The most attempts for one client, and the most hosts that are excluded from a pick.
const MAX_TRIED: usize = PickContext::MAX_TRIED;

/// How many connect timeouts one client may wait in all.
const TOTAL_CONNECT_TIMEOUTS: u64 = 3;

/// The hosts that must not be picked for a client now.
#[derive(Debug)]
pub(crate) struct Attempts {
    /// The hosts that failed this client, `failed_hosts` of them, and after them the hosts for
    /// which no local port is left.
    tried: Vec<HostId>,
    failed_hosts: u8,
    /// How many addresses failed whose hosts have moved to another address.
    failed_addresses: u8,
    timed_out: bool,
    /// When the first host without a local port may be tried again.
    retry_ms: u64,
}

impl Attempts {
    pub(crate) fn new() -> Attempts {
        Attempts {
            tried: Vec::new(),
            failed_hosts: 0,
            failed_addresses: 0,
            timed_out: false,
            retry_ms: u64::MAX,
        }
    }

    /// The hosts that must not be picked now, at most [`PickContext::MAX_TRIED`].
    pub(crate) fn tried(&self) -> &[HostId] {
        &self.tried
    }

    /// The hosts that failed this client, in order.
    pub(crate) fn failed_hosts(&self) -> &[HostId] {
        &self.tried[..usize::from(self.failed_hosts)]
    }

    /// How many hosts, or addresses of a host, have failed this client.
    pub(crate) fn failed(&self) -> usize {
        usize::from(self.failed_hosts) + usize::from(self.failed_addresses)
    }

    /// Whether the last failure was a timeout.
    pub(crate) fn timed_out(&self) -> bool {
        self.timed_out
    }

    /// Whether no further host may be tried once another one has failed.
    pub(crate) fn are_nearly_exhausted(&self) -> bool {
        self.failed() + 1 >= MAX_TRIED
    }

    /// Whether no further host may be tried.
    pub(crate) fn are_exhausted(&self) -> bool {
        self.failed() >= MAX_TRIED
    }

    /// A host has failed. It is excluded even if all others have no local port.
    pub(crate) fn add_failed(&mut self, host: HostId, timed_out: bool) {
        self.tried.insert(usize::from(self.failed_hosts), host);
        self.failed_hosts += 1;
        self.timed_out = timed_out;
        let failed = usize::from(self.failed_hosts);
        self.tried.truncate(failed.max(MAX_TRIED - 1));
    }

    /// An address has failed, and its host has another one now. The host may be picked.
    pub(crate) fn add_moved(&mut self, timed_out: bool) {
        self.failed_addresses += 1;
        self.timed_out = timed_out;
    }

    /// No local port is left for a host until `until_ms`. Returns whether the host is excluded:
    /// there may be no room for it.
    pub(crate) fn add_no_port(&mut self, host: HostId, until_ms: u64) -> bool {
        self.retry_ms = self.retry_ms.min(until_ms);
        let has_room = self.tried.len() < MAX_TRIED;
        if has_room {
            self.tried.push(host);
        }
        has_room
    }

    /// Lets hosts without a local port be picked again. Returns when the first of them may be
    /// tried, if there are any.
    pub(crate) fn forget_no_port(&mut self) -> Option<u64> {
        let failed = usize::from(self.failed_hosts);
        let had_any = self.tried.len() > failed;
        self.tried.truncate(failed);
        let retry_ms = std::mem::replace(&mut self.retry_ms, u64::MAX);
        had_any.then_some(retry_ms)
    }

    /// No further host is picked: what failed is kept for the log alone.
    pub(crate) fn forget_hosts(&mut self) {
        self.tried.truncate(usize::from(self.failed_hosts));
        self.tried.shrink_to_fit();
    }
}

/// A service's timeouts in milliseconds; 0 is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TimeoutsMs {
    /// For one host to accept.
    pub(crate) connect: u64,
    /// For a byte in either direction.
    pub(crate) idle: u64,
    /// For a byte once one direction has ended.
    pub(crate) half_closed: u64,
    /// For a silent peer until TCP probes it.
    pub(crate) keep_alive: u64,
    /// For a peer to acknowledge data.
    pub(crate) unacked: u64,
    /// For the whole session.
    pub(crate) max_duration: u64,
}

/// The age at which TCP starts to look for dead peers of a session. Most sessions end before, and
/// save the system calls.
const WATCH_PEERS_AFTER_MS: u64 = 30_000;

impl TimeoutsMs {
    /// When a connect that started at `since_ms` times out.
    pub(crate) fn connect_ends_ms(&self, since_ms: u64) -> Option<u64> {
        after(since_ms, self.connect)
    }

    /// Until when a client that came at `started_ms` waits for a host.
    pub(crate) fn total_wait_ends_ms(&self, started_ms: u64) -> Option<u64> {
        after(
            started_ms,
            self.connect.saturating_mul(TOTAL_CONNECT_TIMEOUTS),
        )
    }

    /// When a session is silent for too long whose last byte passed at `active_ms`.
    pub(crate) fn silence_ends_ms(&self, active_ms: u64, half_closed: bool) -> Option<u64> {
        let half_closed = if half_closed { self.half_closed } else { 0 };
        earliest(after(active_ms, self.idle), after(active_ms, half_closed))
    }

    /// When TCP is told to look for dead peers of a session that started at `started_ms`.
    pub(crate) fn watch_peers_ms(&self, started_ms: u64) -> Option<u64> {
        // The unacked timeout counts when TCP sends again what was lost, which it does at growing
        // intervals: told at half of it, it chooses the last interval so that it ends in time.
        let soonest_ms = earliest(
            after(0, self.keep_alive),
            after(0, self.unacked.div_ceil(2)),
        )?;
        Some(started_ms + soonest_ms.min(WATCH_PEERS_AFTER_MS))
    }

    /// When a session that started at `started_ms` has lasted for too long.
    pub(crate) fn max_duration_ends_ms(&self, started_ms: u64) -> Option<u64> {
        after(started_ms, self.max_duration)
    }
}

impl From<Timeouts> for TimeoutsMs {
    fn from(timeouts: Timeouts) -> TimeoutsMs {
        TimeoutsMs {
            connect: milliseconds(timeouts.connect),
            idle: milliseconds(timeouts.idle),
            half_closed: milliseconds(timeouts.half_closed),
            keep_alive: milliseconds(timeouts.keep_alive),
            unacked: milliseconds(timeouts.unacked),
            max_duration: milliseconds(timeouts.max_duration),
        }
    }
}

/// At least 1 for a configured timeout, since 0 means never.
fn milliseconds(timeout: Option<Duration>) -> u64 {
    timeout.map_or(0, |timeout| {
        u64::try_from(timeout.as_millis())
            .unwrap_or(u64::MAX)
            .max(1)
    })
}

/// The time `timeout_ms` after `start_ms`; `None` for a timeout of 0.
fn after(start_ms: u64, timeout_ms: u64) -> Option<u64> {
    (timeout_ms > 0).then(|| start_ms.saturating_add(timeout_ms))
}

/// The earlier of two times; `None` is never.
pub(crate) fn earliest(one_ms: Option<u64>, other_ms: Option<u64>) -> Option<u64> {
    match (one_ms, other_ms) {
        (Some(one_ms), Some(other_ms)) => Some(one_ms.min(other_ms)),
        (one_ms, other_ms) => one_ms.or(other_ms),
    }
}

/// Whether a time has come; `None` is never.
pub(crate) fn is_past(moment_ms: Option<u64>, now_ms: u64) -> bool {
    moment_ms.is_some_and(|moment_ms| now_ms >= moment_ms)
}
