//! `weightlc`: fewest open sessions for its weight; among equals the one that
//! has been without a new session longest.

use super::leastc::LoadTree;
use crate::balance::{EndedSession, HostId, Hosts, Member, Pick, PickContext, Scheduler};

/// Logarithmic in the hosts.
#[derive(Debug, Default)]
pub(super) struct WeightedLeastConns {
    tree: LoadTree,
}

/// Open sessions per unit of weight, in units of 2^-40. Exact: with weights up to
/// 1,000,000 two quotients that differ do so by 10^-12 at least.
fn key(member: &Member) -> (u64, u64) {
    /// More sessions than a host can have, and few enough for the shift.
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
