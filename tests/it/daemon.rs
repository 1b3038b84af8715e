//! `-D` as an ordinary user: start, end, and the sandbox.
//!
//! Tests that need root are in `privileges`.
#![cfg(target_os = "linux")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use crate::support::client::who;
use crate::support::config::web_service;
use crate::support::daemon::{Daemon, pid_in, start_command, write_config};
use crate::support::host::Host;
use crate::support::proc::shows_descriptors;
use crate::support::txlb::{Folder, Txlb, command, finish, program, text};
use crate::support::until;
use rustix::process::{Signal, getsid, kill_process};

/// A folder with a configuration that serves this host.
fn folder_for(host: &Host) -> Folder {
    let folder = Folder::new();
    write_config(&folder, &web_service("", "roundr", &[host.address()]));
    folder
}

/// Starts txlb, which must fail; returns exit status and errors.
fn refused(folder: &Folder, options: &[&str]) -> (Option<i32>, String) {
    let finished = finish(start_command(folder, options));
    (finished.status, finished.stderr)
}

#[test]
fn it_listens_when_the_first_process_returns_and_is_on_its_own() {
    if !shows_descriptors() {
        return;
    }
    let host = Host::new("a");
    let folder = folder_for(&host);
    let daemon = Daemon::start(&folder, &[]);
    assert_eq!(who(daemon.address()), "a");
    assert!(daemon.ask(&["status"]).unwrap().contains("web"));

    let pid = daemon.pid();
    assert_eq!(getsid(Some(pid)).unwrap(), pid);
    assert_eq!(daemon.status("Umask"), "0027");
    assert_eq!(daemon.status("Name"), "txlb");
    let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).unwrap();
    assert_eq!(link("cwd"), Path::new("/"));
    for descriptor in 0..3 {
        assert_eq!(link(&format!("fd/{descriptor}")), Path::new("/dev/null"));
    }
    let mode = fs::metadata(&daemon.pid_file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    daemon.stop();
    assert!(!daemon.pid_file.exists() && !daemon.socket.exists());
}

#[test]
fn a_second_one_is_refused_and_a_stale_pid_file_is_taken_over() {
    let host = Host::new("a");
    let folder = folder_for(&host);
    let first = Daemon::start(&folder, &[]);
    let (status, complaint) = refused(&folder, &[]);
    assert_eq!(status, Some(73), "{complaint}");
    let expected = format!("(process {})", first.pid());
    assert!(complaint.contains(&expected), "{complaint}");

    kill_process(first.pid(), Signal::KILL).unwrap();
    until("it is gone", || !first.is_held());
    assert_eq!(pid_in(&first.pid_file), first.pid());
    let second = Daemon::start(&folder, &[]);
    assert_ne!(second.pid(), first.pid());
    assert_eq!(who(second.address()), "a");
}

#[test]
fn what_goes_wrong_is_said_and_is_the_exit_status() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = taken.local_addr().unwrap().to_string();
    let folder = Folder::new();
    let host = "127.0.0.1:9".parse().unwrap();
    let service = web_service("", "roundr", &[host]);
    for (config, status, words) in [
        (service.replace("127.0.0.1:0", &place), 69, place.as_str()),
        (service.replace("roundr", "rondr"), 65, "config.xml:2:"),
        (format!("{service}<control/>"), 65, "control"),
    ] {
        write_config(&folder, &config);
        let (found, complaint) = refused(&folder, &[]);
        assert_eq!(found, Some(status), "{complaint}");
        assert!(complaint.contains(words), "{complaint}");
        assert!(!folder.file("pid").exists());
    }
    fs::remove_file(folder.file("config.xml")).unwrap();
    assert_eq!(refused(&folder, &[]).0, Some(66));
    assert_eq!(refused(&folder, &["-u", "nobody at all"]).0, Some(64));
}

#[test]
fn a_warning_comes_while_the_terminal_is_attached() {
    let folder = Folder::new();
    let host = "127.0.0.1:9".parse().unwrap();
    let service = web_service("", "roundr", &[host]);
    folder.write("config.xml", format!("<config>{service}</config>"));
    let started = finish(start_command(&folder, &[]));
    let warning = "nobody will see the log";
    assert!(started.stderr.contains(warning), "{started:?}");
    Daemon::started(&folder, &started).stop();
}

#[test]
fn paths_of_the_command_line_are_from_where_it_was_started() {
    let host = Host::new("a");
    let folder = folder_for(&host);
    let mut start = command(&["-D", "-f", "config.xml", "-p", "pid", "-l", "other"]);
    let mut daemon = Daemon::started(&folder, &finish(start_in(&mut start, &folder)));
    daemon.log = folder.file("other");
    assert_eq!(who(daemon.address()), "a");
    daemon.ask(&["reload"]).unwrap();
    daemon.stop();
}

fn start_in(start: &mut std::process::Command, folder: &Folder) -> std::process::Command {
    let mut here = std::process::Command::new(start.get_program());
    here.args(start.get_args()).current_dir(folder.path());
    here
}

/// Whether this kernel has landlock, from the log.
fn is_confined(daemon: &Daemon) -> bool {
    let confined = daemon.log().contains("the sandbox keeps to files");
    if !confined {
        eprintln!("left out: this kernel has no landlock");
    }
    confined
}

#[test]
fn within_the_sandbox_all_that_is_there_can_be_changed_saved_and_reopened() {
    let host = Host::new("a");
    let folder = folder_for(&host);
    let daemon = Daemon::start(&folder, &[]);
    let seccomp = daemon.statuses("Seccomp");
    assert!(
        seccomp.len() > 4 && seccomp.iter().all(|it| it == "2"),
        "{seccomp:?}"
    );
    let ask = |words: &[&str]| daemon.ask(words).unwrap();

    ask(&["setService", "service=web", "idleTimeout=7"]);
    ask(&["saveConfig"]);
    let file = folder.file("config.xml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("idleTimeout=\"7\""), "{text}");
    folder.write("config.xml", text.replace("\"7\"", "\"8\""));
    ask(&["reload"]);
    daemon.wait_for("config.xml is in force");

    fs::rename(&daemon.log, folder.file("log.1")).unwrap();
    ask(&["reopenLog"]);
    ask(&["addListen", "service=web", "ip=127.0.0.2:0"]);
    daemon.wait_for("service web listens at");
    fs::remove_file(&daemon.socket).unwrap();
    kill_process(daemon.pid(), Signal::USR1).unwrap();
    until("the socket is there again", || daemon.socket.exists());
    ask(&["status"]);
    daemon.stop();
    assert!(!daemon.socket.exists());
}

#[test]
fn outside_of_the_sandbox_an_error_says_what_to_do() {
    let host = Host::new("a");
    let folder = folder_for(&host);
    // A folder that everybody may write to, and that is not one for logs.
    let log = Path::new("/dev/shm").join(format!("txlb-log-{}", std::process::id()));
    let option = format!("value={}", text(&log));
    let words = ["setOption", "name=logging.file", &option];
    let daemon = Daemon::start(&folder, &["-v"]);
    if is_confined(&daemon) {
        let complaint = daemon.ask(&words).unwrap_err();
        assert!(complaint.contains("--no-sandbox"), "{complaint}");
        assert!(!log.exists());
        daemon.stop();
        let free = Daemon::start(&folder, &["--no-sandbox"]);
        assert_eq!(free.status("Seccomp"), "0");
        free.ask(&words).unwrap();
        assert!(log.exists());
        free.stop();
        fs::remove_file(&log).unwrap();
    }
}

#[test]
fn no_core_dump_is_left_with_the_sandbox_or_without_it() {
    for options in [&[][..], &["--no-sandbox"]] {
        let folder = Folder::new();
        let mut shell = std::process::Command::new("sh");
        let script = "ulimit -c unlimited; exec \"$0\" \"$@\"";
        shell.args(["-c", script, text(program())]);
        shell.args(["-L", "127.0.0.1:0", "-B", "127.0.0.1:9"]);
        shell.args(options).current_dir(folder.path());
        let mut txlb = Txlb::spawn(shell, folder);
        txlb.wait_for(" runs as process ");
        txlb.signal(Signal::ABORT);
        let status = txlb.wait_exit();
        assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()), "{status}");
        assert!(!status.core_dumped(), "{status}");
    }
}

#[cfg(feature = "https")]
#[test]
fn a_daemon_that_is_killed_while_it_starts_is_missed() {
    let folder = Folder::new();
    let host = "127.0.0.1:9".parse().unwrap();
    let admin = "<admin><web listen=\"127.0.0.1:0\" secure=\"true\"/></admin>";
    write_config(&folder, &(web_service("", "roundr", &[host]) + admin));
    // txlb waits a while for another process that makes a certificate.
    fs::create_dir(folder.file("state")).unwrap();
    let lock = fs::File::create(folder.file("state/.lock")).unwrap();
    lock.lock().unwrap();
    let pid_file = folder.file("pid");
    let starting = start_command(&folder, &[]);
    let first = std::thread::spawn(move || finish(starting));
    let number = || fs::read_to_string(&pid_file).ok()?.trim().parse().ok();
    until("it is there", || number().is_some());
    let pid = rustix::process::Pid::from_raw(number().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let finished = first.join().unwrap();
    assert_eq!(finished.status, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("by signal 9"), "{finished:?}");
}
