//! Benchmark of a pick and its release: each scheduler, with 3, 100 and 10,000 hosts.
//!
//! It calls the pool as workers do, so counting is included. The lock is not.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use divan::Bencher;
use txlb::balance::{HostId, HostPool, PickContext, Random};
use txlb::config::{self, Algorithm};

fn main() {
    divan::main();
}

const HOSTS: [u32; 3] = [3, 100, 10_000];

/// Open sessions for each host, so that the fewest connections are not 0.
const SESSIONS: u32 = 2;

struct Case {
    algorithm: Algorithm,
    hosts: u32,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.algorithm.as_str(), self.hosts)
    }
}

fn cases() -> impl Iterator<Item = Case> {
    let case = |algorithm: Algorithm| {
        move |hosts| Case {
            algorithm: algorithm.clone(),
            hosts,
        }
    };
    Algorithm::ALL
        .into_iter()
        .flat_map(move |algorithm| HOSTS.map(case(algorithm)))
}

#[divan::bench(args = cases())]
fn pick_and_release(bencher: Bencher<'_, '_>, case: &Case) {
    let mut fixture = PoolFixture::new(case);
    for _ in 0..SESSIONS * case.hosts {
        fixture.pick();
    }
    bencher.bench_local(|| {
        let (host, client) = fixture.pick();
        fixture.pool.release(host, client, 0);
    });
}

/// A pool, and clients of all addresses.
struct PoolFixture {
    pool: HostPool,
    random: Random,
    client: u32,
}

impl PoolFixture {
    fn new(case: &Case) -> PoolFixture {
        PoolFixture {
            pool: HostPool::new(&group(case), 1, 0),
            random: Random::new(1),
            client: 0,
        }
    }

    fn pick(&mut self) -> (HostId, IpAddr) {
        // An odd step: every address is used once before one is used again.
        self.client = self.client.wrapping_add(0x9E37_79B9);
        let client = IpAddr::from(Ipv4Addr::from_bits(self.client));
        let picked = self
            .pool
            .pick(&mut PickContext::new(client, &[], 0, &mut self.random));
        (picked.expect("all hosts are in service").id, client)
    }
}

/// Weights from 1 to 5, so that weighted schedulers have work.
fn group(case: &Case) -> config::Group {
    let host = |number: u32| config::Host {
        name: format!("h{number}"),
        address: config::Endpoint::Address((Ipv4Addr::from_bits(0x0A00_0000 + number), 80).into()),
        weight: number % 5 + 1,
        ..config::Host::default()
    };
    config::Group {
        name: "hosts".to_owned(),
        scheduler: case.algorithm.clone().into(),
        hosts: (0..case.hosts).map(host).collect(),
        ..config::Group::default()
    }
}
