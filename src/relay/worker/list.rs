//! How a worker lists its sessions: some in each turn.
//!
//! What a list is for is not known here.

use std::collections::VecDeque;

use super::Worker;
use crate::relay::connection::Connection;
use crate::relay::listing::{Listing, SessionStatus, Slice};
use crate::relay::tcp_transport::TcpTransport;

/// Slots looked at in a turn: for each session in one there are a short lock, a
/// system call (its local address) and some text, together about a microsecond.
const SLOTS_A_TURN: u32 = 128;

/// Lists under way at the same time; who asks for one more gets none of ours.
const MOST_LISTINGS: usize = 16;

/// The lists that a worker is at.
#[derive(Debug, Default)]
pub(super) struct Listings {
    under_way: VecDeque<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    listing: Listing,
    next_slot: u32,
    listed: usize,
}

impl Listings {
    pub(super) fn begin(&mut self, listing: Listing) {
        if self.under_way.len() < MOST_LISTINGS {
            self.under_way.push_back(UnderWay {
                listing,
                next_slot: 0,
                listed: 0,
            });
        }
    }

    /// Whether there is anything to be listed.
    pub(super) fn are_under_way(&self) -> bool {
        !self.under_way.is_empty()
    }
}

impl Worker {
    /// Goes on with the list that was asked for first.
    pub(super) fn list_sessions(&mut self) {
        let Some(mut list) = self.listings.under_way.pop_front() else {
            return;
        };
        let mut slice = Slice::default();
        let end = (list.next_slot + SLOTS_A_TURN).min(self.links.slots());
        let mut is_full = false;
        while list.next_slot < end && !is_full {
            let link = self.links.at(list.next_slot).filter(|link| !link.over);
            if let Some(link) = link {
                is_full = !list.listing.take_room();
                if !is_full {
                    slice.sessions.push(status(link, self.now_ms));
                }
            }
            list.next_slot += 1;
        }
        list.listed += slice.sessions.len();
        if is_full {
            slice.more = self.links.len().saturating_sub(list.listed);
        }
        // Who asked may have left: then there is nothing more to be done.
        let wanted = list.listing.slices.send(slice).is_ok();
        if wanted && !is_full && list.next_slot < self.links.slots() {
            self.listings.under_way.push_front(list);
        }
    }
}

fn status(link: &Connection<TcpTransport>, now_ms: u64) -> SessionStatus {
    let (session, picked) = (&link.session, &link.picked);
    let (bytes_to_host, bytes_to_client) = session.bytes();
    SessionStatus {
        id: link.id,
        client: link.client_address,
        service: link.service.name.clone(),
        group: link.group.name.clone(),
        host: picked
            .as_ref()
            .and_then(|picked| link.group.tracker().host_name(picked.id)),
        host_address: picked.as_ref().map(|picked| picked.address),
        local_address: link.circuit.host_side(),
        age_ms: now_ms.saturating_sub(session.started_ms()),
        idle_ms: session.idle_ms(now_ms),
        bytes_to_host,
        bytes_to_client,
        phase: session.phase(),
    }
}
