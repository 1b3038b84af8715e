//! The hosts that one client was tried on, and what came of it.
//!
//! A bounded memory and nothing else: who is tried next is `balance`'s
//! business, whether anybody is `session`'s.

use crate::balance::HostId;

/// The hosts one client may be tried on.
pub(crate) const MAX_ATTEMPTS: usize = 16;

/// Whom a client is not to be given again.
#[derive(Debug)]
pub(crate) struct Attempts {
    /// The hosts that failed this client; behind the first `failed` of them,
    /// those there was no local port for just now.
    tried: Vec<HostId>,
    failed: u8,
    timed_out: bool,
    /// When the first of those may be tried again.
    in_reach_ms: u64,
}

impl Attempts {
    pub(crate) fn new() -> Attempts {
        Attempts {
            tried: Vec::new(),
            failed: 0,
            timed_out: false,
            in_reach_ms: u64::MAX,
        }
    }

    /// The hosts that are not to be picked now, at most [`MAX_ATTEMPTS`].
    pub(crate) fn tried(&self) -> &[HostId] {
        &self.tried
    }

    /// How many hosts have failed this client.
    pub(crate) fn failed(&self) -> usize {
        usize::from(self.failed)
    }

    /// Whether the last one that failed did not answer in time.
    pub(crate) fn timed_out(&self) -> bool {
        self.timed_out
    }

    /// Whether no more may be tried.
    pub(crate) fn are_used_up(&self) -> bool {
        self.failed() >= MAX_ATTEMPTS
    }

    /// This host has failed. There is room for it even if all the others are
    /// out of reach.
    pub(crate) fn add_failed(&mut self, host: HostId, timed_out: bool) {
        self.tried.insert(self.failed(), host);
        self.failed += 1;
        self.timed_out = timed_out;
        self.tried.truncate(self.failed().max(MAX_ATTEMPTS - 1));
    }

    /// There is no local port to reach this host from until then. Whether there is room
    /// to remember that.
    pub(crate) fn add_out_of_reach(&mut self, host: HostId, until_ms: u64) -> bool {
        self.in_reach_ms = self.in_reach_ms.min(until_ms);
        let has_room = self.tried.len() < MAX_ATTEMPTS;
        if has_room {
            self.tried.push(host);
        }
        has_room
    }

    /// Hosts that were out of reach may be tried again. When, if there were any.
    pub(crate) fn forget_out_of_reach(&mut self) -> Option<u64> {
        let there_were = self.tried.len() > self.failed();
        self.tried.truncate(self.failed());
        let in_reach_ms = std::mem::replace(&mut self.in_reach_ms, u64::MAX);
        there_were.then_some(in_reach_ms)
    }

    /// Nobody is to be tried any more: only their number is still of interest.
    pub(crate) fn forget_hosts(&mut self) {
        self.tried = Vec::new();
    }
}
