//! Schedulers that draw a random host: `rand` (all equally likely), `weightr` (in proportion to
//! the weights) and `p2c` (the less loaded of two).

use crate::balance::hosts::Excluded;
use crate::balance::{HostId, Hosts, Member, Pick, PickContext, Scheduler};

/// `rand`: a random host, all equally likely. A pick takes constant time.
#[derive(Debug)]
pub(super) struct Rand;

impl Scheduler for Rand {
    fn rebuild(&mut self, _: &Hosts) {}

    fn pick(&mut self, hosts: &Hosts, context: &mut PickContext<'_>) -> Pick {
        let excluded = Excluded::new(hosts, context.tried);
        let left = hosts.candidates().len() - excluded.len();
        let index = excluded.nth_remaining(context.random.index(left));
        hosts.candidates().get(index).copied().into()
    }
}

/// `weightr`: a random host, in proportion to the weights. A pick takes logarithmic time: a
/// binary search in the sums of the weights.
#[derive(Debug, Default)]
pub(super) struct Weighted {
    /// For each candidate, the sum of the weights up to its own.
    sums: Vec<u64>,
}

impl Weighted {
    /// The part of all weights that is a candidate's: its start and end.
    fn span(&self, index: usize) -> (u64, u64) {
        let begin = if index == 0 { 0 } else { self.sums[index - 1] };
        (begin, self.sums[index])
    }
}

impl Scheduler for Weighted {
    fn rebuild(&mut self, hosts: &Hosts) {
        self.sums.clear();
        let weights = hosts
            .candidate_members()
            .map(|member| u64::from(member.weight()));
        self.sums.extend(weights.scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        }));
    }

    fn pick(&mut self, hosts: &Hosts, context: &mut PickContext<'_>) -> Pick {
        let excluded = Excluded::new(hosts, context.tried);
        let spans = || excluded.indices().map(|index| self.span(index));
        let tried: u64 = spans().map(|(begin, end)| end - begin).sum();
        let left = self.sums.last().map_or(0, |all| all - tried);
        if left == 0 {
            return Pick::None;
        }
        // A number below the weights of the others, moved past those of excluded candidates.
        let drawn = spans().fold(context.random.below(left), |point, (begin, end)| {
            if point >= begin {
                point + (end - begin)
            } else {
                point
            }
        });
        let index = self.sums.partition_point(|sum| *sum <= drawn);
        hosts.candidates().get(index).copied().into()
    }
}

/// `p2c` (power of two choices): the less loaded of two random hosts. A pick takes constant time.
///
/// Mitzenmacher, "The power of two choices in randomized load balancing", 2001. It is nearly
/// as even as least connections. With several balancers that do not see each other's
/// sessions it is better, as they do not all pick the same host.
#[derive(Debug)]
pub(super) struct PowerOfTwo;

impl Scheduler for PowerOfTwo {
    fn rebuild(&mut self, _: &Hosts) {}

    fn pick(&mut self, hosts: &Hosts, context: &mut PickContext<'_>) -> Pick {
        let excluded = Excluded::new(hosts, context.tried);
        let left = hosts.candidates().len() - excluded.len();
        let first = context.random.index(left);
        if left < 2 {
            return hosts
                .candidates()
                .get(excluded.nth_remaining(first))
                .copied()
                .into();
        }
        // Any but the first: two distinct hosts, each pair equally likely.
        let second = (first + 1 + context.random.index(left - 1)) % left;
        let candidate = |nth| hosts.candidates().get(excluded.nth_remaining(nth)).copied();
        let (first, second) = (candidate(first), candidate(second));
        if open(hosts, second) < open(hosts, first) {
            second.into()
        } else {
            first.into()
        }
    }
}

fn open(hosts: &Hosts, id: Option<HostId>) -> u32 {
    id.and_then(|id| hosts.get(id))
        .map_or(u32::MAX, Member::open)
}
