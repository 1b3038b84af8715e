//! Every string that users and tools see, pinned: JSON keys, metric names, columns, log lines
//! with levels, exit statuses, verbs and responses, the page's forms.
//!
//! The golden files are in `tests/it/pinned`; `support::golden` says how to accept a change.
//! They hold shapes; other tests check figures.

mod interfaces;
mod scene;

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use self::interfaces::narrow;
use self::scene::Scene;
use crate::support::client::Session;
use crate::support::control::Caller;
use crate::support::golden::{Mask, compare, difference, names, without_numbers};
use crate::support::txlb::{Folder, command, finish, program, text};

/// All golden files. A file that no test compares would pin nothing.
const FILES: [&str; 12] = [
    "answers.txt",
    "check.txt",
    "csv.txt",
    "ctl.txt",
    "exits.txt",
    "help.txt",
    "http.txt",
    "log.txt",
    "metrics.txt",
    "page.txt",
    "sessions.txt",
    "status.txt",
];

#[test]
fn a_run_looks_the_same_at_every_interface() {
    let mut scene = Scene::start();
    scene.serve();
    scene.change();
    scene.signal();
    let mut session = Session::open(scene.txlb.address());
    session.echo(100);

    compare("sessions.txt", &interfaces::json(&scene, "/api/sessions"));
    compare("status.txt", &interfaces::json(&scene, "/api/status"));
    compare("metrics.txt", &interfaces::series(&scene));
    compare("csv.txt", &interfaces::columns(&scene));
    compare("http.txt", &interfaces::views(&scene));
    compare("page.txt", &interfaces::page(&scene));
    compare("ctl.txt", &interfaces::printed(&scene));

    scene.complain();
    scene.tell("shutdown grace=2", "stopping: ");
    assert_eq!(scene.txlb.wait_exit().code(), Some(0));
    compare("log.txt", &interfaces::log_lines(&scene));
}

/// Lines whose responses are pinned.
const LINES: &[&str] = &[
    "addHost service=web group=spare name=d ip=192.0.2.2:80",
    "addHost service=web group=spare name=e ip=192.0.2.3:80 weight=5 state=drain before=d",
    "addHost service=web group=spare name=d ip=192.0.2.2:80",
    "addHost service=web group=spare name=f ip=nonsense:",
    "addHost service=web group=spare",
    "delHost service=web group=spare name=e",
    "delHost service=web group=spare name=e",
    "setHost service=web group=spare name=d ip=192.0.2.4:80 rename=dd",
    "setHost service=web group=none name=d",
    "setWeight service=web group=spare name=dd weight=7",
    "setWeight service=web group=spare name=dd weight=x",
    "setWeight service=web group=spare name=dd weight=1000001",
    "drainHost service=web group=spare name=dd",
    "hostAdminDown service=web group=spare name=dd",
    "hostAdminDown service=web group=spare name=dd",
    "hostAdminUp service=web group=spare name=dd",
    "retryHost service=web group=spare name=dd",
    "retryHost service=web group=spare name=none",
    "delAllHosts service=web group=main",
    "delAllHosts service=web group=spare",
    "newGroup service=web group=third scheduler=p2c",
    "newGroup service=web group=third scheduler=p2c",
    "newGroup service=web group=fourth scheduler=none",
    "changeScheduler service=web group=third scheduler=rand before=main",
    "enableGroup service=web group=third",
    "enableGroup service=web group=third force=true",
    "enableGroup service=web group=none",
    "delGroup service=web group=third",
    "delGroup service=web group=third force=true",
    "newService service=dns listen=127.0.0.1:0",
    "newService service=dns listen=127.0.0.1:0",
    "newService service=far listen=192.0.2.1:80",
    "setService service=dns connectTimeout=0.5 idleTimeout=1m halfClosedTimeout=300",
    "setService service=dns connectTimeout=soon",
    "addListen service=dns ip=127.0.0.2:0",
    "addListen service=dns ip=127.0.0.2:0",
    "delListen service=dns ip=127.0.0.2:0",
    "delListen service=dns ip=127.0.0.1:0",
    "switchPort service=dns from=127.0.0.1:0 to=127.0.0.3:0",
    "switchPort service=dns from=127.0.0.2:0 to=127.0.0.3:0",
    "delListen service=dns ip=127.0.0.3:0",
    "delService service=dns",
    "delService service=dns",
    "addUser name=ann password=..xpoEyRReGzk access=readonly",
    "addUser name=ann password=..xpoEyRReGzk access=readonly",
    "addUser name=bob password=plain access=all",
    "setUser name=ann access=full",
    "setUser name=ann key=nonsense",
    "delUser name=ann",
    "delUser name=ann",
    "setOption name=manager.hostCheck.interval value=5",
    "setOption name=manager.hostCheck.interval value=x",
    "setOption name=manager.none value=5",
    "begin",
    "setWeight service=web group=main name=a weight=5",
    "begin",
    "status",
    "commit",
    "begin",
    "delHost service=web group=main name=none",
    "commit",
    "begin",
    "setWeight service=web group=main name=a weight=5",
    "drainHost service=web group=main name=b",
    "commit",
    "begin",
    "abort",
    "abort",
    "commit",
    "diff",
    "status",
    "sessions",
    "config",
    "config view=stored",
    "config view=none",
    "complete line=\"setHo\"",
    "complete line=\"drainHost service=w\"",
    "saveConfig",
    "saveConfig",
    "saveConfig force=true",
    "reload",
    "setWeight service=web group=main name=a weight=6",
    "reload",
    "reload force=true",
    "reopenLog",
    "help verb=none",
    "drainHosts service=web",
    "drainHost server=web",
    "drainHost service=\"web",
    "",
    "shutdown grace=x",
    "shutdown grace=0.1",
];

#[test]
fn each_verb_is_answered_as_it_was() {
    let mut scene = Scene::start();
    let mut caller = Caller::new(&scene.socket);
    let mut said = String::new();
    for line in LINES {
        caller.say(format!("{line}\n"));
        writeln!(said, "> {line}").unwrap();
        if line.is_empty() {
            continue;
        }
        for answer in caller.answer() {
            write!(said, "< {}", narrow(&answer)).unwrap();
        }
    }
    assert_eq!(scene.txlb.wait_exit().code(), Some(0));
    compare("answers.txt", &scene.mask.text(&said));
}

#[test]
fn every_verb_and_option_is_listed_as_it_was() {
    let scene = Scene::start();
    let mut said = String::new();
    for arguments in [&["--help"][..], &["-V"], &["ctl", "-C", "SOCKET", "help"]] {
        let socket = text(&scene.socket);
        let given = arguments
            .iter()
            .map(|it| if *it == "SOCKET" { socket } else { it });
        let finished = finish(command(&given.collect::<Vec<_>>()));
        assert_eq!(
            (finished.status, &*finished.stderr),
            (Some(0), ""),
            "{arguments:?}"
        );
        let stdout = &finished.stdout;
        writeln!(said, "$ txlb {}\n{stdout}", arguments.join(" ")).unwrap();
    }
    let mut caller = Caller::new(&scene.socket);
    for command in txlb::config::verb::table::commands() {
        let line = format!("help verb={}", command.name);
        caller.say(format!("{line}\n"));
        writeln!(said, "> {line}").unwrap();
        for answer in caller.answer() {
            writeln!(said, "< {answer}").unwrap();
        }
    }
    compare("help.txt", &scene.mask.text(&said));
}

/// Runs it in a folder with its files; shows its output and exit status.
fn show(folder: &Folder, line: &str) -> String {
    let mut shell = Command::new("sh");
    let script = format!("txlb() {{ \"$0\" \"$@\"; }}; {line}");
    shell.args(["-c", &script]).arg(program());
    shell.current_dir(folder.path());
    shell.env("STATE_DIRECTORY", folder.file("state"));
    let finished = finish(shell);
    let mut shown = format!("$ {line}\n{}", finished.stdout);
    for line in finished.stderr.lines() {
        writeln!(shown, "2> {line}").unwrap();
    }
    writeln!(shown, "status {}\n", finished.status.unwrap()).unwrap();
    shown
}

#[test]
fn every_exit_has_the_status_that_it_had() {
    let folder = Folder::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    let with = |listen: &str| {
        format!(
            "<config><service name=\"web\"><listen ip=\"{listen}\"/>\
             <group name=\"main\" scheduler=\"roundr\" enable=\"true\">\
             <host name=\"a\" ip=\"127.0.0.1:9\"/></group></service></config>"
        )
    };
    folder.write("good.xml", with("127.0.0.1:0"));
    folder.write("other.xml", with("127.0.0.2:0"));
    folder.write("taken.xml", with(&taken.to_string()));
    folder.write(
        "bad.xml",
        "<config>\n<service name=\"web\" idle=\"5\"/>\n</config>",
    );
    folder.write("broken.xml", "<config>");
    let mut said = String::new();
    for line in [
        "txlb -t -f good.xml",
        "txlb -t -f bad.xml",
        "txlb -t -f broken.xml",
        "txlb -t -f taken.xml",
        "txlb -t -f none.xml",
        "txlb -f bad.xml",
        "txlb -f none.xml",
        "txlb -f taken.xml",
        "txlb -f good.xml -l none/log",
        "txlb -f good.xml -p none/pid",
        "txlb -f good.xml -u nobody-at-all",
        "(ulimit -n 20; txlb -w 1 -f good.xml)",
        "txlb --none",
        "txlb -w none",
        "txlb -B 127.0.0.1:9",
        "txlb -s none",
        "txlb -s pid -p none",
        "txlb -s stop -p none",
        "txlb ctl -C none status",
        "txlb ctl -C none status >/dev/full",
        "txlb --help >/dev/full",
        "txlb diff good.xml good.xml",
        "txlb diff good.xml other.xml",
        "txlb diff good.xml bad.xml",
        "txlb diff good.xml",
        "txlb passwd none",
    ] {
        said += &show(&folder, line);
    }
    let mut mask = Mask::default();
    mask.hide(text(folder.path()), "FOLDER");
    let said = mask.text(&said);
    compare("exits.txt", &without_usage(&said));
}

/// The usage text is pinned once.
fn without_usage(said: &str) -> String {
    let lines = said.lines().filter(|line| !line.starts_with("2>     "));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_sample_is_shown_as_it_was() {
    let folder = Folder::new();
    for sample in ["config.xml", "minimal.xml", "txlb/config.xml"] {
        let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(top.join("etc").join(sample)).unwrap();
        folder.write(&sample.replace('/', "-"), text);
    }
    let mut said = String::new();
    for file in ["config.xml", "minimal.xml", "txlb-config.xml"] {
        said += &show(&folder, &format!("txlb -T -f {file} 2>&-"));
    }
    compare("check.txt", &said);
}

#[test]
fn every_golden_file_is_compared_with() {
    let names = names();
    for name in &names {
        assert!(FILES.contains(&&**name), "nothing is compared with {name}");
    }
    // While golden files are written anew, they appear one by one.
    if std::env::var_os("TXLB_BLESS").is_none() {
        assert_eq!(names, FILES);
    }
}

#[test]
fn a_difference_is_told_and_an_empty_file_is_none() {
    assert_eq!(difference("a\nb\nc\n", "a\nx\nc\n"), "- 2: b\n+ 2: x");
    assert_eq!(difference("a\n", "a\n"), "");
    assert_eq!(difference("", "a\n"), "+ 1: a");
    let empty = std::panic::catch_unwind(|| compare("none.txt", "\n\n\n\n\n\n"));
    assert!(empty.is_err());
    let mut mask = Mask::default();
    mask.hide("/tmp/x", "FOLDER");
    let line = "2026-11-29T06:06:28.858Z /tmp/x/y at 127.0.0.1:18080 for 5 s, process 7, web2 5";
    let masked = "TIME FOLDER/y at 127.0.0.1:PORT for AGE, process N, web2 5\n";
    assert_eq!(mask.text(line), masked);
    assert_eq!(
        without_numbers("a1 22 3.5, s.4 -1 10.0.0.1:8"),
        "a1 N N, s.4 -1 10.0.0.1:N"
    );
}
