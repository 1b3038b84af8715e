//! Log lines: which, where, and with which words.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::support::client::{End, Session, connect, fate, read_all, who};
use crate::support::config::web;
use crate::support::host::{Host, Listener, Place, hang_up, reset};
use crate::support::peer::free_address;
use crate::support::txlb::{Folder, Txlb, command, run, text};
use crate::support::until;
use rustix::process::Signal;

fn contains(file: &Path, text: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|log| log.contains(text))
}

/// The configuration with these attributes of `<logging>`.
fn with_logging(config: &str, attributes: &str) -> String {
    config.replace("</config>", &format!("<logging {attributes}/></config>"))
}

/// Starts txlb with a log file, and reads its addresses there.
fn with_log_file(config: &str, log: &str, options: &[&str]) -> (Txlb, PathBuf) {
    let folder = Folder::new();
    let in_folder = |template: &str| template.replace("FOLDER", text(folder.path()));
    let log = folder.file(log);
    let file = folder.write("config.xml", in_folder(config));
    let options: Vec<String> = options.iter().map(|option| in_folder(option)).collect();
    let mut serve = command(&["-f", text(&file)]);
    serve.args(options);
    let mut txlb = Txlb::spawn(serve, folder);
    until("it has started", || contains(&log, " runs as process "));
    txlb.seen = fs::read_to_string(&log)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    (txlb, log)
}

#[test]
fn a_log_that_was_moved_is_opened_again() {
    let host = Host::new("a");
    let config = web("", "roundr", &[host.address()]);
    let config = with_logging(&config, "file=\"FOLDER/log\" connections=\"true\"");
    let (mut txlb, log) = with_log_file(&config, "log", &[]);
    assert_eq!(who(txlb.address()), "a");
    until("the session is logged", || contains(&log, " web:main/a "));
    for signal in [Signal::USR1, Signal::HUP] {
        let old = log.with_extension("old");
        fs::rename(&log, &old).unwrap();
        txlb.signal(signal);
        until("there is a new log", || log.exists());
        assert_eq!(who(txlb.address()), "a");
        until("the session is logged", || contains(&log, " web:main/a "));
        assert!(!contains(&log, " runs as process "));
    }
    assert_eq!(txlb.stop(), Some(0));
}

#[test]
fn the_option_for_the_log_beats_the_file() {
    let host = Host::new("a");
    let config = web("", "roundr", &[host.address()]);
    let config = with_logging(&config, "file=\"FOLDER/no\"");
    let (mut txlb, log) = with_log_file(&config, "yes", &["-l", "FOLDER/yes"]);
    assert!(!txlb.folder.file("no").exists());
    // After a reload as well.
    let other = fs::read_to_string(txlb.config_file())
        .unwrap()
        .replace("/no\"", "/neither\"");
    txlb.folder.write("config.xml", other);
    txlb.signal(Signal::HUP);
    until("it is in force", || contains(&log, "is in force"));
    assert_eq!(txlb.stop(), Some(0));
    assert!(!txlb.folder.file("neither").exists());
}

#[test]
fn a_reload_moves_the_log() {
    let host = Host::new("a");
    let config = web("", "roundr", &[host.address()]);
    let mut txlb = Txlb::start(&config);
    let log = txlb.folder.file("log");
    txlb.reload(&with_logging(&config, &format!("file=\"{}\"", text(&log))));
    txlb.signal(Signal::HUP);
    until("it logs to the file", || contains(&log, "unchanged"));
}

#[test]
fn a_reload_whose_log_cannot_be_had_is_refused_until_it_can() {
    let hosts = ["a", "b"].map(Host::new);
    let mut txlb = Txlb::start(&web("", "roundr", &[hosts[0].address()]));
    let log = txlb.folder.file("later/log");
    let next = web("", "roundr", &[hosts[1].address()]);
    let next = with_logging(&next, &format!("file=\"{}\"", text(&log)));
    let complaint = txlb.reload_in_vain(&next);
    assert!(complaint.contains(text(&log)), "{complaint}");
    assert_eq!(who(txlb.address()), "a");
    // The same bytes, which can be put in force now.
    fs::create_dir(log.parent().unwrap()).unwrap();
    txlb.signal(Signal::HUP);
    txlb.wait_for("is in force");
    assert_eq!(who(txlb.address()), "b");
    txlb.signal(Signal::HUP);
    until("it logs to the file", || contains(&log, "unchanged"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_log_is_complained_of_and_can_be_left() {
    let host = Host::new("a");
    let config = web("", "roundr", &[host.address()]);
    // The sandbox allows no devices but those at the start.
    let mut txlb = Txlb::start_with(&config, &["-w", "2", "--no-sandbox"]);
    let logging = |file: &str| with_logging(&config, &format!("file=\"{file}\""));
    txlb.reload(&logging("/dev/full"));
    txlb.signal(Signal::HUP);
    let complaint = "txlb: cannot write to the log: ";
    txlb.wait_for(complaint);
    let log = txlb.folder.file("log");
    txlb.folder.write("config.xml", logging(text(&log)));
    txlb.signal(Signal::HUP);
    until("it is left", || log.exists());
    assert_eq!(txlb.stop(), Some(0));
    // The error is logged in the old log, once for each try. The new log lacks it.
    assert!(txlb.count(complaint) <= 2);
    assert!(contains(&log, "stopping: "));
    assert!(!contains(&log, "cannot log"));
}

#[test]
fn quiet_is_silent_about_what_is_well() {
    let folder = Folder::new();
    let file = folder.write("config.xml", web("", "roundr", &[]));
    let mut txlb = Txlb::spawn(command(&["-q", "-f", text(&file)]), folder);
    txlb.wait_for(" WARN ");
    assert_eq!(txlb.stop(), Some(0));
    assert_eq!(txlb.count(" INFO "), 0);
}

/// The fields of a session line.
#[derive(Debug)]
struct Line {
    client: String,
    service: String,
    host: String,
    times: Vec<i64>,
    bytes: u64,
    state: String,
    open: String,
}

/// Waits for the next session line.
fn session_line(txlb: &mut Txlb) -> Line {
    let line = txlb.wait_for(" web web:main/");
    // The first word is the level, which is five columns wide. The date is the session's own.
    let words: Vec<&str> = line.split(' ').collect();
    let [
        "INFO",
        "",
        client,
        date,
        service,
        host,
        times,
        bytes,
        state,
        open,
        "0/0",
    ] = words[..]
    else {
        panic!("{line}");
    };
    assert!(date.starts_with('[') && date.ends_with(']'), "{line}");
    Line {
        client: client.to_owned(),
        service: service.to_owned(),
        host: host.to_owned(),
        times: times.split('/').map(|time| time.parse().unwrap()).collect(),
        bytes: bytes.parse().unwrap(),
        state: state.to_owned(),
        open: open.to_owned(),
    }
}

/// Starts a service "web" that logs its sessions.
fn logging(attributes: &str, hosts: &[SocketAddr]) -> Txlb {
    let config = web(attributes, "roundr", hosts);
    Txlb::start(&with_logging(&config, "connections=\"true\""))
}

/// As `logging`, with one session whose two ends the test plays. A byte has passed, so the host
/// is connected for all three.
fn logged_session(attributes: &str) -> (Txlb, TcpStream, TcpStream) {
    let host = Listener::new();
    let txlb = logging(attributes, &[host.address()]);
    let mut client = connect(txlb.address());
    client.write_all(b"x").unwrap();
    let mut host = host.accept();
    host.read_exact(&mut [0]).unwrap();
    (txlb, client, host)
}

/// The same, after both ends have sent a byte.
fn greeted_session() -> (Txlb, TcpStream, TcpStream) {
    let (txlb, mut client, mut host) = logged_session("");
    host.write_all(b"hello").unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
    (txlb, client, host)
}

#[test]
fn a_session_is_one_line_in_haproxys_layout() {
    let (mut txlb, mut client, mut host) = logged_session("");
    client.write_all(b"question").unwrap();
    hang_up(&client);
    host.read_to_end(&mut Vec::new()).unwrap();
    host.write_all(&[b'x'; 1234]).unwrap();
    drop(host);
    assert_eq!(read_all(&client).1, End::Clean);
    let line = session_line(&mut txlb);
    assert_eq!(line.client, client.local_addr().unwrap().to_string());
    assert_eq!(
        (line.service.as_str(), line.host.as_str()),
        ("web", "web:main/a")
    );
    let [0, connect_ms, total_ms] = line.times[..] else {
        panic!("{line:?}")
    };
    assert!(0 <= connect_ms && connect_ms <= total_ms, "{line:?}");
    assert_eq!(
        (line.bytes, line.state.as_str(), line.open.as_str()),
        (1234, "--", "1/1/1/1/0")
    );
}

/// The value of a key in a line of JSON, as it is written there.
fn json_value<'a>(line: &'a str, key: &str) -> &'a str {
    let (_, value) = line
        .split_once(&format!("\"{key}\":"))
        .unwrap_or_else(|| panic!("no {key}: {line}"));
    let end = match value.strip_prefix('[') {
        Some(list) => list.find(']').unwrap() + 2,
        None => value.find([',', '}']).unwrap(),
    };
    &value[..end]
}

#[test]
fn a_log_may_be_json_which_has_all_four_ends_of_a_session() {
    let (place, listener) = (Place::new(), Listener::new());
    let config = web("", "roundr", &[place.address(), listener.address()]);
    let config = config.replace("<config>", "<config name=\"lb1\">");
    let address = free_address();
    let config = config.replace("127.0.0.1:0", &address.to_string());
    let config = with_logging(&config, "connections=\"true\" format=\"json\"");
    let mut txlb = Txlb::start(&config);
    let mut client = connect(address);
    client.write_all(b"question").unwrap();
    hang_up(&client);
    let mut host = listener.accept();
    host.read_to_end(&mut Vec::new()).unwrap();
    let source = host.peer_addr().unwrap();
    host.write_all(b"answer").unwrap();
    drop(host);
    assert_eq!(read_all(&client).1, End::Clean);
    let line = txlb.wait_for("\"reason\":");
    let quoted = |address: SocketAddr| format!("\"{address}\"");
    for (key, value) in [
        ("level", "\"INFO\"".to_owned()),
        ("instance", "\"lb1\"".to_owned()),
        ("service", "\"web\"".to_owned()),
        ("group", "\"main\"".to_owned()),
        ("host", "\"b\"".to_owned()),
        ("client", quoted(client.local_addr().unwrap())),
        ("listener", quoted(address)),
        ("source", quoted(source)),
        ("host_address", quoted(listener.address())),
        ("bytes_to_host", "8".to_owned()),
        ("bytes_to_client", "6".to_owned()),
        ("tried", "[\"a\"]".to_owned()),
        ("retries", "1".to_owned()),
        ("reason", "\"finished\"".to_owned()),
    ] {
        assert_eq!(json_value(&line, key), value, "{key}: {line}");
    }
    // Whatever is logged is an object of one line.
    for line in txlb.log() {
        let is_object = line.starts_with("{\"time\":\"") && line.ends_with('}');
        assert!(is_object, "{line}");
    }
}

#[test]
fn a_template_says_what_is_logged_and_a_service_may_be_left_out() {
    let host = Host::new("a");
    let config = web("", "roundr", &[host.address()]);
    let template = "connections=\"true\" format=\"ended %{reason} at %{host}\"";
    let config = with_logging(&config, template);
    let mut txlb = Txlb::start(&config);
    assert_eq!(who(txlb.address()), "a");
    let line = txlb.wait_for("ended ");
    assert!(line.ends_with("Z INFO  ended finished at a"), "{line}");
    let silent = config.replace("<service ", "<service log=\"false\" ");
    txlb.reload(&silent);
    assert_eq!(who(txlb.address()), "a");
    txlb.reload(&config);
    assert_eq!(who(txlb.address()), "a");
    txlb.wait_for("ended ");
    // Each line has one date: the session's own, if there is one.
    txlb.reload(&config.replace("at %{host}", "since %{accepted}"));
    assert_eq!(who(txlb.address()), "a");
    let line = txlb.wait_for("ended ");
    let date = line.strip_prefix("INFO  ended finished since 20");
    assert!(date.is_some_and(|it| it.ends_with('Z')), "{line}");
    assert_eq!(txlb.stop(), Some(0));
    txlb.wait_for_count("ended ", 3);
}

#[test]
fn open_sessions_and_failed_hosts_are_counted_in_the_line() {
    let (place, host) = (Place::new(), Host::new("b"));
    let mut txlb = logging("", &[place.address(), host.address()]);
    let sessions = [(); 3].map(|()| Session::open(txlb.address()));
    // The first session met the refusing host, the others did not.
    for (session, open) in sessions
        .into_iter()
        .zip(["3/3/3/3/+1", "2/2/2/2/0", "1/1/1/1/0"])
    {
        session.close();
        let line = session_line(&mut txlb);
        assert_eq!(
            (line.host.as_str(), line.open.as_str()),
            ("web:main/b", open)
        );
    }
}

#[test]
fn a_session_without_a_host_is_sc() {
    let mut txlb = logging("", &[Place::new().address()]);
    fate(txlb.address());
    let line = session_line(&mut txlb);
    assert_eq!(
        (line.state.as_str(), line.host.as_str()),
        ("SC", "web:main/<NOSRV>")
    );
    assert_eq!(line.times[..2], [-1, -1]);
    assert!(line.open.ends_with("/1"), "{line:?}");
}

#[test]
fn a_session_with_a_silent_host_is_sc_by_timeout() {
    let place = Place::new();
    let _silent = place.fall_silent();
    let mut txlb = logging("connectTimeout='0.3'", &[place.address()]);
    fate(txlb.address());
    assert_eq!(session_line(&mut txlb).state, "sC");
}

#[test]
fn a_client_that_leaves_before_it_has_a_host_is_cc() {
    let place = Place::new();
    let _silent = place.fall_silent();
    let mut txlb = logging("", &[place.address()]);
    reset(connect(txlb.address()));
    assert_eq!(session_line(&mut txlb).state, "CC");
}

#[test]
fn a_reset_by_the_client_is_cd() {
    let (mut txlb, client, _host) = greeted_session();
    reset(client);
    assert_eq!(session_line(&mut txlb).state, "CD");
}

#[test]
fn a_reset_by_the_host_is_sd() {
    let (mut txlb, _client, host) = greeted_session();
    reset(host);
    assert_eq!(session_line(&mut txlb).state, "SD");
}

#[test]
fn a_timeout_is_laid_to_the_side_whose_turn_it_was() {
    let (mut txlb, _client, mut host) = logged_session("idleTimeout='1'");
    host.write_all(b"your turn").unwrap();
    assert_eq!(session_line(&mut txlb).state, "cD");
    let (mut txlb, mut client, _host) = logged_session("idleTimeout='1'");
    client.write_all(b"your turn").unwrap();
    assert_eq!(session_line(&mut txlb).state, "sD");
}

#[test]
fn a_session_that_is_cut_off_in_the_end_is_kd() {
    let (mut txlb, _client, _host) = greeted_session();
    txlb.signal(Signal::TERM);
    txlb.wait_for("stopping: ");
    assert_eq!(session_line(&mut txlb).state, "KD");
}

#[test]
fn control_characters_never_reach_the_log() {
    let folder = Folder::new();
    let host = Host::new("a");
    let good = web("", "roundr", &[host.address()]);
    let name = "new\nline \u{9b}31m.xml";
    let file = folder.write(name, &good);
    let mut txlb = Txlb::spawn(command(&["-f", text(&file)]), folder);
    txlb.wait_for(" runs as process ");
    let complaint = "the running configuration stays";
    for bad in [
        good.replace("\"web\"", "\"w&#10;eb\""),
        good.replace("roundr", "x&#x9b;31m&#10;y"),
        good.replace("roundr", "\u{202e}x&#x2028;y"),
        good.replace("<group", "<g\u{85}roup/><group"),
        good.replace("127.0.0.1:0", "a&#13;b:0"),
    ] {
        txlb.folder.write(name, bad);
        txlb.signal(Signal::HUP);
        txlb.wait_for(complaint);
    }
    txlb.folder
        .write(name, good.replace("name=\"a\"", "name=\"z\""));
    txlb.signal(Signal::HUP);
    txlb.wait_for("is in force");
    for line in txlb.log() {
        let is_bad = |letter: char| letter.is_control() || "\u{2028}\u{202e}".contains(letter);
        assert!(!line.contains(is_bad), "{line:?}");
        assert!(line.starts_with("20"), "{line:?}: a line was broken apart");
    }
}

/// A socket cannot be opened by name, nor a pipe after root's rights are gone.
#[test]
fn a_log_on_a_descriptor_stays_there() {
    let folder = Folder::new();
    std::os::unix::fs::symlink("/dev/stdout", folder.file("link")).unwrap();
    let link = folder.file("link");
    for log in ["/dev/stdout", "/proc/self/fd/1", text(&link)] {
        let folder = Folder::new();
        let file = folder.write(
            "config.xml",
            web("", "roundr", &["127.0.0.1:9".parse().unwrap()]),
        );
        let (ours, theirs) = UnixStream::pair().unwrap();
        let serve = command(&["-f", text(&file), "-l", log]);
        let theirs = std::os::fd::OwnedFd::from(theirs);
        let mut txlb = Txlb::spawn_between([Stdio::null(), theirs.into()], serve, folder);
        let mut lines = BufReader::new(ours).lines();
        let mut wait_for = |text: &str| {
            for line in &mut lines {
                let line = line.unwrap();
                assert!(!line.contains(" ERROR "), "{line}");
                if line.contains(text) {
                    return;
                }
            }
            panic!("{text}: not in the log");
        };
        wait_for(" runs as process ");
        txlb.signal(Signal::USR1);
        txlb.signal(Signal::HUP);
        wait_for("is unchanged");
        txlb.signal(Signal::TERM);
        assert_eq!(txlb.wait_exit().code(), Some(0));
    }
}

/// A daemon's standard output leads to the first process, which waits for a byte.
#[test]
fn in_the_background_there_is_no_standard_output() {
    let folder = Folder::new();
    let pid_file = folder.file("pid");
    let refused = run(&[
        "-D",
        "-L",
        "127.0.0.1:0",
        "-B",
        "127.0.0.1:9",
        "-l",
        "/dev/stdout",
        "-p",
        text(&pid_file),
    ]);
    assert_eq!(refused.status, Some(73), "{refused:?}");
    assert!(refused.stderr.contains("no standard output"), "{refused:?}");
}
