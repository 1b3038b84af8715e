//! Exit statuses, options, PID file and signals.

use std::fs;
use std::io::{PipeReader, PipeWriter, Write, pipe};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::client::{End, Session, who, who_in_turn};
use crate::support::config::web;
use crate::support::host::{Host, Place};
use crate::support::txlb::{Finished, Folder, Txlb, command, finish, run, text};
use crate::support::{pause, until};
use rustix::io::ioctl_fionbio;
use rustix::process::Signal;

/// Runs txlb, which must end with this status; returns its errors.
fn ends_with(status: i32, arguments: &[&str]) -> String {
    let finished = run(arguments);
    assert_eq!(finished.status, Some(status), "{arguments:?}: {finished:?}");
    finished.stderr
}

/// A valid configuration.
fn some_config() -> String {
    web("", "roundr", &["127.0.0.1:9".parse().unwrap()])
}

#[test]
fn the_version_and_the_options_are_printed() {
    for option in ["-V", "--version"] {
        let Finished {
            status,
            stdout,
            stderr,
        } = run(&[option]);
        assert_eq!((status, stderr.as_str()), (Some(0), ""));
        assert_eq!(stdout, format!("txlb {}\n", env!("CARGO_PKG_VERSION")));
    }
    let details = run(&["-VV"]).stdout;
    assert!(details.starts_with(&format!("txlb {}\ncommit ", env!("CARGO_PKG_VERSION"))));
    assert!(details.contains("\ncrates    mio "), "{details}");
    for option in ["-h", "--help"] {
        let Finished {
            status,
            stdout,
            stderr,
        } = run(&[option]);
        assert_eq!((status, stderr.as_str()), (Some(0), ""));
        assert!(stdout.contains("-L ADDR"), "{stdout}");
    }
}

#[test]
fn wrong_usage_is_64() {
    for arguments in [
        &["-X"][..],
        &["start"],
        &["-L", "80"],
        &["-w", "0"],
        &["-s", "restart"],
        &["diff", "old.xml"],
    ] {
        let complaint = ends_with(64, arguments);
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
}

#[test]
fn a_bad_configuration_is_65_and_one_line_that_says_where() {
    let folder = Folder::new();
    let bad = some_config()
        .replace("<group", "\n<group")
        .replace("roundr", "roundrobbin");
    let file = folder.write("bad.xml", bad);
    for arguments in [
        &["-t", "-f", text(&file)][..],
        &["-T", "-f", text(&file)],
        &["-f", text(&file)],
        &["diff", text(&file), text(&file)],
    ] {
        let complaint = ends_with(65, arguments);
        assert!(
            complaint.starts_with(&format!("{}:2:", text(&file))),
            "{complaint}"
        );
        assert!(complaint.contains("roundrobbin"), "{complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
}

#[test]
fn a_missing_file_is_66() {
    let folder = Folder::new();
    let file = folder.file("nowhere.xml");
    for arguments in [
        &["-t", "-f", text(&file)][..],
        &["-f", text(&file)],
        &["diff", text(&file), text(&file)],
    ] {
        assert!(ends_with(66, arguments).contains("nowhere.xml"));
    }
    ends_with(66, &["-s", "stop", "-p", text(&folder.file("nowhere.pid"))]);
}

#[test]
fn a_port_in_use_is_69() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = taken.local_addr().unwrap().to_string();
    let complaint = ends_with(69, &["-L", &place, "-B", "127.0.0.1:9"]);
    assert!(complaint.contains(&place), "{complaint}");
}

#[test]
fn a_second_instance_on_the_same_port_is_69() {
    let host = Host::new("a");
    let txlb = Txlb::start(&web("", "roundr", &[host.address()]));
    let place = txlb.address().to_string();
    let complaint = ends_with(69, &["-w", "4", "-L", &place, "-B", "127.0.0.1:9"]);
    assert!(
        complaint.contains("another txlb or another program listens there"),
        "{complaint}"
    );
    assert_eq!(who_in_turn(txlb.address(), 8), "aaaaaaaa");
}

#[test]
fn a_log_or_pid_file_that_cannot_be_written_is_73() {
    let folder = Folder::new();
    let serve = ["-L", "127.0.0.1:0", "-B", "127.0.0.1:9"];
    let nowhere = folder.file("no/such/folder");
    for option in ["-l", "-p"] {
        let complaint = ends_with(73, &[&serve[..], &[option, text(&nowhere)]].concat());
        assert!(complaint.contains("no/such/folder"), "{complaint}");
    }
    let config = some_config();
    let logging = format!("<logging file=\"{}\"/></config>", nowhere.display());
    let file = folder.write("config.xml", config.replace("</config>", &logging));
    ends_with(73, &["-f", text(&file)]);
}

#[test]
fn a_file_that_may_not_be_read_is_77() {
    let folder = Folder::new();
    let file = folder.write("config.xml", some_config());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let mut check = command(&["-t", "-f", text(&file)]);
    if rustix::process::geteuid().is_root() {
        // Root may read anything, so another user tries.
        check.uid(65_534).gid(65_534);
        if check.output().is_err() {
            eprintln!("left out: nobody may not run the program where it is");
            return;
        }
    }
    assert_eq!(finish(check).status, Some(77));
}

#[test]
fn checking_binds_nothing_and_tells_of_what_may_be_wrong() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = taken.local_addr().unwrap().to_string();
    let file = folder.write("good.xml", some_config().replace("127.0.0.1:0", &place));
    assert!(ends_with(0, &["-t", "-f", text(&file)]).contains("is good"));
    let file = folder.write("empty.xml", web("", "roundr", &[]));
    let warning = ends_with(0, &["-t", "-f", text(&file)]);
    assert!(
        warning.starts_with(&format!("{}:1:", text(&file))),
        "{warning}"
    );
    assert!(warning.contains("warning: "), "{warning}");
}

/// txlb refuses rather than serve the page in the clear.
#[cfg(all(feature = "web", not(feature = "https")))]
#[test]
fn a_secure_page_needs_a_program_that_can() {
    let folder = Folder::new();
    let admin = "<admin><web listen=\"127.0.0.1:0\" secure=\"true\"/></admin></config>";
    let file = folder.write("config.xml", some_config().replace("</config>", admin));
    assert!(ends_with(65, &["-t", "-f", text(&file)]).contains("built without HTTPS"));
}

#[test]
fn what_is_in_effect_is_printed_without_hashes_and_can_be_read_again() {
    let folder = Folder::new();
    let hash = "iy9l0V1MkG1DE";
    let admin =
        format!("<admin><user name=\"u\" password=\"{hash}\" access=\"full\"/></admin></config>");
    let file = folder.write("config.xml", some_config().replace("</config>", &admin));
    let printed = run(&["-T", "-f", text(&file)]).stdout;
    assert!(printed.contains("password=\"***\""), "{printed}");
    assert!(!printed.contains(hash), "{printed}");
    let again = folder.write("again.xml", printed.replace("***", hash));
    let Finished { status, stdout, .. } = run(&["-T", "-f", text(&again)]);
    assert_eq!((status, stdout), (Some(0), printed));
}

#[test]
fn the_command_line_alone_is_enough() {
    let hosts = ["a", "b"].map(Host::new);
    let [one, two] = hosts.each_ref().map(|host| host.address().to_string());
    let weighted = format!("{two},weight=2");
    let serve = command(&[
        "-L",
        "127.0.0.1:0",
        "-B",
        &one,
        "-B",
        &weighted,
        "-S",
        "weightrr",
    ]);
    let mut txlb = Txlb::spawn(serve, Folder::new());
    txlb.wait_for(" runs as process ");
    let address = txlb.addresses("main")[0];
    let turns = who_in_turn(address, 6);
    assert_eq!(turns.matches('b').count(), 4, "{turns}");
    // Without a file, a reload only reopens the log.
    txlb.signal(Signal::HUP);
    txlb.wait_for("there is no configuration file");
    assert_eq!(who(address).len(), 1);
    assert_eq!(txlb.stop(), Some(0));
}

#[test]
fn what_the_descriptors_are_enough_for_is_logged() {
    let txlb = Txlb::start_limited(128, &some_config(), &["-w", "1"]);
    let told = txlb.seen.iter().find_map(|line| {
        let (_, rest) = line.split_once(" descriptors: 128: enough for ")?;
        rest.strip_suffix(" sessions")
    });
    // Two for each session, and some for other things.
    let sessions: u32 = told.unwrap().parse().unwrap();
    assert!((1..64).contains(&sessions), "{sessions}");
}

/// A running txlb with a PID file in its folder, and a host.
fn with_pid_file() -> (Host, Txlb, PathBuf) {
    let (host, folder) = (Host::new("a"), Folder::new());
    let pid_file = folder.file("txlb.pid");
    let config = folder.write("config.xml", web("", "roundr", &[host.address()]));
    let serve = command(&["-f", text(&config), "-p", text(&pid_file)]);
    let mut txlb = Txlb::spawn(serve, folder);
    txlb.wait_for(" runs as process ");
    (host, txlb, pid_file)
}

#[test]
fn the_pid_file_is_locked_and_gone_afterwards() {
    let (_host, mut txlb, pid_file) = with_pid_file();
    let number = fs::read_to_string(&pid_file).unwrap();
    assert_eq!(number, format!("{}\n", txlb.pid()));
    let second = [
        "-L",
        "127.0.0.1:0",
        "-B",
        "127.0.0.1:9",
        "-p",
        text(&pid_file),
    ];
    let complaint = ends_with(73, &second);
    assert!(complaint.contains(number.trim()), "{complaint}");
    // The second txlb has left the file alone.
    assert_eq!(fs::read_to_string(&pid_file).unwrap(), number);
    assert_eq!(txlb.stop(), Some(0));
    assert!(!pid_file.exists());
}

#[test]
fn a_stale_pid_file_is_taken_over() {
    let folder = Folder::new();
    let pid_file = folder.write("txlb.pid", " 4194304\n");
    let serve = [
        "-L",
        "127.0.0.1:0",
        "-B",
        "127.0.0.1:9",
        "-p",
        text(&pid_file),
    ];
    let mut txlb = Txlb::spawn(command(&serve), folder);
    txlb.wait_for(" runs as process ");
    assert_eq!(
        fs::read_to_string(&pid_file).unwrap(),
        format!("{}\n", txlb.pid())
    );
    assert_eq!(txlb.stop(), Some(0));
}

#[test]
fn signals_are_sent_to_the_holder_of_the_lock() {
    let (_host, mut txlb, pid_file) = with_pid_file();
    let send = |word| ends_with(0, &["-s", word, "-p", text(&pid_file)]);
    send("reload");
    txlb.wait_for("is unchanged");
    send("reopen");
    let session = Session::open(txlb.address());
    send("quit");
    txlb.wait_for("once the open session is over");
    session.close();
    assert_eq!(txlb.wait_exit().code(), Some(0));

    let (_host, mut txlb, pid_file) = with_pid_file();
    ends_with(0, &["-s", "stop", "-p", text(&pid_file)]);
    assert_eq!(txlb.wait_exit().code(), Some(0));
}

#[test]
fn nobody_is_sent_a_signal_for_a_pid_file_without_a_lock() {
    let folder = Folder::new();
    // If the number were trusted, this test would be signalled.
    let pid_file = folder.write("txlb.pid", format!("{}\n", std::process::id()));
    let complaint = ends_with(1, &["-s", "stop", "-p", text(&pid_file)]);
    assert!(complaint.contains("none is running"), "{complaint}");
}

#[test]
fn term_lets_sessions_end_and_cuts_the_last_off_after_five_seconds() {
    let host = Host::new("a");
    let mut txlb = Txlb::start(&web("", "roundr", &[host.address()]));
    let [mut early, late] = [(); 2].map(|()| Session::open(txlb.address()));
    let start = Instant::now();
    txlb.signal(Signal::TERM);
    txlb.wait_for("stopping: 2 sessions have 5 s left");
    // New clients are refused, open sessions are served.
    until("the listener is closed", || {
        TcpStream::connect(txlb.address()).is_err()
    });
    early.echo(50_000);
    assert_eq!(early.close(), "a");
    assert_eq!(late.wait_end(), End::Reset);
    assert_eq!(txlb.wait_exit().code(), Some(0));
    let took = start.elapsed();
    // Five seconds, minus the error of a worker's clock.
    assert!(took >= Duration::from_millis(4900), "{took:?}");
}

#[test]
fn term_and_int_end_at_once_when_nobody_is_there() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let mut txlb = Txlb::start(&some_config());
        let start = Instant::now();
        txlb.signal(signal);
        assert_eq!(txlb.wait_exit().code(), Some(0));
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn a_second_term_ends_at_once() {
    let host = Host::new("a");
    let mut txlb = Txlb::start(&web("", "roundr", &[host.address()]));
    let session = Session::open(txlb.address());
    txlb.signal(Signal::QUIT);
    txlb.wait_for("once the open session is over");
    // One that comes at once is taken for the same one.
    pause(Duration::from_millis(600));
    let start = Instant::now();
    txlb.signal(Signal::TERM);
    assert_eq!(session.wait_end(), End::Reset);
    assert_eq!(txlb.wait_exit().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5));
}

/// As timeout(1) does: to the process, and to its group.
#[test]
fn a_stop_that_comes_twice_at_once_cuts_nobody() {
    let host = Host::new("a");
    let mut txlb = Txlb::start(&web("", "roundr", &[host.address()]));
    let mut session = Session::open(txlb.address());
    // Two of one kind may be one for the system already.
    txlb.signal(Signal::TERM);
    txlb.signal(Signal::INT);
    txlb.wait_for("stopping: 1 session has ");
    session.echo(1000);
    assert_eq!(session.close(), "a");
    assert_eq!(txlb.wait_exit().code(), Some(0));
    assert_eq!(txlb.count("a second signal to stop"), 0);
}

#[test]
fn quit_waits_for_the_last_session() {
    let host = Host::new("a");
    let mut txlb = Txlb::start(&web("", "roundr", &[host.address()]));
    let mut sessions = [(); 3].map(|()| Session::open(txlb.address()));
    txlb.signal(Signal::QUIT);
    txlb.wait_for("once the last of 3 sessions is over");
    until("the listener is closed", || {
        TcpStream::connect(txlb.address()).is_err()
    });
    for session in &mut sessions {
        session.echo(50_000);
    }
    for session in sessions {
        assert_eq!(session.close(), "a");
    }
    assert_eq!(txlb.wait_exit().code(), Some(0));
}

/// A full pipe.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    ioctl_fionbio(&writer, true).unwrap();
    for size in [4096, 1] {
        while writer.write(&[b' '; 4096][..size]).is_ok() {}
    }
    ioctl_fionbio(&writer, false).unwrap();
    (reader, writer)
}

#[test]
fn signals_are_obeyed_when_nobody_reads_the_log() {
    let (host, place) = (Host::new("a"), Place::new());
    let (listen, balance) = (place.address().to_string(), host.address().to_string());
    for signals in [&[Signal::TERM][..], &[Signal::HUP, Signal::QUIT]] {
        let serve = command(&["-v", "-w", "1", "-L", &listen, "-B", &balance]);
        let (_unread, stderr) = full_pipe();
        let mut txlb = Txlb::spawn_logging_to(stderr, serve, Folder::new());
        until("it listens", || TcpStream::connect(place.address()).is_ok());
        assert_eq!(who(place.address()), "a");
        for &signal in signals {
            txlb.signal(signal);
        }
        assert_eq!(txlb.wait_exit().code(), Some(0));
    }
}
