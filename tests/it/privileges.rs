//! Dropping root's rights with `-u`, `-g` and `-j`.
//!
//! All of it needs root. Tests for ordinary users are in `daemon`.
#![cfg(target_os = "linux")]

use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::support::client::who;
use crate::support::config::web_service;
use crate::support::daemon::{Daemon, start_command};
use crate::support::host::Host;
use crate::support::txlb::{Folder, Txlb, command, finish, run, text};
use crate::support::until;
use crate::support::user::{GID, UID, USER, everywhere, folder_for, start, started};
use rustix::process::{Signal, kill_process};

/// A copy of the binary that all users can run. Another process copies it, since a file that is
/// open for writing cannot be executed.
fn binary_for_all(folder: &Folder) -> PathBuf {
    let binary = folder.file("txlb");
    let copy = [Path::new(env!("CARGO_BIN_EXE_txlb")), &binary];
    assert!(Command::new("cp").args(copy).status().unwrap().success());
    binary
}

/// A free port below 1024, which no other test uses.
fn low_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1023);
    let places = (600..1024).map(|_| {
        let port = NEXT.fetch_sub(1, Ordering::Relaxed);
        SocketAddr::from(([127, 0, 0, 1], port))
    });
    let mut free = places.filter(|place| TcpListener::bind(place).is_ok());
    free.next().unwrap()
}

#[test]
#[ignore = "needs root"]
fn nothing_of_root_is_left_in_any_thread_but_low_ports() {
    let host = Host::new("a");
    let folder = folder_for(&host);
    let daemon = start(&folder, &USER);
    assert_eq!(everywhere(&daemon, "Uid"), "54321 54321 54321 54321");
    assert_eq!(everywhere(&daemon, "Gid"), "54322 54322 54322 54322");
    assert_eq!(everywhere(&daemon, "Groups"), "");
    // CAP_NET_BIND_SERVICE is number 10.
    for (name, set) in [
        ("CapPrm", 1 << 10),
        ("CapEff", 1 << 10),
        ("CapInh", 0),
        ("CapAmb", 0),
    ] {
        assert_eq!(everywhere(&daemon, name), format!("{set:016x}"), "{name}");
    }
    assert_eq!(everywhere(&daemon, "NoNewPrivs"), "1");
    assert_eq!(everywhere(&daemon, "Seccomp"), "2");

    let place = low_port();
    let ip = format!("ip={place}");
    daemon.ask(&["addListen", "service=web", &ip]).unwrap();
    assert_eq!(who(place), "a");
    daemon.stop();
}

#[test]
#[ignore = "needs root"]
fn an_address_that_overlaps_what_root_has_bound_can_be_added() {
    let host = Host::new("a");
    let (folder, place) = (folder_for(&host), low_port());
    let config = fs::read_to_string(folder.file("config.xml")).unwrap();
    folder.write(
        "config.xml",
        config.replace("127.0.0.1:0", &place.to_string()),
    );
    let daemon = start(&folder, &USER);
    let ip = format!("ip=*:{}", place.port());
    daemon.ask(&["addListen", "service=web", &ip]).unwrap();
    assert_eq!(who(place), "a");
    daemon.stop();
}

#[test]
#[ignore = "needs root"]
fn without_the_sandbox_rights_are_given_up_all_the_same() {
    let host = Host::new("a");
    let folder = folder_for(&host);
    let daemon = start(&folder, &[&USER[..], &["--no-sandbox"]].concat());
    assert_eq!(everywhere(&daemon, "Uid"), "54321 54321 54321 54321");
    assert_eq!(everywhere(&daemon, "CapPrm"), format!("{:016x}", 1 << 10));
    assert_eq!(everywhere(&daemon, "NoNewPrivs"), "1");
    assert_eq!(everywhere(&daemon, "Seccomp"), "0");
    daemon.stop();
}

#[test]
#[ignore = "needs root"]
fn root_keeps_only_what_files_and_low_ports_take_and_the_owner_of_what_it_saves() {
    let host = Host::new("a");
    let folder = folder_for(&host);
    let file = folder.file("config.xml");
    chown(&file, Some(UID), Some(GID)).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    let daemon = start(&folder, &[]);
    assert_eq!(everywhere(&daemon, "Uid"), "0 0 0 0");
    // CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_NET_BIND_SERVICE.
    let kept = format!("{:016x}", 1 | 1 << 1 | 1 << 3 | 1 << 10);
    assert_eq!(everywhere(&daemon, "CapPrm"), kept);
    assert_eq!(everywhere(&daemon, "CapEff"), kept);
    let change = ["setService", "service=web", "idleTimeout=7"];
    daemon.ask(&change).unwrap();
    daemon.ask(&["saveConfig"]).unwrap();
    let saved = fs::metadata(&file).unwrap();
    assert_eq!((saved.uid(), saved.gid()), (UID, GID));
    assert_eq!(saved.mode() & 0o7777, 0o640);
    daemon.stop();
}

/// `CAP_NET_BIND_SERVICE`, and `CAP_NET_RAW` with it.
const LOW_PORTS: u32 = 1 << 10;
const LOW_PORTS_AND_CLIENTS: u32 = 1 << 10 | 1 << 13;

#[test]
#[ignore = "needs root"]
fn the_right_to_addresses_of_clients_is_kept_if_the_file_asks_for_it_at_the_start() {
    let host = Host::new("a");
    let folder = folder_for(&host);
    let asks = ["setGroup", "service=web", "group=main", "source=client"];
    let daemon = start(&folder, &USER);
    assert_eq!(everywhere(&daemon, "CapPrm"), format!("{LOW_PORTS:016x}"));
    let refused = daemon.ask(&asks).unwrap_err();
    assert!(
        refused.contains("takes the capability CAP_NET_RAW"),
        "{refused}"
    );
    daemon.stop();
    let config = fs::read_to_string(folder.file("config.xml")).unwrap();
    let with_source = config.replace("enable=\"true\"", "source=\"client\" enable=\"true\"");
    folder.write("config.xml", with_source);
    fs::remove_file(folder.file("own").join("log")).unwrap();
    let daemon = start(&folder, &USER);
    let kept = format!("{LOW_PORTS_AND_CLIENTS:016x}");
    assert_eq!(everywhere(&daemon, "CapPrm"), kept);
    assert_eq!(everywhere(&daemon, "CapEff"), kept);
    daemon
        .ask(&["setGroup", "service=web", "group=main", "source="])
        .unwrap();
    daemon.ask(&asks).unwrap();
    daemon.stop();
}

#[test]
#[ignore = "needs root"]
fn nobody_but_root_looks_into_the_memory() {
    let folder = Folder::new();
    chown(folder.path(), Some(UID), Some(GID)).unwrap();
    let binary = binary_for_all(&folder);
    for options in [&[][..], &["--no-sandbox"]] {
        let mut start = Command::new(&binary);
        start.args(["-L", "127.0.0.1:0", "-B", "127.0.0.1:9"]);
        start.args(options).uid(UID).gid(GID);
        let mut txlb = Txlb::spawn(start, Folder::new());
        txlb.wait_for(" runs as process ");
        // Files in /proc of a process that is not dumpable are root's.
        let memory = fs::metadata(format!("/proc/{}/mem", txlb.pid())).unwrap();
        assert_eq!(memory.uid(), 0);
        assert_eq!(txlb.stop(), Some(0));
    }
}

#[test]
#[ignore = "needs root"]
fn a_number_is_in_the_group_of_its_own_and_never_in_roots() {
    let host = Host::new("a");
    let folder = folder_for(&host);
    let daemon = start(&folder, &["-u", "54321"]);
    assert_eq!(everywhere(&daemon, "Gid"), "54321 54321 54321 54321");
    daemon.stop();
    // By its name in the user database; log and folder were the other user's.
    fs::remove_file(&daemon.log).unwrap();
    let own = folder.file("own");
    fs::set_permissions(&own, Permissions::from_mode(0o2770)).unwrap();
    let daemon = start(&folder, &["-u", "nobody", "-g", "54322"]);
    assert_eq!(everywhere(&daemon, "Gid"), "54322 54322 54322 54322");
    assert_ne!(everywhere(&daemon, "Uid"), "0 0 0 0");
    daemon.stop();
}

#[test]
#[ignore = "needs root"]
fn saving_takes_a_folder_of_the_groups_and_the_error_says_so() {
    let host = Host::new("a");
    let folder = folder_for(&host);
    let daemon = start(&folder, &USER);
    let ask = |words: &[&str]| daemon.ask(words);
    ask(&["setService", "service=web", "idleTimeout=7"]).unwrap();
    let complaint = ask(&["saveConfig"]).unwrap_err();
    let path = text(folder.path());
    for words in [
        "runs as 54321",
        &format!("'chgrp 54322 {path}' and 'chmod 2770 {path}'"),
    ] {
        assert!(complaint.contains(words), "{complaint}");
    }
    // As the message advises.
    let file = folder.file("config.xml");
    chown(folder.path(), None, Some(GID)).unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o2770)).unwrap();
    chown(&file, None, Some(GID)).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    ask(&["saveConfig"]).unwrap();
    let saved = fs::read_to_string(&file).unwrap();
    assert!(saved.contains("idleTimeout=\"7\""), "{saved}");
    let metadata = fs::metadata(&file).unwrap();
    assert_eq!((metadata.gid(), metadata.mode() & 0o777), (GID, 0o640));
    daemon.stop();
}

#[test]
#[ignore = "needs root"]
fn a_log_that_root_names_is_made_for_its_user_and_reopening_takes_another_of_theirs() {
    let host = Host::new("a");
    let folder = folder_for(&host);
    let log = folder.file("log");
    let mut daemon = start(&folder, &[&USER[..], &["-l", text(&log)]].concat());
    daemon.log = log;
    let metadata = fs::metadata(&daemon.log).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (UID, GID));
    assert_eq!(metadata.mode() & 0o777, 0o640);

    let moved = folder.file("log.1");
    fs::rename(&daemon.log, &moved).unwrap();
    let complaint = daemon.ask(&["reopenLog"]).unwrap_err();
    let expected = format!("'chown 54321 {}'", daemon.log.display());
    assert!(complaint.contains(&expected), "{complaint}");
    assert!(complaint.contains("stays where it was"), "{complaint}");
    fs::write(&daemon.log, "").unwrap();
    chown(&daemon.log, Some(UID), None).unwrap();
    kill_process(daemon.pid(), Signal::USR1).unwrap();
    daemon.ask(&["reopenLog"]).unwrap();
    kill_process(daemon.pid(), Signal::HUP).unwrap();
    daemon.wait_for("unchanged");
    daemon.stop();
}

#[test]
#[ignore = "needs root"]
fn a_configuration_of_roots_alone_is_warned_of_at_once() {
    let host = Host::new("a");
    let folder = folder_for(&host);
    let file = folder.file("config.xml");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let daemon = start(&folder, &USER);
    daemon.wait_for("cannot be read again");
    let complaint = daemon.ask(&["reload"]).unwrap_err();
    let expected = format!("'chgrp 54322 {}'", file.display());
    assert!(complaint.contains(&expected), "{complaint}");
    daemon.stop();
}

#[test]
#[ignore = "needs root"]
fn in_a_jail_there_is_nothing_but_what_is_in_the_folder() {
    let host = Host::new("a");
    let (folder, jail) = (Folder::new(), Folder::new());
    let service = web_service("", "roundr", &[host.address()]);
    let config = format!("<config>{service}<control/><logging file='/log'/></config>");
    jail.write("config.xml", config);
    chown(jail.write("log", ""), Some(54_321), None).unwrap();
    let mut jailed = command(&["-D", "-f", "config.xml", "-w", "2", "-u", "54321"]);
    jailed.args(["-j", text(jail.path()), "-p", text(&folder.file("pid"))]);
    let mut daemon = Daemon::started(&folder, &finish(jailed));
    daemon.log = jail.file("log");
    daemon.socket = jail.file("run/txlb/control.sock");
    assert_eq!(who(daemon.address()), "a");
    let root = fs::read_link(format!("/proc/{}/root", daemon.pid())).unwrap();
    assert_eq!(root, jail.path());

    let place = format!("ip={}", low_port());
    daemon.ask(&["addListen", "service=web", &place]).unwrap();
    let complaint = daemon.ask(&["saveConfig"]).unwrap_err();
    let outside = format!("'chgrp 54321 {}/'", jail.path().display());
    assert!(complaint.contains(&outside), "{complaint}");
    let number = format!("{}\n", daemon.pid());
    daemon.stop();
    // The PID file is outside of the chroot, so it stays.
    assert_eq!(fs::read_to_string(&daemon.pid_file).unwrap(), number);
    let gone = run(&["-s", "reload", "-p", text(&daemon.pid_file)]);
    assert!(gone.stderr.contains("none is running"), "{gone:?}");
}

#[test]
#[ignore = "needs root"]
fn a_path_from_outside_is_not_found_in_a_jail_and_the_error_says_where_it_was_looked_for() {
    let jail = Folder::new();
    let file = jail.write("config.xml", "<config/>");
    let inside = ["-t", "-j", text(jail.path()), "-f", "/config.xml"];
    assert_eq!(run(&inside).status, Some(0));
    let refused = run(&["-j", text(jail.path()), "-f", text(&file)]);
    assert_eq!(refused.status, Some(66), "{refused:?}");
    let outside = format!("from outside it is {}{}", text(jail.path()), text(&file));
    assert!(refused.stderr.contains(&outside), "{refused:?}");
}

#[test]
#[ignore = "needs root"]
fn a_socket_that_another_users_txlb_has_left_is_to_be_removed_by_hand() {
    let folder = folder_for(&Host::new("a"));
    let own = folder.file("own");
    chown(&own, Some(0), Some(GID)).unwrap();
    fs::set_permissions(&own, Permissions::from_mode(0o1770)).unwrap();
    let socket = own.join("control.sock");
    drop(UnixListener::bind(&socket).unwrap());
    // Whether this user may connect to the socket or not, it must not be replaced.
    for mode in [0o600, 0o666] {
        fs::set_permissions(&socket, Permissions::from_mode(mode)).unwrap();
        let refused = finish(start_command(&folder, &USER));
        assert_eq!(refused.status, Some(77), "{refused:?}");
        let advice = format!("'rm {}'", text(&socket));
        assert!(refused.stderr.contains(&advice), "{refused:?}");
        assert!(!refused.stderr.contains("chmod"), "{refused:?}");
    }
    fs::remove_file(&socket).unwrap();
    start(&folder, &USER).stop();
}

#[test]
#[ignore = "needs root"]
fn only_root_may_become_another_user() {
    let host = Host::new("a");
    let folder = folder_for(&host);
    chown(folder.path(), Some(UID), Some(GID)).unwrap();
    let binary = binary_for_all(&folder);
    let as_user = |options: &[&str]| {
        let told = start_command(&folder, options);
        let mut start = Command::new(&binary);
        start.args(told.get_args()).uid(UID).gid(GID);
        start.env("STATE_DIRECTORY", folder.file("state"));
        start
    };
    for (options, words) in [
        (&["-u", "nobody"][..], "only root can become another user"),
        (
            &["-u", "54321", "-g", "0"],
            "only root can become another user",
        ),
        (
            &["-j", text(folder.path())],
            "only root can change the root",
        ),
    ] {
        let refused = finish(as_user(options));
        assert_eq!(refused.status, Some(77), "{refused:?}");
        assert!(refused.stderr.contains(words), "{refused:?}");
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
    }
    // The user that runs txlb may name itself.
    let daemon = started(&folder, &finish(as_user(&USER)));
    assert_eq!(who(daemon.address()), "a");
    daemon.stop();
}

#[test]
#[ignore = "needs root"]
fn the_usual_folders_are_made_for_the_user() {
    let host = Host::new("a");
    let folder = Folder::new();
    let service = web_service("", "roundr", &[host.address()]);
    let ssh = "<admin><ssh listen='127.0.0.1:0'/></admin>";
    let admin = if cfg!(feature = "ssh") { ssh } else { "" };
    let config = format!("<config>{service}{admin}<control/></config>");
    folder.write("config.xml", config);
    // A /run and a /var/lib for this test only.
    let script = "mount -t tmpfs none /run && mount -t tmpfs none /var/lib && exec \"$0\" \"$@\"";
    let mut start = Command::new("unshare");
    start.args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_txlb")]);
    start.args(["-D", "-w", "1", "-l", "/dev/null", "-f"]);
    start.arg(folder.file("config.xml")).args(USER);
    start.env_remove("STATE_DIRECTORY");
    let started = finish(start);
    assert_eq!(started.status, Some(0), "{started:?}");

    let pid = process_with(folder.path());
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    let runtime = fs::metadata(root.join("run/txlb")).unwrap();
    assert_eq!((runtime.uid(), runtime.gid()), (0, GID));
    assert_eq!(runtime.mode() & 0o7777, 0o1770);
    let written = fs::read_to_string(root.join("run/txlb/txlb.pid")).unwrap();
    assert_eq!(written.trim(), pid.to_string());
    let socket = fs::metadata(root.join("run/txlb/control.sock")).unwrap();
    assert_eq!((socket.uid(), socket.gid()), (UID, GID));
    if cfg!(feature = "ssh") {
        let state = fs::metadata(root.join("var/lib/txlb")).unwrap();
        assert_eq!((state.uid(), state.mode() & 0o7777), (UID, 0o700));
        let key = root.join("var/lib/txlb/ssh_host_ed25519_key");
        assert_eq!(fs::metadata(key).unwrap().uid(), UID);
    }
    kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    until("it is gone", || !root.join("run").exists());
}

/// The process of the txlb whose configuration is in this folder.
fn process_with(folder: &Path) -> i32 {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut numbers = processes.filter_map(|it| it.file_name().to_str()?.parse().ok());
    let is_it = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text(folder))
    };
    numbers.find(is_it).unwrap()
}
