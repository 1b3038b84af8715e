//! The prompt of `txlb ctl` at a terminal.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use crate::support::config::web;
use crate::support::control::Controlled;
use crate::support::host::Host;
use crate::support::screen::Screen;
use crate::support::txlb::{command, text};
use crate::support::{TIMEOUT, pty};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};

/// A terminal with `txlb ctl`.
struct Terminal {
    keyboard: File,
    line: OwnedFd,
    shown: Receiver<Vec<u8>>,
    screen: Screen,
    child: Child,
}

const UP: &str = "\x1b[A";

impl Terminal {
    fn new(controlled: &Controlled, term: &str) -> Terminal {
        Terminal::asking(controlled, term, &[])
    }

    /// With `txlb ctl` and these words.
    fn asking(controlled: &Controlled, term: &str, words: &[&str]) -> Terminal {
        let (keyboard, line) = pty::open();
        pty::set_size(&line, 100, 30);
        let mut ctl = command(&["ctl", "-C", text(&controlled.socket)]);
        ctl.args(words);
        ctl.env("TERM", term).env_remove("NO_COLOR");
        pty::attach(&mut ctl, &line);
        let child = ctl.spawn().unwrap();
        let shown = pty::pieces(keyboard.try_clone().unwrap());
        Terminal {
            keyboard,
            line,
            shown,
            screen: Screen::new(100, 30),
            child,
        }
    }

    /// At the prompt with line editing.
    fn prompted(controlled: &Controlled) -> Terminal {
        let mut terminal = Terminal::new(controlled, "xterm");
        terminal.wait_for("prompt", |screen| screen.row().0 == "lb1 txlb>");
        terminal
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen shows it.
    fn wait_for(&mut self, what: &str, holds: impl Fn(&Screen) -> bool) {
        let deadline = Instant::now() + TIMEOUT;
        while !holds(&self.screen) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.shown.recv_timeout(left) {
                Ok(piece) => self.screen.show(&piece),
                Err(error) => panic!("no {what} ({error}) in:\n{}", self.screen.text()),
            }
        }
    }

    fn wait_for_row(&mut self, row: &str) {
        self.wait_for(row, |screen| screen.row().0 == row);
    }

    fn wait_for_text(&mut self, text: &str) {
        self.wait_for(text, |screen| screen.text().contains(text));
    }

    fn shows_what_is_typed(&self) -> bool {
        let modes = tcgetattr(&self.line).unwrap().local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    }

    /// The exit status and the last screen.
    fn end(mut self) -> (Option<i32>, Screen) {
        let status = self.child.wait().unwrap();
        assert!(self.shows_what_is_typed());
        drop(self.line);
        loop {
            match self.shown.recv_timeout(TIMEOUT) {
                Ok(piece) => self.screen.show(&piece),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("no end of {}", self.screen.text()),
            }
        }
        assert!(!self.screen.takes_pastes && !self.screen.is_other() && self.screen.has_cursor);
        (status.code(), self.screen)
    }
}

fn start() -> (Host, Controlled) {
    let host = Host::new("a");
    let config = web("", "roundr", &[host.address(), host.address()]);
    let config = config.replace("name=\"b\"", "name=\"b and a half\"");
    let config = config.replace("<config>", "<config name=\"lb1.example.org\">");
    (host, Controlled::start(&config))
}

#[test]
fn verbs_and_names_are_completed_from_what_runs() {
    let (_host, controlled) = start();
    let mut terminal = Terminal::prompted(&controlled);
    assert!(!terminal.shows_what_is_typed());
    terminal.press("setW\ts\t\tg\t\tna\tb\tw\t7");
    terminal
        .wait_for_row("lb1 txlb> setWeight service=web group=main name=\"b and a half\" weight=7");
    terminal.press("\r");
    terminal.wait_for_text("ok generation 2");
    assert!(controlled.tell(&["config"]).contains("weight=\"7\""));
    terminal.press("drainHost service=web group=main name=\t\t");
    terminal.wait_for_text("\na               \"b and a half\"\nlb1 txlb> drainHost");
    terminal.press("\x03exit\r");
    assert_eq!(terminal.end().0, Some(0));
}

#[test]
fn former_lines_come_back_and_lines_are_dropped() {
    let (_host, controlled) = start();
    let mut terminal = Terminal::prompted(&controlled);
    terminal.press("stattus\r");
    terminal.wait_for_text("error: ");
    terminal.press("wrong");
    terminal.press("\x03");
    terminal.wait_for_text("lb1 txlb> wrong^C\nlb1 txlb>");
    terminal.press(&format!("{UP}\x1b[D\x1b[D\x1b[D\x7f"));
    terminal.wait_for_row("lb1 txlb> status");
    terminal.press("\r");
    terminal.wait_for_text("service web at ");
    terminal.wait_for_row("lb1 txlb>");
    terminal.press("\x04");
    let (status, screen) = terminal.end();
    assert_eq!(status, Some(0));
    assert!(!screen.text().contains("ok generation"), "{screen:?}");
}

#[test]
fn a_batch_is_one_change() {
    let (_host, controlled) = start();
    let mut terminal = Terminal::prompted(&controlled);
    terminal.press("begin\r");
    terminal.wait_for_row("lb1 txlb (batch)>");
    terminal.press("drainHost service=web group=main name=a\rwatch nothing\rcommit\r");
    terminal.wait_for_text("error: no change of the batch was made");
    terminal.wait_for_row("lb1 txlb>");
    terminal.press("begin\r");
    terminal.wait_for_row("lb1 txlb (batch)>");
    terminal.press("\x04");
    let (status, screen) = terminal.end();
    assert_eq!(status, Some(0));
    assert!(screen.text().contains("error: the batch was not committed"));
    assert!(!controlled.tell(&["config"]).contains("state=\"drain\""));
}

#[test]
fn what_is_watched_goes_on_until_a_key_is_pressed() {
    let (host, controlled) = start();
    let mut terminal = Terminal::prompted(&controlled);
    terminal.press("watch status interval=0.5\r");
    terminal.wait_for_text("status every 0.5 s");
    assert!(terminal.screen.is_other());
    controlled.tell(&[
        "setWeight",
        "service=web",
        "group=main",
        "name=a",
        "weight=321",
    ]);
    terminal.wait_for_text(" 321 ");
    drop(host);
    terminal.press("q");
    terminal.wait_for_row("lb1 txlb>");
    assert!(!terminal.screen.is_other());
    terminal.press("\x04");
    assert_eq!(terminal.end().0, Some(0));
}

#[test]
fn tables_are_as_wide_as_the_terminal() {
    let (host, controlled) = start();
    let name = "a name that is not short";
    let (name_is, ip) = (format!("name={name}"), format!("ip={}", host.address()));
    controlled.tell(&["addHost", "service=web", "group=main", &name_is, &ip]);
    let (status, screen) = Terminal::asking(&controlled, "dumb", &["status"]).end();
    assert_eq!(status, Some(0));
    assert!(screen.text().contains(name), "{}", screen.text());
    let mut terminal = Terminal::prompted(&controlled);
    terminal.press("status\r");
    terminal.wait_for_text(name);
    terminal.press("\x04");
    assert_eq!(terminal.end().0, Some(0));
    // Without a terminal, nothing is cut.
    assert!(controlled.tell(&["status"]).contains(name));
}

#[test]
fn another_size_is_drawn_in_at_once() {
    let (_host, controlled) = start();
    let mut terminal = Terminal::prompted(&controlled);
    terminal.press("a line that is not so long");
    terminal.wait_for_row("lb1 txlb> a line that is not so long");
    terminal.screen.resize(20, 10);
    pty::set_size(&terminal.line, 20, 10);
    kill_process(Pid::from_child(&terminal.child), Signal::WINCH).unwrap();
    terminal.wait_for("less", |screen| screen.row().0.starts_with("lb1 txlb> <"));
    terminal.press("\x03\x04");
    assert_eq!(terminal.end().0, Some(0));
}

#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    let (_host, controlled) = start();
    for signal in [Signal::INT, Signal::TERM, Signal::QUIT, Signal::HUP] {
        let mut terminal = Terminal::prompted(&controlled);
        terminal.press("watch status\r");
        terminal.wait_for_text("status every 2 s");
        kill_process(Pid::from_child(&terminal.child), signal).unwrap();
        let (status, screen) = terminal.end();
        assert_eq!(status, Some(1));
        assert!(screen.text().contains("txlb: interrupted"));
    }
}

#[test]
fn it_ends_when_txlb_is_gone() {
    let (_host, mut controlled) = start();
    let mut terminal = Terminal::prompted(&controlled);
    controlled.txlb.stop();
    terminal.press("status\r");
    let (status, screen) = terminal.end();
    assert_eq!(status, Some(69), "{}", screen.text());
    assert!(screen.text().contains("txlb: no txlb answers at "));
}

#[test]
fn a_terminal_that_can_do_nothing_has_a_prompt_all_the_same() {
    let (_host, controlled) = start();
    let mut terminal = Terminal::new(&controlled, "dumb");
    terminal.wait_for_row("txlb>");
    assert!(terminal.shows_what_is_typed());
    terminal.press("status\n");
    terminal.wait_for_text("service web at ");
    terminal.press("exit\n");
    assert_eq!(terminal.end().0, Some(0));
}
