//! `leastcrr`: fewest open sessions; among equals the next in order.

use super::leastc::Ranked;
use super::roundr::Cursor;
use crate::balance::hosts::Excluded;
use crate::balance::{End, HostId, Hosts, Member, Pick, PickContext, Scheduler};

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
    fn rebuild(&mut self, hosts: &Hosts) {
        self.ranked.rebuild(hosts, key);
        self.cursor.rebuild(hosts);
    }

    fn pick(&mut self, hosts: &Hosts, ask: &mut PickContext<'_>) -> Pick {
        let gaps = Excluded::new(hosts, ask.tried);
        let next = self.cursor.next(hosts);
        let ahead = self.ranked.least(next..hosts.candidates().len(), &gaps);
        let passed = self.ranked.least(0..next, &gaps);
        let least = if passed.load < ahead.load {
            passed
        } else {
            ahead
        };
        let picked = hosts.candidates().get(least.index).copied();
        if let Some(id) = picked {
            self.cursor.passed(hosts, id);
        }
        picked.into()
    }

    fn picked(&mut self, hosts: &Hosts, host: HostId) {
        self.ranked.update(hosts, host, key);
    }

    fn ended(&mut self, hosts: &Hosts, end: &End) {
        self.ranked.update(hosts, end.host, key);
    }
}
