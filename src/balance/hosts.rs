//! The hosts of a group: which there are, in what order, and who may be picked.
//!
//! What becomes of each is the tracker's business; who is picked, a scheduler's.

use super::host::Member;
use super::{HostId, PickContext};
use crate::config;
use std::collections::BTreeMap;

/// The hosts of a group, as a scheduler sees them.
#[derive(Debug, Default)]
pub struct Hosts {
    /// By id. As long as the most hosts ever known at once.
    slots: Vec<Option<Member>>,
    /// Ids that nobody has.
    free: Vec<HostId>,
    /// In the file's order, without those that were removed.
    order: Vec<HostId>,
    /// Who may be picked, in the file's order.
    candidates: Vec<HostId>,
    revision: u64,
    placements: u64,
    /// Sessions open on all that are known.
    open: usize,
}

/// A host while it stays where it is: what a sticky client is tied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) host: HostId,
    /// Another one whenever the id changes hands or the host its endpoint.
    pub(super) number: u64,
}

impl Hosts {
    /// Who may be picked now, in the file's order: the hosts in service (state
    /// `up`, weight above 0) that have an address and have not failed. If there
    /// is none of these, those that have failed: that beats refusing everybody.
    pub fn candidates(&self) -> &[HostId] {
        &self.candidates
    }

    /// All the hosts that are configured, in the file's order.
    pub fn all(&self) -> &[HostId] {
        &self.order
    }

    /// A host, even one that was removed but has sessions open.
    pub fn get(&self, id: HostId) -> Option<&Member> {
        self.slots.get(id.index())?.as_ref()
    }

    /// Where among the candidates a host is; `None` if it is not one.
    pub fn candidate_index(&self, id: HostId) -> Option<usize> {
        self.get(id)?.candidate
    }

    /// Whether a host may be picked for this client.
    pub fn may_pick(&self, id: HostId, context: &PickContext<'_>) -> bool {
        self.candidate_index(id).is_some() && !context.has_tried(id)
    }

    /// Another number whenever the configuration of a host has changed, but not
    /// when only its health has.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The candidates themselves.
    pub(super) fn candidate_members(&self) -> impl Iterator<Item = &Member> {
        self.candidates.iter().filter_map(|id| self.get(*id))
    }

    /// All the hosts themselves.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.order.iter().filter_map(|id| self.get(*id))
    }

    /// All that are known, removed ones with open sessions included.
    pub(super) fn known(&self) -> impl Iterator<Item = &Member> {
        self.slots.iter().flatten()
    }

    /// Sessions open on all that are known. It is counted, since each line of the
    /// connection log says it, and there may be 10,000 hosts.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    pub(super) fn get_mut(&mut self, id: HostId) -> Option<&mut Member> {
        self.slots.get_mut(id.index())?.as_mut()
    }

    /// The hosts are now these. Those known by name stay, even if they had been
    /// removed and only waited for their last session; `renamed` are the names that
    /// some of the configured ones had, by their new ones.
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
        // Only now, so that no id changes hands within one change: a scheduler
        // can tell the hosts that stayed by their ids.
        replaced.extend(known.into_values());
        for id in replaced {
            self.remove(id);
        }
        self.rebuild_candidates();
    }

    /// All that are known. Where one that was removed has the name of one that was
    /// not, that one it is.
    fn by_name(&self) -> BTreeMap<String, HostId> {
        let of = |configured: bool| {
            self.known()
                .filter(move |member| member.position.is_some() == configured)
                .map(|member| (member.name().to_owned(), member.id))
        };
        of(false).chain(of(true)).collect()
    }

    /// Gives hosts their new names, in `known` too; all at once, since two may have
    /// swapped them. Returns those whose names were taken over.
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

    /// A host that was removed is forgotten with its last session.
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

    /// Works out again who may be picked. Linear in the hosts.
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

    /// A session is opened on a host, the `turn`th pick of the group.
    pub(super) fn open_session(&mut self, id: HostId, pick: u64) -> Option<&Member> {
        self.get_mut(id)?.last_pick = pick;
        self.open += 1;
        let member = self.get_mut(id)?;
        member.open += 1;
        Some(member)
    }

    /// A session on a host is closed.
    pub(super) fn close_session(&mut self, id: HostId) {
        let open = |member: &&mut Member| member.open > 0;
        if let Some(member) = self.get_mut(id).filter(open) {
            member.open -= 1;
            self.open -= 1;
            self.remove_if_unused(id);
        }
    }
}

/// The candidates that a client has tried, as gaps in the row of candidates.
///
/// A number drawn as if these did not exist is moved past them: exact, without
/// drawing twice and without a list of the rest.
#[derive(Debug)]
pub(super) struct Excluded {
    /// Their indices among the candidates, rising.
    indices: [usize; PickContext::MAX_TRIED],
    len: usize,
}

impl Excluded {
    /// Of those in `tried` that are candidates.
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

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Their indices, rising.
    pub(super) fn indices(&self) -> impl Iterator<Item = usize> {
        self.indices[..self.len].iter().copied()
    }

    /// The index among all candidates of the `nth` that is left.
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
    fn what_is_left_is_counted_past_the_gaps() {
        let mut excluded = Excluded {
            indices: [0; PickContext::MAX_TRIED],
            len: 3,
        };
        excluded.indices[..3].copy_from_slice(&[0, 1, 4]);
        let left: Vec<usize> = (0..4).map(|nth| excluded.nth_remaining(nth)).collect();
        assert_eq!(left, [2, 3, 5, 6]);
    }
}
