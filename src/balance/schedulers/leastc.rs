//! `leastc`: fewest open sessions; among equals the one that has been without a
//! new session longest.

use std::ops::Range;

use crate::balance::hosts::Excluded;
use crate::balance::{End, HostId, Hosts, Member, Pick, PickContext, Scheduler};

/// Logarithmic in the hosts.
#[derive(Debug, Default)]
pub(super) struct LeastConns {
    ranked: Ranked,
}

fn key(member: &Member) -> (u64, u64) {
    (member.open().into(), member.turn())
}

impl Scheduler for LeastConns {
    fn rebuild(&mut self, hosts: &Hosts) {
        self.ranked.rebuild(hosts, key);
    }

    fn pick(&mut self, hosts: &Hosts, ask: &mut PickContext<'_>) -> Pick {
        self.ranked.first(hosts, ask).into()
    }

    fn picked(&mut self, hosts: &Hosts, host: HostId) {
        self.ranked.update(hosts, host, key);
    }

    fn ended(&mut self, hosts: &Hosts, end: &End) {
        self.ranked.update(hosts, end.host, key);
    }
}

/// A tournament among the candidates: in a tree with them as its leaves, every
/// node has the lesser of the two below it.
///
/// A change of load replays one host's matches, and the least of any range of
/// candidates is found from some nodes at each level: both cost a logarithm and
/// allocate nothing, as a sorted set would.
#[derive(Debug, Default)]
pub(super) struct Ranked {
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

const NOBODY: Rank = Rank {
    load: u64::MAX,
    tie: u64::MAX,
    index: usize::MAX,
};

impl Ranked {
    /// The candidates are others now. Linear. The key is the load and the tie.
    pub(super) fn rebuild(&mut self, hosts: &Hosts, key: impl Fn(&Member) -> (u64, u64)) {
        self.leaves = hosts.candidates().len().next_power_of_two();
        self.nodes.clear();
        self.nodes.resize(self.leaves, NOBODY);
        let candidates = hosts.candidate_members().enumerate();
        self.nodes
            .extend(candidates.map(|(index, member)| Rank::new(index, key(member))));
        self.nodes.resize(2 * self.leaves, NOBODY);
        for node in (1..self.leaves).rev() {
            self.nodes[node] = self.winner_below(node);
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
            let winner = self.winner_below(node);
            // No match above this one goes another way.
            if std::mem::replace(&mut self.nodes[node], winner) == winner {
                return;
            }
        }
    }

    /// The first by rank that this client has not tried.
    pub(super) fn first(&self, hosts: &Hosts, ask: &PickContext<'_>) -> Option<HostId> {
        let gaps = Excluded::new(hosts, ask.tried);
        let least = self.least(0..hosts.candidates().len(), &gaps);
        hosts.candidates().get(least.index).copied()
    }

    /// The first by rank in a range of the candidates, but for the gaps.
    pub(super) fn least(&self, range: Range<usize>, gaps: &Excluded) -> Rank {
        let mut least = NOBODY;
        let mut from = range.start;
        for gap in gaps.iter().filter(|gap| range.contains(gap)) {
            least = least.min(self.least_of_all(from..gap));
            from = gap + 1;
        }
        least.min(self.least_of_all(from..range.end))
    }

    /// Climbs from both ends of the range, taking along the nodes whose parent
    /// reaches beyond it.
    fn least_of_all(&self, range: Range<usize>) -> Rank {
        let (mut start, mut end) = (self.leaves + range.start, self.leaves + range.end);
        let mut least = NOBODY;
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

    fn winner_below(&self, node: usize) -> Rank {
        self.nodes[2 * node].min(self.nodes[2 * node + 1])
    }
}

impl Rank {
    fn new(index: usize, (load, tie): (u64, u64)) -> Self {
        Rank { load, tie, index }
    }
}
