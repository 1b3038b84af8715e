//! `roundr`: in the file's order, exactly, over all workers together.

use super::cursor::Cursor;
use super::{Ask, Hosts, Pick, Scheduler};

/// Logarithmic in the hosts.
#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    cursor: Cursor,
}

impl Scheduler for RoundRobin {
    fn renew(&mut self, hosts: &Hosts) {
        self.cursor.renew(hosts);
    }

    fn pick(&mut self, hosts: &Hosts, ask: &mut Ask<'_>) -> Pick {
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
