//! `--demo`: what it prints works.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;

use crate::support::client::{End, connect, read_all};
use crate::support::txlb::{Folder, command, demo_turn, read_lines};
use crate::support::{TIMEOUT, until};
use rustix::process::{Pid, Signal, kill_process};

/// The address in a URL.
fn address(url: &str) -> SocketAddr {
    let url = url.strip_prefix("http://").unwrap();
    url.strip_suffix('/').unwrap().parse().unwrap()
}

/// Sends a request as a browser does; returns the response's body.
fn fetch(url: &str) -> String {
    let (head, body) = fetch_path(url, "/");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    body
}

/// The head and the body of the response for a path.
fn fetch_path(url: &str, path: &str) -> (String, String) {
    let address = address(url);
    let mut client = connect(address);
    write!(client, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let (answer, end) = read_all(&client);
    assert_eq!(end, End::Clean);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// The number before this word.
fn number_before(text: &str, word: &str) -> u64 {
    let (before, _) = text.split_once(word).unwrap();
    before.split_whitespace().last().unwrap().parse().unwrap()
}

/// A running demonstration; dropping it kills it.
struct Demo {
    child: Child,
    lines: Receiver<String>,
    /// What it printed before the URL.
    printed: Vec<String>,
    url: String,
    /// For its state and its temporary files.
    folder: Folder,
}

impl Demo {
    fn start(mut command: Command) -> Demo {
        let folder = Folder::new();
        let at = folder.path();
        command.env("STATE_DIRECTORY", at).env("TMPDIR", at);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = read_lines(child.stdout.take().unwrap());
        let mut printed = Vec::new();
        let url = loop {
            let line = lines.recv_timeout(TIMEOUT).unwrap();
            if let Some(rest) = line.strip_prefix("    curl ") {
                break rest.split(' ').next().unwrap().to_owned();
            }
            printed.push(line);
        };
        Demo {
            child,
            lines,
            printed,
            url,
            folder,
        }
    }

    /// The next line that contains `text`.
    fn line_with(&self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(TIMEOUT).unwrap();
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The file that has the configuration, as it said before the URL.
    fn config_file(&self) -> PathBuf {
        let line = self
            .printed
            .iter()
            .find(|line| line.starts_with("It is in "));
        let path = line.unwrap().strip_prefix("It is in ").unwrap();
        PathBuf::from(path.split(',').next().unwrap())
    }

    /// Stops it; returns what it printed.
    fn stop(mut self) -> String {
        let file = self.config_file();
        assert!(file.starts_with(self.folder.path()) && file.exists());
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        // The end of the process closes the pipe.
        while let Ok(line) = self.lines.recv_timeout(TIMEOUT) {
            self.printed.push(line);
        }
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        until("the folder is removed", || !file.exists());
        std::mem::take(&mut self.printed).join("\n")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_three_hosts_answer_in_turn_at_the_url_that_is_printed() {
    let _alone = demo_turn();
    let demo = Demo::start(command(&["--demo"]));
    let url = demo.url.clone();
    let bodies: String = (0..6).map(|_| fetch(&url)).collect();
    assert_eq!(bodies, "one\ntwo\nthree\n".repeat(2));

    // The printed configuration is valid, the one that ran, and in the file that is named.
    let file = std::fs::read_to_string(demo.config_file()).unwrap();
    let text = demo.stop();
    assert!(text.contains(&file));
    let config = txlb::config::read(file.as_bytes()).unwrap().config;
    let hosts = &config.services[0].enabled_group().unwrap().hosts;
    assert_eq!(
        hosts
            .iter()
            .map(|host| host.name.as_str())
            .collect::<Vec<_>>(),
        ["one", "two", "three"]
    );
    let port = config.services[0].listens[0].address.port;
    assert!(
        url.ends_with(&format!(":{port}/")),
        "{url} is not in {text}"
    );
}

#[cfg(feature = "web")]
#[test]
fn the_admin_page_that_is_printed_is_there_for_its_user() {
    use crate::support::http::HttpRequest;

    /// `demo:demo` for HTTP Basic.
    const DEMO: &str = "Basic ZGVtbzpkZW1v";

    let _alone = demo_turn();
    let demo = Demo::start(command(&["--demo"]));
    let _ = fetch(&demo.url);
    let line = demo.line_with("admin page: user demo, password demo");
    let page = address(line.trim_start().split(' ').next().unwrap());
    assert_eq!(HttpRequest::get(page, "/").send().status, 401);
    let shown = HttpRequest::get(page, "/").by(DEMO).send();
    assert_eq!(shown.status, 200);
    assert!(shown.body.contains("three") && shown.body.contains("Drain"));
    demo.stop();
}

#[test]
fn hosts_stop_and_start_by_requests_and_a_client_counts() {
    let _alone = demo_turn();
    let demo = Demo::start(command(&["--demo"]));
    let (head, body) = fetch_path(&demo.url, "/stop/two");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(body, "two is stopped\n");
    let bodies: String = (0..6).map(|_| fetch(&demo.url)).collect();
    assert!(!bodies.contains("two"), "{bodies}");
    demo.line_with("a client sends requests");
    let counted = demo.line_with(" requests, ");
    assert!(number_before(&counted, " requests, ") >= 6, "{counted}");
    assert_eq!(fetch_path(&demo.url, "/stop/one").1, "one is stopped\n");
    let (head, _) = fetch_path(&demo.url, "/stop/three");
    assert!(head.starts_with("HTTP/1.1 409 "), "{head}");
    assert_eq!(fetch_path(&demo.url, "/start/two").1, "two is started\n");
    until("two gets requests again", || fetch(&demo.url) == "two\n");
    let text = demo.stop();
    let last = text.lines().last().unwrap();
    assert!(
        last.contains(" requests, ") && last.ends_with(" failed"),
        "{last}"
    );
}

#[test]
fn what_is_printed_for_the_control_socket_works() {
    let _alone = demo_turn();
    let demo = Demo::start(command(&["--demo"]));
    let line = demo.line_with("the same from this machine");
    let mut words = line.split('#').next().unwrap().split_whitespace();
    let program = words.next().unwrap();
    let mut ctl = Command::new(program);
    // It is relative to where the demonstration was started.
    ctl.args(words)
        .args(["drainHost", "service=demo", "group=main", "name=three"]);
    assert!(ctl.status().unwrap().success());
    let bodies: String = (0..6).map(|_| fetch(&demo.url)).collect();
    assert_eq!(bodies.matches("three").count(), 0, "{bodies}");
    demo.stop();
}

/// The demonstration at a terminal.
#[cfg(target_os = "linux")]
mod keys {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::process::Child;
    use std::sync::mpsc::Receiver;

    use rustix::process::{Pid, Signal, kill_process};
    use rustix::termios::{LocalModes, tcgetattr};

    use super::number_before;
    use crate::support::txlb::{Folder, command, demo_turn};
    use crate::support::{TIMEOUT, pty, until};

    struct AtTerminal {
        keyboard: File,
        line: OwnedFd,
        pieces: Receiver<Vec<u8>>,
        shown: String,
        child: Child,
        folder: Folder,
    }

    /// The status line: counts, and a number or a state for each host.
    struct Status {
        requests: u64,
        failed: u64,
        hosts: Vec<String>,
        is_kept: bool,
    }

    impl Status {
        /// The last whole one in this output.
        fn last_of(shown: &str) -> Option<Status> {
            let end = shown.rfind("  q:end")?;
            let (_, line) = shown[..end].rsplit_once(";1H")?;
            let host = |name: &str| {
                let (_, rest) = line.split_once(name).unwrap();
                rest.split("  ").next().unwrap().trim().to_owned()
            };
            Some(Status {
                requests: number_before(line, " requests, "),
                failed: number_before(line, " failed"),
                hosts: ["1:one ", "2:two ", "3:three "].map(host).into(),
                is_kept: line.ends_with("  kept"),
            })
        }

        fn answered_by_two(&self) -> u64 {
            self.hosts[1].parse().unwrap_or(0)
        }
    }

    impl AtTerminal {
        fn start() -> AtTerminal {
            let (keyboard, line) = pty::open();
            pty::set_size(&line, 120, 30);
            let folder = Folder::new();
            let mut demo = command(&["--demo"]);
            demo.env("STATE_DIRECTORY", folder.path())
                .env("TMPDIR", folder.path());
            demo.env("TERM", "xterm");
            pty::attach(&mut demo, &line);
            let child = demo.spawn().unwrap();
            let pieces = pty::pieces(keyboard.try_clone().unwrap());
            let mut terminal = AtTerminal {
                keyboard,
                line,
                pieces,
                shown: String::new(),
                child,
                folder,
            };
            terminal.status("no status line", |_| true);
            terminal
        }

        /// What is on the status line, once `holds` of it.
        fn status(&mut self, what: &str, holds: impl Fn(&Status) -> bool) -> Status {
            loop {
                if let Some(status) = Status::last_of(&self.shown).filter(|status| holds(status)) {
                    return status;
                }
                let piece = self.pieces.recv_timeout(TIMEOUT);
                let piece =
                    piece.unwrap_or_else(|error| panic!("{what} ({error}): {}", self.shown));
                self.shown += &String::from_utf8_lossy(&piece);
            }
        }

        fn press(&mut self, keys: &str) {
            self.keyboard.write_all(keys.as_bytes()).unwrap();
        }

        fn is_raw(&self) -> bool {
            let modes = tcgetattr(&self.line).unwrap().local_modes;
            !modes.contains(LocalModes::ECHO | LocalModes::ICANON)
        }

        /// Waits for its end, after which the terminal is as it was.
        fn end(&mut self) {
            assert_eq!(self.child.wait().unwrap().code(), Some(0));
            assert!(!self.is_raw());
            until("all rows scroll again, and the counts are printed", || {
                let pieces: Vec<u8> = self.pieces.try_iter().flatten().collect();
                self.shown += &String::from_utf8_lossy(&pieces);
                let last = self.shown.rsplit_once("\x1b[r");
                last.is_some_and(|(_, last)| last.contains(" requests, "))
            });
        }

        /// The demonstrations' folders that are left.
        fn left(&self) -> usize {
            let entries = std::fs::read_dir(self.folder.path()).unwrap();
            let names = entries.map(|entry| entry.unwrap().file_name());
            names
                .filter(|name| name.to_string_lossy().starts_with("txlb-demo-"))
                .count()
        }
    }

    impl Drop for AtTerminal {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    #[test]
    fn stop_and_start_a_host_while_a_client_counts() {
        let _alone = demo_turn();
        let mut terminal = AtTerminal::start();
        assert!(terminal.is_raw());
        let first = terminal.status("no request", |status| status.answered_by_two() > 2);
        assert_eq!(first.failed, 0);
        terminal.press("2");
        let stopped = terminal.status("two runs", |status| status.hosts[1] == "stopped");
        let enough = stopped.requests + 30;
        terminal.status("no more requests", |status| status.requests > enough);
        terminal.press("2");
        let before = stopped.requests / 2;
        let last = terminal.status("two gets none", |status| status.answered_by_two() > before);
        // One that reached the host at the moment of its end may have been reset.
        assert!(last.failed <= 2, "{} failed", last.failed);
        terminal.press("q");
        terminal.end();
        until("the folder is removed", || terminal.left() == 0);
    }

    #[test]
    fn keep_the_file_and_signals_restore_the_terminal() {
        let _alone = demo_turn();
        let mut terminal = AtTerminal::start();
        terminal.press("k");
        terminal.status("it is not kept", |status| status.is_kept);
        kill_process(Pid::from_child(&terminal.child), Signal::TERM).unwrap();
        terminal.end();
        assert_eq!(terminal.left(), 1);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn hosts_without_descriptors_do_not_go_round_in_circles() {
    use std::time::Duration;

    use crate::support::pause;
    use crate::support::proc::{descriptors, processor_time, shows_descriptors};

    if !shows_descriptors() {
        return;
    }
    let _alone = demo_turn();
    let mut shell = Command::new("sh");
    let script = "ulimit -n 512 && exec \"$0\" --demo";
    shell.args(["-c", script]).arg(command(&[]).get_program());
    let demo = Demo::start(shell);
    let pid = Pid::from_child(&demo.child);
    // A session takes three descriptors, of which the balancer knows two: it accepts more sessions
    // than there are descriptors for.
    let clients: Vec<_> = (0..230).map(|_| connect(address(&demo.url))).collect();
    until("there are no more", || descriptors(pid).len() >= 510);
    let before = processor_time(pid);
    pause(Duration::from_millis(500));
    let used = processor_time(pid) - before;
    assert!(used < Duration::from_millis(150), "{used:?}");
    drop(clients);
    assert!(!fetch(&demo.url).is_empty());
    demo.stop();
}
