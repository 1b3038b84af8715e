//! Many balancers in one process, one after the other and at the same time: what they
//! take they give back, and none knows of another. Alone in its program, because it
//! looks at the whole process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeSet;
use std::fs;

use rustix::process::{Pid, Resource, Rlimit, getpid, getrlimit, setrlimit};
use support::client::who;
use support::host::Host;
use support::{proc, until};
use txlb::Balancer;

/// Started and stopped one after the other.
const IN_TURN: usize = 180;

/// Running at the same time.
const AT_ONCE: usize = 20;

/// What the process has: its threads, its descriptors.
fn taken() -> (usize, BTreeSet<u64>) {
    let threads = fs::read_dir("/proc/self/task").unwrap().count();
    let mut descriptors = proc::descriptors(getpid());
    // That of the look itself has another number each time.
    let looks = |number: &u64| {
        let path = fs::read_link(format!("/proc/self/fd/{number}"));
        path.is_err() || path.is_ok_and(|path| path.starts_with(format!("/proc/{}", pid())))
    };
    descriptors.retain(|number| !looks(number));
    (threads, descriptors)
}

fn pid() -> Pid {
    getpid()
}

fn start(host: &Host) -> Balancer {
    let builder = Balancer::builder().listen("127.0.0.1:0");
    builder
        .host("a", host.address())
        .workers(2)
        .start()
        .unwrap()
}

fn serves(balancer: &Balancer) {
    assert_eq!(who(balancer.addresses("main")[0]), "a");
}

#[test]
fn two_hundred_balancers_give_back_what_they_took() {
    // A program that has changed its limits is left alone.
    let before = getrlimit(Resource::Nofile);
    let lower = Rlimit {
        current: Some(900),
        maximum: before.maximum,
    };
    setrlimit(Resource::Nofile, lower).unwrap();

    let host = Host::new("a");
    // The first one finds out what a process has for good, such as what reads clocks.
    serves(&start(&host));
    until("the first has gone", || {
        fs::read_dir("/proc/self/task").unwrap().count() <= 3
    });
    let at_first = taken();
    for _ in 0..IN_TURN {
        let balancer = start(&host);
        serves(&balancer);
    }
    let several: Vec<Balancer> = (0..AT_ONCE).map(|_| start(&host)).collect();
    several.iter().for_each(serves);
    let ports: BTreeSet<u16> = several
        .iter()
        .map(|balancer| balancer.addresses("main")[0].port())
        .collect();
    assert_eq!(ports.len(), AT_ONCE);
    for balancer in &several {
        assert_eq!(balancer.status().services[0].total, 1);
    }
    drop(several);
    until("threads and descriptors are as they were", || {
        taken() == at_first
    });
    assert_eq!(getrlimit(Resource::Nofile).current, Some(900));
}
