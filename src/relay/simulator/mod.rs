//! A seeded simulation of workers, their sessions, peers and hosts.
//!
//! The real engine, state machine, timers, hand-off, host pool and schedulers run on simulated
//! sockets and a virtual clock. Network events come in every order, and in the same order for the same seed.

mod checks;
mod expected_counts;
mod host_farm;
mod listener;
mod peer;
mod peer_actions;
mod simulation;
mod socket;
mod transport;
mod worker;
mod world;

use super::failure::EndReason;
use simulation::Simulation;
use world::Coverage;

/// How many runs the test makes, half of them on each of two threads.
const RUNS: u64 = 10_000;

/// Prints the seed when a run fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Seed(seed) = self;
            eprintln!(
                "seed {seed} fails; to see it: \
                 TXLB_SEED={seed} cargo test --lib replay_one_seed -- --nocapture"
            );
        }
    }
}

fn run(seed: u64, trace: bool) -> Coverage {
    let seed = Seed(seed);
    Simulation::new(seed.0, trace).run()
}

fn run_all(seeds: std::ops::Range<u64>) -> Vec<Coverage> {
    seeds.map(|seed| run(seed, false)).collect()
}

/// Invariants are checked in the runs. This test checks that the runs cover everything.
#[test]
fn every_run_keeps_its_promises() {
    let mut runs = std::thread::scope(|scope| {
        let other_half = scope.spawn(|| run_all(RUNS / 2..RUNS));
        let mut runs = run_all(0..RUNS / 2);
        runs.extend(other_half.join().expect("a run fails"));
        runs
    });
    let total = |number: fn(&Coverage) -> usize| runs.iter().map(number).sum::<usize>();
    assert!(total(|seen| seen.half_closes) > 5000);
    assert!(total(|seen| seen.retries) > 1000);
    assert!(total(|seen| seen.cut_short) > 1000);
    assert!(total(|seen| seen.piped) > 1000);
    assert!(total(|seen| seen.pauses) > 1000);
    for reason in EndReason::ALL {
        let ends: u64 = runs.iter().map(|seen| seen.ends[reason.index()]).sum();
        println!("{reason:?}: {ends}");
        assert!(ends >= 100, "{reason:?}: {ends}");
    }
    runs.dedup();
    assert!(runs.len() > 9000, "too many runs are the same");
}

#[test]
fn replay_one_seed() {
    let seed = match std::env::var("TXLB_SEED") {
        Ok(seed) => seed.parse().expect("TXLB_SEED is not a number"),
        Err(_) => 0,
    };
    assert_eq!(run(seed, true), run(seed, false), "a seed is not enough");
}
