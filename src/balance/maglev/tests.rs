//! That Maglev's table is what it always was, even, and disturbed but little.

use super::super::scene::Scene;
use super::*;

fn names(n: usize) -> Vec<String> {
    (0..n).map(|n| format!("web{n}")).collect()
}

/// Who gets each of 20,000 clients.
fn placed(scene: &mut Scene) -> Vec<String> {
    (0..20_000_u32)
        .map(|client| placed_one(scene, IpAddr::V4(client.into())))
        .collect()
}

fn placed_one(scene: &mut Scene, client: IpAddr) -> String {
    scene.client = client;
    scene.run(".")
}

/// How many clients of others than `lost` are elsewhere now, per thousand clients.
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

/// The values are from another implementation of what the head of the file says.
#[test]
fn the_table_never_changes() {
    let mut scene = Scene::new("maglev", "one two three*2");
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
            placed_one(&mut scene, client.parse().unwrap()),
            name,
            "{client}"
        );
    }
    let claimant = |name: &str, weight| Claimant {
        name: name.to_owned(),
        weight,
        id: HostId(0),
    };
    let mut claimants = [claimant("one", 1), claimant("three", 2), claimant("two", 1)];
    for (id, claimant) in (0..).zip(&mut claimants) {
        claimant.id = HostId(id);
    }
    let slots = build(&claimants);
    let names = slots
        .iter()
        .flat_map(|id| claimants[id.index()].name.bytes());
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
    let mut one = Scene::new("maglev", &names.join(" "));
    let mut other = Scene::new("maglev", "elsewhere before web3");
    other.configure("maglev", &turned.join(" "));
    assert_eq!(placed(&mut one), placed(&mut other));
}

#[test]
fn a_failed_host_moves_its_own_clients_alone() {
    let mut scene = Scene::new("maglev", &names(10).join(" "));
    let before = placed(&mut scene);
    scene.run("!web4");
    let failed = placed(&mut scene);
    assert_eq!(moved(&before, &failed, "web4"), 0);
    assert!(!failed.contains(&"web4".to_owned()));
    // They are spread over all the others.
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
    scene.run("?web4");
    assert_eq!(placed(&mut scene), before);
    scene.configure("maglev", &names(10).join(" ").replace("web4", "web4@drain"));
    assert_eq!(placed(&mut scene), failed);
}

#[test]
fn a_removed_host_moves_almost_only_its_own_clients() {
    for (hosts, most) in [(3, 2), (10, 5), (100, 10)] {
        let names = names(hosts);
        let mut scene = Scene::new("maglev", &names.join(" "));
        let before = placed(&mut scene);
        scene.configure("maglev", &names[1..].join(" "));
        let moved = moved(&before, &placed(&mut scene), "web0");
        assert!(
            moved <= most,
            "{moved} of 1000 clients moved with {hosts} hosts"
        );
    }
}

#[test]
fn each_has_slots_in_proportion_to_its_weight() {
    for (hosts, shares) in [
        ("a b c d", [1, 1, 1, 1]),
        ("a*8 b*4 c*2 d*2", [8, 4, 2, 2]),
        ("a*1000 b*500 c*1 d*499", [1000, 500, 1, 499]),
    ] {
        let counts = Scene::new("maglev", hosts).spread(50_000);
        let all: u32 = shares.iter().sum();
        for ((name, count), share) in counts.iter().zip(shares) {
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
    let claimants: Vec<Claimant> = (0..601)
        .map(|n| Claimant {
            name: format!("web{n:03}"),
            weight: 1 + u32::from(n == 0) * 999,
            id: HostId(n),
        })
        .collect();
    assert_eq!(build(&claimants[1..]).len(), 65_537);
    let table = build(&claimants);
    assert_eq!(table.len(), 655_373);
    let mut counts = vec![0; 601];
    table.iter().for_each(|id| counts[id.index()] += 1);
    assert!(
        counts.iter().all(|count| *count > 0),
        "even the lightest has slots"
    );
}

/// What the head of the file says, word for word: round by round, host by host.
fn round_by_round(claimants: &[Claimant]) -> Vec<HostId> {
    let heaviest = claimants.iter().map(|it| u64::from(it.weight)).max();
    let mut walks: Vec<Walk> = claimants.iter().map(|it| walk(it, SLOTS)).collect();
    let mut table = vec![None; 65_537];
    let mut empty = table.len();
    for round in 1.. {
        for walk in &mut walks {
            if empty == 0 {
                return table.into_iter().flatten().collect();
            }
            if round * walk.weight >= walk.claimed * heaviest.unwrap() {
                walk.claimed += 1;
                claim(walk, &mut table);
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
        let claimants: Vec<Claimant> = (0..)
            .zip(&weights)
            .map(|(n, weight)| Claimant {
                name: format!("web{n}"),
                weight: *weight,
                id: HostId(n),
            })
            .collect();
        assert!(
            build(&claimants) == round_by_round(&claimants),
            "{weights:?}"
        );
    }
}
