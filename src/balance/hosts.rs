//! The hosts of a group in their order, the candidates among them, and the candidates that
//! are excluded for a client.

use super::host::{Member, Placement};
use super::{HostId, PickContext};
use crate::config;
use std::collections::BTreeMap;

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
}

impl Hosts {
    /// The hosts that may be picked now, in the file's order: those in service (state
    /// `up`, weight above 0) that have an address and have not failed. If all of them have
    /// failed, the failed ones: a try is better than a refusal.
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
        hosts: &[config::Host],
        renamed: &BTreeMap<String, String>,
        shards: usize,
        now_ms: u64,
    ) {
        self.revision += 1;
        let mut known = self.by_name();
        let mut replaced = self.rename(renamed, &mut known);
        self.order.clear();
        for (position, host) in hosts.iter().enumerate() {
            let id = match known.remove(&host.name) {
                Some(id) => self.keep(id, host, now_ms),
                None => self.add(host, shards, now_ms),
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
            self.remove(id);
        }
        self.rebuild_candidates();
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

    fn add(&mut self, host: &config::Host, shards: usize, now_ms: u64) -> HostId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            HostId(u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX))
        });
        let mut member = Member::new(id, host, shards, now_ms);
        member.placement = self.new_placement(id);
        if let Some(slot) = self.slots.get_mut(id.index()) {
            *slot = Some(member);
        }
        id
    }

    fn keep(&mut self, id: HostId, host: &config::Host, now_ms: u64) -> HostId {
        let placement = self.new_placement(id);
        if let Some(member) = self.get_mut(id) {
            let returns = member.position.is_none();
            if returns {
                member.forget_agent(now_ms);
                member.reset_health(now_ms);
            }
            if member.configure(host, now_ms) || returns {
                member.placement = placement;
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
    fn remove(&mut self, id: HostId) {
        if let Some(member) = self.get_mut(id) {
            member.position = None;
            self.remove_if_unused(id);
        }
    }

    fn remove_if_unused(&mut self, id: HostId) {
        let done = |member: &mut Member| member.position.is_none() && member.open == 0;
        if let Some(slot) = self.slots.get_mut(id.index())
            && slot.take_if(done).is_some()
        {
            self.free.push(id);
        }
    }

    /// Rebuilds the list of candidates. Linear in the hosts.
    pub(super) fn rebuild_candidates(&mut self) {
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        let usable = || self.members().filter(|member| member.is_usable());
        candidates.extend(
            usable()
                .filter(|member| !member.has_failed())
                .map(Member::id),
        );
        if candidates.is_empty() {
            candidates.extend(usable().map(Member::id));
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

    /// Counts a new session on a host; `pick` is the number of the pick in the group.
    pub(super) fn open_session(&mut self, id: HostId, pick: u64) -> Option<&Member> {
        self.get_mut(id)?.last_pick = pick;
        self.open += 1;
        let member = self.get_mut(id)?;
        member.open += 1;
        Some(member)
    }

    /// No longer counts a session on a host.
    pub(super) fn close_session(&mut self, id: HostId) {
        let open = |member: &&mut Member| member.open > 0;
        if let Some(member) = self.get_mut(id).filter(open) {
            member.open -= 1;
            self.open -= 1;
            self.remove_if_unused(id);
        }
    }
}

/// The candidates that a client has tried already.
///
/// A scheduler draws a number below the count of the others, and moves it past these with
/// [`Excluded::nth_remaining`]: exact, with one draw, and without a list of the others.
#[derive(Debug)]
pub(super) struct Excluded {
    /// Their indices among the candidates, in ascending order.
    indices: [usize; PickContext::MAX_TRIED],
    len: usize,
}

impl Excluded {
    /// Those of `tried` that are candidates.
    pub(super) fn new(hosts: &Hosts, tried: &[HostId]) -> Self {
        let mut excluded = Excluded {
            indices: [0; PickContext::MAX_TRIED],
            len: 0,
        };
        for index in tried.iter().filter_map(|id| hosts.candidate_index(*id)) {
            if excluded.len < PickContext::MAX_TRIED
                && !excluded.indices().any(|known| known == index)
            {
                excluded.indices[excluded.len] = index;
                excluded.len += 1;
            }
        }
        excluded.indices[..excluded.len].sort_unstable();
        excluded
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
            indices: [0; PickContext::MAX_TRIED],
            len: 3,
        };
        excluded.indices[..3].copy_from_slice(&[0, 1, 4]);
        let left: Vec<usize> = (0..4).map(|nth| excluded.nth_remaining(nth)).collect();
        assert_eq!(left, [2, 3, 5, 6]);
    }
}
