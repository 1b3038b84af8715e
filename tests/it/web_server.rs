//! The web server: connection limits, changes of its configuration, and the health endpoints.
#![cfg(feature = "web")]

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::support::client::{Session, connect, connect_from, fate, who_in_turn};
use crate::support::host::{Host, Place};
use crate::support::http::{ADMIN, HttpRequest, USERS, page_of, raw, with_page};
use crate::support::page::Page;
use crate::support::peer::free_address;
use crate::support::txlb::{Folder, Txlb, run, text};
use crate::support::until;
use rustix::process::Signal;

/// glibc gave each thread a heap of its own, with 64 MiB of addresses.
#[test]
#[cfg(target_os = "linux")]
fn admin_clients_do_not_end_a_process_with_little_address_space() {
    let host = Host::new("a");
    let hosts = vec![host.address(); 20];
    let txlb = Txlb::start_under("-v 150000", &with_page(&hosts, "", ""), &["-w", "2"]);
    let mut session = Session::open(txlb.address());
    session.echo(1000);
    let page = page_of(&txlb);
    let ask = |number: u8| {
        let path = ["/", "/metrics", "/api/status", "/stats;csv"][usize::from(number % 4)];
        let mut client = connect_from([127, 0, 0, 2 + number / 8].into(), page);
        write!(client, "GET {path} HTTP/1.1\r\nHost: {page}\r\n\r\n").unwrap();
        client
    };
    let clients: Vec<_> = (0..32).map(ask).collect();
    // Each gets a response.
    clients
        .iter()
        .for_each(|client| assert_eq!(client.peek(&mut [0]).unwrap(), 1));
    session.echo(1000);
    assert_eq!(session.close(), "a");
    drop(clients);
    assert_eq!(HttpRequest::get(page, "/healthz").send().status, 200);
}

#[test]
fn without_users_this_machine_may_look_and_change_nothing() {
    let host = Host::new("a");
    let txlb = Txlb::start(&with_page(&[host.address()], "", ""));
    let page = page_of(&txlb);
    assert_eq!(HttpRequest::get(page, "/").send().status, 200);
    let reply = HttpRequest::post(page, "/api/reload", &[]).send();
    assert_eq!(reply.status, 403, "{reply:?}");
    assert_eq!(
        HttpRequest::get(page, "/")
            .host("evil.example")
            .send()
            .status,
        421
    );
}

#[test]
fn the_server_follows_the_configuration() {
    let host = Host::new("a");
    let config = |attributes: &str, users: &str| with_page(&[host.address()], attributes, users);
    let mut txlb = Txlb::start(&config("", USERS));
    let page = page_of(&txlb);
    let ask = || {
        HttpRequest::get(page, "/api/status")
            .by(ADMIN)
            .send()
            .status
    };
    assert_eq!(ask(), 200);

    // The same listener, another password.
    txlb.reload(&config(
        "refresh=\"3\"",
        &USERS.replace("..xpoEyRReGzk", "ab01FAX.bQRSU"),
    ));
    assert_eq!(page_of(&txlb), page);
    assert_eq!(ask(), 401);
    txlb.reload(&config("refresh=\"3\"", USERS));

    // Another listener.
    let elsewhere = Place::new();
    let there = format!("listen=\"{}\"", elsewhere.address());
    drop(elsewhere);
    let moved = config("", USERS).replace("listen=\"127.0.0.1:0\" ", &there);
    txlb.reload(&moved);
    assert!(txlb.has_said("the admin page is at"));
    let new = page_of(&txlb);
    assert_ne!(new, page);
    assert_eq!(
        HttpRequest::get(new, "/api/status").by(ADMIN).send().status,
        200
    );
    until("the old place is shut", || {
        std::net::TcpStream::connect(page).is_err()
    });

    // An address in use: everything stays.
    let taken = Host::new("b");
    let there = format!("listen=\"{}\"", taken.address());
    let wrong = config("", USERS).replace("listen=\"127.0.0.1:0\" ", &there);
    let said = txlb.reload_in_vain(wrong);
    assert!(
        said.contains("the web interface cannot listen at"),
        "{said}"
    );
    assert_eq!(
        HttpRequest::get(new, "/api/status").by(ADMIN).send().status,
        200
    );

    txlb.reload(&config("enable=\"false\"", USERS));
    assert!(txlb.has_said("the admin page is closed"));
    until("it is shut", || std::net::TcpStream::connect(new).is_err());
    assert_eq!(who_in_turn(txlb.address(), 2), "aa");
}

#[test]
fn the_server_moves_to_an_address_that_overlaps_its_own() {
    // A port that is free on all addresses, and stays so.
    let page = Page::open_at(free_address());
    let port = page.address.port();
    for host in ["0.0.0.0", "127.0.0.1", "127.0.0.1"] {
        let there = format!("{host}:{port}");
        let fields = [("name", "admin.web.listen"), ("value", &there)];
        let reply = page.tell("setOption", &fields);
        assert_eq!(reply.status, 200, "{there}: {reply:?}");
        assert_eq!(page.look("/api/status").status, 200, "{there}");
    }
}

#[test]
fn a_request_to_end_gets_its_response() {
    let mut page = Page::open();
    let reply = page.tell("shutdown", &[]);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.body.contains("no session is open"), "{reply:?}");
    assert!(page.txlb.wait_exit().success());
}

#[test]
fn a_place_that_is_taken_ends_the_start_with_a_number_for_it() {
    let taken = Host::new("b");
    let config = with_page(&[taken.address()], "", USERS);
    let there = format!("<web listen=\"{}\"", taken.address());
    let config = config.replace("<web listen=\"127.0.0.1:0\"", &there);
    let folder = Folder::new();
    let file = folder.write("config.xml", config);
    let finished = run(&["-f", text(&file)]);
    assert_eq!(finished.status, Some(69), "{finished:?}");
    let said = format!(
        "txlb: the web interface cannot listen at {}: ",
        taken.address()
    );
    assert!(finished.stderr.contains(&said), "{finished:?}");
}

#[test]
fn no_host_is_not_ready_and_stopping_is_neither() {
    let place = Place::new();
    let config = with_page(&[place.address()], "", USERS);
    let mut txlb = Txlb::start(&config);
    let page = page_of(&txlb);
    let status = |path: &str| HttpRequest::get(page, path).send().status;
    assert_eq!(
        (status("/healthz"), status("/ready")),
        (200, 200),
        "untried"
    );
    let _ = fate(txlb.address());
    txlb.wait_for(" is down: ");
    until("not ready", || status("/ready") == 503);
    assert_eq!(status("/healthz"), 200);
    let why = "not ok\nservice web: no host of its enabled group is usable: 1 failed\n";
    for path in ["/ready", "/ready/web", "/ready/%77eb"] {
        let reply = HttpRequest::get(page, path).host("whoever").send();
        assert_eq!((reply.status, reply.body.as_str()), (503, why), "{path}");
    }
    for path in ["/ready/", "/ready/main", "/ready/web/", "/ready/%"] {
        assert_eq!(status(path), 404, "{path}");
    }
    let _listener = place.listen();
    until("ready again", || status("/ready") == 200);
    assert_eq!(status("/ready/web"), 200);

    let mut open = connect(txlb.address());
    open.write_all(b"x").unwrap();
    txlb.signal(Signal::TERM);
    until("stopping", || status("/ready") == 503);
}

#[test]
fn who_says_nothing_takes_a_seat_and_no_more() {
    let page = Page::open();
    let silent: Vec<_> = (0..8).map(|_| connect(page.address)).collect();
    // The ninth from one address is rejected at once.
    let mut ninth = connect(page.address);
    assert!(matches!(ninth.read(&mut [0; 1]), Ok(0) | Err(_)));
    // Another address is accepted.
    let other = connect_from([127, 0, 0, 9].into(), page.address);
    let reply = HttpRequest::get(page.address, "/healthz").send_on(other);
    assert_eq!(reply.status, 200);
    assert_eq!(who_in_turn(page.txlb.address(), 3), "aaa");
    drop(silent);
    until("room again", || {
        let mut stream = connect(page.address);
        let asked = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut answer = String::new();
        asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.contains("200 OK")
    });
}

#[test]
fn a_full_house_lets_others_wait() {
    let page = Page::open();
    let from = |last: u8| connect_from([127, 0, 0, last].into(), page.address);
    let mut seated: Vec<_> = (0..32).map(|number| from(10 + number / 8)).collect();
    let mut waiting = from(99);
    waiting
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    // One leaves.
    seated.pop();
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn in_a_crowd_nobody_waits_long_for_a_body() {
    let page = Page::open();
    let mut others: Vec<_> = (0..24)
        .map(|number| connect_from([127, 0, 3, 1 + number / 8].into(), page.address))
        .collect();
    for other in &mut others {
        other.write_all(b"GET ").unwrap();
    }
    // When this is answered, all of them are being served.
    assert_eq!(
        HttpRequest::get(page.address, "/healthz").send().status,
        200
    );
    let mut slow = connect(page.address);
    let head = "POST /do HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n";
    slow.write_all(head.as_bytes()).unwrap();
    let begun = Instant::now();
    assert!(matches!(slow.read(&mut [0; 1]), Ok(0) | Err(_)));
    // Otherwise it would have ten seconds.
    assert!(begun.elapsed() < Duration::from_secs(8));
    drop(others);
}

#[test]
fn who_says_nothing_makes_room_for_who_asks() {
    let page = Page::open();
    let crowd = |second: u8| (0..=199).map(move |last| [127, second, last, 1].into());
    let _mute: Vec<_> = crowd(2).map(|ip| connect_from(ip, page.address)).collect();
    let mut half: Vec<_> = crowd(3).map(|ip| connect_from(ip, page.address)).collect();
    for stream in &mut half {
        // It may have been closed by now.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\n");
    }
    let begun = Instant::now();
    let reply = HttpRequest::get(page.address, "/healthz").send();
    assert_eq!(reply.status, 200);
    // All of them would have ten seconds.
    assert!(begun.elapsed() < Duration::from_secs(9));
}

#[test]
fn requests_that_are_none_are_refused_in_words() {
    let page = Page::open();
    for (request, status) in [
        ("\0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            501,
        ),
        (
            "POST /api/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n",
            413,
        ),
    ] {
        let reply = raw(page.address, request.as_bytes());
        assert_eq!(reply.status, status, "{request:?}");
    }
    let long = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "y".repeat(33_000)
    );
    assert_eq!(raw(page.address, long.as_bytes()).status, 431);
    assert_eq!(who_in_turn(page.txlb.address(), 1), "a");
}

#[test]
fn two_hundred_that_never_finish_asking_keep_nobody_out_for_long_and_hold_up_no_session() {
    let page = Page::open();
    let begun = b"GET / HTTP/1.1\r\nHost: x\r\n";
    let mut slow: Vec<_> = (0..200)
        .map(|number| connect_from([127, 0, 1, 1 + number / 8].into(), page.address))
        .collect();
    for stream in &mut slow {
        stream.write_all(begun).unwrap();
    }
    let mut session = Session::open(page.txlb.address());
    for _ in 0..100 {
        // It may have been closed by now.
        slow.retain_mut(|stream| stream.write_all(b"X-Slow: y\r\n").is_ok());
        session.echo(1000);
    }
    // At most 32 clients have ten seconds each, and two while others wait: then they make room for
    // those.
    let reply = HttpRequest::get(page.address, "/healthz")
        .send_on(connect_from([127, 0, 2, 1].into(), page.address));
    assert_eq!(reply.status, 200);
    session.echo(1000);
}
