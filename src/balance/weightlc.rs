//! `weightlc`: fewest open sessions for its weight; among equals the one that
//! has been without a new session longest.

use super::ranked::Ranked;
use super::{Ask, End, HostId, Hosts, Member, Pick, Scheduler};

/// Logarithmic in the hosts.
#[derive(Debug, Default)]
pub(super) struct WeightedLeastConns {
    ranked: Ranked,
}

/// Sessions for a unit of weight, in units of 2^-32. Exact: with weights up to
/// 1000 two quotients that differ do so by 10^-6 at least.
fn key(member: &Member) -> (u64, u64) {
    (
        (u64::from(member.open()) << 32) / u64::from(member.weight().max(1)),
        member.turn(),
    )
}

impl Scheduler for WeightedLeastConns {
    fn renew(&mut self, hosts: &Hosts) {
        self.ranked.renew(hosts, key);
    }

    fn pick(&mut self, hosts: &Hosts, ask: &mut Ask<'_>) -> Pick {
        self.ranked.first(hosts, ask).into()
    }

    fn picked(&mut self, hosts: &Hosts, host: HostId) {
        self.ranked.update(hosts, host, key);
    }

    fn ended(&mut self, hosts: &Hosts, end: &End) {
        self.ranked.update(hosts, end.host, key);
    }
}
