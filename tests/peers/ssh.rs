//! The console as OpenSSH's client sees it. Run by `.ci/run`: needs ssh, ssh-keygen and
//! sshpass.
#![cfg(all(feature = "ssh", target_os = "linux"))]

use std::fs::{self, File};
use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use crate::support::client::{connect_from, who_in_turn};
use crate::support::http::USERS;
use crate::support::ssh::{SshServer, console_and_key_of, host_key_of};
use crate::support::txlb::{Folder, text};
use crate::support::{TIMEOUT, pty, until};
use rustix::process::{Pid, Signal, kill_process};

/// What ssh says when the connection, and not the command, went wrong.
const LOST: Option<i32> = Some(255);

/// Keys as ssh-keygen makes them.
struct Keys(Folder);

impl Keys {
    fn new(kinds: &[(&str, &str)]) -> Keys {
        let keys = Keys(Folder::new());
        for (kind, bits) in kinds {
            let file = keys.0.file(kind);
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", kind, "-b", bits, "-N", "", "-f", text(&file)]);
            assert!(keygen.status().unwrap().success());
        }
        keys
    }

    fn line(&self, kind: &str) -> String {
        let file = self.0.file(&format!("{kind}.pub"));
        fs::read_to_string(file).unwrap().trim().to_owned()
    }
}

/// An `ssh` to the console, or whatever else `program` makes of it.
fn ssh(server: &SshServer, program: &[&str], user: &str) -> Command {
    let (program, arguments) = program.split_first().unwrap();
    let mut ssh = Command::new(program);
    ssh.args(arguments);
    if *program != "ssh" {
        ssh.arg("ssh");
    }
    let known = server.txlb.folder.file("known_hosts");
    let port = server.address.port().to_string();
    ssh.args(["-F", "none", "-p", &port, "-o", "StrictHostKeyChecking=no"]);
    ssh.arg("-o")
        .arg(format!("UserKnownHostsFile={}", text(&known)));
    ssh.args(["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"]);
    ssh.arg(format!("{user}@127.0.0.1"));
    ssh.stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    ssh
}

fn with_password(server: &SshServer, user: &str, password: &str) -> Command {
    ssh(server, &["sshpass", "-p", password], user)
}

fn with_key(server: &SshServer, keys: &Keys, kind: &str, user: &str) -> Command {
    let file = keys.0.file(kind);
    let mut ssh = ssh(server, &["ssh"], user);
    ssh.args(["-o", "BatchMode=yes", "-i", text(&file)]);
    ssh
}

/// Runs it to its end, in time.
fn run(mut command: Command) -> Output {
    let began = Instant::now();
    let output = command.output().unwrap();
    assert!(began.elapsed() < TIMEOUT, "{command:?}");
    output
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
#[ignore = "needs ssh"]
fn all_kinds_of_keys_log_in_and_others_do_not() {
    let kinds = [("ed25519", "256"), ("ecdsa", "521"), ("rsa", "2048")];
    let (keys, others) = (Keys::new(&kinds), Keys::new(&kinds));
    let lines: String = ["ed25519", "ecdsa", "rsa"]
        .map(|kind| format!("<key>{}</key>", keys.line(kind)))
        .concat();
    let users = format!("<user name=\"ann\" access=\"full\">{lines}</user>");
    let mut server = SshServer::open(&users);
    for (kind, _) in kinds {
        let mut command = with_key(&server, &keys, kind, "ann");
        command.arg("status");
        let output = run(command);
        assert_eq!(output.status.code(), Some(0), "{kind}: {output:?}");
        assert!(stdout(&output).contains("service web at"));
        if kind == "rsa" {
            // Nobody signs with SHA-1 any more.
            let mut command = with_key(&server, &keys, kind, "ann");
            command.args(["-o", "PubkeyAcceptedAlgorithms=ssh-rsa", "status"]);
            assert_eq!(run(command).status.code(), LOST);
        }
    }
    for kind in ["ed25519", "ecdsa", "rsa", "rsa"] {
        let mut command = with_key(&server, &others, kind, "ann");
        command.arg("status");
        let output = run(command);
        assert_eq!(output.status.code(), LOST, "{kind}");
        let said = stderr(&output);
        assert!(
            said.contains("Permission denied (publickey,password)"),
            "{said}"
        );
    }
    // Four connections in vain: they keep no key out that is right.
    let mut command = with_key(&server, &keys, "ed25519", "ann");
    command.arg("status");
    assert_eq!(run(command).status.code(), Some(0));
    assert_eq!(
        server
            .txlb
            .count("login failed: user ann from 127.0.0.1 (ssh)"),
        4
    );
}

#[test]
#[ignore = "needs ssh"]
fn commands_end_cleanly_with_their_status() {
    let server = SshServer::open(USERS);
    let ask = |command: &str| {
        let mut ssh = with_password(&server, "admin", "admin");
        ssh.arg(command);
        run(ssh)
    };
    let output = ask("drainHost service=web group=main name=a force=true");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = ask("nonsense");
    assert_eq!(
        (output.status.code(), stdout(&output).as_str()),
        (Some(1), "")
    );
    assert!(
        stderr(&output).contains("error: there is no verb"),
        "{output:?}"
    );
    assert_eq!(ask("exit").status.code(), Some(0));
    let mut guest = with_password(&server, "guest", "guest");
    guest.arg("reload");
    assert_eq!(run(guest).status.code(), Some(1));
    // Lines without a terminal.
    let mut lines = with_password(&server, "admin", "admin");
    let mut child = lines.stdin(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"status\nexit\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(stdout(&output).ends_with("ok generation 2\n"));
}

#[test]
#[ignore = "needs ssh"]
fn wrong_passwords_are_refused_and_made_slow() {
    let mut server = SshServer::open(USERS);
    let try_one = |user: &str, password: &str| {
        let mut ssh = with_password(&server, user, password);
        ssh.args(["-o", "NumberOfPasswordPrompts=1", "status"]);
        run(ssh).status.code()
    };
    assert_eq!(try_one("admin", "admin"), Some(0));
    for user in ["guest", "nobody", "guest", "guest"] {
        assert_ne!(try_one(user, "wrong"), Some(0));
    }
    // Right, but too soon; what was right a moment ago is known.
    assert_ne!(try_one("guest", "guest"), Some(0));
    assert_eq!(try_one("admin", "admin"), Some(0));
    server.txlb.wait_for_count("login failed: user", 4);
}

#[test]
#[ignore = "needs ssh"]
fn the_exchange_of_keys_is_strict_and_the_fingerprint_is_the_logged_one() {
    let server = SshServer::open(USERS);
    let mut ssh = with_password(&server, "admin", "admin");
    ssh.args(["-vvv", "status"]);
    let output = run(ssh);
    let said = stderr(&output);
    for line in [
        "kex-strict-s-v00@openssh.com",
        "will use strict KEX ordering",
        "kex: algorithm: curve25519-sha256",
        "server-sig-algs=<ssh-ed25519,",
    ] {
        assert!(said.contains(line), "{line} is not in {said}");
    }
    let (_, key) = console_and_key_of(&server.txlb);
    assert!(
        said.contains(&format!("Server host key: ssh-ed25519 {key}")),
        "{said}"
    );
    let file = host_key_of(&server.txlb);
    let keygen = Command::new("ssh-keygen")
        .args(["-l", "-f", text(&file)])
        .output();
    assert!(stdout(&keygen.unwrap()).contains(&key));
}

#[test]
#[ignore = "needs ssh"]
fn what_is_no_console_is_refused() {
    let mut server = SshServer::open(USERS);
    let ask = |arguments: &[&str]| {
        let mut ssh = with_password(&server, "admin", "admin");
        ssh.args(arguments);
        run(ssh)
    };
    let output = ask(&["-s", "sftp"]);
    assert!(
        stderr(&output).contains("subsystem request failed"),
        "{output:?}"
    );
    let output = ask(&[
        "-o",
        "ExitOnForwardFailure=yes",
        "-R",
        "0:127.0.0.1:1",
        "status",
    ]);
    assert!(
        stderr(&output).contains("remote port forwarding failed"),
        "{output:?}"
    );
    let output = ask(&["-W", "127.0.0.1:1"]);
    assert!(
        stderr(&output).contains("administratively prohibited"),
        "{output:?}"
    );
    assert_eq!(
        ask(&["-o", "SetEnv=A=b", "-A", "status"]).status.code(),
        Some(0)
    );
    server.txlb.wait_for_count("has come in", 4);
}

/// A terminal with an `ssh` at it.
struct Terminal {
    keyboard: File,
    shown: Receiver<Vec<u8>>,
    screen: String,
    child: Child,
}

impl Terminal {
    fn new(mut ssh: Command) -> Terminal {
        let (keyboard, line) = pty::open();
        pty::attach(&mut ssh, &line);
        let child = ssh.spawn().unwrap();
        Terminal {
            shown: pty::pieces(keyboard.try_clone().unwrap()),
            keyboard,
            screen: String::new(),
            child,
        }
    }

    fn enter(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + TIMEOUT;
        while !self.screen.contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.shown.recv_timeout(left) {
                Ok(piece) => self.screen += &String::from_utf8_lossy(&piece),
                Err(error) => panic!("no {text:?} ({error}) in {:?}", self.screen),
            }
        }
        let at = self.screen.find(text).unwrap() + text.len();
        self.screen.drain(..at);
    }

    fn end(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

#[test]
#[ignore = "needs ssh"]
fn a_terminal_has_a_console_that_ends_with_exit() {
    let keys = Keys::new(&[("ed25519", "256")]);
    let key = keys.line("ed25519");
    let server = SshServer::open(&format!(
        "<user name=\"ann\" access=\"full\" key=\"{key}\"/>"
    ));
    let mut ssh = with_key(&server, &keys, "ed25519", "ann");
    ssh.arg("-tt");
    let mut terminal = Terminal::new(ssh);
    terminal.wait_for("txlb> ");
    terminal.enter("drainHost service=web group=main name=a force=true\r");
    terminal.wait_for("ok generation 2");
    terminal.wait_for("txlb> ");
    pty::set_size(&terminal.keyboard, 132, 40);
    kill_process(Pid::from_child(&terminal.child), Signal::WINCH).unwrap();
    terminal.enter("nonsense\x03");
    terminal.wait_for("txlb> ");
    terminal.enter("exit\r");
    assert_eq!(terminal.end(), Some(0));
}

#[test]
#[ignore = "needs ssh"]
fn fifty_at_once_are_served_or_told_that_there_is_no_room() {
    let mut server = SshServer::open(USERS);
    let before = Instant::now();
    let children: Vec<_> = (0..50)
        .map(|_| {
            let mut ssh = with_password(&server, "admin", "admin");
            ssh.arg("status");
            ssh.spawn().unwrap()
        })
        .collect();
    assert_eq!(who_in_turn(server.txlb.address(), 5), "aaaaa");
    let outputs: Vec<_> = children
        .into_iter()
        .map(|child| child.wait_with_output().unwrap())
        .collect();
    assert!(before.elapsed() < TIMEOUT);
    let served = outputs.iter().filter(|it| it.status.code() == Some(0));
    let served = served.count();
    assert!(served >= 4, "{served} were served");
    for output in outputs.iter().filter(|it| it.status.code() != Some(0)) {
        let said = stderr(output);
        assert_eq!(output.status.code(), LOST, "{said}");
        // Nothing is said to those who come while sixteen are being told.
        let ends = ["there is no room", "closed", "reset"];
        assert!(ends.iter().any(|end| said.contains(end)), "{said}");
    }
    // Once the slots of the others are free, four take all there are for an address: the
    // fifth is told.
    until("the fifth is told", || {
        let _seated: Vec<_> = (0..4)
            .map(|_| connect_from([127, 0, 0, 1].into(), server.address))
            .collect();
        let mut ssh = with_password(&server, "admin", "admin");
        ssh.arg("status");
        stderr(&run(ssh)).contains("there is no room: txlb has")
    });
    assert_eq!(server.txlb.count("panicked"), 0);
}

#[test]
#[ignore = "needs ssh"]
fn a_session_that_stays_is_told_that_txlb_ends() {
    let mut server = SshServer::open(USERS);
    let mut ssh = with_password(&server, "admin", "admin");
    ssh.arg("-tt");
    let mut terminal = Terminal::new(ssh);
    terminal.wait_for("txlb> ");
    let before = Instant::now();
    assert_eq!(server.txlb.stop(), Some(0));
    assert!(before.elapsed() < Duration::from_secs(5));
    terminal.wait_for("txlb ends");
    assert_eq!(terminal.end(), LOST);
}
