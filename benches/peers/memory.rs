//! User-space memory of an idle session.

use std::time::Duration;

use super::Outcome;
use super::backend::Backend;
use super::balancer::{Balancer, Peer, Task};
use super::exchange::{Idle, affordable};
use super::folder::Folder;
use super::options::Options;
use super::proc::memory;
use super::process::pause;
use super::report::{Bound, Report};
use super::spread::Spread;
use super::table::Table;

/// Sessions that are open at the same time.
const SESSIONS: usize = 9_000;

/// Rounds, each with a new balancer.
const ROUNDS: usize = 3;

/// Pause until freed buffers are returned.
const REST: Duration = Duration::from_millis(300);

pub(crate) fn measure(
    folder: &Folder,
    options: &Options,
    peers: &[Peer],
    report: &mut Report,
) -> Outcome<()> {
    let sessions = affordable(options.or_quick(SESSIONS, 500));
    let backend = Backend::start(folder, 4)?;
    let mut table = Table::new(["", "bytes per session", "bytes before"]);
    let rounds = options.or_quick(ROUNDS, 1);
    for peer in peers.iter().filter(|peer| !peer.is_for_bulk()) {
        let mut each = Vec::new();
        let mut before = Vec::new();
        for _ in 0..rounds {
            let cost = cost(folder, *peer, &backend, sessions)?;
            eprintln!("Memory: {} {cost:?}", peer.name());
            each.push(cost.session);
            before.push(cost.before);
        }
        let each = Spread::of(each);
        if *peer == Peer::Txlb {
            let name = "memory of an idle session";
            report.target(name, Bound::AtMost(600.0), each.median, " bytes");
        }
        table.row(vec![
            peer.name().to_owned(),
            format!("{each:.0}"),
            format!("{:.0}", Spread::of(before).median),
        ]);
    }
    let words = format!(
        "{sessions} established sessions that have had one exchange: Pss with them less Pss before, \
         each. What takes memory for sessions when it starts has it before."
    );
    report.section("Memory of an idle session", &words, &table);
    Ok(())
}

#[derive(Debug)]
struct Cost {
    /// Bytes.
    session: f64,
    /// Bytes without any session.
    before: f64,
}

fn cost(folder: &Folder, peer: Peer, backend: &Backend, sessions: usize) -> Outcome<Cost> {
    let mut balancer = Balancer::start(folder, peer, &Task::new(&backend.hosts)?)?;
    // Excludes what is allocated once, at the first session.
    drop(Idle::open(balancer.address, 1)?);
    pause(REST)?;
    let family = balancer.process.family();
    let before = memory(&family)? as f64;
    let mut idle = Idle::open(balancer.address, sessions)?;
    pause(REST)?;
    let with = memory(&family)? as f64;
    idle.check()?;
    balancer.process.check()?;
    Ok(Cost {
        session: (with - before) / sessions as f64,
        before,
    })
}
