//! The demonstration: what it prints works.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use support::PATIENCE;
use support::client::{End, connect, read_all};
use support::txlb::{command, read_lines};

/// Asks as a browser does; returns the answer's body.
fn fetch(url: &str) -> String {
    let address = url
        .strip_prefix("http://")
        .unwrap()
        .strip_suffix('/')
        .unwrap();
    let mut client = connect(address.parse().unwrap());
    write!(client, "GET / HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let (answer, end) = read_all(&client);
    assert_eq!(end, End::Clean);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    body.to_owned()
}

#[test]
fn the_three_hosts_answer_in_turn_at_the_url_that_is_printed() {
    let mut demo: Command = command(&["--demo"]);
    demo.stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = demo.spawn().unwrap();
    let lines = read_lines(child.stdout.take().unwrap());
    let mut printed = Vec::new();
    let url = loop {
        let line = lines.recv_timeout(PATIENCE).unwrap();
        if let Some(url) = line.strip_prefix("    curl ") {
            break url.to_owned();
        }
        printed.push(line);
    };
    let bodies: String = (0..6).map(|_| fetch(&url)).collect();
    assert_eq!(bodies, "one\ntwo\nthree\n".repeat(2));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    // It has ended once its end of the pipe is closed.
    while let Ok(line) = lines.recv_timeout(PATIENCE) {
        printed.push(line);
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));

    // The configuration that is printed is one, and what ran.
    let text = printed.join("\n");
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
    let port = config.services[0].listens[0].port;
    assert!(
        url.ends_with(&format!(":{port}/")),
        "{url} is not in {text}"
    );
}
