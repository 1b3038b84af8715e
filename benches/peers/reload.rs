//! How long a reload takes, and whether it delays clients.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Outcome;
use super::backend::Backend;
use super::balancer::{service, txlb_command};
use super::exchange::{Client, Idle, Ping, affordable};
use super::folder::{Folder, free_address};
use super::options::Options;
use super::process::{Process, pause};
use super::report::{Bound, Report};
use super::spread::Spread;
use super::table::Table;

const HOSTS: usize = 1_000;
const SESSIONS: usize = 5_000;
const RELOADS: usize = 10;

/// Time in which pauses are measured, before and with a reload.
const WINDOW: Duration = Duration::from_millis(200);

/// Longer than any reload may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// txlb, and the file that it reads again.
struct Rig {
    file: PathBuf,
    listen: SocketAddr,
    /// A listener that is added and removed by reloads.
    extra: SocketAddr,
    hosts: Vec<SocketAddr>,
    process: Process,
    reloads: usize,
}

pub(crate) fn measure(folder: &Folder, options: &Options, report: &mut Report) -> Outcome<()> {
    let sessions = affordable(options.or_quick(SESSIONS, 200));
    let backend = Backend::start(folder, HOSTS)?;
    let mut rig = Rig::start(folder, &backend)?;
    let mut idle = Idle::open(rig.listen, sessions)?;
    let ping = Ping::start(rig.listen)?;
    let (mut took, mut quiet, mut longest) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.or_quick(RELOADS, 3) {
        let (pause_before, ()) = ping.longest_while(|| pause(WINDOW))?;
        let (pause_with, time) = ping.longest_while(|| {
            let start = Instant::now();
            let time = rig.reload()?;
            pause(WINDOW.saturating_sub(start.elapsed()))?;
            Ok(time)
        })?;
        for (list, time) in [
            (&mut took, time),
            (&mut quiet, pause_before),
            (&mut longest, pause_with),
        ] {
            list.push(time.as_secs_f64() * 1e3);
        }
        eprintln!("Reload: {time:?}, pause {pause_with:?}, without {pause_before:?}");
    }
    ping.stop()?;
    idle.check()?;
    let [took, quiet, longest] = [took, quiet, longest].map(Spread::of);
    report.target("reload", Bound::AtMost(50.0), took.median, " ms");
    report.target(
        "longest pause with a reload",
        Bound::AtMost(50.0),
        longest.most,
        " ms",
    );
    let mut table = Table::new(["", "ms"]);
    table.row(vec!["HUP to in force".to_owned(), took.to_string()]);
    table.row(vec![
        "longest exchange meanwhile".to_owned(),
        longest.to_string(),
    ]);
    table.row(vec![
        "the same without a reload".to_owned(),
        quiet.to_string(),
    ]);
    let words = format!(
        "{HOSTS} hosts, {sessions} sessions open; a host is replaced, and a service with its listener \
         comes or goes. Exchanges are those of one steady session, in {} ms.",
        WINDOW.as_millis()
    );
    report.section("Reload", &words, &table);
    Ok(())
}

impl Rig {
    fn start(folder: &Folder, backend: &Backend) -> Outcome<Rig> {
        let file = folder.fresh("reload.xml");
        let mut command = txlb_command(&file, 2);
        let (listen, extra) = (free_address()?, free_address()?);
        let hosts = backend.hosts.clone();
        fs::write(&file, configuration(listen, extra, &hosts, 0))?;
        let mut process = Process::start("txlb", &mut command, &folder.fresh("reload.log"))?;
        process.wait_listening(listen)?;
        Ok(Rig {
            file,
            listen,
            extra,
            hosts,
            process,
            reloads: 0,
        })
    }

    /// Reloads another file; returns how long that took.
    fn reload(&mut self) -> Outcome<Duration> {
        self.reloads += 1;
        let text = configuration(self.listen, self.extra, &self.hosts, self.reloads);
        fs::write(&self.file, text)?;
        let start = Instant::now();
        self.process.signal(Signal::HUP)?;
        while self.process.log().matches(" is in force").count() < self.reloads {
            self.process.check()?;
            if start.elapsed() > TIMEOUT {
                return Err(format!("no reload: {}", self.process.log()).into());
            }
            pause(Duration::from_micros(200))?;
        }
        let took = start.elapsed();
        // Checks that the new listener serves.
        let serves = Client::connect(self.extra).and_then(|mut client| client.exchange());
        match serves.is_ok() == has_extra(self.reloads) {
            true => Ok(took),
            false => Err("a reload is said to be in force, and is not".into()),
        }
    }
}

fn has_extra(reloads: usize) -> bool {
    reloads % 2 == 1
}

/// The file after so many reloads.
fn configuration(
    listen: SocketAddr,
    extra: SocketAddr,
    hosts: &[SocketAddr],
    reloads: usize,
) -> String {
    let all = service("all", listen, hosts, "", "");
    // A host with another name is another host.
    let all = all.replacen("\"h0\"", &format!("\"r{reloads}\""), 1);
    let more = match has_extra(reloads) {
        true => service("more", extra, &hosts[..1], "", ""),
        false => String::new(),
    };
    format!("<config>\n{all}{more}</config>\n")
}
