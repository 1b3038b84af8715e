//! Requests at a fixed rate, so that waiting counts: the time of a response runs from when its
//! request was due, as in wrk2.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::Outcome;
use super::backend::Backend;
use super::balancer::{Balancer, Peer, Task};
use super::exchange::Client;
use super::folder::Folder;
use super::options::{Options, Part};
use super::report::{Bound, Report};
use super::spread::Spread;
use super::table::Table;
use super::versus::{CLIENTS, HOSTS, sample, spent};

/// Shares of HAProxy's full rate.
const SHARES: [(f64, &str); 3] = [(0.25, "a quarter"), (0.5, "half"), (0.75, "three quarters")];

/// The percentiles of a response's time, in thousandths.
const PERCENTILES: [usize; 3] = [500, 990, 999];

/// One balancer's cost and times at one rate in one round.
struct Sample {
    cpu_us: f64,
    /// In the order of [`PERCENTILES`].
    times_us: [f64; 3],
}

pub(crate) fn measure(
    folder: &Folder,
    options: &Options,
    peers: &[Peer],
    report: &mut Report,
) -> Outcome<()> {
    let backend = Backend::start(folder, HOSTS)?;
    let peers: Vec<Peer> = peers
        .iter()
        .copied()
        .filter(|it| !it.is_for_bulk())
        .collect();
    let mut balancers = Vec::new();
    for peer in &peers {
        let task = Task::new(&backend.hosts)?;
        balancers.push(Balancer::start(folder, *peer, &task)?);
    }
    let haproxy = peers.iter().position(|peer| *peer == Peer::Haproxy);
    let haproxy = haproxy.ok_or("without haproxy there is no full rate")?;
    let full = sample(
        folder,
        Part::KeepAlive,
        &mut balancers[haproxy],
        options.seconds,
    )?;
    let mut table = Table::new([
        "",
        "requests per second",
        "CPU µs per request",
        "of haproxy's",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
    ]);
    for (share, words) in SHARES {
        let per_second = share * full.per_second;
        let rounds = rounds(options, per_second, &mut balancers)?;
        for (place, peer) in peers.iter().enumerate() {
            let median = |figure: &dyn Fn(&Sample) -> f64| {
                Spread::of(rounds.iter().map(|samples| figure(&samples[place]))).median
            };
            let ratio = Spread::of(
                rounds
                    .iter()
                    .map(|samples| samples[place].cpu_us / samples[haproxy].cpu_us),
            );
            if *peer == Peer::Txlb {
                let name = format!("At {words} of haproxy's rate: total CPU");
                report.target(&name, Bound::AtMost(0.90), ratio.median, "");
            }
            let mut cells = vec![
                peer.name().to_owned(),
                format!("{per_second:.0}, {words}"),
                format!("{:.1}", median(&|it| it.cpu_us)),
                ratio.to_string(),
            ];
            let times =
                (0..PERCENTILES.len()).map(|nth| format!("{:.0}", median(&|it| it.times_us[nth])));
            cells.extend(times);
            eprintln!("Paced: {}", cells.join(" | "));
            table.row(cells);
        }
    }
    let words = "Small keep-alive requests at shares of haproxy's full rate. The time of a response runs \
                 from when its request was due. Medians of the rounds.";
    report.section("At a fixed rate", words, &table);
    Ok(())
}

/// All balancers' samples at this rate: by round, in their order.
fn rounds(
    options: &Options,
    per_second: f64,
    balancers: &mut [Balancer],
) -> Outcome<Vec<Vec<Sample>>> {
    let mut rounds = Vec::new();
    for round in 0..options.rounds {
        let mut samples: Vec<Option<Sample>> = balancers.iter().map(|_| None).collect();
        for turn in 0..balancers.len() {
            let place = (turn + round) % balancers.len();
            let address = balancers[place].address;
            let load = || run(address, per_second, Duration::from_secs(options.seconds));
            let (mut times, cpu) = spent(&mut balancers[place].process, load)?;
            times.sort_unstable();
            let at = |thousandths: usize| times[(times.len() - 1) * thousandths / 1000];
            samples[place] = Some(Sample {
                cpu_us: cpu.total_ns() / 1000.0 / times.len() as f64,
                times_us: PERCENTILES.map(|it| at(it).as_nanos() as f64 / 1000.0),
            });
        }
        rounds.push(samples.into_iter().flatten().collect());
    }
    Ok(rounds)
}

/// Sends requests at this rate, and returns the time of each. A client whose response is late sends
/// its next request at once, and that one's time runs already.
fn run(address: SocketAddr, per_second: f64, time: Duration) -> Outcome<Vec<Duration>> {
    let interval = Duration::from_secs_f64(CLIENTS as f64 / per_second);
    let count = time.as_nanos() / interval.as_nanos().max(1);
    let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Client::connect(address)?);
    }
    let start = Instant::now() + Duration::from_millis(50);
    let client = |(nth, mut client): (usize, Client)| {
        let first = start + interval.mul_f64(nth as f64 / CLIENTS as f64);
        thread::spawn(move || -> Outcome<Vec<Duration>> {
            let mut times = Vec::with_capacity(count as usize);
            for number in 0..count {
                let due = first + interval * number;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                client.exchange()?;
                times.push(due.elapsed());
            }
            Ok(times)
        })
    };
    let threads: Vec<_> = clients.into_iter().enumerate().map(client).collect();
    let mut times = Vec::new();
    for thread in threads {
        times.extend(thread.join().map_err(|_| "a client has panicked")??);
    }
    Ok(times)
}
