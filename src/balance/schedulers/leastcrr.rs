//! Scheduler `leastcrr`: the host with the fewest open sessions; of equals, round robin.

use super::leastc::LoadTree;
use super::roundr::Cursor;
use crate::balance::hosts::Excluded;
use crate::balance::{EndedSession, HostId, Hosts, Member, Pick, PickContext, Scheduler};

/// A pick takes logarithmic time.
#[derive(Debug, Default)]
pub(super) struct LeastConnsRoundRobin {
    tree: LoadTree,
    cursor: Cursor,
}

fn key(member: &Member) -> (u64, u64) {
    (member.open().into(), 0)
}

impl Scheduler for LeastConnsRoundRobin {
    fn rebuild(&mut self, hosts: &Hosts) {
        self.tree.rebuild(hosts, key);
        self.cursor.rebuild(hosts);
    }

    fn pick(&mut self, hosts: &Hosts, context: &mut PickContext<'_>) -> Pick {
        let excluded = Excluded::new(hosts, context.tried);
        let next = self.cursor.next_candidate(hosts);
        let ahead = self
            .tree
            .least_in(next..hosts.candidates().len(), &excluded);
        let passed = self.tree.least_in(0..next, &excluded);
        let least = if passed.load < ahead.load {
            passed
        } else {
            ahead
        };
        let picked = hosts.candidates().get(least.index).copied();
        if let Some(id) = picked {
            self.cursor.move_past(hosts, id);
        }
        picked.into()
    }

    fn session_started(&mut self, hosts: &Hosts, host: HostId) {
        self.tree.update(hosts, host, key);
    }

    fn session_ended(&mut self, hosts: &Hosts, end: &EndedSession) {
        self.tree.update(hosts, end.host, key);
    }
}
