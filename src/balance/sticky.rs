//! Which client was where: what `,sticky` remembers.
//!
//! Whether a place may still be used is the tracker's business.

use super::hosts::Place;
use crate::config;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The most clients that are remembered: about 35 MB, once there are so many.
const MOST_CLIENTS: usize = 262_144;
/// How long a client is remembered after its last session.
const REMEMBERED_MS: u64 = 30 * 60 * 1000;
/// How many clients may be forgotten when one is added: more than one, so that
/// the table shrinks after a rush.
const FORGOTTEN_AT_ONCE: usize = 2;

/// The clients of a group, and where they went.
///
/// Those without sessions are in a list by the time their last one ended, so
/// that the oldest is at hand; the map finds a client in logarithmic time, and
/// never stops to rehash.
#[derive(Debug)]
pub(super) struct Clients {
    by_key: BTreeMap<u128, usize>,
    entries: Vec<Entry>,
    /// Places in `entries` that nobody has.
    free: Vec<usize>,
    /// The ends of the list of clients without sessions.
    oldest: Option<usize>,
    newest: Option<usize>,
    most: usize,
    /// How many bits of an IPv6 address make a client.
    prefix: u8,
}

/// One client.
#[derive(Debug)]
struct Entry {
    key: u128,
    place: Place,
    /// Its open sessions, on whatever host.
    open: u32,
    /// When the last one ended; meaningful while none is open.
    ended_ms: u64,
    older: Option<usize>,
    newer: Option<usize>,
}

impl Clients {
    /// Nobody has come yet; `prefix` bits of an IPv6 address make a client.
    pub(super) fn new(prefix: u8) -> Self {
        Clients::with_most(MOST_CLIENTS, prefix)
    }

    /// How many bits of an IPv6 address make a client.
    pub(super) fn prefix(&self) -> u8 {
        self.prefix
    }

    fn with_most(most: usize, prefix: u8) -> Self {
        Clients {
            by_key: BTreeMap::new(),
            entries: Vec::new(),
            free: Vec::new(),
            oldest: None,
            newest: None,
            most,
            prefix,
        }
    }

    /// Where a client went before.
    pub(super) fn place(&self, client: IpAddr, now_ms: u64) -> Option<Place> {
        let entry = &self.entries[*self.by_key.get(&key(client, self.prefix))?];
        (!entry.is_over(now_ms)).then_some(entry.place)
    }

    /// A session of this client begins, at this place. Returns where it went before.
    pub(super) fn arrived(&mut self, client: IpAddr, place: Place, now_ms: u64) -> Option<Place> {
        let former = self.place(client, now_ms);
        let key = key(client, self.prefix);
        if let Some(&index) = self.by_key.get(&key) {
            if self.entries[index].open == 0 {
                self.unlink(index);
            }
            let entry = &mut self.entries[index];
            entry.place = place;
            entry.open += 1;
        } else if self.make_room(now_ms) {
            self.insert(Entry {
                key,
                place,
                open: 1,
                ended_ms: 0,
                older: None,
                newer: None,
            });
        }
        former
    }

    /// The client did not go there after all.
    pub(super) fn put_back(&mut self, client: IpAddr, former: Place) {
        if let Some(&index) = self.by_key.get(&key(client, self.prefix)) {
            self.entries[index].place = former;
        }
    }

    /// A session of this client has ended.
    pub(super) fn ended(&mut self, client: IpAddr, now_ms: u64) {
        let Some(&index) = self.by_key.get(&key(client, self.prefix)) else {
            return;
        };
        let entry = &mut self.entries[index];
        // None is open in an entry that was made after the session began: when
        // there was no room before, or the group was not sticky.
        if entry.open == 0 {
            return;
        }
        entry.open -= 1;
        if entry.open == 0 {
            entry.ended_ms = now_ms;
            self.link_newest(index);
        }
    }

    /// Forgets whom it is time to forget, and if there are too many still, the
    /// oldest. Whether one more can be remembered.
    fn make_room(&mut self, now_ms: u64) -> bool {
        for _ in 0..FORGOTTEN_AT_ONCE {
            if let Some(oldest) = self.oldest
                && (self.entries[oldest].is_over(now_ms) || self.by_key.len() >= self.most)
            {
                self.forget(oldest);
            }
        }
        self.by_key.len() < self.most
    }

    fn insert(&mut self, entry: Entry) {
        let key = entry.key;
        let index = match self.free.pop() {
            Some(index) => {
                self.entries[index] = entry;
                index
            }
            None => {
                self.entries.push(entry);
                self.entries.len() - 1
            }
        };
        self.by_key.insert(key, index);
    }

    /// Only one without sessions.
    fn forget(&mut self, index: usize) {
        self.unlink(index);
        self.by_key.remove(&self.entries[index].key);
        self.free.push(index);
    }

    fn link_newest(&mut self, index: usize) {
        let older = self.newest.replace(index);
        self.entries[index].older = older;
        self.entries[index].newer = None;
        match older {
            Some(older) => self.entries[older].newer = Some(index),
            None => self.oldest = Some(index),
        }
    }

    fn unlink(&mut self, index: usize) {
        let Entry { older, newer, .. } = self.entries[index];
        match older {
            Some(older) => self.entries[older].newer = newer,
            None => self.oldest = newer,
        }
        match newer {
            Some(newer) => self.entries[newer].older = older,
            None => self.newest = older,
        }
    }
}

impl Entry {
    fn is_over(&self, now_ms: u64) -> bool {
        self.open == 0 && now_ms.saturating_sub(self.ended_ms) >= REMEMBERED_MS
    }
}

/// One client is one IPv4 address, mapped into IPv6 or not, or the IPv6 addresses that
/// agree in `prefix` bits. An IPv4 address is kept as it is mapped, which no client of IPv6
/// comes from: the mapped ones differ from all others within their first 96 bits, and what
/// is behind a shorter prefix is 0.
fn key(client: IpAddr, prefix: u8) -> u128 {
    match client.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => {
            let rest = u32::from(config::Group::WHOLE_ADDRESS.saturating_sub(prefix));
            address.to_bits() & u128::MAX.checked_shl(rest).unwrap_or(0)
        }
    }
}

#[cfg(test)]
mod tests;
