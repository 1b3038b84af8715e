//! Scheduler `weightr`: a random host, in proportion to the weights.

use crate::balance::hosts::Excluded;
use crate::balance::{Hosts, Pick, PickContext, Scheduler};

/// A pick takes logarithmic time: a binary search in the sums of the weights.
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
