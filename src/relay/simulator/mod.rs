//! A seeded simulation of sessions, their peers and their hosts.
//!
//! The real link, state machine, pump, timers, tracker and schedulers on simulated
//! sockets and a virtual clock: whatever may happen in a network happens here,
//! in every order, and the same again for the same seed.

mod checks;
mod farm;
mod ledger;
mod peer;
mod socket;
mod sockets;
mod world;

use super::failure::EndReason;
use world::{Seen, World};

/// How many runs a test makes, in halves that run side by side.
const RUNS: u64 = 10_000;

/// Says which seed it was when a run fails.
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

fn run(seed: u64, trace: bool) -> Seen {
    let seed = Seed(seed);
    World::new(seed.0, trace).run()
}

fn run_all(seeds: std::ops::Range<u64>) -> Vec<Seen> {
    seeds.map(|seed| run(seed, false)).collect()
}

/// All that is checked is checked in the runs. Here: that they get everywhere.
#[test]
fn every_run_keeps_its_promises() {
    let mut runs = std::thread::scope(|scope| {
        let other_half = scope.spawn(|| run_all(RUNS / 2..RUNS));
        let mut runs = run_all(0..RUNS / 2);
        runs.extend(other_half.join().expect("a run fails"));
        runs
    });
    let total = |number: fn(&Seen) -> usize| runs.iter().map(number).sum::<usize>();
    assert!(total(|seen| seen.half_closes) > 5000);
    assert!(total(|seen| seen.retries) > 1000);
    assert!(total(|seen| seen.cut_short) > 1000);
    assert!(total(|seen| seen.piped) > 1000);
    assert!(total(|seen| seen.pauses) > 1000);
    for reason in EndReason::ALL {
        let ends: usize = runs.iter().map(|seen| seen.ends[reason.index()]).sum();
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
