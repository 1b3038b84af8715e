//! `weightr`: at random, in proportion to weight.

use crate::balance::hosts::Excluded;
use crate::balance::{Hosts, Pick, PickContext, Scheduler};

/// A binary search in the sums of the weights.
#[derive(Debug, Default)]
pub(super) struct Weighted {
    /// For each candidate the weights up to and including its own.
    sums: Vec<u64>,
}

impl Weighted {
    /// A candidate's part of the row of all weights: where it begins and ends.
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
        // Drawn from what is left, then moved past what was tried.
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
