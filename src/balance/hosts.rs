//! The hosts of a group in their order, the candidates among them, and the candidates that
//! are excluded for a client.

use super::host::{Host, Member, Placement};
use super::{HostId, PickContext};
use crate::config::{self, Initial};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The hosts of a group, as schedulers see them.
#[derive(Debug, Default)]
pub struct Hosts {
    /// By id: the configured hosts, and removed ones with open sessions.
    slots: Vec<Option<Member>>,
    /// Ids of empty slots.
    free: Vec<HostId>,
    /// The configured hosts, in the file's order.
    order: Vec<HostId>,
    /// The hosts that may be picked, in the file's order.
    candidates: Vec<HostId>,
    revision: u64,
    /// The number of placements that were made.
    placements: u64,
    /// Sessions open on all hosts, removed ones included.
    open: usize,
    /// What is configured for the group.
    slow_start_ms: u64,
    initial: Initial,
    fail_open: bool,
    /// Hosts whose load or share changes with time, and when that was last looked at.
    timed: Vec<HostId>,
    reviewed_ms: u64,
}

/// How often loads and shares are looked at that change with time.
const REVIEW_MS: u64 = 100;

impl Hosts {
    /// The hosts that may be picked now, in the file's order: those in service (state
    /// `up`, weight above 0) that have an address, have not failed, and are no backups. If
    /// there are none, the backups; if there are none of these, and the group fails open, the
    /// failed ones: a try is better than a refusal.
    pub fn candidates(&self) -> &[HostId] {
        &self.candidates
    }

    /// All configured hosts, in the file's order.
    pub fn all(&self) -> &[HostId] {
        &self.order
    }

    /// A host by its id. A removed host is there until its last session has ended.
    pub fn get(&self, id: HostId) -> Option<&Member> {
        self.slots.get(id.index())?.as_ref()
    }

    /// The index of a host in [`Hosts::candidates`]; `None` if it is not a candidate.
    pub fn candidate_index(&self, id: HostId) -> Option<usize> {
        self.get(id)?.candidate
    }

    /// Whether a host is a candidate that this client has not tried.
    pub fn may_pick(&self, id: HostId, context: &PickContext<'_>) -> bool {
        self.candidate_index(id).is_some() && !context.has_tried(id)
    }

    /// A number that grows with each change of the configuration of hosts, but not with
    /// changes of health.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The candidates, in the file's order.
    pub(super) fn candidate_members(&self) -> impl Iterator<Item = &Member> {
        self.candidates.iter().filter_map(|id| self.get(*id))
    }

    /// All configured hosts, in the file's order.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.order.iter().filter_map(|id| self.get(*id))
    }

    /// All configured hosts, and removed ones with open sessions.
    pub(super) fn known(&self) -> impl Iterator<Item = &Member> {
        self.slots.iter().flatten()
    }

    /// Sessions open on all hosts, removed ones included. Counted and not summed: each line
    /// of the connection log needs it, and there may be 10,000 hosts.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    pub(super) fn get_mut(&mut self, id: HostId) -> Option<&mut Member> {
        self.slots.get_mut(id.index())?.as_mut()
    }

    /// Takes over a new list of hosts. A host stays the same by its name, even if it was
    /// removed and waits for its last session. `renamed` maps new names to former ones.
    pub(super) fn configure(
        &mut self,
        group: &config::Group,
        renamed: &BTreeMap<String, String>,
        shards: usize,
        now_ms: u64,
    ) {
        self.revision += 1;
        let begins = self.revision == 1;
        let slow_start_ms = group.slow_start.map_or(0, |it| it.as_millis());
        self.slow_start_ms = u64::try_from(slow_start_ms).unwrap_or(u64::MAX);
        (self.initial, self.fail_open) = (group.initial, group.fail_open);
        let mut known = self.by_name();
        let mut replaced = self.rename(renamed, &mut known);
        self.order.clear();
        for (position, host) in group.hosts.iter().enumerate() {
            let id = match known.remove(&host.name) {
                Some(id) => self.keep(id, host, now_ms),
                None => self.add(host, shards, begins, now_ms),
            };
            self.order.push(id);
            if let Some(member) = self.get_mut(id) {
                member.position = Some(position);
            }
        }
        // Ids are freed last, so that none is reused within one change: schedulers
        // recognise the hosts that stay by their ids.
        replaced.extend(known.into_values());
        for id in replaced {
            self.remove(id, now_ms);
        }
        for id in self.order.clone() {
            if let Some(member) = self.get_mut(id) {
                member.note_wanted(now_ms);
            }
        }
        self.rebuild_candidates(now_ms);
    }

    /// All hosts by name. A configured host takes precedence over a removed one of the
    /// same name.
    fn by_name(&self) -> BTreeMap<String, HostId> {
        let of = |configured: bool| {
            self.known()
                .filter(move |member| member.position.is_some() == configured)
                .map(|member| (member.name().to_owned(), member.id))
        };
        of(false).chain(of(true)).collect()
    }

    /// Renames hosts, in `known` too: all at once, since two may swap their names. Returns
    /// the hosts whose names were taken.
    fn rename(
        &mut self,
        renamed: &BTreeMap<String, String>,
        known: &mut BTreeMap<String, HostId>,
    ) -> Vec<HostId> {
        let moves: Vec<(&String, HostId)> = renamed
            .iter()
            .filter_map(|(new, old)| Some((new, known.remove(old)?)))
            .collect();
        let mut replaced = Vec::new();
        for (new, id) in moves {
            replaced.extend(known.insert(new.clone(), id));
            if let Some(member) = self.get_mut(id) {
                member.rename(new);
            }
        }
        replaced
    }

    fn add(&mut self, host: &config::Host, shards: usize, begins: bool, now_ms: u64) -> HostId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            HostId(u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX))
        });
        let mut member = Member::new(id, host, shards, now_ms);
        member.placement = self.new_placement(id);
        member.begin_anew(self.initial == Initial::Down);
        if begins {
            member.begin_with_group();
        }
        if let Some(slot) = self.slots.get_mut(id.index()) {
            *slot = Some(member);
        }
        id
    }

    fn keep(&mut self, id: HostId, host: &config::Host, now_ms: u64) -> HostId {
        let placement = self.new_placement(id);
        let pending = self.initial == Initial::Down;
        if let Some(member) = self.get_mut(id) {
            let returns = member.position.is_none();
            if returns {
                member.forget_agent(now_ms);
                member.reset_health(now_ms);
            }
            if member.configure(host, now_ms) || returns {
                member.placement = placement;
                member.begin_anew(pending);
            }
        }
        id
    }

    fn new_placement(&mut self, host: HostId) -> Placement {
        self.placements += 1;
        Placement {
            host,
            number: self.placements,
        }
    }

    /// Removes a host from the configuration. It stays known until its last session ends.
    fn remove(&mut self, id: HostId, now_ms: u64) {
        if let Some(member) = self.get_mut(id) {
            member.position = None;
            member.forget_checks();
            member.note_wanted(now_ms);
            self.remove_if_unused(id);
        }
    }

    fn remove_if_unused(&mut self, id: HostId) {
        let done = |member: &mut Member| member.position.is_none() && member.open == 0;
        if let Some(slot) = self.slots.get_mut(id.index())
            && slot.take_if(done).is_some()
        {
            self.timed.retain(|timed| *timed != id);
            self.free.push(id);
        }
    }

    /// Rebuilds the list of candidates. Linear in the hosts.
    pub(super) fn rebuild_candidates(&mut self, now_ms: u64) {
        self.follow_presence(now_ms);
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        for (failed, backup) in [(false, false), (false, true), (true, false), (true, true)] {
            if candidates.is_empty() {
                let chosen = self
                    .members()
                    .filter(|it| it.backup == backup && self.may_have_sessions(it, failed));
                candidates.extend(chosen.map(Member::id));
            }
        }
        for member in self.slots.iter_mut().flatten() {
            member.candidate = None;
        }
        for (index, id) in candidates.iter().enumerate() {
            if let Some(member) = self.get_mut(*id) {
                member.candidate = Some(index);
            }
        }
        self.candidates = candidates;
    }

    /// Whether a host may be picked while others are ready; with `failed`, while all have failed.
    fn may_have_sessions(&self, member: &Member, failed: bool) -> bool {
        match failed {
            false => member.is_ready(),
            true => {
                self.fail_open && member.is_usable() && member.has_failed() && !member.is_pending()
            }
        }
    }

    /// Hosts that may be picked again start slowly, where that is configured.
    fn follow_presence(&mut self, now_ms: u64) {
        for index in 0..self.order.len() {
            let (id, slow_start_ms) = (self.order[index], self.slow_start_ms);
            let member = self.get_mut(id);
            if member.is_some_and(|it| it.follow_presence(slow_start_ms, now_ms)) {
                self.watch(id);
            }
        }
    }

    /// From now on the host's load or share changes with time.
    fn watch(&mut self, id: HostId) {
        if let Some(member) = self.get_mut(id)
            && !std::mem::replace(&mut member.timed, true)
        {
            self.timed.push(id);
        }
    }

    /// Looks at what changes with time, at most every tenth of a second: slow starts, and ended
    /// sessions that go on counting. Returns whether a load or share has changed.
    pub(super) fn review(&mut self, now_ms: u64) -> bool {
        if self.timed.is_empty() || now_ms < self.reviewed_ms.saturating_add(REVIEW_MS) {
            return false;
        }
        self.reviewed_ms = now_ms;
        let mut changed = false;
        let mut timed = std::mem::take(&mut self.timed);
        timed.retain(|id| {
            let Some(member) = self.get_mut(*id) else {
                return false;
            };
            changed |= member.pass(now_ms);
            member.timed = member.is_timed();
            member.timed
        });
        self.timed = timed;
        changed
    }

    /// The backup with the least load for its share, of equals the one that has been without a
    /// new session longest. Only if it is no candidate: others are, and all were `tried`. Failed
    /// ones while no host is ready, and the group fails open.
    pub(super) fn spare_backup(&self, tried: &[HostId]) -> Option<HostId> {
        let failed = !self.members().any(Member::is_ready);
        let spare = self.members().filter(|it| {
            let is_spare = it.backup && it.candidate.is_none();
            is_spare && self.may_have_sessions(it, failed) && !tried.contains(&it.id)
        });
        spare
            .min_by_key(|it| (it.load_for_share(), it.last_pick))
            .map(Member::id)
    }

    /// Whether a host other than `id` serves: it is busy, has sent bytes to clients, and has not
    /// ended its last session early.
    pub(super) fn others_serve(&self, id: HostId) -> bool {
        self.members().any(|it| {
            let sends = || it.host.counters.sum().bytes_to_client > 0;
            it.id != id && it.busy > 0 && !it.early_ends.has_quick() && sends()
        })
    }

    /// A session no longer keeps its host busy; `lingers`: unless the host ends many quickly.
    pub(super) fn end_busy(&mut self, id: HostId, lingers: bool, now_ms: u64) {
        if let Some(member) = self.get_mut(id)
            && member.busy > 0
        {
            member.busy -= 1;
            if lingers && member.early_ends.linger(now_ms) {
                self.watch(id);
            }
        }
    }

    /// Counts a new session on a host; `pick` is the number of the pick in the group.
    pub(super) fn open_session(&mut self, id: HostId, pick: u64) -> Option<&Member> {
        self.get_mut(id)?.last_pick = pick;
        self.open += 1;
        let member = self.get_mut(id)?;
        member.open += 1;
        member.peak_open = member.peak_open.max(member.open);
        member.busy += 1;
        Some(member)
    }

    /// No longer counts a session on a host, which it does not keep busy any more. Returns the host
    /// if it is out of service, and this was its last session.
    pub(super) fn close_session(&mut self, id: HostId, now_ms: u64) -> Option<Arc<Host>> {
        let open = |member: &&mut Member| member.open > 0;
        let member = self.get_mut(id).filter(open)?;
        member.open -= 1;
        let is_emptied = member.open == 0 && !member.is_wanted();
        let emptied = is_emptied.then(|| {
            member.emptied_ms = Some(now_ms);
            Arc::clone(&member.host)
        });
        self.open -= 1;
        self.remove_if_unused(id);
        emptied
    }
}

/// The candidates that a client has tried already.
///
/// A scheduler draws a number below the count of the others, and moves it past these with
/// [`Excluded::nth_remaining`]: exact, with one draw, and without a list of the others.
#[derive(Debug)]
pub(super) struct Excluded {
    /// Their indices among the candidates, in ascending order.
    indices: [usize; Excluded::MAX],
    len: usize,
}

impl Excluded {
    /// Those that were tried, and one that was drawn.
    const MAX: usize = PickContext::MAX_TRIED + 1;

    /// Those of `tried` that are candidates.
    pub(super) fn new(hosts: &Hosts, tried: &[HostId]) -> Self {
        let mut excluded = Excluded {
            indices: [0; Excluded::MAX],
            len: 0,
        };
        let indices = tried.iter().filter_map(|id| hosts.candidate_index(*id));
        indices
            .take(PickContext::MAX_TRIED)
            .for_each(|index| excluded.add(index));
        excluded
    }

    /// Excludes the candidate at `index`, too.
    pub(super) fn add(&mut self, index: usize) {
        let at = self.indices[..self.len].partition_point(|known| *known < index);
        if self.len < Excluded::MAX && self.indices[..self.len].get(at) != Some(&index) {
            self.indices.copy_within(at..self.len, at + 1);
            self.indices[at] = index;
            self.len += 1;
        }
    }

    /// The number of excluded candidates.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Their indices among the candidates, in ascending order.
    pub(super) fn indices(&self) -> impl Iterator<Item = usize> {
        self.indices[..self.len].iter().copied()
    }

    /// The index of the `nth` candidate that is not excluded.
    pub(super) fn nth_remaining(&self, nth: usize) -> usize {
        self.indices().fold(
            nth,
            |index, gap| if index >= gap { index + 1 } else { index },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_candidates_are_counted_past_the_excluded_ones() {
        let mut excluded = Excluded {
            indices: [0; Excluded::MAX],
            len: 0,
        };
        for index in [4, 0, 1, 4, 0] {
            excluded.add(index);
        }
        assert_eq!(excluded.len(), 3);
        let left: Vec<usize> = (0..4).map(|nth| excluded.nth_remaining(nth)).collect();
        assert_eq!(left, [2, 3, 5, 6]);
    }
}
