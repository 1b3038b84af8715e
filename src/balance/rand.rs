//! `rand`: any host, evenly.

use super::left::Gaps;
use super::{Ask, Hosts, Pick, Scheduler};

/// Constant time, however many hosts there are.
#[derive(Debug)]
pub(super) struct Rand;

impl Scheduler for Rand {
    fn renew(&mut self, _: &Hosts) {}

    fn pick(&mut self, hosts: &Hosts, ask: &mut Ask<'_>) -> Pick {
        let gaps = Gaps::new(hosts, ask.tried);
        let left = hosts.candidates().len() - gaps.len();
        let index = gaps.skip(ask.random.index(left));
        hosts.candidates().get(index).copied().into()
    }
}
