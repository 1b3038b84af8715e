//! `txlb passwd`: its hash fits the password, and the terminal modes are restored.
#![cfg(feature = "logins")]

use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use crate::support::txlb::command;
use txlb::admin::{Auth, Login};
use txlb::config::{Access, User};

/// The exit status and both outputs.
fn passwd(input: &[u8]) -> (Option<i32>, String, String) {
    let mut child = piped(&mut command(&["passwd"])).spawn().unwrap();
    // It may stop reading before the end.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
    (output.status.code(), stdout, stderr)
}

fn piped(command: &mut Command) -> &mut Command {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
}

/// Whether a user with this hash may log in with the password.
fn lets_in(line: &str, password: &str) -> bool {
    let hash = line.strip_suffix('\n').unwrap();
    assert!(hash.starts_with("$6$") && !hash.contains('\n'), "{line}");
    let user = User {
        name: "ann".to_owned(),
        password: Some(hash.to_owned()),
        access: Access::ReadOnly,
        keys: Vec::new(),
    };
    let auth = Auth::new(&[user]).unwrap();
    let login = auth.login(Ipv4Addr::LOCALHOST.into(), "ann", password, "web");
    login == Login::Welcome(Access::ReadOnly)
}

#[test]
fn a_line_of_standard_input_is_a_password() {
    let inputs: [&[u8]; 3] = [b"a b\tc", b"a b\tc\n", b"a b\tc\nmore\n"];
    let mut hashes = inputs.map(|input| {
        let (status, hash, complaint) = passwd(input);
        assert_eq!((status, complaint.as_str()), (Some(0), ""));
        assert!(lets_in(&hash, "a b\tc"), "{hash}");
        hash
    });
    assert!(!lets_in(&hashes[0], "a b\tc\n"));
    hashes.sort();
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2]);
}

#[test]
fn what_is_no_password_is_1_and_a_reason() {
    let long = [b'x'; 5000];
    let inputs: [(&[u8], &str); 6] = [
        (b"", "the password is empty"),
        (b"\n", "the password is empty"),
        (b"\nsecret\n", "the password is empty"),
        (b"caf\xe9\n", "the password is not UTF-8"),
        (b"a\0b\n", "NUL"),
        (&long, "at most 1024 bytes"),
    ];
    for (input, why) in inputs {
        let (status, hash, complaint) = passwd(input);
        assert_eq!((status, hash.as_str()), (Some(1), ""));
        assert!(complaint.starts_with("txlb: ") && complaint.contains(why));
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
}

#[cfg(target_os = "linux")]
mod at_a_terminal {
    //! The same at a terminal.

    use std::fs::File;
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::process::Child;
    use std::sync::mpsc::{Receiver, RecvTimeoutError};
    use std::time::Instant;

    use rustix::process::{Pid, Signal, kill_process};
    use rustix::termios::{LocalModes, tcgetattr};

    use super::*;
    use crate::support::{TIMEOUT, pty};

    /// A terminal with `txlb passwd`.
    struct Terminal {
        keyboard: File,
        /// The program's side of the terminal.
        line: OwnedFd,
        shown: Receiver<Vec<u8>>,
        screen: String,
        child: Child,
    }

    impl Terminal {
        fn new() -> Terminal {
            let (keyboard, line) = pty::open();
            let mut passwd = command(&["passwd"]);
            passwd.stdin(line.try_clone().unwrap());
            passwd.stderr(line.try_clone().unwrap());
            let child = passwd.stdout(Stdio::piped()).spawn().unwrap();
            let shown = pty::pieces(keyboard.try_clone().unwrap());
            Terminal {
                keyboard,
                line,
                shown,
                screen: String::new(),
                child,
            }
        }

        fn wait_for(&mut self, text: &str) {
            let deadline = Instant::now() + TIMEOUT;
            while !self.screen.contains(text) {
                let left = deadline.saturating_duration_since(Instant::now());
                match self.shown.recv_timeout(left) {
                    Ok(piece) => self.screen += &String::from_utf8(piece).unwrap(),
                    Err(error) => panic!("no {text:?} ({error}) in {:?}", self.screen),
                }
            }
        }

        fn type_in(&mut self, text: &str) {
            self.keyboard.write_all(text.as_bytes()).unwrap();
        }

        fn shows_what_is_typed(&self) -> bool {
            let modes = tcgetattr(&self.line).unwrap().local_modes;
            modes.contains(LocalModes::ECHO)
        }

        /// The exit status, the output, and the screen.
        fn end(mut self) -> (Option<i32>, String, String) {
            let mut hash = String::new();
            let mut stdout = self.child.stdout.take().unwrap();
            stdout.read_to_string(&mut hash).unwrap();
            let status = self.child.wait().unwrap();
            assert!(self.shows_what_is_typed());
            // Closes the last descriptor of that side, which ends the output.
            drop(self.line);
            loop {
                match self.shown.recv_timeout(TIMEOUT) {
                    Ok(piece) => self.screen += &String::from_utf8(piece).unwrap(),
                    Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => panic!("no end of {:?}", self.screen),
                }
            }
            (status.code(), hash, self.screen)
        }
    }

    #[test]
    fn it_is_typed_twice_and_not_shown() {
        let mut terminal = Terminal::new();
        terminal.wait_for("Password: ");
        assert!(!terminal.shows_what_is_typed());
        // Erase and kill characters work.
        terminal.type_in("Wort, geheimes X\x7f3\r");
        terminal.wait_for("Again: ");
        terminal.type_in("Wort, geheimes 3\n");
        let (status, hash, screen) = terminal.end();
        assert_eq!(status, Some(0));
        assert_eq!(screen, "Password: \r\nAgain: \r\n");
        assert!(lets_in(&hash, "Wort, geheimes 3"), "{hash}");
    }

    #[test]
    fn what_is_typed_differently_or_not_at_all_is_1() {
        for (first, second, why) in [
            ("secret\n", "Secret\n", "not the same"),
            ("\n", "", "empty"),
            ("\x04", "", "empty"),
        ] {
            let mut terminal = Terminal::new();
            terminal.wait_for("Password: ");
            terminal.type_in(first);
            if !second.is_empty() {
                terminal.wait_for("Again: ");
                terminal.type_in(second);
            }
            let (status, hash, screen) = terminal.end();
            assert_eq!((status, hash.as_str()), (Some(1), ""));
            assert!(
                screen.contains(why) && !screen.contains("ecret"),
                "{screen}"
            );
        }
    }

    #[test]
    fn a_signal_leaves_the_terminal_as_it_was() {
        for signal in [Signal::INT, Signal::TERM, Signal::QUIT, Signal::HUP] {
            let mut terminal = Terminal::new();
            terminal.wait_for("Password: ");
            terminal.type_in("half of i");
            kill_process(Pid::from_child(&terminal.child), signal).unwrap();
            let (status, hash, screen) = terminal.end();
            assert_eq!((status, hash.as_str()), (Some(1), ""));
            assert!(screen.contains("interrupted"), "{screen}");
        }
    }
}
