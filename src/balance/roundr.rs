//! `roundr`: in the file's order, exactly, over all workers together.

use super::cursor::Cursor;
use super::{Ask, HostId, Hosts, Member, Pick, Scheduler};

/// A binary search among the candidates.
#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    cursor: Cursor,
}

impl Scheduler for RoundRobin {
    fn renew(&mut self, hosts: &Hosts) {
        self.cursor.renew(hosts);
    }

    fn pick(&mut self, hosts: &Hosts, ask: &mut Ask<'_>) -> Pick {
        let before =
            |id: &HostId| hosts.get(*id).and_then(Member::position) < Some(self.cursor.next());
        let candidates = hosts.candidates();
        let (passed, ahead) = candidates.split_at(candidates.partition_point(before));
        let next = ahead
            .iter()
            .chain(passed)
            .copied()
            .find(|id| !ask.has_tried(*id));
        if let Some(id) = next {
            self.cursor.passed(hosts, id);
        }
        next.into()
    }
}
