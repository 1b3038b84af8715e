//! `rand`: any host, evenly.

use crate::balance::hosts::Excluded;
use crate::balance::{Hosts, Pick, PickContext, Scheduler};

/// Constant time, however many hosts there are.
#[derive(Debug)]
pub(super) struct Rand;

impl Scheduler for Rand {
    fn rebuild(&mut self, _: &Hosts) {}

    fn pick(&mut self, hosts: &Hosts, ask: &mut PickContext<'_>) -> Pick {
        let gaps = Excluded::new(hosts, ask.tried);
        let left = hosts.candidates().len() - gaps.len();
        let index = gaps.skip(ask.random.index(left));
        hosts.candidates().get(index).copied().into()
    }
}
