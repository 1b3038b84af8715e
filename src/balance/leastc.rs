//! `leastc`: fewest open sessions; among equals the one that has been without a
//! new session longest.

use super::ranked::Ranked;
use super::{End, HostId, Hosts, Member, Pick, PickContext, Scheduler};

/// Logarithmic in the hosts.
#[derive(Debug, Default)]
pub(super) struct LeastConns {
    ranked: Ranked,
}

fn key(member: &Member) -> (u64, u64) {
    (member.open().into(), member.turn())
}

impl Scheduler for LeastConns {
    fn rebuild(&mut self, hosts: &Hosts) {
        self.ranked.rebuild(hosts, key);
    }

    fn pick(&mut self, hosts: &Hosts, ask: &mut PickContext<'_>) -> Pick {
        self.ranked.first(hosts, ask).into()
    }

    fn picked(&mut self, hosts: &Hosts, host: HostId) {
        self.ranked.update(hosts, host, key);
    }

    fn ended(&mut self, hosts: &Hosts, end: &End) {
        self.ranked.update(hosts, end.host, key);
    }
}
