//! `roundr`: in the file's order, exactly, over all workers together.

use super::cursor::Cursor;
use super::{Hosts, Pick, PickContext, Scheduler};

/// Logarithmic in the hosts.
#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    cursor: Cursor,
}

impl Scheduler for RoundRobin {
    fn rebuild(&mut self, hosts: &Hosts) {
        self.cursor.rebuild(hosts);
    }

    fn pick(&mut self, hosts: &Hosts, ask: &mut PickContext<'_>) -> Pick {
        let (passed, ahead) = hosts.candidates().split_at(self.cursor.next(hosts));
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
