//! One host of a group: its addresses, health, counts, load and status.

mod address;
mod checks;

use self::address::literal_address;
use self::checks::CheckState;
use super::HostId;
use super::agent::Agent;
use super::check_result::CheckResult;
use super::early_ends::EarlyEnds;
use super::health::{Failure, Health, HealthChange};
use super::host_status::HostStatus;
use super::pool::HostHistory;
use super::slow_start::SlowStart;
use super::stats::{Counters, RecentSessions};
use crate::config::{self, Endpoint, HostState};
use crate::os::address::Address;
use std::net::IpAddr;
use std::sync::Arc;

/// A host at one endpoint: what a sticky client is tied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) host: HostId,
    /// A new number whenever the id goes to another host, or the host to another endpoint.
    pub(super) number: u64,
}

/// The name and counters of a host, which its sessions share with the pool. A new name
/// makes a new one, which shares the counters.
#[derive(Debug)]
pub struct Host {
    /// Its name, unique within its group. A session keeps the name from when its host was
    /// picked.
    pub name: String,
    /// Its bytes and connect times.
    pub counters: Counters,
}

/// A host of a group, as schedulers see it.
#[derive(Debug)]
pub struct Member {
    pub(super) id: HostId,
    pub(super) host: Arc<Host>,
    pub(super) endpoint: Endpoint,
    pub(super) address: Option<Address>,
    /// What its name resolved to. Empty for a host that is configured by address.
    addresses: Vec<IpAddr>,
    /// The number of addresses that have failed one after the other.
    consecutive_failures: usize,
    pub(super) weight: u32,
    pub(super) state: HostState,
    pub(super) backup: bool,
    /// It gets no session before it has passed a check (`initial`).
    pending: bool,
    presence: Presence,
    slow_start: Option<SlowStart>,
    /// The percentage of its share that slow start leaves it, as of the last review.
    slow_percent: u32,
    pub(super) early_ends: EarlyEnds,
    /// It is among the hosts whose load changes with time.
    pub(super) timed: bool,
    health: Health,
    pub(super) since_ms: u64,
    downtime: Downtime,
    last_check: Option<CheckResult>,
    failed_checks: u64,
    missed_heartbeats: u8,
    /// How it stands in each check of its group; `None` for an agent.
    checks: Vec<Option<CheckState>>,
    agent: Option<Box<Agent>>,
    /// The address at which it is a listener of this process: a session would loop.
    circular_at: Option<Address>,
    last_failure: Option<(Failure, u64)>,
    pub(super) open: u32,
    /// The most that were open at the same time.
    pub(super) peak_open: u32,
    /// Those of them whose host's side lives, so that they count for schedulers.
    pub(super) busy: u32,
    pub(super) total: u64,
    pub(super) recent: RecentSessions,
    pub(super) failures: u64,
    pub(super) last_pick: u64,
    /// Connections that were given a source address.
    pub(super) source_turns: u32,
    pub(super) position: Option<usize>,
    /// Since when it is drained, down or removed.
    pub(super) out_since_ms: Option<u64>,
    /// When its last session ended since then.
    pub(super) emptied_ms: Option<u64>,
    pub(super) candidate: Option<usize>,
    pub(super) placement: Placement,
}

/// Whether a host could be picked so far: who comes back starts slowly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// Not yet, since the group began.
    First,
    /// It can be picked.
    Here,
    /// It could not: it is new, had failed, or was taken out of service.
    Away,
}

/// How often and how long a host has failed so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Downtime {
    times: u32,
    /// Without the time since it failed last.
    past_ms: u64,
}

/// A host fails at this number of missed heartbeats in a row.
const MAX_MISSED_HEARTBEATS: u8 = 2;

/// Addresses of a name that are used. A session tries no more hosts than this.
const MAX_ADDRESSES: usize = 16;

impl Member {
    /// An untried host.
    pub(super) fn new(id: HostId, host: &config::Host, shards: usize, now_ms: u64) -> Self {
        Member {
            id,
            host: Arc::new(Host {
                name: host.name.clone(),
                counters: Counters::new(shards),
            }),
            endpoint: host.address.clone(),
            address: literal_address(&host.address),
            addresses: Vec::new(),
            consecutive_failures: 0,
            weight: host.weight,
            state: host.state,
            backup: host.backup,
            pending: false,
            presence: Presence::Away,
            slow_start: None,
            slow_percent: 100,
            early_ends: EarlyEnds::default(),
            timed: false,
            health: Health::Untried,
            since_ms: now_ms,
            downtime: Downtime::default(),
            last_check: None,
            failed_checks: 0,
            missed_heartbeats: 0,
            checks: Vec::new(),
            agent: None,
            circular_at: None,
            last_failure: None,
            open: 0,
            peak_open: 0,
            busy: 0,
            total: 0,
            recent: RecentSessions::new(now_ms),
            failures: 0,
            last_pick: 0,
            source_turns: 0,
            position: None,
            out_since_ms: None,
            emptied_ms: None,
            candidate: None,
            placement: Placement {
                host: id,
                number: 0,
            },
        }
    }

    /// Its id.
    pub fn id(&self) -> HostId {
        self.id
    }

    /// Its name, unique within the group.
    pub fn name(&self) -> &str {
        &self.host.name
    }

    /// Its weight in force, 0 to 1,000,000: the configured one, or the share of it that its agent
    /// wants. What it weighs now is [`Member::share`].
    pub fn weight(&self) -> u32 {
        self.agent()
            .map_or(self.weight, |agent| agent.weigh(self.weight))
    }

    /// What it weighs now, in hundredths: its weight in force, less what slow start takes of it.
    pub fn share(&self) -> u32 {
        self.weight() * self.slow_percent
    }

    /// The percentage of its share that slow start leaves it; 100 without one.
    pub fn slow_percent(&self) -> u32 {
        self.slow_percent
    }

    /// Its open sessions, those still connecting included, whether they keep it busy or not.
    /// Schedulers compare [`Member::load`].
    pub fn open(&self) -> u32 {
        self.open
    }

    /// Its open sessions that keep it busy: it has not ended its side, or not all that it said is
    /// written to the client.
    pub fn busy(&self) -> u32 {
        self.busy
    }

    /// What the built-in schedulers compare: [`Member::busy`]. Sessions of a host that ends many
    /// quickly before its first byte go on counting for a second, so that it attracts nobody.
    pub fn load(&self) -> u32 {
        self.busy.saturating_add(self.early_ends.lingering())
    }

    /// Its load for its share, in units of 2^-40 of a session for each weight. That is exact
    /// enough: with weights up to 1,000,000, two different quotients differ by at least 10^-12.
    pub(super) fn load_for_share(&self) -> u64 {
        scaled(self.load(), self.share())
    }

    /// The same where weights do not matter: only slow start does.
    pub(super) fn load_for_slow_start(&self) -> u64 {
        scaled(self.load(), self.slow_percent)
    }

    /// Its address; `None` while its name has never been resolved.
    pub fn address(&self) -> Option<&Address> {
        self.address.as_ref()
    }

    /// The number of the group's pick that picked it last, counted from 1; 0 if there was
    /// none. The host with the lowest has been without a new session for the longest time.
    pub fn last_pick(&self) -> u64 {
        self.last_pick
    }

    /// Its position in the file's order, from 0; `None` if it was removed and has open
    /// sessions.
    pub fn position(&self) -> Option<usize> {
        self.position
    }

    /// Whether the operator allows new sessions, and there is an address to connect to.
    pub(super) fn is_usable(&self) -> bool {
        self.state == HostState::Up
            && self.weight > 0
            && self.address.is_some()
            && !self.is_circular()
            && self.is_wanted_by_agent()
            && !self.is_full()
    }

    /// Whether its address is a listener of this process, so that a session would loop. Such
    /// a host is neither picked nor probed.
    pub(super) fn is_circular(&self) -> bool {
        self.circular_at.is_some() && self.circular_at == self.address
    }

    /// Marks it as a listener of this process, or no longer.
    pub(super) fn mark_circular(&mut self, circular: bool, now_ms: u64) -> Option<HealthChange> {
        match (self.is_circular(), circular) {
            (false, true) => {
                self.circular_at.clone_from(&self.address);
                self.connect_failed(Failure::Circular, now_ms)
            }
            (true, false) => {
                self.circular_at = None;
                self.reset_health(now_ms)
            }
            _ => None,
        }
    }

    /// Whether it is configured and the operator allows new sessions.
    pub(super) fn is_in_service(&self) -> bool {
        self.position.is_some() && self.state == HostState::Up && self.weight > 0
    }

    /// Whether it is configured, and neither drained nor down.
    pub(super) fn is_wanted(&self) -> bool {
        self.position.is_some() && self.state == HostState::Up
    }

    /// Notes since when it is not wanted.
    pub(super) fn note_wanted(&mut self, now_ms: u64) {
        match self.is_wanted() {
            true => (self.out_since_ms, self.emptied_ms) = (None, None),
            false => drop(self.out_since_ms.get_or_insert(now_ms)),
        }
    }

    pub(super) fn has_timed_out(&self) -> bool {
        self.health == Health::Failed(Failure::TimedOut)
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(self.health, Health::Failed(_))
    }

    /// Whether it may be picked like any other: it is usable, has not failed, and waits for no
    /// check.
    pub(super) fn is_ready(&self) -> bool {
        self.is_usable() && !self.has_failed() && !self.pending
    }

    /// Whether it has failed because it ended sessions before its first byte.
    pub(super) fn has_ended_early(&self) -> bool {
        matches!(self.health, Health::Failed(Failure::EndedEarly(_)))
    }

    /// Whether it gets no session before it has passed a check.
    pub(super) fn is_pending(&self) -> bool {
        self.pending
    }

    /// It is a host with which the group begins, so it starts with its whole share.
    pub(super) fn begin_with_group(&mut self) {
        self.presence = Presence::First;
    }

    /// It is a new host, or at another endpoint: it starts slowly, and if `pending` not before it
    /// has passed a check.
    pub(super) fn begin_anew(&mut self, pending: bool) {
        self.presence = Presence::Away;
        self.pending = pending;
    }

    /// An operator wants it to be tried.
    pub(super) fn retry(&mut self, now_ms: u64) {
        self.pending = false;
        self.reset_health(now_ms);
    }

    /// Follows whether it may be picked; one that comes back starts slowly, if that takes time.
    /// Returns whether it does.
    pub(super) fn follow_presence(&mut self, slow_start_ms: u64, now_ms: u64) -> bool {
        // A full host is busy, not away.
        // Test: a_host_that_was_full_does_not_start_slowly.
        if self.is_full() {
            return self.slow_start.is_some();
        }
        let (before, ready) = (self.presence, self.is_ready());
        self.presence = match before {
            _ if ready => Presence::Here,
            Presence::First if !self.has_failed() => Presence::First,
            _ => Presence::Away,
        };
        let since_ms = match before {
            Presence::Away => Some(now_ms),
            _ => self.slow_start.map(SlowStart::since_ms),
        };
        self.slow_start = since_ms
            .filter(|_| ready && slow_start_ms > 0)
            .map(|since_ms| SlowStart::new(since_ms, slow_start_ms));
        self.pass(now_ms);
        self.slow_start.is_some()
    }

    /// Time has passed. Returns whether its load or share has changed.
    pub(super) fn pass(&mut self, now_ms: u64) -> bool {
        let before = self.slow_percent;
        self.slow_percent = self.slow_start.map_or(100, |it| it.percent(now_ms));
        if self.slow_percent == 100 {
            self.slow_start = None;
        }
        let lingering = self.early_ends.pass(now_ms);
        lingering || self.slow_percent != before
    }

    /// Whether its load or share changes with time.
    pub(super) fn is_timed(&self) -> bool {
        self.slow_start.is_some() || self.early_ends.lingering() > 0
    }

    /// Takes over its configuration. Returns whether the endpoint is another one.
    pub(super) fn configure(&mut self, host: &config::Host, now_ms: u64) -> bool {
        self.weight = host.weight;
        self.state = host.state;
        self.backup = host.backup;
        let moved = self.endpoint != host.address;
        if moved {
            let same_name = self.address_at_port_of(&host.address);
            if same_name.is_none() {
                self.addresses = Vec::new();
            }
            self.address = literal_address(&host.address).or(same_name);
            self.endpoint = host.address.clone();
            self.forget_agent(now_ms);
            self.reset_health(now_ms);
        }
        moved
    }

    /// Gives it a new name; the counters continue.
    pub(super) fn rename(&mut self, name: &str) {
        self.host = Arc::new(Host {
            name: name.to_owned(),
            counters: self.host.counters.clone(),
        });
    }

    /// Counts a session that was connected.
    pub(super) fn count_session(&mut self, now_ms: u64) {
        self.total += 1;
        self.recent.count(now_ms);
    }

    /// The connect of a session succeeded. That tells nothing of a host that accepts and then ends
    /// sessions before its first byte.
    pub(super) fn session_connected(&mut self, now_ms: u64) -> Option<HealthChange> {
        match self.has_ended_early() {
            true => None,
            false => self.connect_succeeded(now_ms),
        }
    }

    /// It is healthy.
    fn heal(&mut self, now_ms: u64) -> Option<HealthChange> {
        if self.has_ended_early() && self.early_ends.holds_back(now_ms) {
            return None;
        }
        self.missed_heartbeats = 0;
        self.consecutive_failures = 0;
        self.pending = false;
        let failed = self.has_failed();
        if self.health != Health::Healthy {
            self.set_health(Health::Healthy, now_ms);
        }
        failed.then_some(HealthChange::Up)
    }

    /// It has failed at its address. Keeps the newest reason, and the time of the first failure.
    ///
    /// After a failed address, the next one of its name is used. The host has failed when
    /// all of them have, one after the other.
    fn fail(&mut self, failure: Failure, now_ms: u64) -> Option<HealthChange> {
        self.missed_heartbeats = 0;
        self.consecutive_failures += 1;
        let from = self.address.clone();
        self.use_next_address();
        if !self.has_failed()
            && self.consecutive_failures < self.addresses.len()
            && let (Some(from), Some(to)) = (from, self.address.clone())
        {
            self.last_failure = Some((failure.clone(), now_ms));
            self.set_health(Health::Untried, now_ms);
            self.reset_checks();
            return Some(HealthChange::Moved { failure, from, to });
        }
        self.consecutive_failures = 0;
        let change = (!self.has_failed()).then(|| HealthChange::Down(failure.clone()));
        self.last_failure = Some((failure.clone(), now_ms));
        match change {
            Some(_) => self.set_health(Health::Failed(failure), now_ms),
            None => self.health = Health::Failed(failure),
        }
        change
    }

    /// It has ended too many sessions in a row before its first byte: it has failed, and returns
    /// later each time.
    pub(super) fn ended_too_early(&mut self, now_ms: u64) -> Option<HealthChange> {
        if self.has_failed() {
            return None;
        }
        let failure = Failure::EndedEarly(self.early_ends.row());
        let change = self.connect_failed(failure, now_ms);
        self.early_ends.fail(now_ms);
        change
    }

    /// It has said the first byte of a session.
    pub(super) fn has_served(&mut self, now_ms: u64) -> Option<HealthChange> {
        let was_suspect = self.early_ends.end_row();
        match self.has_ended_early() {
            true => self.connect_succeeded(now_ms),
            false => was_suspect.then_some(HealthChange::Cleared),
        }
    }

    /// It missed a heartbeat. The second one in a row makes it failed.
    pub(super) fn heartbeat_missed(
        &mut self,
        failure: Failure,
        now_ms: u64,
    ) -> Option<HealthChange> {
        self.missed_heartbeats += 1;
        if self.missed_heartbeats < MAX_MISSED_HEARTBEATS {
            None
        } else {
            self.connect_failed(failure, now_ms)
        }
    }

    /// Sets its health to untried.
    pub(super) fn reset_health(&mut self, now_ms: u64) -> Option<HealthChange> {
        self.missed_heartbeats = 0;
        self.consecutive_failures = 0;
        self.reset_checks();
        self.early_ends.end_row();
        let failed = self.has_failed();
        self.set_health(Health::Untried, now_ms);
        failed.then_some(HealthChange::Up)
    }

    /// Its health changes. Counts how often and how long it has failed.
    fn set_health(&mut self, health: Health, now_ms: u64) {
        self.downtime.past_ms += self.health.failed_ms(self.since_ms, now_ms);
        if let Health::Failed(_) = health {
            self.downtime.times = self.downtime.times.saturating_add(1);
        }
        self.health = health;
        self.since_ms = now_ms;
    }

    /// Goes on with what another process knew of it. Its health counts for the same address only.
    pub(super) fn restore(&mut self, history: &HostHistory, now_ms: u64) {
        self.total += history.total;
        self.failures += history.failures;
        self.recent = RecentSessions::from_minutes(&history.recent, now_ms);
        self.last_failure.clone_from(&history.last_failure);
        if self.out_since_ms.is_some() {
            self.out_since_ms = history.out_since_ms.or(self.out_since_ms);
            self.emptied_ms = history.emptied_ms;
        }
        if self.address.is_none() || self.address != history.address {
            return;
        }
        if let Health::Failed(_) = &history.health {
            // It comes back by as many checks as any other.
            self.fail_checks();
        }
        self.health = history.health.clone();
        self.since_ms = history.since_ms;
        self.pending &= history.pending;
        self.agent = history.agent.clone().map(Box::new);
    }

    pub(super) fn status(&self) -> HostStatus<'_> {
        HostStatus {
            id: self.id,
            host: &self.host,
            endpoint: &self.endpoint,
            address: self.address.as_ref(),
            weight: self.weight,
            state: self.state,
            backup: self.backup,
            pending: self.pending,
            suspect: self.early_ends.is_suspect(),
            slow_start: self.slow_start,
            health: &self.health,
            since_ms: self.since_ms,
            times_failed: self.downtime.times,
            past_down_ms: self.downtime.past_ms,
            last_check: self.last_check.as_ref(),
            failed_checks: self.failed_checks,
            check_health: None,
            open: self.open,
            peak_open: self.peak_open,
            busy: self.busy,
            total: self.total,
            recent: &self.recent,
            failures: self.failures,
            last_failure: self.last_failure.as_ref(),
            agent: self.agent(),
            emptied_ms: self.emptied_ms,
        }
    }
}

/// A load for a share, in hundredths, as a fixed-point number.
fn scaled(load: u32, share: u32) -> u64 {
    let scaled = (u128::from(load) << 40) * 100 / u128::from(share.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}
