//! Hosts that end sessions: when they are busy, suspect, or failed because of it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::client::{connect, read_all};
use crate::support::config::web;
use crate::support::host::{Host, Listener};
use crate::support::txlb::Txlb;

/// Says its name and ends its side; the connection stays until the client has ended.
fn ends(mut stream: TcpStream, name: &str) {
    let _ = stream.write_all(name.as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read(&mut [0]);
}

/// Accepts and closes.
fn closes(stream: TcpStream, _: &str) {
    drop(stream);
}

fn host(name: &str, serve: fn(TcpStream, &str)) -> Host {
    Host::that(Listener::new(), name, serve)
}

/// The names of the hosts of so many clients, one after the other; `.` for one that said nothing.
fn served(address: SocketAddr, clients: usize) -> String {
    let serve = |_| {
        let (name, _) = read_all(&connect(address));
        name.first().map_or('.', |letter| char::from(*letter))
    };
    (0..clients).map(serve).collect()
}

#[test]
fn a_host_that_has_ended_its_side_is_not_busy_however_long_its_client_stays() {
    let (ending, staying) = (host("a", ends), Host::new("b"));
    let mut txlb = Txlb::start(&web("", "leastc", &[ending.address(), staying.address()]));
    let address = txlb.address();
    let mut open = Vec::new();
    let mut names = String::new();
    for _ in 0..6 {
        let mut client = connect(address);
        let mut name = [0];
        client.read_exact(&mut name).unwrap();
        names.push(char::from(name[0]));
        if name == *b"a" {
            // Its end has come through.
            assert_eq!(client.read(&mut name).unwrap(), 0);
        }
        open.push(client);
    }
    assert_eq!(names, "abaaaa");
    assert_eq!(txlb.count(" is suspect"), 0);
}

#[test]
fn a_host_that_ends_sessions_at_once_fails_after_as_many_as_are_allowed() {
    let (broken, one, two) = (host("a", closes), host("b", ends), host("c", ends));
    let hosts = [broken.address(), one.address(), two.address()];
    let config = web("", "roundr", &hosts).replace("scheduler=", "failAfter=\"3\" scheduler=");
    let mut txlb = Txlb::start(&config);
    assert_eq!(served(txlb.address(), 30).matches('.').count(), 3);
    txlb.wait_for(
        "host web:main/a is down: accepted 3 sessions in a row and ended each before its first byte",
    );
}

/// Closes at once, unless the client says something: then it answers when the client has ended.
fn answers_at_the_end(mut stream: TcpStream, name: &str) {
    let mut said = Vec::new();
    let _ = stream.set_read_timeout(Some(Duration::from_millis(300)));
    if stream.read_to_end(&mut said).is_ok() && !said.is_empty() {
        let _ = stream.write_all(name.as_bytes());
    }
}

#[test]
fn a_host_that_answers_and_ends_at_once_ends_its_row_of_early_ends() {
    let host = host("a", answers_at_the_end);
    let config = web("", "roundr", &[host.address()]);
    let config = config.replace("scheduler=", "failAfter=\"3\" scheduler=");
    let mut txlb = Txlb::start(&config);
    let address = txlb.address();
    for _ in 0..4 {
        assert_eq!(served(address, 2), "..");
        let mut client = connect(address);
        client.write_all(b"x").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&client).0, b"a");
    }
    assert_eq!(txlb.count(" is down"), 0);
}

#[test]
fn a_host_that_ends_sessions_at_once_is_suspect_and_attracts_nobody() {
    let (broken, one, two) = (host("a", closes), host("b", ends), host("c", ends));
    let hosts = [broken.address(), one.address(), two.address()];
    let mut txlb = Txlb::start(&web("", "weightlc", &hosts));
    let address = txlb.address();
    // So many at a time that the others are busy.
    let clients: Vec<_> = (0..8)
        .map(|_| std::thread::spawn(move || served(address, 100).matches('.').count()))
        .collect();
    let lost: usize = clients.into_iter().map(|it| it.join().unwrap()).sum();
    assert!(lost < 800 / 3, "{lost}");
    txlb.wait_for("host web:main/a is suspect: it has ended 20 sessions in a row");
}
