//! Candidates kept in order of preference, for the schedulers that want the least loaded.

use super::{HostId, Hosts, Member};
use std::collections::BTreeSet;

/// Candidates by rank, the most wanted first. A change of rank costs a logarithm.
#[derive(Debug, Default)]
pub(super) struct Ranked {
    set: BTreeSet<Rank>,
    /// By id: where each is in the set.
    ranks: Vec<Option<Rank>>,
}

/// What a candidate is preferred by, the weightiest field first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// How loaded it is.
    load: u64,
    /// What decides among the equally loaded.
    tie: u64,
    /// Then the file's order.
    position: usize,
    id: HostId,
}

impl Ranked {
    /// Ranks all candidates anew. Linear, but touches only those that moved: one
    /// host's failure among many costs little more than a look at each.
    pub(super) fn renew(&mut self, hosts: &Hosts, key: impl Fn(&Member) -> (u64, u64)) {
        let last = hosts
            .known()
            .last()
            .map_or(0, |member| member.id().index() + 1);
        for index in 0..last.max(self.ranks.len()) {
            let id = HostId(u32::try_from(index).unwrap_or(u32::MAX));
            self.update(hosts, id, &key);
        }
    }

    /// Ranks one host anew; takes it out if it is no candidate.
    pub(super) fn update(
        &mut self,
        hosts: &Hosts,
        id: HostId,
        key: impl Fn(&Member) -> (u64, u64),
    ) {
        let rank = rank(hosts, id, key);
        if self.ranks.len() <= id.index() {
            self.ranks.resize(id.index() + 1, None);
        }
        let old = std::mem::replace(&mut self.ranks[id.index()], rank);
        if old == rank {
            return;
        }
        if let Some(old) = old {
            self.set.remove(&old);
        }
        self.set.extend(rank);
    }

    /// The first by rank that is not in `tried`.
    pub(super) fn first(&self, tried: &[HostId]) -> Option<HostId> {
        self.set
            .iter()
            .map(|rank| rank.id)
            .find(|id| !tried.contains(id))
    }

    /// Of the least loaded that are not in `tried`, the next one in the file's
    /// order from `position` on, then from the start. Ties must be 0.
    pub(super) fn next_from(&self, position: usize, tried: &[HostId]) -> Option<HostId> {
        let least = self.set.iter().find(|rank| !tried.contains(&rank.id))?;
        let from = |position| Rank {
            tie: 0,
            position,
            id: HostId(0),
            ..*least
        };
        let after = self.set.range(from(position)..from(usize::MAX));
        let before = self.set.range(from(0)..from(position));
        after
            .chain(before)
            .map(|rank| rank.id)
            .find(|id| !tried.contains(id))
    }
}

fn rank(hosts: &Hosts, id: HostId, key: impl Fn(&Member) -> (u64, u64)) -> Option<Rank> {
    let member = hosts.get(id)?;
    member.candidate?;
    let (load, tie) = key(member);
    Some(Rank {
        load,
        tie,
        position: member.position?,
        id,
    })
}
