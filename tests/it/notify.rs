//! sd_notify: READY, RELOADING, STATUS, WATCHDOG and STOPPING on a socket of the test.
//!
//! `.ci/systemd` tests it with systemd.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::TIMEOUT;
use crate::support::client::Session;
use crate::support::config::{web, web_service};
use crate::support::control::{ctl, with_control};
use crate::support::daemon::{Daemon, start_command, write_config};
use crate::support::host::Host;
use crate::support::txlb::{Folder, Txlb, command, finish, text};
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};

/// The supervisor's socket.
struct Ear(UnixDatagram);

impl Ear {
    fn new(folder: &Folder) -> Ear {
        Ear::at(UnixDatagram::bind(folder.file("notify")).unwrap())
    }

    fn at(socket: UnixDatagram) -> Ear {
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        Ear(socket)
    }

    /// The lines of the next message.
    fn hear(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let length = self.0.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The next message, which must match: `*` is any text. Skips watchdog messages, and bare
    /// status messages unless one is expected: a status may change before a reload is over.
    fn expect(&self, expected: &[&str]) -> Vec<String> {
        let received = loop {
            match self.hear() {
                lines if lines == ["WATCHDOG=1"] => {}
                lines
                    if lines.len() == 1
                        && lines[0].starts_with("STATUS=")
                        && expected.len() > 1 => {}
                lines => break lines,
            }
        };
        let fits = |(line, expected): (&String, &&str)| match expected.split_once('*') {
            Some((start, end)) => line.starts_with(start) && line.ends_with(end),
            None => line == expected,
        };
        let same = received.len() == expected.len() && received.iter().zip(expected).all(fits);
        assert!(same, "{received:?} is not {expected:?}");
        received
    }

    /// Checks that there is no message.
    fn hears_nothing(&self) {
        self.0.set_nonblocking(true).unwrap();
        let error = self.0.recv(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        self.0.set_nonblocking(false).unwrap();
    }
}

/// Starts a txlb with a supervisor; reads no message yet.
fn start(config: &str, more: &[(&str, &str)]) -> (Ear, Txlb) {
    let folder = Folder::new();
    let ear = Ear::new(&folder);
    let socket = folder.file("notify");
    let txlb = start_for(text(&socket), folder, config, more);
    (ear, txlb)
}

fn start_for(socket: &str, folder: Folder, config: &str, more: &[(&str, &str)]) -> Txlb {
    let file = folder.write("config.xml", config);
    let mut command = command(&["-w", "2", "-f", text(&file)]);
    command.env("NOTIFY_SOCKET", socket);
    command.envs(more.iter().copied());
    Txlb::spawn(command, folder)
}

const READY: [&str; 3] = [
    "READY=1",
    "MAINPID=*",
    "STATUS=serving 1 service, 0 sessions open, generation 1",
];

fn monotonic_us() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

#[test]
fn it_is_ready_once_it_listens_and_says_who_it_is() {
    let host = Host::new("a");
    let (ear, mut txlb) = start(&web("", "roundr", &[host.address()]), &[]);
    let told = ear.expect(&READY);
    assert_eq!(told[1], format!("MAINPID={}", txlb.pid()));
    txlb.wait_for(" runs as process ");
    Session::open(txlb.address()).close();
    txlb.signal(Signal::TERM);
    ear.expect(&["STOPPING=1"]);
    assert_eq!(txlb.wait_exit().code(), Some(0));
}

#[test]
fn in_the_background_it_is_ready_before_the_first_process_returns() {
    let folder = Folder::new();
    let ear = Ear::new(&folder);
    write_config(
        &folder,
        &web_service("", "roundr", &["127.0.0.1:9".parse().unwrap()]),
    );
    let mut start = start_command(&folder, &[]);
    start.env("NOTIFY_SOCKET", folder.file("notify"));
    let daemon = Daemon::started(&folder, &finish(start));
    ear.0.set_nonblocking(true).unwrap();
    let told = ear.expect(&READY);
    assert_eq!(told[1], format!("MAINPID={}", daemon.pid()));
}

#[test]
fn who_cannot_start_is_never_ready() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = taken.local_addr().unwrap().to_string();
    let host = "127.0.0.1:9".parse().unwrap();
    let config = web("", "roundr", &[host]).replace("127.0.0.1:0", &place);
    let (ear, mut txlb) = start(&config, &[]);
    assert_eq!(txlb.wait_exit().code(), Some(69));
    ear.hears_nothing();
}

#[test]
fn an_abstract_socket_will_do() {
    let name = format!("txlb-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let ear = Ear::at(UnixDatagram::bind_addr(&address).unwrap());
    let host = "127.0.0.1:9".parse().unwrap();
    let config = web("", "roundr", &[host]);
    let _txlb = start_for(&format!("@{name}"), Folder::new(), &config, &[]);
    ear.expect(&READY);
}

#[test]
fn an_unreachable_supervisor_is_warned_about_and_no_more() {
    let host = Host::new("a");
    let config = web("", "roundr", &[host.address()]);
    for socket in ["/nowhere/at/all", "vsock:2:1"] {
        let mut txlb = start_for(socket, Folder::new(), &config, &[]);
        txlb.wait_for("cannot use NOTIFY_SOCKET: ");
        txlb.wait_for(" runs as process ");
        Session::open(txlb.address()).close();
    }
}

#[test]
fn a_reload_is_told_from_its_beginning_to_its_end_however_it_ends() {
    let config = web("", "roundr", &["127.0.0.1:9".parse().unwrap()]);
    let (ear, mut txlb) = start(&config, &[]);
    ear.expect(&READY);
    let more = config.replace("</config>", "")
        + "<service name='more'><listen ip='127.0.0.1:0'/>\
           <group name='g' enable='true'/></service></config>";
    let broken = "<config>\n  <servce/></config>";
    for (config, status) in [
        (
            config.as_str(),
            "STATUS=serving 1 service, 0 sessions open, generation 1",
        ),
        (
            &more,
            "STATUS=serving 2 services, 0 sessions open, generation 2",
        ),
        (
            broken,
            "STATUS=serving 2 services, 0 sessions open, generation 2; the last reload \
             failed: */config.xml:2:3: <servce> is unknown in <config>: is <service> meant?",
        ),
        (
            &config,
            "STATUS=serving 1 service, 0 sessions open, generation 3",
        ),
    ] {
        txlb.folder.write("config.xml", config);
        let before = monotonic_us();
        txlb.signal(Signal::HUP);
        let told = ear.expect(&["RELOADING=1", "MONOTONIC_USEC=*"]);
        let (_, moment) = told[1].split_once('=').unwrap();
        assert!((before..=monotonic_us()).contains(&moment.parse().unwrap()));
        ear.expect(&["READY=1", "MAINPID=*", status]);
    }
    assert_eq!(txlb.stop(), Some(0));
}

#[test]
fn a_change_by_the_controller_is_seen_in_the_status() {
    let folder = Folder::new();
    let socket = folder.file("control.sock");
    let config = web("", "roundr", &["127.0.0.1:9".parse().unwrap()]);
    let (ear, _txlb) = start(&with_control(&config, &socket), &[]);
    ear.expect(&READY);
    let words = ["newService", "service=new", "listen=127.0.0.1:0"];
    assert_eq!(ctl(&socket, &words).status, Some(0));
    ear.expect(&["STATUS=serving 2 services, 0 sessions open, generation 2"]);
    assert_eq!(ctl(&socket, &["shutdown"]).status, Some(0));
    ear.expect(&["STOPPING=1"]);
}

#[test]
fn the_watchdog_is_fed_twice_as_often_as_it_wants_and_no_more() {
    let config = web("", "roundr", &["127.0.0.1:9".parse().unwrap()]);
    let period = Duration::from_millis(500);
    let (ear, mut txlb) = start(&config, &[("WATCHDOG_USEC", "1000000")]);
    ear.expect(&READY);
    assert_eq!(ear.hear(), ["WATCHDOG=1"]);
    let start = Instant::now();
    for number in 1..=4 {
        assert_eq!(ear.hear(), ["WATCHDOG=1"]);
        // The first message may have waited in the socket.
        assert!(start.elapsed() > period * (number - 1));
    }
    assert_eq!(txlb.stop(), Some(0));
}

#[test]
fn the_watchdog_of_another_process_is_not_fed() {
    let config = web("", "roundr", &["127.0.0.1:9".parse().unwrap()]);
    let others = [("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")];
    let (ear, txlb) = start(&config, &others);
    ear.expect(&READY);
    txlb.signal(Signal::HUP);
    assert_eq!(ear.hear()[0], "RELOADING=1");
    assert_eq!(ear.hear()[0], "READY=1");
    ear.hears_nothing();
}

/// systemd kills a service some time after STOPPING=1, and QUIT may take longer.
#[test]
fn after_quit_it_is_alive_until_the_last_session_is_over() {
    let host = Host::new("a");
    let config = web("", "roundr", &[host.address()]);
    let (ear, mut txlb) = start(&config, &[("WATCHDOG_USEC", "100000")]);
    ear.expect(&READY);
    txlb.wait_for(" runs as process ");
    let session = Session::open(txlb.address());
    txlb.signal(Signal::QUIT);
    ear.expect(&["STATUS=stopping: 1 session open"]);
    // One of the two workers has ended by now.
    for _ in 0..5 {
        assert_eq!(ear.hear(), ["WATCHDOG=1"]);
    }
    session.close();
    ear.expect(&["STOPPING=1"]);
    assert_eq!(txlb.wait_exit().code(), Some(0));
    assert_eq!(txlb.count("gives no sign of life"), 0);
}

/// Stops one thread of another process until it is resumed.
const HOLD: &str = "
import ctypes, os, sys
ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
ATTACH, DETACH, ALL = 16, 17, 0x40000000
thread = int(sys.argv[1])
if ptrace(ATTACH, thread, None, None):
    sys.exit(os.strerror(ctypes.get_errno()))
os.waitpid(thread, ALL)
print('held', flush=True)
sys.stdin.readline()
ptrace(DETACH, thread, None, None)
";

#[test]
#[ignore = "needs python3, and to be root or the parent of what is traced"]
fn a_worker_that_hangs_has_the_watchdog_starve() {
    let config = web("", "roundr", &["127.0.0.1:9".parse().unwrap()]);
    let (ear, mut txlb) = start(&config, &[("WATCHDOG_USEC", "400000")]);
    ear.expect(&READY);
    let threads = fs::read_dir(format!("/proc/{}/task", txlb.pid())).unwrap();
    let worker = threads
        .map(|entry| entry.unwrap().path())
        .find(|path| fs::read_to_string(path.join("comm")).unwrap() == "worker-1\n")
        .unwrap();
    let mut holder = Command::new("python3")
        .args(["-c", HOLD])
        .arg(worker.file_name().unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = std::io::BufReader::new(holder.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    assert_eq!(line, "held\n");
    // The check that was under way.
    txlb.wait_for("gives no sign of life: the watchdog is not fed");
    ear.0.set_nonblocking(true).unwrap();
    while ear.0.recv(&mut [0; 64]).is_ok() {}
    // The log counts the checks that follow.
    let more = txlb.wait_for("more times: a worker gives no sign of life");
    ear.hears_nothing();
    let times = more.split(' ').find_map(|word| word.parse::<u32>().ok());
    assert!(times.is_some_and(|times| times >= 20), "{more}");
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    assert_eq!(ear.hear(), ["WATCHDOG=1"]);
    assert_eq!(txlb.stop(), Some(0));
}

#[test]
fn without_a_supervisor_there_is_no_thread_for_it() {
    let folder = Folder::new();
    let config = web("", "roundr", &["127.0.0.1:9".parse().unwrap()]);
    let file = folder.write("config.xml", config);
    let mut command = command(&["-f", text(&file)]);
    command
        .env_remove("NOTIFY_SOCKET")
        .env("WATCHDOG_USEC", "1000");
    let mut txlb = Txlb::spawn(command, folder);
    txlb.wait_for(" runs as process ");
    let threads = fs::read_dir(format!("/proc/{}/task", txlb.pid())).unwrap();
    for path in threads.map(|entry| entry.unwrap().path()) {
        let name = fs::read_to_string(path.join("comm")).unwrap();
        assert!(
            !["supervisor\n", "watchdog\n"].contains(&name.as_str()),
            "{name}"
        );
    }
    let mut check = crate::support::txlb::command(&["-t", "-f", "/nowhere"]);
    check.env("NOTIFY_SOCKET", "/nowhere/at/all");
    assert!(!finish(check).stderr.contains("NOTIFY_SOCKET"));
}

#[test]
fn an_upgrade_is_no_stop_of_the_unit() {
    let host = Host::new("a");
    let config = web_service("", "roundr", &[host.address()]);
    let (ear, mut txlb) = start(&format!("<config>{config}</config>"), &[]);
    let mut process: i32 = txlb.pid().as_raw_nonzero().into();
    ear.expect(&READY);
    // Without a session the old process drains in no time.
    for _ in 0..15 {
        kill_process(Pid::from_raw(process).unwrap(), Signal::USR2).unwrap();
        txlb.wait_for("took over from process ");
        let main = loop {
            match ear.hear() {
                lines if lines.iter().any(|it| it.starts_with("MAINPID=")) => break lines,
                lines => assert!(!lines.contains(&"STOPPING=1".to_owned()), "{lines:?}"),
            }
        };
        let main = main.iter().find_map(|it| it.strip_prefix("MAINPID="));
        process = main.unwrap().parse().unwrap();
        loop {
            let lines = ear.hear();
            assert!(!lines.contains(&"STOPPING=1".to_owned()), "{lines:?}");
            if lines.contains(&"READY=1".to_owned()) {
                break;
            }
        }
    }
    kill_process(Pid::from_raw(process).unwrap(), Signal::TERM).unwrap();
    ear.expect(&["STOPPING=1"]);
}
