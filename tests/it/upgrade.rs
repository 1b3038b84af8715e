//! Upgrades: the program at the same path takes over, and no client notices.
#![cfg(target_os = "linux")]

use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::client::{Session, who};
use crate::support::config::web_service;
use crate::support::control::Caller;
use crate::support::host::Host;
use crate::support::page;
use crate::support::peer::free_address;
use crate::support::proc::descriptors;
use crate::support::traffic::Traffic;
use crate::support::txlb::{Folder, Txlb, program, run, text};
use crate::support::upgradable::{Upgradable, status_process};
use crate::support::user::USER;
use crate::support::{pause, until};

/// Whether it runs. The first process is a child of the test, which does not wait for it.
fn is_alive(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, state)| !state.starts_with('Z'))
}

#[test]
fn sessions_go_on_and_new_ones_begin_through_upgrades_in_a_row() {
    let host = Host::new("a");
    let mut txlb = Upgradable::start("roundr", &[host.address()]);
    let address = txlb.txlb.address();
    let traffic = Traffic::of(address, [1, 20_001, 40_001, 60_001], Duration::ZERO);
    let mut long = Vec::new();
    for _ in 0..4 {
        let mut session = Session::open(address);
        session.echo(1000);
        long.push(session);
        traffic.go_on(20);
        txlb.upgrade(Upgradable::by_verb);
    }
    traffic.end();
    // Each earlier process still has a session.
    let shown = txlb.tell(&["status"]);
    assert_eq!(shown.matches("draining: process ").count(), 4, "{shown}");
    until("each tells of the one that is left", || {
        txlb.tell(&["status"])
            .matches(", 1 session, since ")
            .count()
            == 4
    });
    for session in &mut long {
        session.echo(10_000);
    }
    for session in long {
        assert_eq!(session.close(), "a");
    }
    let earlier = &txlb.processes[..4];
    until("they have ended", || {
        !earlier.iter().any(|it| is_alive(*it))
    });
    until("nothing drains", || {
        !txlb.tell(&["status"]).contains("draining")
    });
    assert_eq!(who(address), "a");
}

#[test]
fn a_process_whose_successor_ends_first_is_seen_by_the_one_after_that() {
    let host = Host::new("a");
    let mut txlb = Upgradable::start("roundr", &[host.address()]);
    let address = txlb.txlb.address();
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let mut session = Session::open(address);
        session.echo(100);
        sessions.push(session);
        txlb.upgrade(Upgradable::by_verb);
    }
    let shown = |process: u32, there: bool| {
        let text = format!("draining: process {process}, 1 session, since ");
        until("it is as it should be", || {
            txlb.tell(&["status"]).contains(&text) == there
        });
    };
    let processes = txlb.processes.clone();
    for process in &processes[..3] {
        shown(*process, true);
    }
    // The newest of them first, so that each is told of by another than before.
    for process in processes[..3].iter().rev() {
        assert_eq!(sessions.pop().unwrap().close(), "a");
        shown(*process, false);
        let earlier = processes[..3].iter().take_while(|it| *it != process);
        earlier.for_each(|it| shown(*it, true));
    }
}

#[test]
fn descriptors_and_helpers_do_not_grow() {
    let host = Host::new("a");
    let mut txlb = Upgradable::start("roundr", &[host.address()]);
    let mut most = None;
    for _ in 0..4 {
        let before = txlb.process();
        txlb.upgrade(Upgradable::by_verb);
        until("it has ended", || !is_alive(before));
        txlb.txlb.wait_for("has ended");
        let pid = Pid::from_raw(i32::try_from(txlb.process()).unwrap()).unwrap();
        // Those of clients that have just left go a little later.
        let most = *most.get_or_insert_with(|| descriptors(pid).len());
        until("no more descriptors than after the first upgrade", || {
            descriptors(pid).len() <= most
        });
        until("there is one helper", || helpers(&txlb) == 1);
    }
}

/// How many helpers of this txlb there are.
fn helpers(txlb: &Upgradable) -> usize {
    programs(txlb, "txlb-helper").len()
}

/// The processes of this txlb that have `name` as their first argument.
fn programs(txlb: &Upgradable, name: &str) -> Vec<u32> {
    let file = txlb.folder.file("config.xml");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|it| {
            let number = it.file_name().to_str()?.parse().ok()?;
            let line = fs::read(it.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).into_owned();
            let is_one = line.split('\0').next() == Some(name) && line.contains(text(&file));
            is_one.then_some(number)
        })
        .collect()
}

#[test]
fn what_is_known_goes_over() {
    let (good, other) = (Host::new("a"), Host::new("b"));
    let hosts = [free_address(), good.address(), other.address()];
    let mut txlb = Upgradable::start("roundr,sticky", &hosts);
    let address = txlb.txlb.address();
    let stays = who(address);
    who(address);
    txlb.tell(&["setOption", "name=manager.hostCheck.interval", "value=600"]);
    let before = txlb.tell(&["--json", "status"]);
    txlb.upgrade(Upgradable::by_verb);
    let after = txlb.tell(&["--json", "status"]);
    for name in [
        "started_ms",
        "total",
        "unsaved",
        "failed_connects",
        "bytes_to_host",
    ] {
        let numbers = [&after, &before].map(|json| page::number(json, name));
        assert_eq!(numbers[0], numbers[1], "{name}: {after}");
    }
    assert!(after.contains("\"health\":\"failed\""), "{after}");
    assert!(after.contains("connection refused"), "{after}");
    assert!(after.contains("setOption"), "recent events: {after}");
    let generation = |json| page::number(json, "generation");
    assert_eq!(generation(&after), generation(&before) + 1);
    for _ in 0..3 {
        assert_eq!(who(address), stays);
    }
    assert!(txlb.tell(&["diff"]).contains("manager.hostCheck.interval"));
    // What is saved by the new process is what the old one had in force.
    txlb.tell(&["saveConfig"]);
    txlb.upgrade(Upgradable::by_verb);
    assert_eq!(txlb.tell(&["diff"]), "");
    assert!(txlb.tell(&["config"]).contains("interval=\"600\""));
    // What can start is there already.
    assert_eq!(txlb.txlb.count("another txlb can start"), 0);
}

#[test]
fn an_upgrade_by_signal_and_by_option_reads_the_file_anew() {
    let (one, two) = (Host::new("a"), Host::new("b"));
    let mut txlb = Upgradable::start("roundr", &[one.address()]);
    let address = txlb.txlb.address();
    let pid_file = txlb.folder.file("pid");
    txlb.upgrade(|it| it.txlb.signal(Signal::USR2));
    let config = fs::read_to_string(txlb.folder.file("config.xml")).unwrap();
    let config = config.replace(&one.address().to_string(), &two.address().to_string());
    txlb.folder.write("config.xml", config);
    txlb.upgrade(|_| {
        let told = run(&["-s", "upgrade", "-p", text(&pid_file)]);
        assert_eq!(told.status, Some(0), "{told:?}");
        assert!(told.stdout.contains("upgraded to process"), "{told:?}");
    });
    assert_eq!(who(address), "b");
    // Without a control socket the PID file tells.
    let config = fs::read_to_string(txlb.folder.file("config.xml")).unwrap();
    let (start, _) = config.split_once("<control").unwrap();
    txlb.folder.write("config.xml", format!("{start}</config>"));
    let told = run(&["-s", "upgrade", "-p", text(&pid_file)]);
    assert_eq!(told.status, Some(0), "{told:?}");
    assert_ne!(txlb.held_by(), txlb.process());
    txlb.processes.push(txlb.held_by());
    assert_eq!(who(address), "b");
    // A program that ends is noticed long before the time is over.
    txlb.replace(|new| write_program(new, "#!/bin/sh\nsleep 0.5\nexit 3\n", 0o755));
    let start = Instant::now();
    let told = run(&["-s", "upgrade", "-p", text(&pid_file)]);
    assert_eq!(told.status, Some(1), "{told:?}");
    assert!(told.stderr.contains("has not been replaced"), "{told:?}");
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(who(address), "b");
}

fn write_program(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A program that does not serve, and what is said of it.
type BadProgram<'a> = (&'a dyn Fn(&Upgradable), &'a str);

#[test]
fn a_program_that_does_not_serve_changes_nothing() {
    let host = Host::new("a");
    let txlb = Upgradable::start("roundr", &[host.address()]);
    let address = txlb.txlb.address();
    let script = |text: &'static str, mode| {
        move |it: &Upgradable| it.replace(|new| write_program(new, text, mode))
    };
    let good = fs::read_to_string(txlb.folder.file("config.xml")).unwrap();
    let with_file = |text: String| {
        move |it: &Upgradable| {
            it.restore();
            it.folder.write("config.xml", &text);
        }
    };
    let bad_cert = "secure='true' cert='/nowhere/c.pem' key='/nowhere/k.pem'";
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let elsewhere = format!("<listen ip='{taken}'/><group");
    let table: &[BadProgram<'_>] = &[
        (
            &script(
                "#!/bin/sh\necho first >&2\necho 'no good' >&2\nexit 3\n",
                0o755,
            ),
            "the new process ended with the exit status 3: no good",
        ),
        (
            &script("#!/bin/sh\nkill -9 $$\n", 0o755),
            "was ended by signal 9",
        ),
        (
            &script("#!/bin/sh\n", 0o644),
            "cannot be started: Permission denied",
        ),
        (
            &script("no program\n", 0o755),
            "cannot be started: Exec format error",
        ),
        (
            &|it| fs::remove_file(it.folder.file("txlb")).unwrap(),
            "cannot be started: No such file or directory",
        ),
        (&with_file("<config><oh".to_owned()), "config.xml"),
        (
            &with_file(good.replacen("secure='false'", bad_cert, 1)),
            "/nowhere/c.pem",
        ),
        (&with_file(good.replacen("<group", &elsewhere, 1)), "in use"),
    ];
    for (make, expected) in table {
        make(&txlb);
        nothing_changes(&txlb, expected);
        txlb.folder.write("config.xml", &good);
    }
    let mut txlb = txlb;
    txlb.restore();
    txlb.upgrade(Upgradable::by_verb);
    assert_eq!(who(address), "a");
}

/// An upgrade fails for this reason, and a session is served meanwhile.
fn nothing_changes(txlb: &Upgradable, expected: &str) {
    let address = txlb.txlb.address();
    let before = (txlb.process(), descriptors(txlb.txlb.pid()).len());
    let mut session = Session::open(address);
    let refused = txlb.ask(&["upgrade"]);
    assert_eq!(refused.status, Some(1), "{expected}: {refused:?}");
    assert!(
        refused.stderr.contains("nothing has changed"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains(expected), "{expected}: {refused:?}");
    session.echo(100);
    session.close();
    assert_eq!(who(address), "a");
    assert_eq!(txlb.held_by(), before.0, "{expected}");
    let status = txlb.tell(&["--json", "status"]);
    assert_eq!(status_process(&status), before.0, "{expected}");
    until("no descriptor is left", || {
        descriptors(txlb.txlb.pid()).len() == before.1
    });
}

#[test]
fn nothing_changes_while_an_upgrade_is_under_way() {
    let host = Host::new("a");
    let txlb = Upgradable::start("roundr", &[host.address()]);
    let mark = delay_program(&txlb, "exit 0");
    let mut first = Caller::new(&txlb.socket());
    first.say("upgrade\n");
    delayed(&txlb);
    let change = ["setOption", "name=manager.hostCheck.interval", "value=7"];
    let others = ["upgrade", "undo", "resign", "resume"].map(|it| vec![it]);
    for words in others.iter().map(Vec::as_slice).chain([&change[..]]) {
        let refused = txlb.ask(words).stderr;
        assert!(refused.contains("an upgrade is under way"), "{refused}");
    }
    assert_eq!(txlb.ask(&["status"]).status, Some(0));
    fs::write(mark, "").unwrap();
    let answer = first.answer().join("\n");
    assert!(answer.contains("ended with the exit status 0"), "{answer}");
    txlb.tell(&change);
}

/// Has the program wait for a file, whose path it returns, and then go on with `then`.
fn delay_program(txlb: &Upgradable, then: &str) -> PathBuf {
    let mark = txlb.folder.file("mark");
    txlb.replace(|new| {
        let wait = format!("until [ -e {} ]; do sleep 0.1; done", mark.display());
        write_program(new, &format!("#!/bin/sh\n{wait}\n{then}\n"), 0o755);
    });
    mark
}

/// The process that waits so.
fn delayed(txlb: &Upgradable) -> u32 {
    until("it runs", || programs(txlb, "/bin/sh").len() == 1);
    programs(txlb, "/bin/sh")[0]
}

/// The same, with the true program.
fn delay(txlb: &Upgradable) -> PathBuf {
    delay_program(txlb, &format!("exec {} \"$@\"", program().display()))
}

#[test]
fn a_new_process_that_the_helper_leaves_behind_ends() {
    let host = Host::new("a");
    let mut txlb = Upgradable::start("roundr", &[host.address()]);
    let mark = delay(&txlb);
    txlb.txlb.signal(Signal::USR2);
    let new = delayed(&txlb);
    for helper in programs(&txlb, "txlb-helper") {
        let pid = Pid::from_raw(i32::try_from(helper).unwrap()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
    }
    fs::write(mark, "").unwrap();
    txlb.txlb
        .wait_for("the upgrade has failed, and nothing has changed");
    until("the new process has ended", || !is_alive(new));
    let own = txlb.process();
    assert_eq!(txlb.held_by(), own);
    assert_eq!(status_process(&txlb.tell(&["--json", "status"])), own);
    assert_eq!(who(txlb.txlb.address()), "a");
}

#[test]
fn a_stop_cancels_an_upgrade_that_is_under_way() {
    for signal in [Signal::QUIT, Signal::TERM] {
        let host = Host::new("a");
        let mut txlb = Upgradable::start("roundr", &[host.address()]);
        let address = txlb.txlb.address();
        let mut session = Session::open(address);
        session.echo(100);
        let mark = delay(&txlb);
        let mut first = Caller::new(&txlb.socket());
        first.say("upgrade\n");
        let new = delayed(&txlb);
        txlb.txlb.signal(signal);
        let answer = first.answer().join("\n");
        assert!(answer.contains("txlb is stopping"), "{answer}");
        if signal == Signal::QUIT {
            txlb.txlb.wait_for("another txlb can start");
            assert!(!is_alive(new), "it would hold the listeners");
            session.echo(100);
        }
        fs::write(mark, "").unwrap();
        session.close();
        assert_eq!(txlb.txlb.wait_exit().code(), Some(0));
        until("the new process has ended", || !is_alive(new));
        assert!(!txlb.folder.file("pid").exists() && !txlb.socket().exists());
    }
}

#[test]
fn a_demo_is_not_upgraded() {
    let _turn = crate::support::txlb::demo_turn();
    let mut demo = Txlb::spawn(crate::support::txlb::command(&["--demo"]), Folder::new());
    demo.wait_for(" runs as process ");
    demo.signal(Signal::USR2);
    demo.wait_for("--demo cannot be upgraded");
}

#[test]
#[ignore = "takes 30 s"]
fn a_program_that_hangs_is_ended_and_changes_nothing() {
    let host = Host::new("a");
    let mut txlb = Upgradable::start("roundr", &[host.address()]);
    let hangs = "#!/bin/sh\necho waiting >&2\nexec sleep 1000\n";
    txlb.replace(|new| write_program(new, hangs, 0o755));
    txlb.txlb.signal(Signal::USR2);
    // Tests wait for 30 s at most, and that is not enough here.
    pause(Duration::from_secs(10));
    txlb.txlb
        .wait_for("did not get ready in 30 s, and was ended: waiting");
    assert_eq!(who(txlb.txlb.address()), "a");
    txlb.restore();
    txlb.upgrade(Upgradable::by_verb);
}

#[test]
#[ignore = "needs root"]
fn it_works_for_another_user_in_a_jail_and_in_the_background() {
    for (jail, detach) in [(false, false), (true, false), (false, true), (true, true)] {
        let host = Host::new("a");
        let folder = Folder::new();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o1777)).unwrap();
        symlink(program(), folder.file("txlb")).unwrap();
        let at = |name: &str| match jail {
            true => format!("/{name}"),
            false => folder.file(name).display().to_string(),
        };
        let service = web_service("", "roundr", &[host.address()]);
        let (control, log) = (at("control"), at("log"));
        folder.write(
            "config.xml",
            format!(
                "<config>{service}<control socket='{control}'/><logging file='{log}'/></config>"
            ),
        );
        let mut command = Command::new(folder.file("txlb"));
        let pid_file = folder.file("pid");
        command.args(["-w", "2", "-f", &at("config.xml"), "-p", text(&pid_file)]);
        command.args(USER).env("STATE_DIRECTORY", at("state"));
        if jail {
            command.args(["-j", text(folder.path())]);
        }
        if detach {
            command.arg("-D");
        }
        let mut child = command.spawn().unwrap();
        let logged = |what: &str| {
            until(what, || {
                fs::read_to_string(folder.file("log")).is_ok_and(|it| it.contains(what))
            });
        };
        logged(" runs as process ");
        let held = || {
            run(&["-s", "pid", "-p", text(&pid_file)])
                .stdout
                .trim()
                .to_owned()
        };
        let text_of_log = fs::read_to_string(folder.file("log")).unwrap();
        let (_, address) = text_of_log.split_once("service web listens at ").unwrap();
        let address: SocketAddr = address.split(['\n', ',']).next().unwrap().parse().unwrap();
        let mut session = Session::open(address);
        for _ in 0..3 {
            let before = held();
            let told = run(&["-s", "upgrade", "-p", text(&pid_file)]);
            assert_eq!(told.status, Some(0), "{jail} {detach} {told:?}");
            let after = held();
            assert_ne!(before, after);
            let status = fs::read_to_string(format!("/proc/{after}/status")).unwrap();
            assert!(
                status.contains("Uid:\t54321\t54321\t54321\t54321"),
                "{status}"
            );
            let root = fs::read_link(format!("/proc/{after}/root")).unwrap();
            assert_eq!(root == folder.path(), jail);
            assert_eq!(who(address), "a");
        }
        session.echo(1000);
        session.close();
        let stopped = run(&["-s", "stop", "-p", text(&pid_file)]);
        assert_eq!(stopped.status, Some(0), "{stopped:?}");
        until("it is gone", || {
            run(&["-s", "pid", "-p", text(&pid_file)]).status != Some(0)
        });
        child.wait().unwrap();
    }
}
