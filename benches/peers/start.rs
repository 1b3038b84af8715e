//! Time from the start of a program until it listens.

use std::time::Instant;

use super::Outcome;
use super::backend::Backend;
use super::balancer::{Peer, Task, command};
use super::folder::Folder;
use super::options::Options;
use super::process::Process;
use super::report::{Bound, Report};
use super::spread::Spread;
use super::table::Table;

/// Starts of each program.
const STARTS: usize = 10;

pub(crate) fn measure(
    folder: &Folder,
    options: &Options,
    peers: &[Peer],
    report: &mut Report,
) -> Outcome<()> {
    let backend = Backend::start(folder, 4)?;
    let peers = peers.iter().filter(|peer| !peer.is_for_bulk());
    let peers: Vec<Peer> = peers.copied().collect();
    let mut times = vec![Vec::new(); peers.len()];
    for _ in 0..options.or_quick(STARTS, 3) {
        for (peer, times) in peers.iter().zip(&mut times) {
            times.push(start_ms(folder, *peer, &backend)?);
        }
    }
    let mut table = Table::new(["", "ms to listening"]);
    for (peer, times) in peers.iter().zip(times) {
        let spread = Spread::of(times);
        eprintln!("Start: {} {spread}", peer.name());
        if *peer == Peer::Txlb {
            report.target(
                "start to listening",
                Bound::AtMost(10.0),
                spread.median,
                " ms",
            );
        }
        table.row(vec![peer.name().to_owned(), spread.to_string()]);
    }
    let words = "From fork(2) to the first connection that is taken.";
    report.section("Start", words, &table);
    Ok(())
}

fn start_ms(folder: &Folder, peer: Peer, backend: &Backend) -> Outcome<f64> {
    let task = Task::new(&backend.hosts)?;
    let mut command = command(folder, peer, &task)?;
    let log = folder.fresh("start.log");
    let begin = Instant::now();
    let mut process = Process::start(peer.name(), &mut command, &log)?;
    let listening = process.wait_listening(task.listens[0])?;
    Ok((listening - begin).as_secs_f64() * 1e3)
}
