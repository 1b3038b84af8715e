//! What a PROXY protocol header for the host costs each balancer: with one beside without one.

use super::Outcome;
use super::backend::Backend;
use super::balancer::{Balancer, Peer, Task};
use super::folder::Folder;
use super::options::{Options, Part};
use super::report::Report;
use super::table::Table;
use super::versus::{HOSTS, cost_and_ratio, in_turn, sample};

/// A balancer, with or without headers for its hosts.
struct Scene {
    words: String,
    balancer: Balancer,
}

pub(crate) fn measure(
    folder: &Folder,
    options: &Options,
    peers: &[Peer],
    report: &mut Report,
) -> Outcome<()> {
    let able = |peer: &&Peer| matches!(peer, Peer::Txlb | Peer::Haproxy | Peer::Nginx);
    let plain = Backend::start(folder, HOSTS)?;
    let with_header = Backend::start_with(folder, HOSTS, "proxy_protocol")?;
    let mut scenes = Vec::new();
    for peer in peers.iter().filter(able) {
        for (backend, sends_header) in [(&plain, false), (&with_header, true)] {
            let task = Task {
                sends_header,
                ..Task::new(&backend.hosts)?
            };
            let with = if sends_header { ", with a header" } else { "" };
            scenes.push(Scene {
                words: format!("{}{with}", peer.name()),
                balancer: Balancer::start(folder, *peer, &task)?,
            });
        }
    }
    let keep_alive = rounds(folder, options, &mut scenes, Part::KeepAlive)?;
    let short = rounds(folder, options, &mut scenes, Part::Short)?;
    let head = ["", "keep-alive: µs", "ratio", "short: µs", "ratio"];
    let mut table = Table::new(head);
    for (place, scene) in scenes.iter().enumerate() {
        let mut cells = vec![scene.words.clone()];
        for rounds in [&keep_alive, &short] {
            // Of the same balancer without headers.
            cells.extend(cost_and_ratio(rounds, place, place - place % 2));
        }
        eprintln!("Headers: {}", cells.join(" | "));
        table.row(cells);
    }
    let words = "Total CPU for a request, without and with a PROXY protocol header for the host: version 2 of \
                 txlb, with its checksum and ID, and of haproxy, version 1 of nginx. The ratio is to the same \
                 balancer without.";
    report.section("Headers for hosts", words, &table);
    Ok(())
}

/// Nanoseconds for each request: by round, in the order of `scenes`.
fn rounds(
    folder: &Folder,
    options: &Options,
    scenes: &mut [Scene],
    part: Part,
) -> Outcome<Vec<Vec<f64>>> {
    in_turn(options.rounds, scenes, |scene| {
        Ok(sample(folder, part, &mut scene.balancer, options.seconds)?.total_ns)
    })
}
