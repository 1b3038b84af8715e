//! Scheduler `p2c` (power of two choices): the less loaded of two random hosts.
//!
//! Mitzenmacher, "The power of two choices in randomized load balancing", 2001. It is nearly
//! as even as least connections. With several balancers that do not see each other's
//! sessions it is better, as they do not all pick the same host.

use crate::balance::hosts::Excluded;
use crate::balance::{HostId, Hosts, Member, Pick, PickContext, Scheduler};

/// A pick takes constant time.
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
