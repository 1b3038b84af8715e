//! `leastcrr`: fewest open sessions; among equals the next in order.

use super::cursor::Cursor;
use super::ranked::Ranked;
use super::{Ask, HostId, Hosts, Member, Pick, Scheduler};

/// Logarithmic in the hosts.
#[derive(Debug, Default)]
pub(super) struct LeastConnsRoundRobin {
    ranked: Ranked,
    cursor: Cursor,
}

fn key(member: &Member) -> (u64, u64) {
    (member.open().into(), 0)
}

impl Scheduler for LeastConnsRoundRobin {
    fn renew(&mut self, hosts: &Hosts) {
        self.ranked.renew(hosts, key);
        self.cursor.renew(hosts);
    }

    fn pick(&mut self, hosts: &Hosts, ask: &mut Ask<'_>) -> Pick {
        let next = self.ranked.next_from(self.cursor.next(), ask.tried);
        if let Some(id) = next {
            self.cursor.passed(hosts, id);
        }
        next.into()
    }

    fn counted(&mut self, hosts: &Hosts, host: HostId) {
        self.ranked.update(hosts, host, key);
    }
}
