//! What health checks of many hosts cost, and how soon they find hosts that die.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use super::Outcome;
use super::backend::Backend;
use super::balancer::{Task, haproxy, haproxy_command, service, txlb_command};
use super::folder::{Folder, free_port};
use super::options::Options;
use super::proc::Cpu;
use super::process::{Process, pause};
use super::report::Report;
use super::table::Table;

const HOSTS: usize = 5_000;

/// Hosts that die at once.
const DEAD: usize = 100;

/// Longer than finding them may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Time until the first checks are over.
const START: Duration = Duration::from_secs(4);

/// The balancers that check, and a line of their logs for a host that has failed.
const CHECKERS: [(&str, &str); 2] = [("txlb", " is down: "), ("haproxy", " is DOWN")];

pub(crate) fn measure(folder: &Folder, options: &Options, report: &mut Report) -> Outcome<()> {
    let (hosts, dead) = (options.or_quick(HOSTS, 300), options.or_quick(DEAD, 10));
    let interval = options.or_quick(Duration::from_secs(2), Duration::from_millis(200));
    let backend = Backend::start(folder, hosts - dead)?;
    let head = ["", "CPU, % of a processor", "first found", "half", "all"];
    let mut table = Table::new(head);
    for (name, line) in CHECKERS {
        let doomed = doomed(dead)?;
        let addresses = doomed.iter().map(TcpListener::local_addr);
        let mut all = addresses.collect::<std::io::Result<Vec<_>>>()?;
        all.extend(&backend.hosts);
        let task = Task::new(&all)?;
        let mut command = command(folder, name, &task, interval)?;
        let log = folder.fresh(&format!("{name}-checks.log"));
        let mut process = Process::start(name, &mut command, &log)?;
        process.wait_listening(task.listens[0])?;
        pause(options.or_quick(START, 2 * interval))?;
        let cpu = percent(&mut process, Duration::from_secs(options.seconds))?;
        if process.log().contains(line) {
            return Err(format!("{name} has failed hosts that live:\n{}", process.log()).into());
        }
        drop(doomed);
        let found = find(&mut process, line, dead)?;
        eprintln!("Checks: {name} {cpu:.1} %, {found:?}");
        let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
        let cells = found.map(seconds).into_iter();
        table.row(
            [name.to_owned(), format!("{cpu:.1}")]
                .into_iter()
                .chain(cells)
                .collect(),
        );
    }
    let words = format!(
        "{hosts} hosts, a connect to each every {} s, no clients. Then {dead} hosts die at once: \
         the time until the first, half and all of them have failed, at the third check.",
        interval.as_secs_f64()
    );
    report.section("Checks", &words, &table);
    Ok(())
}

/// Hosts that the kernel answers for, until they are dropped: nobody accepts.
fn doomed(count: usize) -> Outcome<Vec<TcpListener>> {
    let port = free_port()?;
    let hosts = (0..count).map(|number| {
        let byte = u8::try_from(number % 250 + 1)?;
        let address: SocketAddr = (Ipv4Addr::new(127, 2, 0, byte), port).into();
        Ok(TcpListener::bind(address)?)
    });
    hosts.collect()
}

/// Processor time in this time, in percent of one processor.
fn percent(process: &mut Process, time: Duration) -> Outcome<f64> {
    let family = process.family();
    let (before, start) = (Cpu::of(&family)?, Instant::now());
    pause(time)?;
    process.check()?;
    let spent = Cpu::of(&family)? - before;
    Ok(spent.total_ns() / start.elapsed().as_secs_f64() / 1e7)
}

/// The times until the first, half and all of `count` hosts have failed.
fn find(process: &mut Process, line: &str, count: usize) -> Outcome<[Duration; 3]> {
    let start = Instant::now();
    let mut found = Vec::new();
    while found.len() < count {
        process.check()?;
        pause(Duration::from_millis(20))?;
        let time = start.elapsed();
        found.resize(process.log().matches(line).count().max(found.len()), time);
        if time > TIMEOUT {
            let log = process.log();
            return Err(format!("only {} of {count} are found:\n{log}", found.len()).into());
        }
    }
    Ok([found[0], found[count / 2], found[count - 1]])
}

fn command(folder: &Folder, name: &str, task: &Task, interval: Duration) -> Outcome<Command> {
    if name == "txlb" {
        let check = format!(
            "<check type=\"tcp\" interval=\"{}\" timeout=\"1\" rise=\"2\" fall=\"3\"/>",
            interval.as_secs_f64()
        );
        let service = service("s", task.listens[0], &task.hosts, "", &check);
        let text = format!("<config>{service}</config>\n");
        return Ok(txlb_command(&folder.write("checks.xml", &text)?, 2));
    }
    let check = format!(
        "timeout check 1s\n default-server check inter {}ms fall 3 rise 2",
        interval.as_millis()
    );
    haproxy_command(folder, &haproxy(task, 2_000, "", &check))
}
