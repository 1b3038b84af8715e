//! A seeded simulation of workers, their sessions, peers and hosts.
//!
//! The real engine, state machine, timers, hand-off, host pool and schedulers run on simulated
//! sockets and a virtual clock. Network events come in every order, and in the same order for the same seed.

mod any_hosts;
mod checks;
mod expected_counts;
mod host_farm;
mod listener;
mod opening;
mod peer;
mod simulation;
mod socket;
mod times;
mod transport;
mod worker;
mod world;

use std::ops::Range;

use super::failure::EndReason;
use simulation::Simulation;
use world::Coverage;

/// How many runs a test makes.
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

/// Runs these seeds, half of them on each of two threads.
fn run_all(seeds: Range<u64>) -> Vec<Coverage> {
    let middle = seeds.start.midpoint(seeds.end);
    let run_each = |seeds: Range<u64>| seeds.map(|seed| run(seed, false)).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let other_half = scope.spawn(|| run_each(middle..seeds.end));
        let mut runs = run_each(seeds.start..middle);
        runs.extend(other_half.join().expect("a run fails"));
        runs
    })
}

/// Invariants are checked in the runs. This test checks that the runs cover everything.
#[test]
fn every_run_keeps_its_promises() {
    let mut runs = run_all(0..RUNS);
    let total = |number: fn(&Coverage) -> usize| runs.iter().map(number).sum::<usize>();
    for (what, times, least) in [
        ("half-closes", total(|seen| seen.half_closes), 5000),
        ("retries", total(|seen| seen.retries), 1000),
        ("replays", total(|seen| seen.replays), 300),
        ("headers", total(|seen| seen.headers), 1000),
        ("runs cut short", total(|seen| seen.cut_short), 1000),
        ("bytes left in a pipe", total(|seen| seen.piped), 1000),
        ("pauses", total(|seen| seen.pauses), 1000),
        ("stalled iterations", total(|seen| seen.stalls), 1000),
        ("hand-offs", total(|seen| seen.handoffs), 1000),
        ("clients that wait", total(|seen| seen.waits), 1000),
        ("sessions in lists", total(|seen| seen.listed), 1000),
        ("sessions to be ended", total(|seen| seen.found), 1000),
        (
            "listeners closed",
            total(|seen| seen.closed_listeners),
            1000,
        ),
    ] {
        println!("{what}: {times}");
        assert!(times >= least, "{what}: {times}");
    }
    for reason in EndReason::ALL {
        let ends: u64 = runs.iter().map(|seen| seen.ends[reason.index()]).sum();
        println!("{reason:?}: {ends}");
        assert!(ends >= 100, "{reason:?}: {ends}");
    }
    runs.dedup();
    assert!(runs.len() > 9000, "too many runs are the same");
}

/// Other seeds each day. Not among the tests that always run: these are the same today and
/// tomorrow.
#[test]
#[ignore = "TXLB_SEEDS_FROM=$(date +%Y%m%d)"]
fn other_runs_keep_their_promises() {
    let from = std::env::var("TXLB_SEEDS_FROM").expect("TXLB_SEEDS_FROM is not set");
    let from: u64 = from.parse().expect("TXLB_SEEDS_FROM is not a number");
    let first = from.saturating_mul(RUNS);
    println!("{RUNS} seeds from {first} on");
    run_all(first..first.saturating_add(RUNS));
}

#[test]
fn replay_one_seed() {
    let seed = match std::env::var("TXLB_SEED") {
        Ok(seed) => seed.parse().expect("TXLB_SEED is not a number"),
        Err(_) => 0,
    };
    assert_eq!(run(seed, true), run(seed, false), "a seed is not enough");
}
