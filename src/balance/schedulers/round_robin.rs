//! Round robin schedulers: `roundr`, and `weightrr` (smooth, by weight). Also the cursor in the
//! order of hosts.

use crate::balance::{HostId, Hosts, Pick, PickContext, Scheduler};

/// `roundr`: round robin in the file's order, over all workers together. A pick takes
/// logarithmic time.
#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    cursor: Cursor,
}

impl Scheduler for RoundRobin {
    fn rebuild(&mut self, hosts: &Hosts) {
        self.cursor.rebuild(hosts);
    }

    fn pick(&mut self, hosts: &Hosts, context: &mut PickContext<'_>) -> Pick {
        let (passed, ahead) = hosts
            .candidates()
            .split_at(self.cursor.next_candidate(hosts));
        let next = ahead
            .iter()
            .chain(passed)
            .copied()
            .find(|id| !context.has_tried(*id));
        if let Some(id) = next {
            self.cursor.move_past(hosts, id);
        }
        next.into()
    }
}

/// `weightrr`: smooth weighted round robin, as nginx has it. A pick takes linear time: about a
/// nanosecond for each candidate.
///
/// At each pick, the balance of every candidate grows by its weight. The greatest balance
/// wins (of equals, the first in order), and is reduced by the sum of the weights. Weights
/// 5, 1, 1 give a a b a c a a. A plain one would give a a a a a b c.
#[derive(Debug, Default)]
pub(super) struct WeightedRoundRobin {
    /// By id.
    balances: Vec<i64>,
}

impl Scheduler for WeightedRoundRobin {
    fn rebuild(&mut self, hosts: &Hosts) {
        let last = hosts
            .all()
            .iter()
            .map(|id| id.index() + 1)
            .max()
            .unwrap_or(0);
        let mut balances = vec![0; last];
        for id in hosts.all() {
            balances[id.index()] = self.balances.get(id.index()).copied().unwrap_or(0);
        }
        self.balances = balances;
    }

    fn pick(&mut self, hosts: &Hosts, context: &mut PickContext<'_>) -> Pick {
        let mut sum = 0;
        let mut best: Option<(i64, HostId)> = None;
        for member in hosts
            .candidate_members()
            .filter(|member| !context.has_tried(member.id()))
        {
            let weight = i64::from(member.share());
            let balance = &mut self.balances[member.id().index()];
            sum += weight;
            *balance += weight;
            if best.is_none_or(|(greatest, _)| *balance > greatest) {
                best = Some((*balance, member.id()));
            }
        }
        if let Some((_, id)) = best {
            self.balances[id.index()] -= sum;
        }
        best.map(|(_, id)| id).into()
    }
}

/// A position in the file's order, which survives changes of that order.
// Test: round_robin_stays_where_it_was_when_hosts_change.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    anchor: Anchor,
    /// The order that the anchor belongs to.
    order: Vec<HostId>,
    /// The position in it where the search for the next host starts.
    next: usize,
}

#[derive(Debug, Default, Clone, Copy)]
enum Anchor {
    /// At the first host.
    #[default]
    Start,
    /// Behind the host that was picked last.
    Behind(HostId),
    /// At the host that followed a removed one.
    At(HostId),
}

impl Cursor {
    /// The index among the candidates where the search for the next one starts.
    pub(super) fn next_candidate(&self, hosts: &Hosts) -> usize {
        let passed = |id: &HostId| position(hosts, *id) < Some(self.next);
        hosts.candidates().partition_point(passed)
    }

    /// Continues behind `host`, which was picked.
    pub(super) fn move_past(&mut self, hosts: &Hosts, host: HostId) {
        if let Some(position) = position(hosts, host) {
            self.anchor = Anchor::Behind(host);
            self.next = position + 1;
        }
    }

    /// Follows a change of the order. Continues behind the host that was picked last, or, if
    /// that was removed, at the host that followed it.
    pub(super) fn rebuild(&mut self, hosts: &Hosts) {
        if self.order == hosts.all() {
            return;
        }
        (self.anchor, self.next) = self.moved_to(hosts).unwrap_or_default();
        self.order.clear();
        self.order.extend_from_slice(hosts.all());
    }

    fn moved_to(&self, hosts: &Hosts) -> Option<(Anchor, usize)> {
        let (Anchor::Behind(host) | Anchor::At(host)) = self.anchor else {
            return None;
        };
        if let Some(position) = position(hosts, host) {
            let behind = matches!(self.anchor, Anchor::Behind(_));
            return Some((self.anchor, position + usize::from(behind)));
        }
        let gone = self.order.iter().position(|id| *id == host)?;
        let (before, after) = self.order.split_at(gone);
        let mut following = after.iter().chain(before);
        following.find_map(|id| Some((Anchor::At(*id), position(hosts, *id)?)))
    }
}

fn position(hosts: &Hosts, id: HostId) -> Option<usize> {
    hosts.get(id)?.position()
}
