//! Scheduler `weightlc`: the host with the fewest open sessions for its weight; of equals,
//! the one without a new session for the longest time.

use super::leastc::LoadTree;
use crate::balance::{EndedSession, HostId, Hosts, Member, Pick, PickContext, Scheduler};

/// A pick takes logarithmic time.
#[derive(Debug, Default)]
pub(super) struct WeightedLeastConns {
    tree: LoadTree,
}

/// Open sessions per unit of weight, in units of 2^-40. That is exact enough: with weights
/// up to 1,000,000, two different quotients differ by at least 10^-12.
fn key(member: &Member) -> (u64, u64) {
    /// More sessions than a host can have, and small enough for the shift.
    const MOST_OPEN: u32 = (1 << 24) - 1;
    let open = u64::from(member.open().min(MOST_OPEN));
    let weight = u64::from(member.weight().max(1));
    ((open << 40) / weight, member.last_pick())
}

impl Scheduler for WeightedLeastConns {
    fn rebuild(&mut self, hosts: &Hosts) {
        self.tree.rebuild(hosts, key);
    }

    fn pick(&mut self, hosts: &Hosts, context: &mut PickContext<'_>) -> Pick {
        self.tree.least_loaded(hosts, context).into()
    }

    fn session_started(&mut self, hosts: &Hosts, host: HostId) {
        self.tree.update(hosts, host, key);
    }

    fn session_ended(&mut self, hosts: &Hosts, end: &EndedSession) {
        self.tree.update(hosts, end.host, key);
    }
}
