//! Schedulers that draw a random host: `rand` (all equally likely), `weightr` (in proportion to
//! the weights) and `p2c` (the less loaded of two, by weight).

use crate::balance::hosts::Excluded;
use crate::balance::{Hosts, Member, Pick, PickContext, Random, Scheduler};

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

/// `weightr`: a random host, in proportion to the weights. A pick takes logarithmic time.
#[derive(Debug, Default)]
pub(super) struct Weighted {
    shares: Shares,
}

impl Scheduler for Weighted {
    fn rebuild(&mut self, hosts: &Hosts) {
        self.shares.rebuild(hosts);
    }

    fn pick(&mut self, hosts: &Hosts, context: &mut PickContext<'_>) -> Pick {
        let excluded = Excluded::new(hosts, context.tried);
        let drawn = self.shares.draw(&excluded, context.random);
        drawn
            .and_then(|index| hosts.candidates().get(index).copied())
            .into()
    }
}

/// `p2c` (power of two choices): the less loaded for its weight, of two random hosts that are drawn
/// in proportion to the weights. A pick takes logarithmic time.
///
/// Mitzenmacher, "The power of two choices in randomized load balancing", 2001. It is nearly
/// as even as least connections. With several balancers that do not see each other's
/// sessions it is better, as they do not all pick the same host. HAProxy's `random` does the same.
#[derive(Debug, Default)]
pub(super) struct PowerOfTwo {
    shares: Shares,
}

impl Scheduler for PowerOfTwo {
    fn rebuild(&mut self, hosts: &Hosts) {
        self.shares.rebuild(hosts);
    }

    fn pick(&mut self, hosts: &Hosts, context: &mut PickContext<'_>) -> Pick {
        let mut excluded = Excluded::new(hosts, context.tried);
        let candidate = |index: usize| hosts.get(*hosts.candidates().get(index)?);
        let Some(first) = self.shares.draw(&excluded, context.random) else {
            return Pick::None;
        };
        excluded.add(first);
        let second = self.shares.draw(&excluded, context.random);
        let (first, second) = (candidate(first), second.and_then(candidate));
        let is_less = |one: &&Member| first.is_none_or(|other| is_less_loaded(one, other));
        second.filter(is_less).or(first).map(Member::id).into()
    }
}

/// Whether `one` has less load for its share.
fn is_less_loaded(one: &Member, other: &Member) -> bool {
    let product = |load: &Member, share: &Member| u64::from(load.load()) * u64::from(share.share());
    product(one, other) < product(other, one)
}

/// The shares of the candidates, to draw one in proportion: a binary search in their sums.
#[derive(Debug, Default)]
struct Shares {
    /// For each candidate, the sum of the shares up to its own.
    sums: Vec<u64>,
}

impl Shares {
    fn rebuild(&mut self, hosts: &Hosts) {
        self.sums.clear();
        let shares = hosts
            .candidate_members()
            .map(|member| u64::from(member.share()));
        self.sums.extend(shares.scan(0, |sum, share| {
            *sum += share;
            Some(*sum)
        }));
    }

    /// The index of a random candidate that is not excluded.
    fn draw(&self, excluded: &Excluded, random: &mut Random) -> Option<usize> {
        let spans = || excluded.indices().map(|index| self.span(index));
        let taken: u64 = spans().map(|(begin, end)| end - begin).sum();
        let left = self.sums.last().map_or(0, |all| all - taken);
        if left == 0 {
            return None;
        }
        // A number below the shares of the others, moved past those of excluded candidates.
        let drawn = spans().fold(random.below(left), |point, (begin, end)| {
            if point >= begin {
                point + (end - begin)
            } else {
                point
            }
        });
        Some(self.sums.partition_point(|sum| *sum <= drawn))
    }

    /// The part of all shares that is a candidate's: its start and end.
    fn span(&self, index: usize) -> (u64, u64) {
        let begin = if index == 0 { 0 } else { self.sums[index - 1] };
        (begin, self.sums[index])
    }
}
