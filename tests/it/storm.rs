//! Clients in steady traffic while verbs and reloads come fifty times a second.
//!
//! It lasts a few seconds; `TXLB_STORM_S=60` makes it a minute.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::client::Session;
use crate::support::host::Host;
use crate::support::proc::{descriptors, memory, shows_descriptors};
use crate::support::txlb::{Folder, Txlb};
use crate::support::{noise, pause, until};

const CLIENTS: u64 = 32;

/// Pause between two verbs, and between two reloads: 25 of each a second.
const PAUSE: Duration = Duration::from_millis(40);

/// Random numbers with a fixed seed.
struct Dice(Vec<u8>);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice(noise(seed, 1 << 16))
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.0.rotate_left(2);
        usize::from(u16::from_le_bytes([self.0[0], self.0[1]])) % sides
    }
}

/// Calls `act` after each pause until the end; returns how often.
fn at_intervals(end: Instant, mut act: impl FnMut()) -> usize {
    let mut times = 0;
    while Instant::now() < end {
        act();
        times += 1;
        pause(PAUSE);
    }
    times
}

/// Sessions one after the other, some short and some long; checks every byte.
fn be_a_client(number: u64, address: SocketAddr, end: Instant) -> u64 {
    let mut dice = Dice::new(number);
    let mut exchanges = 0;
    while Instant::now() < end {
        let mut session = Session::open(address);
        for _ in 0..=dice.roll(60) {
            let most = if dice.roll(20) == 0 { 300_000 } else { 3000 };
            session.echo(1 + dice.roll(most));
            exchanges += 1;
        }
        session.close();
    }
    exchanges
}

/// A random service that always has the clients' listener and, in its enabled group, the host
/// "a".
fn file(dice: &mut Dice, hosts: &[SocketAddr], socket: &Path) -> String {
    let mut extra = String::new();
    for number in 2..5 {
        if dice.roll(2) == 0 {
            extra += &format!("<listen ip=\"127.0.0.{number}:0\"/>");
        }
    }
    let scheduler = ["leastc", "roundr", "weightrr", "p2c", "maglev,sticky"][dice.roll(5)];
    let mut group = |name: &str, enabled: bool| {
        let mut text =
            format!("<group name=\"{name}\" scheduler=\"{scheduler}\" enable=\"{enabled}\">");
        let mut names: Vec<_> = ('a'..).zip(hosts).collect();
        names.rotate_left(dice.roll(hosts.len()));
        for (host, ip) in names {
            let weight = 1 + dice.roll(9);
            if host == 'a' || dice.roll(2) == 0 {
                text += &format!("<host name=\"{host}\" ip=\"{ip}\" weight=\"{weight}\"/>\n");
            }
        }
        text + "</group>"
    };
    let first = group("first", true);
    let second = group("second", false);
    format!(
        "<config>\n<!-- kept -->\n<service name=\"web\"><listen ip=\"127.0.0.1:0\"/>{extra}\n{first}\n{second}\n</service>\n\
         <control socket=\"{}\"/></config>",
        socket.display()
    )
}

/// A random verb that leaves the clients a host.
fn verb(dice: &mut Dice, hosts: &[SocketAddr]) -> String {
    let group = ["first", "second"][dice.roll(2)];
    let name = ["b", "c", "d", "e", "f"][dice.roll(5)];
    let ip = hosts[dice.roll(hosts.len())];
    let weight = 1 + dice.roll(20);
    let here = format!("service=web group={group}");
    let scheduler = [
        "leastc",
        "leastcrr",
        "rand",
        "roundr",
        "weightlc",
        "p2c,sticky",
    ][dice.roll(6)];
    let listen = format!("service=web ip=127.0.0.{}:0", 2 + dice.roll(4));
    match dice.roll(20) {
        0..=2 => format!("addHost {here} name={name} ip={ip} weight={weight}"),
        3..=4 => format!("delHost {here} name={name}"),
        5 => format!("setHost {here} name={name} ip={ip}"),
        6 => format!("setHost {here} name={name} before=a"),
        7..=8 => format!("setWeight {here} name={name} weight={weight}"),
        9 => format!("drainHost {here} name={name}"),
        10 => format!("hostAdminUp {here} name={name}"),
        11 => format!("enableGroup {here}"),
        12 => format!("changeScheduler {here} scheduler={scheduler}"),
        13 => format!("addListen {listen}"),
        14 => format!("delListen {listen}"),
        15 => format!("newService service={name} listen=127.0.0.9:0"),
        16 => format!("delService service={name}"),
        17 => format!("setService service=web connectTimeout={weight}"),
        18 => format!("retryHost {here} name={name}"),
        _ => "saveConfig force=true".to_owned(),
    }
}

/// A client of the control socket.
struct Control(BufReader<UnixStream>);

impl Control {
    fn open(socket: &Path) -> Control {
        Control(BufReader::new(UnixStream::connect(socket).unwrap()))
    }

    /// Sends a line; returns the last line of the response.
    fn ask(&mut self, line: &str) -> String {
        writeln!(self.0.get_mut(), "{line}").unwrap();
        loop {
            let mut answer = String::new();
            assert!(
                self.0.read_line(&mut answer).unwrap() > 0,
                "no answer to {line}"
            );
            if !answer.starts_with("  ") {
                return answer;
            }
        }
    }
}

/// Descriptors, and bytes of memory, without load.
fn footprint(pid: Pid) -> (usize, u64) {
    (descriptors(pid).len(), memory(pid))
}

#[test]
fn a_storm_of_changes_harms_no_client_and_leaves_nothing_behind() {
    if !shows_descriptors() {
        return;
    }
    let seconds = std::env::var("TXLB_STORM_S").map_or(3, |text| text.parse().unwrap());
    let farm: Vec<_> = (0..6)
        .map(|number| Host::new(&number.to_string()))
        .collect();
    let hosts: Vec<_> = farm.iter().map(Host::address).collect();
    let folder = Folder::new();
    let socket = folder.file("control");
    let first = file(&mut Dice::new(0), &hosts, &socket);
    let mut txlb = Txlb::start(&first);
    let (pid, address, path) = (txlb.pid(), txlb.address(), txlb.config_file());
    be_a_client(0, address, Instant::now() + Duration::from_millis(200));
    let calm = footprint(pid);

    let end = Instant::now() + Duration::from_secs(seconds);
    let reload = |text: &str| {
        replace(&path, text);
        kill_process(pid, Signal::HUP).unwrap();
    };
    let (exchanges, accepted, reloads) = thread::scope(|scope| {
        let clients: Vec<_> = (1..=CLIENTS)
            .map(|number| scope.spawn(move || be_a_client(number, address, end)))
            .collect();
        let reloads = scope.spawn(|| {
            let mut dice = Dice::new(1);
            at_intervals(end, || reload(&file(&mut dice, &hosts, &socket)))
        });
        let (mut dice, mut control) = (Dice::new(2), Control::open(&socket));
        let mut accepted = 0;
        at_intervals(end, || {
            let verb = verb(&mut dice, &hosts);
            let answer = control.ask(&verb);
            assert!(
                answer.starts_with("ok") || answer.starts_with("error: "),
                "{answer}"
            );
            accepted += usize::from(answer.starts_with("ok"));
        });
        let exchanges: u64 = clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum();
        (exchanges, accepted, reloads.join().unwrap())
    });
    println!("{exchanges} exchanges, {accepted} verbs accepted, {reloads} reloads");
    assert!(exchanges > 100 * seconds && reloads > 5 && accepted > 5);

    txlb.wait_for("config.xml is in force");
    txlb.reload(&first);
    until("it is calm again", || footprint(pid).0 == calm.0);
    let grown = footprint(pid).1.saturating_sub(calm.1);
    assert!(grown < 6_000_000, "{grown} bytes more are kept");
    drop(farm);
}

/// Moves a new file into place.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, path).unwrap();
}
