//! How txlb's cost for a request grows with idle sessions, hosts, listeners and workers.

use super::Outcome;
use super::backend::Backend;
use super::balancer::{Balancer, Peer, Task};
use super::exchange::{Idle, affordable};
use super::folder::{Folder, free_address};
use super::options::Options;
use super::report::Report;
use super::table::Table;
use super::versus::{CLIENTS, cost_and_ratio, in_turn, under_load};
use super::wrk::Load;

/// Maximum idle sessions beside the load.
const MOST_IDLE: usize = 9_000;

/// One situation to measure.
struct Variant {
    words: String,
    hosts: usize,
    workers: usize,
    listeners: usize,
    idle: usize,
}

/// The usual situation; each variant differs from it in one point.
fn usual(words: String) -> Variant {
    Variant {
        words,
        hosts: 3,
        workers: 2,
        listeners: 1,
        idle: 0,
    }
}

/// Each family compares its variants with its first.
fn families(most_idle: usize) -> Vec<Vec<Variant>> {
    let idle = |idle| Variant {
        idle,
        ..usual(format!("{idle} idle sessions beside"))
    };
    let hosts = |hosts| Variant {
        hosts,
        ..usual(format!("{hosts} hosts"))
    };
    let workers = |workers| Variant {
        workers,
        ..usual(format!(
            "{workers} worker{}",
            if workers == 1 { "" } else { "s" }
        ))
    };
    let listeners = |listeners| Variant {
        listeners,
        ..usual(format!(
            "{listeners} service{}",
            if listeners == 1 { "" } else { "s" }
        ))
    };
    vec![
        vec![idle(100), idle(1_000), idle(most_idle)],
        vec![hosts(3), hosts(100), hosts(1_000)],
        vec![workers(1), workers(2)],
        vec![listeners(1), listeners(500)],
    ]
}

/// A smoke run: idle sessions, and many listeners.
fn quick(mut families: Vec<Vec<Variant>>) -> Vec<Vec<Variant>> {
    for family in &mut families {
        family.truncate(2);
    }
    families.drain(1..3);
    families
}

/// A balancer in its situation.
struct Scene {
    // Fields are dropped in this order: clients, balancer, hosts.
    idle: Idle,
    balancer: Balancer,
    _backend: Backend,
}

pub(crate) fn measure(folder: &Folder, options: &Options, report: &mut Report) -> Outcome<()> {
    let head = ["", "keep-alive: µs", "ratio", "short: µs", "ratio"];
    let mut table = Table::new(head);
    let families = match options.quick {
        true => quick(families(0)),
        false => families(affordable(MOST_IDLE)),
    };
    for family in families {
        let mut scenes = Vec::new();
        for variant in &family {
            scenes.push(Scene::set(folder, variant)?);
        }
        let keep_alive = rounds(folder, options, &mut scenes, false)?;
        let short = rounds(folder, options, &mut scenes, true)?;
        for (place, variant) in family.iter().enumerate() {
            let mut cells = vec![variant.words.clone()];
            for rounds in [&keep_alive, &short] {
                cells.extend(cost_and_ratio(rounds, place, 0));
            }
            eprintln!("Scaling: {}", cells.join(" | "));
            table.row(cells);
        }
        for scene in &mut scenes {
            scene.idle.check()?;
        }
    }
    let words = "txlb's total CPU for a request; the ratio is to the first of each kind. A service has a \
                 listener; where nothing else is said there are 3 hosts, 2 workers and 1 service.";
    report.section("Scaling", words, &table);
    Ok(())
}

impl Scene {
    fn set(folder: &Folder, variant: &Variant) -> Outcome<Scene> {
        let backend = Backend::start(folder, variant.hosts)?;
        let listens = (0..variant.listeners).map(|_| free_address());
        let task = Task {
            listens: listens.collect::<Outcome<_>>()?,
            hosts: backend.hosts.clone(),
            workers: variant.workers,
            sends_header: false,
        };
        let balancer = Balancer::start(folder, Peer::Txlb, &task)?;
        Ok(Scene {
            idle: Idle::open(balancer.address, variant.idle)?,
            balancer,
            _backend: backend,
        })
    }
}

/// Nanoseconds for each request: by round, in the order of `scenes`.
fn rounds(
    folder: &Folder,
    options: &Options,
    scenes: &mut [Scene],
    close: bool,
) -> Outcome<Vec<Vec<f64>>> {
    let load = Load {
        path: "/",
        close,
        clients: CLIENTS,
        seconds: options.seconds.div_ceil(2),
    };
    in_turn(options.rounds, scenes, |scene| {
        Ok(under_load(folder, &mut scene.balancer, load)?.total_ns)
    })
}
