//! What a parent process leaves behind: blocked or ignored signals, a file size limit, a umask,
//! closed standard descriptors, a removed folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::support::client::who;
use crate::support::config::{web, web_service};
use crate::support::host::Host;
use crate::support::txlb::{Folder, Txlb, finish, program, text};
use crate::support::until;
use rustix::process::Signal;

/// A shell that runs `script`, then becomes txlb with these options and further arguments.
fn after(script: &str, options: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("{script}\nexec \"$0\" \"$@\"");
    shell.args(["-c", &script]).arg(program()).args(options);
    shell
}

/// Starts txlb after `script`, with a configuration that serves the host.
fn start_after(script: &str, host: &Host) -> Txlb {
    let folder = Folder::new();
    let config = web("", "roundr", &[host.address()]);
    let file = folder.write("config.xml", config);
    let mut txlb = Txlb::spawn(after(script, &["-w", "1", "-f", text(&file)]), folder);
    txlb.wait_for(" runs as process ");
    txlb
}

/// Checks that signals are obeyed.
fn obeys(mut txlb: Txlb) {
    txlb.signal(Signal::HUP);
    txlb.wait_for("config.xml is unchanged");
    assert_eq!(txlb.stop(), Some(0));
}

#[test]
fn signals_that_were_ignored_are_obeyed() {
    let host = Host::new("a");
    obeys(start_after(
        "trap '' HUP INT QUIT TERM USR1 USR2 PIPE CHLD XFSZ",
        &host,
    ));
    let mut txlb = start_after("trap '' QUIT", &host);
    txlb.signal(Signal::QUIT);
    assert_eq!(txlb.wait_exit().code(), Some(0));
}

#[test]
fn signals_that_were_blocked_are_obeyed() {
    let block = "env --block-signal=HUP,TERM";
    let can_block = Command::new("sh")
        .args(["-c", &format!("{block} true")])
        .stderr(Stdio::null())
        .status();
    if !can_block.is_ok_and(|status| status.success()) {
        // Not every env(1) can ignore signals; a unit test in `daemon` does without.
        return;
    }
    let host = Host::new("a");
    obeys(start_after(
        &format!("set -- \"$0\" \"$@\"; exec {block} \"$@\""),
        &host,
    ));
}

#[test]
fn a_daemons_exit_status_is_told_where_children_are_ignored() {
    let folder = Folder::new();
    let file = folder.write("config.xml", "<config><service/></config>");
    let pid_file = folder.file("pid");
    let options = ["-D", "-p", text(&pid_file), "-f", text(&file)];
    let finished = finish(after("trap '' CHLD", &options));
    assert_eq!(finished.status, Some(65), "{finished:?}");
}

#[test]
fn a_limit_of_a_files_size_costs_lines_of_the_log_alone() {
    let (host, folder) = (Host::new("a"), Folder::new());
    let log = folder.file("log");
    let service = web_service("", "roundr", &[host.address()]);
    let config = format!(
        "<config>{service}<logging connections=\"true\" file=\"{}\"/></config>",
        log.display()
    );
    let file = folder.write("config.xml", config);
    // Blocks of 512 or 1024 bytes.
    let limited = after("ulimit -f 4", &["-w", "1", "-f", text(&file)]);
    let mut txlb = Txlb::spawn(limited, folder);
    until("it listens", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains(" runs as process "))
    });
    let said = fs::read_to_string(&log).unwrap();
    let (_, rest) = said.split_once(" service web listens at ").unwrap();
    let address = rest.lines().next().unwrap().parse().unwrap();
    for _ in 0..60 {
        assert_eq!(who(address), "a");
    }
    txlb.wait_for("cannot write to the log");
    assert_eq!(who(address), "a");
    assert_eq!(txlb.stop(), Some(0));
}

#[test]
fn a_umask_that_leaves_nothing_to_the_owner_is_mended() {
    let (host, folder) = (Host::new("a"), Folder::new());
    let (log, pid_file) = (folder.file("log"), folder.file("pid"));
    let config = web("", "roundr", &[host.address()]);
    let file = folder.write("config.xml", config);
    let options = ["-l", text(&log), "-p", text(&pid_file), "-f", text(&file)];
    let mut txlb = Txlb::spawn(after("umask 0777", &options), folder);
    until("it runs", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains(" runs as process "))
    });
    let mode = fs::metadata(&log).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(txlb.stop(), Some(0));
}

#[test]
fn neither_standard_descriptors_nor_a_folder_are_needed() {
    let (host, folder) = (Host::new("a"), Folder::new());
    let (log, gone) = (folder.file("log"), folder.file("gone"));
    fs::create_dir(&gone).unwrap();
    let config = web("", "roundr", &[host.address()]);
    let file = folder.write("config.xml", config);
    let script = format!(
        "cd {0} && rmdir {0} && exec <&- >&- 2>&-; LC_ALL=xx_YY.none; export LC_ALL",
        text(&gone)
    );
    let options = ["-l", text(&log), "-f", text(&file)];
    let txlb = Txlb::spawn(after(&script, &options), folder);
    until("it runs", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains(" runs as process "))
    });
    let said = fs::read_to_string(&log).unwrap();
    let (_, rest) = said.split_once(" service web listens at ").unwrap();
    assert_eq!(who(rest.lines().next().unwrap().parse().unwrap()), "a");
    if cfg!(target_os = "linux") {
        let pid = txlb.pid();
        for descriptor in 0..3 {
            let link = fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).unwrap();
            assert_eq!(link.to_str(), Some("/dev/null"));
        }
    }
}
