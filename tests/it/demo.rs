//! `--demo`: what it prints works.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;

use crate::support::TIMEOUT;
use crate::support::client::{End, connect, read_all};
use crate::support::txlb::{command, demo_turn, read_lines};
use rustix::process::{Pid, Signal, kill_process};

/// The address in a URL.
fn address(url: &str) -> SocketAddr {
    let url = url.strip_prefix("http://").unwrap();
    url.strip_suffix('/').unwrap().parse().unwrap()
}

/// Sends a request as a browser does; returns the response's body.
fn fetch(url: &str) -> String {
    let address = address(url);
    let mut client = connect(address);
    write!(client, "GET / HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let (answer, end) = read_all(&client);
    assert_eq!(end, End::Clean);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    body.to_owned()
}

/// A running demonstration; dropping it kills it.
struct Demo {
    child: Child,
    lines: Receiver<String>,
    /// What it printed before the URL.
    printed: Vec<String>,
    url: String,
}

impl Demo {
    fn start(mut command: Command) -> Demo {
        command.stdin(Stdio::null()).stderr(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = read_lines(child.stdout.take().unwrap());
        let mut printed = Vec::new();
        let url = loop {
            let line = lines.recv_timeout(TIMEOUT).unwrap();
            if let Some(url) = line.strip_prefix("    curl ") {
                break url.to_owned();
            }
            printed.push(line);
        };
        Demo {
            child,
            lines,
            printed,
            url,
        }
    }

    /// Stops it; returns what it printed.
    fn stop(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        // The end of the process closes the pipe.
        while let Ok(line) = self.lines.recv_timeout(TIMEOUT) {
            self.printed.push(line);
        }
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        self.printed.join("\n")
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

    // The printed configuration is valid and the one that ran.
    let text = demo.stop();
    let start = text.find("<config>").unwrap();
    let config = txlb::config::read(&text.as_bytes()[start..])
        .unwrap()
        .config;
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
    let line = loop {
        let line = demo.lines.recv_timeout(TIMEOUT).unwrap();
        if line.starts_with("Its admin page is at ") {
            break line;
        }
    };
    let page = address(line.split(' ').nth(5).unwrap());
    assert_eq!(HttpRequest::get(page, "/").send().status, 401);
    let shown = HttpRequest::get(page, "/").by(DEMO).send();
    assert_eq!(shown.status, 200);
    assert!(shown.body.contains("three") && shown.body.contains("Drain"));
    demo.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn hosts_without_descriptors_do_not_go_round_in_circles() {
    use std::time::Duration;

    use crate::support::proc::{descriptors, processor_time, shows_descriptors};
    use crate::support::{pause, until};

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
