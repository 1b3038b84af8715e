//! What a PROXY protocol header for the host costs each balancer: with one beside without one.

use super::Outcome;
use super::backend::Backend;
use super::balancer::{Balancer, Peer, Task};
use super::folder::Folder;
use super::options::{Options, Part};
use super::report::Report;
use super::spread::Spread;
use super::table::Table;
use super::versus::{HOSTS, sample};

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
            let cost = Spread::of(rounds.iter().map(|costs| costs[place] / 1000.0));
            // Of the same balancer without headers.
            let plain = place - place % 2;
            let ratio = Spread::of(rounds.iter().map(|costs| costs[place] / costs[plain]));
            cells.push(format!("{:.1}", cost.median));
            cells.push(match place == plain {
                true => "1".to_owned(),
                false => ratio.to_string(),
            });
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
    let mut rounds = Vec::new();
    for round in 0..options.rounds {
        let mut costs = vec![0.0; scenes.len()];
        for turn in 0..scenes.len() {
            let place = (turn + round) % scenes.len();
            let balancer = &mut scenes[place].balancer;
            costs[place] = sample(folder, part, balancer, options.seconds)?.total_ns;
        }
        rounds.push(costs);
    }
    Ok(rounds)
}
