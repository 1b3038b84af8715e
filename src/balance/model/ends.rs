//! How sessions end in the model: hosts that are busy, suspect, or failed by early ends.

use super::{Model, ModelHost, Session};
use crate::balance::HostEnd;
use crate::os::address::Address;

/// What is known of a host by how its sessions ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Ends {
    /// The early ends since it last served, each with whether it was quick, and the number of
    /// sessions that the group had served before.
    pub(super) row: Vec<(bool, u64)>,
    pub(super) suspect: bool,
    /// Whether early ends are why it has failed, how often in a row, and until when.
    pub(super) failed: bool,
    pub(super) failures: u32,
    pub(super) until_ms: u64,
    /// When the sessions ended that go on counting.
    pub(super) lingering_ms: Vec<u64>,
    /// Whether it has ever sent a byte to a client.
    pub(super) has_sent: bool,
}

impl Ends {
    pub(super) fn quick(&self) -> usize {
        let newest = self.row.iter().rev();
        newest.take_while(|(quick, _)| *quick).count()
    }

    pub(super) fn serve(&mut self) {
        self.row.clear();
        (self.suspect, self.failures, self.until_ms) = (false, 0, 0);
    }
}

impl Model {
    /// The host's part in a session ends, mostly early where its name is one of a few.
    pub(super) fn host_ends(&mut self) -> &'static str {
        let live = |session: &Session| session.connected && !session.host_ended;
        let live: Vec<_> = (0..self.sessions.len())
            .filter(|at| live(&self.sessions[*at]))
            .collect();
        let mut done = "nothing";
        for at in live {
            let Session { picked, .. } = &self.sessions[at];
            let (id, address, name) = (picked.id, picked.address.clone(), picked.host.name.clone());
            let is_bad = name.len() == 2;
            if self.random.below(if is_bad { 1 } else { 6 }) > 0 {
                continue;
            }
            let end = match self.random.below(60) {
                0 => HostEnd::Unknown,
                1 => HostEnd::Early {
                    after_ms: 5000,
                    asked: self.random.below(2) == 0,
                },
                2 => HostEnd::Served,
                _ if is_bad => HostEnd::Early {
                    after_ms: self.random.below(1001),
                    asked: false,
                },
                _ => HostEnd::Served,
            };
            let news = (end == HostEnd::Served, Some(end));
            self.pool.host_reported(id, &address, news, self.now_ms);
            self.sessions[at].host_ended = true;
            self.learn(&name, &address, end);
            self.end_busy(&name, end != HostEnd::Served);
            self.follow_presence();
            done = "ends of hosts' sides";
        }
        done
    }

    /// What the end of a host's side tells of it.
    pub(super) fn learn(&mut self, name: &str, address: &Address, end: HostEnd) {
        let served = self.served_total;
        self.served_total += u64::from(end == HostEnd::Served);
        let serves = |seen: &ModelHost| {
            let configured = self.group.hosts.iter().any(|it| it.name == seen.host.name);
            let quick = seen.ends.row.last().is_some_and(|(quick, _)| *quick);
            configured && seen.busy > 0 && seen.ends.has_sent && !quick
        };
        let mut others = self.hosts.values().filter(|it| it.host.name != name);
        let others_serve = others.any(serves);
        let configured = self.group.hosts.iter().any(|host| host.name == name);
        let seen = self.hosts.get_mut(name).unwrap();
        if !configured || seen.address.as_ref() != Some(address) {
            return;
        }
        match end {
            HostEnd::Served => {
                seen.ends.serve();
                if seen.ends.failed {
                    (seen.failed, seen.failed_in_a_row) = (false, 0);
                    (seen.pending, seen.ends.failed) = (false, false);
                }
            }
            HostEnd::Early { after_ms, asked } if asked || after_ms <= 1000 => {
                seen.ends.row.push((after_ms <= 1000, served));
                let row = u32::try_from(seen.ends.row.len()).unwrap();
                let fail_after = self.group.fail_after;
                let quick = seen.ends.quick();
                if fail_after > 0 && row >= fail_after && !seen.failed {
                    self.seen[2] += 1;
                    let wait_ms = (10_000 << seen.ends.failures.min(16)).min(320_000);
                    seen.ends.failures += 1;
                    let until_ms = self.now_ms + wait_ms;
                    self.apply_result(name, address, false);
                    let seen = self.hosts.get_mut(name).unwrap();
                    (seen.ends.suspect, seen.ends.until_ms) = (false, until_ms);
                    seen.ends.failed = seen.failed;
                } else if quick > 0
                    && quick.is_multiple_of(20)
                    && !seen.failed
                    && !seen.ends.suspect
                {
                    let before = seen.ends.row[seen.ends.row.len() - quick].1;
                    seen.ends.suspect = served > before || others_serve;
                    self.seen[1] += u32::from(seen.ends.suspect);
                }
            }
            _ => {}
        }
    }

    /// A session no longer keeps its host busy, but may go on counting.
    pub(super) fn end_busy(&mut self, name: &str, lingers: bool) {
        let now_ms = self.now_ms;
        let seen = self.hosts.get_mut(name).unwrap();
        seen.busy -= 1;
        if lingers && (seen.ends.suspect || seen.ends.quick() >= 20) {
            seen.ends.lingering_ms.push(now_ms);
        }
    }
}
