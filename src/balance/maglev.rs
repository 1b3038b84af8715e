//! `maglev`: by the client's address, consistently.
//!
//! Eisenbud and others, "Maglev: a fast and reliable software network load
//! balancer", 2016, section 3.4: the hosts take turns at claiming slots of a
//! table, each in an order of its own that follows from its name. Weights as in
//! Envoy: the heaviest host has a turn in every round, one with a third of its
//! weight in every third.
//!
//! The table has all configured hosts with a weight, whatever their state, and
//! does not change with their health: a client whose slot is a host's that may
//! not be picked gets the next slot's that may, and nobody else's client moves.
//!
//! Replicas of the balancer agree if their hosts have the same names and
//! weights, in any order. **So nothing in here may ever change**: not the hash
//! (64-bit FNV-1a, then MurmurHash3's 64-bit finaliser, as FNV alone leaves the
//! ends of similar names alike), not the sizes of the table, not the order of
//! turns (by name, bytewise).

use super::{Ask, HostId, Hosts, Pick, Scheduler};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;

/// The table: a prime, and about a hundred times the hosts it is used for.
const SLOTS: u64 = 65_537;
/// The most hosts for it.
const SLOTS_HOSTS: usize = 600;
/// The table for more than these.
const MANY_SLOTS: u64 = 655_373;

/// What keeps a name's second hash from being its first.
const SKIP_SALT: u64 = 0x9e37_79b9_7f4a_7c15;

/// A pick is one look into the table, and one more for each slot that may not
/// be picked. Building the table takes about a millisecond, with more than 600
/// hosts some tens; it is built only when names or weights change.
#[derive(Debug, Default)]
pub(super) struct Maglev {
    revision: Option<u64>,
    built_for: Vec<Claimant>,
    table: Vec<HostId>,
}

/// A host that claims slots.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claimant {
    name: String,
    weight: u32,
    id: HostId,
}

impl Scheduler for Maglev {
    fn renew(&mut self, hosts: &Hosts) {
        if self.revision.replace(hosts.revision()) == Some(hosts.revision()) {
            return;
        }
        let claimants = claimants(hosts);
        if claimants != self.built_for {
            self.table = build(&claimants);
            self.built_for = claimants;
        }
    }

    fn pick(&mut self, hosts: &Hosts, ask: &mut Ask<'_>) -> Pick {
        let candidates = hosts.candidates();
        if candidates.iter().all(|id| ask.has_tried(*id)) {
            return Pick::None;
        }
        let slot = client_hash(ask.client)
            .checked_rem(self.table.len() as u64)
            .unwrap_or(0);
        let (before, after) = self.table.split_at(usize::try_from(slot).unwrap_or(0));
        after
            .iter()
            .chain(before)
            .copied()
            .find(|id| hosts.may_pick(*id, ask))
            .into()
    }
}

/// The hosts with a weight, by name.
fn claimants(hosts: &Hosts) -> Vec<Claimant> {
    let weighted = hosts.members().filter(|member| member.weight() > 0);
    let mut claimants: Vec<Claimant> = weighted
        .map(|member| Claimant {
            name: member.name().to_owned(),
            weight: member.weight(),
            id: member.id(),
        })
        .collect();
    claimants.sort_unstable();
    claimants
}

/// A host on its way through the slots.
struct Walk {
    id: HostId,
    weight: u64,
    /// How many slots it has claimed so far.
    claimed: u64,
    slot: u64,
    skip: u64,
}

fn build(claimants: &[Claimant]) -> Vec<HostId> {
    let slots = if claimants.len() <= SLOTS_HOSTS {
        SLOTS
    } else {
        MANY_SLOTS
    };
    let heaviest = claimants
        .iter()
        .map(|claimant| u64::from(claimant.weight))
        .max()
        .unwrap_or(0);
    let mut walks: Vec<Walk> = claimants
        .iter()
        .map(|claimant| walk(claimant, slots))
        .collect();
    let mut table = vec![None; usize::try_from(slots).unwrap_or(0)];
    // The next claims, by round and then by host. Most rounds have no claim of most hosts:
    // beside one of weight 1,000,000, going through all of them would take seconds.
    let mut claims: BinaryHeap<_> = (0..walks.len()).map(|host| Reverse((1, host))).collect();
    for _ in 0..table.len() {
        let Some(Reverse((round, host))) = claims.pop() else {
            break;
        };
        let walk = &mut walks[host];
        claim(walk, &mut table);
        walk.claimed += 1;
        // A host claims a slot once a round at most, and in proportion to its weight.
        let in_proportion = (walk.claimed * heaviest).div_ceil(walk.weight);
        claims.push(Reverse((in_proportion.max(round + 1), host)));
    }
    table.into_iter().flatten().collect()
}

fn walk(claimant: &Claimant, slots: u64) -> Walk {
    let hash = hash(claimant.name.as_bytes());
    Walk {
        id: claimant.id,
        weight: claimant.weight.into(),
        claimed: 0,
        slot: hash % slots,
        skip: finalise(hash ^ SKIP_SALT) % (slots - 1) + 1,
    }
}

/// Takes the first slot on the way that is empty. There is one: the skip and the
/// prime have no divisor in common, so the way leads through all slots.
fn claim(walk: &mut Walk, table: &mut [Option<HostId>]) {
    let slots = table.len() as u64;
    loop {
        let slot = &mut table[usize::try_from(walk.slot).unwrap_or(0)];
        walk.slot = (walk.slot + walk.skip) % slots;
        if slot.is_none() {
            *slot = Some(walk.id);
            return;
        }
    }
}

/// Of the address's bytes in network order; an IPv4 address mapped into IPv6
/// counts as IPv4.
fn client_hash(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(address) => hash(&address.octets()),
        IpAddr::V6(address) => hash(&address.octets()),
    }
}

fn hash(bytes: &[u8]) -> u64 {
    finalise(bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    }))
}

fn finalise(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests;
