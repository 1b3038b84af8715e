//! Schedulers by busy sessions: `leastc` (fewest), `weightlc` (fewest for the weight) and
//! `leastcrr` (fewest; of equals, round robin). Also the tree that finds the least loaded host.

use std::ops::Range;

use super::round_robin::Cursor;
use crate::balance::hosts::Excluded;
use crate::balance::{HostId, Hosts, Member, Pick, PickContext, Scheduler};

/// `leastc` and `weightlc`. Of equals, the host without a new session for the longest time. A pick
/// takes logarithmic time.
#[derive(Debug)]
pub(super) struct LeastConns {
    tree: LoadTree,
}

impl LeastConns {
    /// `leastc`: the host with the fewest busy sessions.
    pub(super) fn unweighted() -> LeastConns {
        let load_of = |member: &Member| (member.load_for_slow_start(), member.last_pick());
        LeastConns {
            tree: LoadTree::new(load_of),
        }
    }

    /// `weightlc`: the host with the fewest busy sessions for its weight.
    pub(super) fn weighted() -> LeastConns {
        let load_of = |member: &Member| (member.load_for_share(), member.last_pick());
        LeastConns {
            tree: LoadTree::new(load_of),
        }
    }
}

impl Scheduler for LeastConns {
    fn rebuild(&mut self, hosts: &Hosts) {
        self.tree.rebuild(hosts);
    }

    fn pick(&mut self, hosts: &Hosts, context: &mut PickContext<'_>) -> Pick {
        self.tree.least_loaded(hosts, context).into()
    }

    fn load_changed(&mut self, hosts: &Hosts, host: HostId) {
        self.tree.update(hosts, host);
    }
}

/// `leastcrr`: the host with the fewest busy sessions; of equals, round robin. A pick takes
/// logarithmic time.
#[derive(Debug)]
pub(super) struct LeastConnsRoundRobin {
    tree: LoadTree,
    cursor: Cursor,
}

impl LeastConnsRoundRobin {
    pub(super) fn new() -> LeastConnsRoundRobin {
        LeastConnsRoundRobin {
            tree: LoadTree::new(|member| (member.load_for_slow_start(), 0)),
            cursor: Cursor::default(),
        }
    }
}

impl Scheduler for LeastConnsRoundRobin {
    fn rebuild(&mut self, hosts: &Hosts) {
        self.tree.rebuild(hosts);
        self.cursor.rebuild(hosts);
    }

    fn pick(&mut self, hosts: &Hosts, context: &mut PickContext<'_>) -> Pick {
        let excluded = Excluded::new(hosts, context.tried);
        let next = self.cursor.next_candidate(hosts);
        let ahead = self
            .tree
            .least_in(next..hosts.candidates().len(), &excluded);
        let passed = self.tree.least_in(0..next, &excluded);
        let least = if passed.load < ahead.load {
            passed
        } else {
            ahead
        };
        let picked = hosts.candidates().get(least.index).copied();
        if let Some(id) = picked {
            self.cursor.move_past(hosts, id);
        }
        picked.into()
    }

    fn load_changed(&mut self, hosts: &Hosts, host: HostId) {
        self.tree.update(hosts, host);
    }
}

/// A tournament tree of the candidates by load: the candidates are the leaves, and each
/// node has the lesser of its two children.
///
/// To change a load, or to find the least of a range, takes logarithmic time and allocates
/// nothing. A sorted set would allocate.
#[derive(Debug)]
struct LoadTree {
    /// The load of a host, and what decides between equal loads.
    load_of: fn(&Member) -> (u64, u64),
    /// The root is at 1, the children of node n at 2n and 2n + 1, the leaves last.
    nodes: Vec<Rank>,
    /// The number of leaves: the candidates, filled up with [`NONE`] to a power of two.
    leaves: usize,
}

/// The rank of a candidate: the lowest is picked. The first field that differs decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// Its load.
    load: u64,
    /// Decides between equal loads.
    tie: u64,
    /// Its index among the candidates: the file's order decides last.
    index: usize,
}

const NONE: Rank = Rank {
    load: u64::MAX,
    tie: u64::MAX,
    index: usize::MAX,
};

impl LoadTree {
    fn new(load_of: fn(&Member) -> (u64, u64)) -> LoadTree {
        LoadTree {
            load_of,
            nodes: Vec::new(),
            leaves: 0,
        }
    }

    /// Builds the tree of new candidates, in linear time.
    fn rebuild(&mut self, hosts: &Hosts) {
        self.leaves = hosts.candidates().len().next_power_of_two();
        self.nodes.clear();
        self.nodes.resize(self.leaves, NONE);
        let candidates = hosts.candidate_members().enumerate();
        self.nodes
            .extend(candidates.map(|(index, member)| Rank::new(index, (self.load_of)(member))));
        self.nodes.resize(2 * self.leaves, NONE);
        for node in (1..self.leaves).rev() {
            self.nodes[node] = self.winner_of_children(node);
        }
    }

    /// Follows a change of a host's load, in logarithmic time. Ignores a host that is no
    /// candidate.
    fn update(&mut self, hosts: &Hosts, id: HostId) {
        let Some(member) = hosts.get(id) else { return };
        let Some(index) = member.candidate else {
            return;
        };
        let mut node = self.leaves + index;
        self.nodes[node] = Rank::new(index, (self.load_of)(member));
        while node > 1 {
            node /= 2;
            let winner = self.winner_of_children(node);
            // The winner is the same, so no node above changes either.
            if std::mem::replace(&mut self.nodes[node], winner) == winner {
                return;
            }
        }
    }

    /// The candidate of the lowest rank that this client has not tried.
    fn least_loaded(&self, hosts: &Hosts, context: &PickContext<'_>) -> Option<HostId> {
        let excluded = Excluded::new(hosts, context.tried);
        let least = self.least_in(0..hosts.candidates().len(), &excluded);
        hosts.candidates().get(least.index).copied()
    }

    /// The lowest rank in a range of the candidates, without the excluded ones.
    fn least_in(&self, range: Range<usize>, excluded: &Excluded) -> Rank {
        let mut least = NONE;
        let mut from = range.start;
        for index in excluded.indices().filter(|index| range.contains(index)) {
            least = least.min(self.least_in_range(from..index));
            from = index + 1;
        }
        least.min(self.least_in_range(from..range.end))
    }

    /// The lowest rank in a range. Climbs from both ends, and takes the nodes whose parents
    /// reach beyond the range.
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
