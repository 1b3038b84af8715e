//! Scheduler `rand`: a random host, all equally likely.

use crate::balance::hosts::Excluded;
use crate::balance::{Hosts, Pick, PickContext, Scheduler};

/// A pick takes constant time.
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
