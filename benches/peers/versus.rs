//! The main table: the same load on each balancer in turn, and the processor time it took.

use std::time::Duration;

use super::backend::Backend;
use super::balancer::{Balancer, Peer, Task};
use super::folder::Folder;
use super::options::{Options, Part};
use super::proc::Cpu;
use super::process::{Process, pause};
use super::report::{Bound, Report};
use super::spread::Spread;
use super::table::Table;
use super::{Outcome, bulk, wrk};

/// Hosts behind each balancer.
pub(crate) const HOSTS: usize = 4;

/// Clients at the same time.
pub(crate) const CLIENTS: usize = 64;

/// Pause for the end of the last load's effects.
const BREATH: Duration = Duration::from_millis(200);

/// A kind of load, and txlb's targets for it.
struct Row {
    part: Part,
    title: &'static str,
    /// The unit of which the cost is given.
    unit: &'static str,
    total: f64,
    user: Option<f64>,
}

const ROWS: [Row; 4] = [
    Row {
        part: Part::KeepAlive,
        title: "Small keep-alive request",
        unit: "request",
        total: 0.90,
        user: Some(0.30),
    },
    Row {
        part: Part::Short,
        title: "New connection, one small reply, close",
        unit: "connection",
        total: 0.93,
        user: Some(0.30),
    },
    Row {
        part: Part::Page,
        title: "18 KB reply",
        unit: "reply",
        total: 0.78,
        user: Some(0.30),
    },
    Row {
        part: Part::Bulk,
        title: "Bulk",
        unit: "GB",
        total: 0.50,
        user: None,
    },
];

/// One balancer's throughput and cost in one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) total_ns: f64,
    user_ns: f64,
    pub(crate) per_second: f64,
    p99_us: Option<f64>,
}

/// Measures all selected rows.
pub(crate) fn measure(
    folder: &Folder,
    options: &Options,
    peers: &[Peer],
    report: &mut Report,
) -> Outcome<()> {
    let rows = ROWS.iter().filter(|row| options.wants(row.part));
    let rows: Vec<&Row> = rows.collect();
    if rows.is_empty() {
        return Ok(());
    }
    let backend = Backend::start(folder, HOSTS)?;
    let mut head = vec![String::new()];
    head.extend(peers.iter().map(|peer| peer.name().to_owned()));
    let mut summary = Table::with_head(head);
    let mut tables = Vec::new();
    for row in rows {
        let bulk = row.part == Part::Bulk;
        let all = peers.iter().copied();
        let these: Vec<Peer> = all.filter(|peer| bulk || !peer.is_for_bulk()).collect();
        let rounds = rounds(folder, options, row.part, &these, &backend)?;
        let columns = Columns {
            peers: &these,
            rounds: &rounds,
        };
        summary.row(columns.summary(row, peers));
        tables.push((row.title, columns.table(row)));
        columns.judge(row, report);
    }
    report.section("Total CPU / user CPU, of haproxy's", "", &summary);
    for (title, table) in tables {
        report.section(title, "", &table);
    }
    Ok(())
}

/// All peers' samples: by round, in the order of `peers`.
fn rounds(
    folder: &Folder,
    options: &Options,
    part: Part,
    peers: &[Peer],
    backend: &Backend,
) -> Outcome<Vec<Vec<Sample>>> {
    let mut balancers = Vec::new();
    for peer in peers {
        let task = Task::new(&backend.hosts)?;
        let mut balancer = Balancer::start(folder, *peer, &task)?;
        if !options.quick {
            // A warm-up second.
            sample(folder, part, &mut balancer, 1)?;
        }
        balancers.push(balancer);
    }
    let mut rounds = Vec::new();
    for round in 0..options.rounds {
        let mut samples = vec![None; peers.len()];
        for turn in 0..peers.len() {
            // Each round begins with another balancer.
            let place = (turn + round) % peers.len();
            let sample = sample(folder, part, &mut balancers[place], options.seconds)?;
            let name = peers[place].name();
            eprintln!(
                "{part:?} {}/{}: {name} {sample:?}",
                round + 1,
                options.rounds
            );
            samples[place] = Some(sample);
        }
        rounds.push(samples.into_iter().flatten().collect());
    }
    Ok(rounds)
}

pub(crate) fn sample(
    folder: &Folder,
    part: Part,
    balancer: &mut Balancer,
    seconds: u64,
) -> Outcome<Sample> {
    let load = |path, close| wrk::Load {
        path,
        close,
        clients: CLIENTS,
        seconds,
    };
    let address = balancer.address;
    match part {
        Part::KeepAlive => under_load(folder, balancer, load("/", false)),
        Part::Short => under_load(folder, balancer, load("/", true)),
        Part::Page => under_load(folder, balancer, load("/page", false)),
        _ => {
            let time = Duration::from_secs(seconds);
            let (fetched, cpu) = spent(&mut balancer.process, || bulk::fetch(address, time))?;
            Ok(Sample {
                total_ns: cpu.total_ns() / fetched.gigabytes,
                user_ns: cpu.user_ns() / fetched.gigabytes,
                per_second: fetched.gigabytes / fetched.seconds,
                p99_us: None,
            })
        }
    }
}

/// Costs in nanoseconds: by round, in the order of `scenes`. Each round begins with another one.
pub(crate) fn in_turn<T>(
    rounds: usize,
    scenes: &mut [T],
    mut cost: impl FnMut(&mut T) -> Outcome<f64>,
) -> Outcome<Vec<Vec<f64>>> {
    let mut all = Vec::new();
    for round in 0..rounds {
        let mut costs = vec![0.0; scenes.len()];
        for turn in 0..scenes.len() {
            let place = (turn + round) % scenes.len();
            costs[place] = cost(&mut scenes[place])?;
        }
        all.push(costs);
    }
    Ok(all)
}

/// Two cells of a table: the cost at `place` in microseconds, and its ratio to that at `base`.
pub(crate) fn cost_and_ratio(rounds: &[Vec<f64>], place: usize, base: usize) -> [String; 2] {
    let cost = Spread::of(rounds.iter().map(|costs| costs[place] / 1000.0));
    let ratio = Spread::of(rounds.iter().map(|costs| costs[place] / costs[base]));
    [
        format!("{:.1}", cost.median),
        if place == base {
            "1".to_owned()
        } else {
            ratio.to_string()
        },
    ]
}

/// Loads a balancer, and returns the cost of each request.
pub(crate) fn under_load(
    folder: &Folder,
    balancer: &mut Balancer,
    load: wrk::Load,
) -> Outcome<Sample> {
    let address = balancer.address;
    let (done, cpu) = spent(&mut balancer.process, || wrk::run(folder, address, load))?;
    Ok(Sample {
        total_ns: cpu.total_ns() / done.requests,
        user_ns: cpu.user_ns() / done.requests,
        per_second: done.per_second,
        p99_us: Some(done.p99_us),
    })
}

/// Processor time of a balancer while `work` runs.
pub(crate) fn spent<T>(
    process: &mut Process,
    work: impl FnOnce() -> Outcome<T>,
) -> Outcome<(T, Cpu)> {
    pause(BREATH)?;
    process.check()?;
    let family = process.family();
    let before = Cpu::of(&family)?;
    let done = work()?;
    pause(BREATH)?;
    process.check()?;
    if process.family() != family {
        return Err("a balancer has lost a process, or got one, under load".into());
    }
    Ok((done, Cpu::of(&family)? - before))
}

/// The samples of one row, by peer.
struct Columns<'a> {
    peers: &'a [Peer],
    rounds: &'a [Vec<Sample>],
}

impl Columns<'_> {
    /// The ratio of a figure of two peers, by round.
    fn ratio(&self, peer: Peer, to: Peer, figure: impl Fn(&Sample) -> f64) -> Spread {
        let place = |peer| self.peers.iter().position(|it| *it == peer);
        let (Some(one), Some(other)) = (place(peer), place(to)) else {
            return Spread::of([]);
        };
        let ratios = self.rounds.iter();
        Spread::of(ratios.map(|samples| figure(&samples[one]) / figure(&samples[other])))
    }

    fn table(&self, row: &Row) -> Table {
        let cost = format!("CPU µs per {}", row.unit);
        let rate = format!("{} per second", row.unit);
        let head = [
            "",
            "total CPU",
            "user CPU",
            "throughput",
            "p99",
            &cost,
            &rate,
        ];
        let mut table = Table::new(head);
        for (place, peer) in self.peers.iter().enumerate() {
            let to_haproxy = |figure: fn(&Sample) -> f64| {
                let ratio = self.ratio(*peer, Peer::Haproxy, figure);
                if *peer == Peer::Haproxy {
                    "1".to_owned()
                } else {
                    ratio.to_string()
                }
            };
            let median = |figure: fn(&Sample) -> f64| {
                Spread::of(self.rounds.iter().map(|samples| figure(&samples[place]))).median
            };
            let p99 = match row.part {
                Part::Bulk => "–".to_owned(),
                _ => to_haproxy(p99_us),
            };
            table.row(vec![
                peer.name().to_owned(),
                to_haproxy(|sample| sample.total_ns),
                to_haproxy(|sample| sample.user_ns),
                to_haproxy(|sample| sample.per_second),
                p99,
                short(median(|sample| sample.total_ns) / 1000.0),
                short(median(|sample| sample.per_second)),
            ]);
        }
        table
    }

    /// A row of the summary table: total and user CPU of each of `peers`.
    fn summary(&self, row: &Row, peers: &[Peer]) -> Vec<String> {
        let mut cells = vec![row.title.to_owned()];
        cells.extend(peers.iter().map(|peer| {
            if !self.peers.contains(peer) {
                return String::new();
            }
            let to_haproxy =
                |figure: fn(&Sample) -> f64| self.ratio(*peer, Peer::Haproxy, figure).median;
            let (total, user) = (to_haproxy(|it| it.total_ns), to_haproxy(|it| it.user_ns));
            format!("{total:.2} / {user:.2}")
        }));
        cells
    }

    /// Reports txlb's targets.
    fn judge(&self, row: &Row, report: &mut Report) {
        let to_haproxy =
            |figure: fn(&Sample) -> f64| self.ratio(Peer::Txlb, Peer::Haproxy, figure).median;
        let name = |what: &str| format!("{}: {what}", row.title);
        let total = to_haproxy(|sample| sample.total_ns);
        report.target(&name("total CPU"), Bound::AtMost(row.total), total, "");
        if let Some(user) = row.user {
            let measured = to_haproxy(|sample| sample.user_ns);
            report.target(&name("user CPU"), Bound::AtMost(user), measured, "");
        }
        let throughput = to_haproxy(|sample| sample.per_second);
        report.target(&name("throughput"), Bound::AtLeast(1.0), throughput, "");
        if row.part == Part::Bulk {
            for peer in [Peer::HaproxyAuto, Peer::HaproxySplice] {
                let splice = self.ratio(Peer::Txlb, peer, |sample| sample.total_ns);
                let what = name(&format!("total CPU beside {}", peer.name()));
                report.target(&what, Bound::AtMost(0.95), splice.median, "");
            }
        } else {
            report.target(&name("p99"), Bound::AtMost(1.0), to_haproxy(p99_us), "");
        }
    }
}

/// Three digits, or all before the point.
fn short(value: f64) -> String {
    format!("{value:.*}", if value < 100.0 { 1 } else { 0 })
}

fn p99_us(sample: &Sample) -> f64 {
    sample.p99_us.unwrap_or(f64::NAN)
}
