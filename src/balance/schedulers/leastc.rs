//! `leastc`: fewest open sessions; among equals the one that has been without a
//! new session longest.

use std::ops::Range;

use crate::balance::hosts::Excluded;
use crate::balance::{EndedSession, HostId, Hosts, Member, Pick, PickContext, Scheduler};

/// Logarithmic in the hosts.
#[derive(Debug, Default)]
pub(super) struct LeastConns {
    tree: LoadTree,
}

fn key(member: &Member) -> (u64, u64) {
    (member.open().into(), member.last_pick())
}

impl Scheduler for LeastConns {
    fn rebuild(&mut self, hosts: &Hosts) {
        self.tree.rebuild(hosts, key);
    }

    fn pick(&mut self, hosts: &Hosts, context: &mut PickContext<'_>) -> Pick {
        self.tree.least_loaded(hosts, context).into()
    }

    fn session_started(&mut self, hosts: &Hosts, host: HostId) {
        self.tree.update(hosts, host, key);
    }

    fn session_ended(&mut self, hosts: &Hosts, end: &EndedSession) {
        self.tree.update(hosts, end.host, key);
    }
}

/// A tournament among the candidates: in a tree with them as its leaves, every
/// node has the lesser of the two below it.
///
/// A change of load replays one host's matches, and the least of any range of
/// candidates is found from some nodes at each level: both cost a logarithm and
/// allocate nothing, as a sorted set would.
#[derive(Debug, Default)]
pub(super) struct LoadTree {
    /// The root at 1, what is below node n at 2n and 2n + 1, the leaves last.
    nodes: Vec<Rank>,
    /// How many leaves: the candidates, and nobody up to a power of two.
    leaves: usize,
}

/// What a candidate is preferred by, the weightiest field first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// How loaded it is.
    pub(super) load: u64,
    /// What decides among the equally loaded.
    tie: u64,
    /// Its index among the candidates: then the file's order.
    pub(super) index: usize,
}

const NONE: Rank = Rank {
    load: u64::MAX,
    tie: u64::MAX,
    index: usize::MAX,
};

impl LoadTree {
    /// The candidates are others now. Linear. The key is the load and the tie.
    pub(super) fn rebuild(&mut self, hosts: &Hosts, key: impl Fn(&Member) -> (u64, u64)) {
        self.leaves = hosts.candidates().len().next_power_of_two();
        self.nodes.clear();
        self.nodes.resize(self.leaves, NONE);
        let candidates = hosts.candidate_members().enumerate();
        self.nodes
            .extend(candidates.map(|(index, member)| Rank::new(index, key(member))));
        self.nodes.resize(2 * self.leaves, NONE);
        for node in (1..self.leaves).rev() {
            self.nodes[node] = self.winner_of_children(node);
        }
    }

    /// The load of one host has changed; never mind if it is no candidate.
    pub(super) fn update(
        &mut self,
        hosts: &Hosts,
        id: HostId,
        key: impl Fn(&Member) -> (u64, u64),
    ) {
        let Some(member) = hosts.get(id) else { return };
        let Some(index) = member.candidate else {
            return;
        };
        let mut node = self.leaves + index;
        self.nodes[node] = Rank::new(index, key(member));
        while node > 1 {
            node /= 2;
            let winner = self.winner_of_children(node);
            // No match above this one goes another way.
            if std::mem::replace(&mut self.nodes[node], winner) == winner {
                return;
            }
        }
    }

    /// The first by rank that this client has not tried.
    pub(super) fn least_loaded(&self, hosts: &Hosts, context: &PickContext<'_>) -> Option<HostId> {
        let excluded = Excluded::new(hosts, context.tried);
        let least = self.least_in(0..hosts.candidates().len(), &excluded);
        hosts.candidates().get(least.index).copied()
    }

    /// The first by rank in a range of the candidates, but for the excluded.
    pub(super) fn least_in(&self, range: Range<usize>, excluded: &Excluded) -> Rank {
        let mut least = NONE;
        let mut from = range.start;
        for index in excluded.indices().filter(|index| range.contains(index)) {
            least = least.min(self.least_in_range(from..index));
            from = index + 1;
        }
        least.min(self.least_in_range(from..range.end))
    }

    /// Climbs from both ends of the range, taking along the nodes whose parent
    /// reaches beyond it.
    fn least_in_range(&self, range: Range<usize>) -> Rank {
        let (mut start, mut end) = (self.leaves + range.start, self.leaves + range.end);
        let mut least = NONE;
        while start < end {
            if start % 2 == 1 {
                least = least.min(self.nodes[start]);
                start += 1;
            }
            if end % 2 == 1 {
                end -= 1;
                least = least.min(self.nodes[end]);
            }
            (start, end) = (start / 2, end / 2);
        }
        least
    }

    fn winner_of_children(&self, node: usize) -> Rank {
        self.nodes[2 * node].min(self.nodes[2 * node + 1])
    }
}

impl Rank {
    fn new(index: usize, (load, tie): (u64, u64)) -> Self {
        Rank { load, tie, index }
    }
}
