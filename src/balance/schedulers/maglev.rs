//! Scheduler `maglev`: consistent hashing of the client's address.
//!
//! Eisenbud and others, "Maglev: a fast and reliable software network load balancer", 2016,
//! section 3.4. The hosts take turns to claim slots of a table. Each follows its own
//! permutation of the slots, which depends on its name. Weights are as in Envoy: the
//! heaviest host has a turn in every round, a host of a third of its weight in every third.
//!
//! The table has all configured hosts with a weight, in any state, and does not change with
//! their health, nor with what agents say. If the host of a client's slot may not be picked, the
//! client gets the host of the next slot that may. No other client moves.
//!
//! Several balancers agree if their hosts have the same names and weights, in any order.
//! **So nothing here may ever change**: not the hash, not the sizes of the table, not the
//! order of turns (by name, bytewise). The hash is 64-bit FNV-1a, then the 64-bit finaliser
//! of MurmurHash3, as FNV alone leaves the ends of similar names alike.

use crate::balance::{HostId, Hosts, Pick, PickContext, Scheduler};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;

/// The slots of the table: a prime, at least about a hundred times the number of hosts.
const SLOTS: u64 = 65_537;
/// The most hosts for a table of that size.
const SLOTS_HOSTS: usize = 600;
/// The slots of the table for more hosts; a prime, too.
const MANY_SLOTS: u64 = 655_373;

/// Makes the second hash of a name differ from the first.
const SKIP_SALT: u64 = 0x9e37_79b9_7f4a_7c15;

/// A pick is one look-up, and one more for each slot whose host may not be picked.
///
/// To build the table takes about 1 ms; with more than 600 hosts some 10 ms. It is only
/// built when names or weights change.
#[derive(Debug, Default)]
pub(super) struct Maglev {
    revision: Option<u64>,
    built_for: Vec<WeightedHost>,
    table: Vec<HostId>,
}

/// A host with a weight, which claims slots.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct WeightedHost {
    name: String,
    weight: u32,
    id: HostId,
}

impl Scheduler for Maglev {
    fn rebuild(&mut self, hosts: &Hosts) {
        if self.revision.replace(hosts.revision()) == Some(hosts.revision()) {
            return;
        }
        let weighted_hosts = weighted_hosts(hosts);
        if weighted_hosts != self.built_for {
            self.table = populate(&weighted_hosts);
            self.built_for = weighted_hosts;
        }
    }

    fn pick(&mut self, hosts: &Hosts, context: &mut PickContext<'_>) -> Pick {
        let candidates = hosts.candidates();
        if candidates.iter().all(|id| context.has_tried(*id)) {
            return Pick::None;
        }
        let slots = self.table.len() as u64;
        let slot = match context.client {
            Some(client) => client_hash(client).checked_rem(slots).unwrap_or(0),
            // All clients of a Unix socket look the same: they are spread by weight.
            None => context.random.below(slots.max(1)),
        };
        let (before, after) = self.table.split_at(usize::try_from(slot).unwrap_or(0));
        after
            .iter()
            .chain(before)
            .copied()
            .find(|id| hosts.may_pick(*id, context))
            .into()
    }
}

/// The hosts with a weight, sorted by name. It is the configured one: what agents say differs from
/// balancer to balancer.
// Test: a_host_that_its_agent_takes_out_comes_back_under_any_scheduler.
fn weighted_hosts(hosts: &Hosts) -> Vec<WeightedHost> {
    let weighted = hosts.members().filter(|member| member.weight > 0);
    let mut weighted_hosts: Vec<WeightedHost> = weighted
        .map(|member| WeightedHost {
            name: member.name().to_owned(),
            weight: member.weight,
            id: member.id(),
        })
        .collect();
    weighted_hosts.sort_unstable();
    weighted_hosts
}

/// A host and its position in its permutation of the slots.
struct Permutation {
    id: HostId,
    weight: u64,
    /// The number of slots that it has claimed so far.
    claimed: u64,
    slot: u64,
    skip: u64,
}

fn populate(weighted_hosts: &[WeightedHost]) -> Vec<HostId> {
    let slots = if weighted_hosts.len() <= SLOTS_HOSTS {
        SLOTS
    } else {
        MANY_SLOTS
    };
    let heaviest = weighted_hosts
        .iter()
        .map(|host| u64::from(host.weight))
        .max()
        .unwrap_or(0);
    let mut permutations: Vec<Permutation> = weighted_hosts
        .iter()
        .map(|host| permutation(host, slots))
        .collect();
    let mut table = vec![None; usize::try_from(slots).unwrap_or(0)];
    // The next claims, by round and then by host. In most rounds most hosts claim nothing:
    // beside a host of weight 1,000,000, to go through all of them would take seconds.
    // Test: rounds_without_a_claim_are_skipped_and_nothing_else_changes.
    let mut claims: BinaryHeap<_> = (0..permutations.len())
        .map(|host| Reverse((1, host)))
        .collect();
    for _ in 0..table.len() {
        let Some(Reverse((round, host))) = claims.pop() else {
            break;
        };
        let permutation = &mut permutations[host];
        claim(permutation, &mut table);
        permutation.claimed += 1;
        // A host claims at most one slot in a round, and in proportion to its weight.
        let in_proportion = (permutation.claimed * heaviest).div_ceil(permutation.weight);
        claims.push(Reverse((in_proportion.max(round + 1), host)));
    }
    table.into_iter().flatten().collect()
}

fn permutation(host: &WeightedHost, slots: u64) -> Permutation {
    let hash = hash(host.name.as_bytes());
    Permutation {
        id: host.id,
        weight: host.weight.into(),
        claimed: 0,
        slot: hash % slots,
        skip: finalise(hash ^ SKIP_SALT) % (slots - 1) + 1,
    }
}

/// Claims the first empty slot of a host's permutation. There is one: the skip is less than
/// the prime number of slots, so the permutation visits all of them.
fn claim(permutation: &mut Permutation, table: &mut [Option<HostId>]) {
    let slots = table.len() as u64;
    loop {
        let slot = &mut table[usize::try_from(permutation.slot).unwrap_or(0)];
        permutation.slot = (permutation.slot + permutation.skip) % slots;
        if slot.is_none() {
            *slot = Some(permutation.id);
            return;
        }
    }
}

/// The hash of the address's bytes in network order. An IPv4 address mapped into IPv6 counts
/// as IPv4.
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
mod tests {
    //! The table of Maglev: it never changes, is even, and is little disturbed.

    use super::*;
    use crate::balance::fixture::PoolFixture;

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|n| format!("web{n}")).collect()
    }

    /// The host of each of 20,000 clients.
    fn placed(fixture: &mut PoolFixture) -> Vec<String> {
        (0..20_000_u32)
            .map(|client| placed_one(fixture, IpAddr::V4(client.into())))
            .collect()
    }

    fn placed_one(fixture: &mut PoolFixture, client: IpAddr) -> String {
        fixture.client = client;
        fixture.run(".")
    }

    /// Clients of other hosts than `lost` that moved, per thousand clients.
    fn moved(before: &[String], after: &[String], lost: &str) -> usize {
        let moved = before
            .iter()
            .zip(after)
            .filter(|(old, new)| *old != lost && old != new);
        moved.count() * 1000 / before.len()
    }

    #[test]
    fn the_hash_never_changes() {
        // FNV-1a of these bytes as its authors publish it, then fmix64.
        assert_eq!(hash(b"foobar"), finalise(0x8594_4171_f739_67e8));
        assert_eq!(finalise(1), 0xb456_bcfc_34c2_cb2c);
        assert_eq!(hash(b""), 0xefd0_1f60_ba99_2926);
        assert_eq!(hash(b"one"), 0x6299_27f4_6b94_4038);
        assert_eq!(client_hash([192, 0, 2, 1].into()), 0x8039_3182_6a22_88ea);
        assert_eq!(
            client_hash("2001:db8::1".parse().unwrap()),
            0x8dec_2b2d_0b0e_530f
        );
    }

    /// The values are from an independent implementation of what the header says.
    #[test]
    fn the_table_never_changes() {
        let mut fixture = PoolFixture::new("maglev", "one two three*2");
        let table = [
            ("192.0.2.1", "two"),
            ("::ffff:192.0.2.1", "two"),
            ("192.0.2.2", "one"),
            ("198.51.100.7", "one"),
            ("203.0.113.255", "one"),
            ("2001:db8::1", "three"),
            ("2001:db8::2", "two"),
        ];
        for (client, name) in table {
            assert_eq!(
                placed_one(&mut fixture, client.parse().unwrap()),
                name,
                "{client}"
            );
        }
        let host = |name: &str, weight| WeightedHost {
            name: name.to_owned(),
            weight,
            id: HostId(0),
        };
        let mut weighted_hosts = [host("one", 1), host("three", 2), host("two", 1)];
        for (id, host) in (0..).zip(&mut weighted_hosts) {
            host.id = HostId(id);
        }
        let slots = populate(&weighted_hosts);
        let names = slots
            .iter()
            .flat_map(|id| weighted_hosts[id.index()].name.bytes());
        assert_eq!(slots.len(), 65_537);
        assert_eq!(
            hash(&names.collect::<Vec<_>>()),
            finalise(0x82ec_7601_a093_8d03)
        );
    }

    #[test]
    fn replicas_agree_whatever_the_order_of_hosts() {
        let names = names(20);
        let mut turned = names.clone();
        turned.reverse();
        turned.swap(3, 11);
        let mut one = PoolFixture::new("maglev", &names.join(" "));
        let mut other = PoolFixture::new("maglev", "elsewhere before web3");
        other.configure("maglev", &turned.join(" "));
        assert_eq!(placed(&mut one), placed(&mut other));
    }

    #[test]
    fn a_failed_host_moves_its_own_clients_alone() {
        let mut fixture = PoolFixture::new("maglev", &names(10).join(" "));
        let before = placed(&mut fixture);
        fixture.run("!web4");
        let failed = placed(&mut fixture);
        assert_eq!(moved(&before, &failed, "web4"), 0);
        assert!(!failed.contains(&"web4".to_owned()));
        // Its clients are spread over all other hosts.
        let heirs: Vec<&String> = before
            .iter()
            .zip(&failed)
            .filter(|(old, _)| *old == "web4")
            .map(|(_, new)| new)
            .collect();
        for name in names(10).iter().filter(|name| *name != "web4") {
            let share = heirs.iter().filter(|heir| **heir == name).count();
            assert!(
                share * 9 * 10 > heirs.len() * 7,
                "{name}: {share} of {}",
                heirs.len()
            );
        }
        fixture.run("?web4");
        assert_eq!(placed(&mut fixture), before);
        fixture.configure("maglev", &names(10).join(" ").replace("web4", "web4@drain"));
        assert_eq!(placed(&mut fixture), failed);
    }

    #[test]
    fn a_removed_host_moves_almost_only_its_own_clients() {
        for (hosts, most) in [(3, 2), (10, 5), (100, 10)] {
            let names = names(hosts);
            let mut fixture = PoolFixture::new("maglev", &names.join(" "));
            let before = placed(&mut fixture);
            fixture.configure("maglev", &names[1..].join(" "));
            let moved = moved(&before, &placed(&mut fixture), "web0");
            assert!(
                moved <= most,
                "{moved} of 1000 clients moved with {hosts} hosts"
            );
        }
    }

    #[test]
    fn each_has_slots_in_proportion_to_its_weight() {
        for (hosts, weights) in [
            ("a b c d", [1, 1, 1, 1]),
            ("a*8 b*4 c*2 d*2", [8, 4, 2, 2]),
            ("a*1000 b*500 c*1 d*499", [1000, 500, 1, 499]),
        ] {
            let counts = PoolFixture::new("maglev", hosts).count_picks(50_000);
            let all: u32 = weights.iter().sum();
            for ((name, count), share) in counts.iter().zip(weights) {
                let due = 50_000 * share / all;
                assert!(
                    count.abs_diff(due) <= due / 30 + 15,
                    "{hosts}: {name} has {count}, not {due}"
                );
            }
        }
    }

    #[test]
    fn many_hosts_have_a_larger_table() {
        let weighted_hosts: Vec<WeightedHost> = (0..601)
            .map(|n| WeightedHost {
                name: format!("web{n:03}"),
                weight: 1 + u32::from(n == 0) * 999,
                id: HostId(n),
            })
            .collect();
        assert_eq!(populate(&weighted_hosts[1..]).len(), 65_537);
        let table = populate(&weighted_hosts);
        assert_eq!(table.len(), 655_373);
        let mut counts = vec![0; 601];
        table.iter().for_each(|id| counts[id.index()] += 1);
        assert!(
            counts.iter().all(|count| *count > 0),
            "even the lightest has slots"
        );
    }

    /// What the header says, literally: round by round, host by host.
    fn round_by_round(weighted_hosts: &[WeightedHost]) -> Vec<HostId> {
        let heaviest = weighted_hosts.iter().map(|it| u64::from(it.weight)).max();
        let mut permutations: Vec<Permutation> = weighted_hosts
            .iter()
            .map(|it| permutation(it, SLOTS))
            .collect();
        let mut table = vec![None; 65_537];
        let mut empty = table.len();
        for round in 1.. {
            for permutation in &mut permutations {
                if empty == 0 {
                    return table.into_iter().flatten().collect();
                }
                if round * permutation.weight >= permutation.claimed * heaviest.unwrap() {
                    permutation.claimed += 1;
                    claim(permutation, &mut table);
                    empty -= 1;
                }
            }
        }
        unreachable!()
    }

    #[test]
    fn rounds_without_a_claim_are_skipped_and_nothing_else_changes() {
        for weights in [
            vec![1],
            vec![1, 1_000_000],
            vec![3, 7, 1, 5],
            vec![1000, 1, 999, 1000],
            vec![1_000_000, 999_999, 2, 500_001],
        ] {
            let weighted_hosts: Vec<WeightedHost> = (0..)
                .zip(&weights)
                .map(|(n, weight)| WeightedHost {
                    name: format!("web{n}"),
                    weight: *weight,
                    id: HostId(n),
                })
                .collect();
            assert!(
                populate(&weighted_hosts) == round_by_round(&weighted_hosts),
                "{weights:?}"
            );
        }
    }
}
