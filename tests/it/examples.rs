//! Runs every example with real clients and hosts.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::support::client::{Session, connect, who, who_in_turn};
use crate::support::host::{Host, Place};
use crate::support::{TIMEOUT, until};

/// A running example.
struct Example {
    child: Child,
    lines: Receiver<String>,
    address: SocketAddr,
}

/// Where cargo puts examples when it builds the tests, or the folder that the variable names.
fn program(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("TXLB_EXAMPLES") {
        return Path::new(&folder).join(name);
    }
    let tests = std::env::current_exe().unwrap();
    let program = tests
        .ancestors()
        .nth(2)
        .unwrap()
        .join("examples")
        .join(name);
    assert!(
        program.exists(),
        "cargo build --examples makes {}",
        program.display()
    );
    program
}

impl Example {
    fn start(name: &str, arguments: &[String]) -> Example {
        let mut child = Command::new(program(name))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (said, lines) = channel();
        thread::spawn(move || {
            let mut lines = output.lines().map_while(Result::ok);
            lines.try_for_each(|line| said.send(line))
        });
        let first = lines.recv_timeout(TIMEOUT).expect("it ended at once");
        let address = first
            .strip_prefix("listening at ")
            .unwrap()
            .parse()
            .unwrap();
        Example {
            child,
            lines,
            address,
        }
    }

    fn say(&mut self, line: &str) {
        let mut input = self.child.stdin.as_ref().unwrap();
        writeln!(input, "{line}").unwrap();
    }

    /// The next line of output that contains this.
    fn hear(&self, part: &str) -> String {
        let mut lines = std::iter::from_fn(|| self.lines.recv_timeout(TIMEOUT).ok());
        lines
            .find(|line| line.contains(part))
            .unwrap_or_else(|| panic!("nothing with {part:?}"))
    }

    /// Ends it, and returns its other output.
    fn end(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        let rest = std::iter::from_fn(|| self.lines.recv_timeout(TIMEOUT).ok()).collect();
        assert!(self.child.wait().unwrap().success());
        rest
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // After a failed test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn arguments(first: &[&str], hosts: &[SocketAddr]) -> Vec<String> {
    let first = first.iter().map(ToString::to_string);
    first.chain(hosts.iter().map(ToString::to_string)).collect()
}

#[test]
fn there_is_a_test_of_each() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let names = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let names: BTreeSet<String> = names.map(|name| name.into_string().unwrap()).collect();
    let expected = ["embed.rs", "events.rs", "scheduler.rs", "takeover.rs"];
    assert_eq!(names, expected.map(str::to_owned).into());
}

#[test]
fn embed_balances_over_its_hosts() {
    let (a, b) = (Host::new("a"), Host::new("b"));
    let hosts = [a.address(), b.address()];
    let example = Example::start("embed", &arguments(&["127.0.0.1:0"], &hosts));
    assert_eq!(who_in_turn(example.address, 4), "abab");
    let mut session = Session::open(example.address);
    session.echo(1_000_000);
    session.close();
    let rest = example.end();
    assert_eq!(
        rest,
        ["host1 has served 3 sessions", "host2 has served 2 sessions"]
    );
}

#[test]
fn scheduler_fills_one_host_after_the_other() {
    let (a, b) = (Host::new("a"), Host::new("b"));
    let hosts = [a.address(), b.address()];
    let example = Example::start("scheduler", &arguments(&["2", "127.0.0.1:0"], &hosts));
    let mut open: Vec<Session> = (0..4).map(|_| Session::open(example.address)).collect();
    let names: String = open.iter().map(|session| session.name.as_str()).collect();
    assert_eq!(names, "aabb");
    assert_eq!(open.remove(0).close(), "a");
    example.hear("3 sessions are open");
    assert_eq!(who(example.address), "a");
    open.into_iter().for_each(|session| drop(session.close()));
    example.hear("0 sessions are open");
    example.end();
}

#[test]
fn events_tells_of_sessions_hosts_and_changes() {
    let (a, place) = (Host::new("a"), Place::new());
    let hosts = [place.address(), a.address()];
    let mut example = Example::start("events", &arguments(&["127.0.0.1:0"], &hosts));
    let mut session = Session::open(example.address);
    session.echo(10);
    session.close();
    example.hear("main:main/host1 failed: connection refused");
    let line = example.hear("was served by host2");
    assert!(
        line.ends_with("10 bytes there, 12 back, finished"),
        "{line}"
    );
    example.say("setOption name=manager.hostCheck.interval value=0.1");
    example.hear("change: generation 2: setOption");
    let _listener = place.listen();
    example.hear("main:main/host1 is healthy");
    example.say("drainHost service=main group=main name=nobody");
    example.hear("refused: ");
    example.end();
}

/// What a client reads at this port, to the end.
fn answer(address: SocketAddr) -> String {
    let mut answer = String::new();
    // A host sends its name, then echoes.
    let mut stream = connect(address);
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn takeover_refuses_nobody_while_it_turns_its_port_into_a_balanced_one() {
    let (a, b) = (Host::new("a"), Host::new("b"));
    let mut example = Example::start("takeover", &arguments(&["127.0.0.1:0"], &[]));
    let address = example.address;
    assert_eq!(answer(address), "the application itself\n");

    // Clients without a pause: each must be answered by the application or a host.
    let (enough, told) = channel::<()>();
    let clients = thread::spawn(move || {
        let mut answers = Vec::new();
        while told.try_recv().is_err() {
            answers.push(answer(address));
        }
        answers
    });
    example.say(&format!("balance {} {}", a.address(), b.address()));
    example.hear("balanced");
    // The application may still answer the one client that it was waiting for.
    until("all is balanced", || {
        answer(address) != "the application itself\n"
    });
    assert_eq!(who_in_turn(address, 2).len(), 2);
    enough.send(()).unwrap();
    let answers = clients.join().unwrap();
    let first = answers.iter().position(|answer| answer.len() == 2).unwrap();
    let late = answers[first..].iter().filter(|answer| answer.len() > 2);
    assert!(late.count() <= 1, "{answers:?}");
    example.end();
    until("the port is closed", || {
        TcpStream::connect(address).is_err()
    });
}
