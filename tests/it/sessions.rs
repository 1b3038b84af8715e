//! Sessions: bytes, half-close, resets and timeouts.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::client::{
    End, Session, connect, connect_from, fate, read_all, who, who_in_turn,
};
use crate::support::config::{web, web_service};
use crate::support::host::{Host, Listener, Place, hang_up, reset};
use crate::support::proc::is_being_connected_to;
use crate::support::txlb::Txlb;
use crate::support::until;
use crate::support::{has_ipv6, noise};

/// A session of which the test plays both ends: client, host.
fn session(attributes: &str) -> (Txlb, TcpStream, TcpStream) {
    let host = Listener::new();
    let txlb = Txlb::start(&web(attributes, "roundr", &[host.address()]));
    let client = connect(txlb.address());
    let at_host = host.accept();
    (txlb, client, at_host)
}

fn write(mut stream: &TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
}

/// Writes all of `bytes`, and shuts down writing.
fn say(stream: &TcpStream, bytes: &[u8]) {
    write(stream, bytes);
    hang_up(stream);
}

/// Reads to the end, which must be a FIN.
fn hear(stream: &TcpStream) -> Vec<u8> {
    let (bytes, end) = read_all(stream);
    assert_eq!(end, End::Clean);
    bytes
}

fn read_some(mut stream: &TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

const MUCH: usize = 5_000_000;

#[test]
fn bytes_pass_unchanged_both_ways_at_once() {
    let (_txlb, client, host) = session("");
    let (question, answer) = (noise(1, MUCH), noise(2, MUCH));
    thread::scope(|scope| {
        scope.spawn(|| say(&client, &question));
        scope.spawn(|| say(&host, &answer));
        let received = scope.spawn(|| hear(&client));
        assert!(hear(&host) == question);
        assert!(received.join().unwrap() == answer);
    });
}

#[test]
fn a_half_close_by_the_client_lives_on_for_a_long_answer() {
    let (_txlb, client, host) = session("");
    let (question, answer) = (noise(3, MUCH), noise(4, MUCH));
    thread::scope(|scope| {
        scope.spawn(|| say(&client, &question));
        // All buffers are full when the host begins to read.
        assert!(hear(&host) == question);
        scope.spawn(|| say(&host, &answer));
        assert!(hear(&client) == answer);
    });
}

#[test]
fn a_half_close_by_the_host_lives_on_for_a_long_answer() {
    let (_txlb, client, host) = session("");
    let (banner, upload) = (noise(5, MUCH), noise(6, MUCH));
    thread::scope(|scope| {
        scope.spawn(|| say(&host, &banner));
        assert!(hear(&client) == banner);
        scope.spawn(|| say(&client, &upload));
        assert!(hear(&host) == upload);
    });
}

#[test]
fn a_client_that_sends_and_closes_before_its_host_accepts_loses_nothing() {
    let place = Place::new();
    let silent = place.fall_silent();
    let txlb = Txlb::start(&web("", "roundr", &[place.address()]));
    let bytes = noise(7, 100_000);
    let client = connect(txlb.address());
    write(&client, &bytes);
    drop(client);
    #[cfg(target_os = "linux")]
    until("the connect has begun", || {
        is_being_connected_to(place.address())
    });
    let host = silent.wake_up();
    assert!(hear(&host.accept()) == bytes);
}

#[test]
fn a_client_that_sends_and_closes_before_the_second_host_is_tried_loses_nothing() {
    let (place, host) = (Place::new(), Listener::new());
    let _silent = place.fall_silent();
    let hosts = [place.address(), host.address()];
    let mut txlb = Txlb::start(&web("connectTimeout='0.3'", "roundr", &hosts));
    let bytes = noise(8, 100_000);
    let client = connect(txlb.address());
    write(&client, &bytes);
    drop(client);
    assert!(hear(&host.accept()) == bytes);
    txlb.wait_for("host web:main/a is down");
}

#[test]
fn a_host_that_resets_at_once_is_passed_on_as_a_reset() {
    // The reset may be seen while connecting or later; a client must see neither as a FIN.
    let host = Host::that(Listener::new(), "", |stream, _| reset(stream));
    let txlb = Txlb::start(&web("", "roundr", &[host.address()]));
    for _ in 0..20 {
        assert_eq!(fate(txlb.address()), (Vec::new(), End::Reset));
    }
}

/// A read stops at the urgent mark: bytes behind it must not wait for the next byte.
#[cfg(target_os = "linux")]
#[test]
fn a_byte_marked_urgent_holds_up_nothing_behind_it() {
    use rustix::net::{SendFlags, send};
    let (_txlb, client, host) = session("");
    send(&client, b"abc", SendFlags::empty()).unwrap();
    send(&client, b"X", SendFlags::OOB).unwrap();
    send(&client, b"defgh", SendFlags::empty()).unwrap();
    assert_eq!(read_some(&host, 8), b"abcdefgh");
}

#[test]
fn a_reset_by_the_host_in_mid_stream_comes_after_its_last_words() {
    let (_txlb, client, host) = session("");
    write(&client, b"question");
    assert_eq!(read_some(&host, 8), b"question");
    let words = noise(9, 20_000);
    write(&host, &words);
    reset(host);
    let (received, end) = read_all(&client);
    assert!(
        received == words,
        "{} of {} bytes",
        received.len(),
        words.len()
    );
    assert_eq!(end, End::Reset);
}

#[test]
fn a_reset_by_the_client_in_mid_stream_is_passed_on_as_a_reset() {
    let (_txlb, client, host) = session("");
    write(&client, b"question");
    assert_eq!(read_some(&host, 8), b"question");
    reset(client);
    assert_eq!(read_all(&host), (Vec::new(), End::Reset));
}

#[test]
fn a_reset_after_a_half_close_is_still_a_reset() {
    let (_txlb, client, host) = session("");
    say(&client, b"question");
    assert_eq!(hear(&host), b"question");
    write(&host, b"an");
    assert_eq!(read_some(&client, 2), b"an");
    reset(host);
    assert_eq!(read_all(&client), (Vec::new(), End::Reset));
}

#[cfg(target_os = "linux")]
#[test]
fn a_slow_reader_holds_the_sender_up_and_costs_no_memory() {
    use crate::support::proc::memory;
    let (txlb, client, host) = session("");
    let before = memory(txlb.pid());
    // A write without progress for this long is blocked.
    client
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let piece = noise(10, 1_000_000);
    let (mut sent, total) = (0, 256_000_000);
    let held_up = loop {
        match (&client).write(&piece[sent % piece.len()..]) {
            Ok(length) => sent += length,
            Err(error) => break error,
        }
        assert!(sent < total, "nobody held the client up");
    };
    assert_eq!(held_up.kind(), std::io::ErrorKind::WouldBlock);
    let grown = memory(txlb.pid()).saturating_sub(before);
    assert!(grown < 4_000_000, "{grown} bytes more are kept");
    thread::scope(|scope| {
        let received = scope.spawn(|| hear(&host));
        hang_up(&client);
        let received = received.join().unwrap();
        assert_eq!(received.len(), sent);
        assert!(
            received
                .chunks(piece.len())
                .all(|chunk| *chunk == piece[..chunk.len()])
        );
    });
}

#[cfg(target_os = "linux")]
#[test]
fn one_byte_at_a_time_wakes_a_worker_no_more_than_needed() {
    use crate::support::proc::{processor_time, sleeps};
    const BYTES: u64 = 2000;
    let host = Host::new("a");
    let txlb = Txlb::start_with(&web("", "roundr", &[host.address()]), &["-w", "1"]);
    let mut session = Session::open(txlb.address());
    let before = sleeps(txlb.pid(), "worker-0");
    for _ in 0..BYTES {
        session.echo(1);
    }
    let sleeps = sleeps(txlb.pid(), "worker-0") - before;
    assert!(
        sleeps <= 3 * BYTES,
        "{sleeps} for {BYTES} bytes there and back"
    );
    // 1 ms each is far more than the slowest build needs.
    let used = processor_time(txlb.pid());
    assert!(used < Duration::from_millis(BYTES), "{used:?}");
}

#[test]
fn an_endless_session_and_a_thousand_small_ones_all_get_on() {
    let endless = Listener::new();
    let small = Host::new("small");
    let config = format!(
        "<config>{}{}</config>",
        web_service("", "leastc", &[small.address()]),
        web_service("", "leastc", &[endless.address()]).replace("\"web\"", "\"endless\"")
    );
    let txlb = Txlb::start_with(&config, &["-w", "1"]);
    let client = connect(txlb.addresses("endless")[0]);
    let source = endless.accept();
    thread::scope(|scope| {
        scope.spawn(move || {
            let bytes = vec![7; 256 * 1024];
            while (&source).write_all(&bytes).is_ok() {}
        });
        let reader = scope.spawn(|| {
            let (mut buffer, mut total) = (vec![0; 256 * 1024], 0);
            while let Ok(length @ 1..) = (&client).read(&mut buffer) {
                total += length;
            }
            total
        });
        for _ in 0..1000 {
            assert_eq!(who(txlb.address()), "small");
        }
        client.shutdown(std::net::Shutdown::Both).unwrap();
        let total = reader.join().unwrap();
        assert!(total > MUCH, "the endless session got {total} bytes");
    });
}

#[test]
fn a_service_of_many_listeners_serves_on_all_of_them() {
    let host = Host::new("a");
    let config = web("", "roundr", &[host.address()]);
    let one = "<listen ip=\"127.0.0.1:0\"/>";
    let many = format!("{one}<listen ip=\"0.0.0.0:0\"/><listen ip=\"*:0\"/>");
    let txlb = Txlb::start(&config.replace(one, &many));
    let addresses = txlb.addresses("web");
    assert_eq!(addresses.len(), 3);
    for address in addresses {
        assert_eq!(who(address), "a");
    }
}

#[test]
fn ipv6_is_served_on_both_ends() {
    if !has_ipv6() {
        return;
    }
    let (six, four) = (Host::new_v6("six"), Host::new("four"));
    let config = web("", "roundr", &[six.address(), four.address()]);
    let config = config.replace("127.0.0.1:0", "[::1]:0");
    let txlb = Txlb::start(&config);
    assert!(txlb.address().is_ipv6());
    assert_eq!(who_in_turn(txlb.address(), 4), "sixfoursixfour");
}

#[test]
fn a_bare_port_serves_both_families() {
    if !has_ipv6() {
        return;
    }
    let host = Host::new("a");
    let txlb = Txlb::start(&web("", "roundr", &[host.address()]).replace("127.0.0.1:0", "*:0"));
    let port = txlb.address().port();
    assert_eq!(who(([127, 0, 0, 1], port).into()), "a");
    assert_eq!(who((std::net::Ipv6Addr::LOCALHOST, port).into()), "a");
}

#[test]
fn two_hosts_at_one_address_are_two_hosts() {
    let host = Host::new("same");
    let config = web("", "roundr", &[host.address(), host.address()]);
    let config = config.replace("</config>", "<logging connections=\"true\"/></config>");
    let mut txlb = Txlb::start(&config);
    for name in ["a", "b", "a", "b"] {
        assert_eq!(who(txlb.address()), "same");
        txlb.wait_for(&format!(" web web:main/{name} "));
    }
}

#[test]
fn round_robin_keeps_the_files_order_over_all_workers() {
    let hosts = ["c", "a", "d", "b"].map(Host::new);
    let addresses = hosts.each_ref().map(Host::address);
    let txlb = Txlb::start_with(&web("", "roundr", &addresses), &["-w", "4"]);
    assert_eq!(who_in_turn(txlb.address(), 24), "cadb".repeat(6));
}

#[test]
fn a_sticky_client_goes_where_it_went_before() {
    let hosts = ["a", "b", "c"].map(Host::new);
    let addresses = hosts.each_ref().map(Host::address);
    let txlb = Txlb::start(&web("", "roundr,sticky", &addresses));
    assert_eq!(who_in_turn(txlb.address(), 9), "a".repeat(9));
    // Linux has more source addresses.
    #[cfg(target_os = "linux")]
    for (ip, name) in [
        ([127, 0, 0, 2], "b"),
        ([127, 0, 0, 3], "c"),
        ([127, 0, 0, 2], "b"),
    ] {
        let stream = connect_from(ip.into(), txlb.address());
        assert_eq!(Session::on(stream).unwrap().close(), name);
    }
    assert_eq!(who(txlb.address()), "a");
}

const TIMEOUT: Duration = Duration::from_millis(300);

/// Whether the timeout has passed since `start`, with a tenth for the worker's clock, which has
/// milliseconds and is read once an iteration.
fn is_over(start: Instant, timeout: Duration) -> bool {
    start.elapsed() >= timeout * 9 / 10
}

#[test]
fn an_idle_session_ends_with_a_reset_when_its_time_is_up_and_not_before() {
    let host = Listener::new();
    let txlb = Txlb::start(&web("idleTimeout='0.3'", "roundr", &[host.address()]));
    let start = Instant::now();
    let client = connect(txlb.address());
    let at_host = host.accept();
    assert_eq!(read_all(&client), (Vec::new(), End::Reset));
    assert!(is_over(start, TIMEOUT));
    assert_eq!(read_all(&at_host), (Vec::new(), End::Reset));
}

#[test]
fn the_idle_timeout_counts_silence_and_not_age() {
    let (_txlb, client, host) = session("idleTimeout='1.5'");
    let start = Instant::now();
    client
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    while start.elapsed() < Duration::from_secs(2) {
        write(&host, b"y");
        assert_eq!(read_some(&client, 1), b"y");
        // The read timeout is the pause between two bytes.
        assert!((&client).read(&mut [0]).is_err());
    }
    write(&client, b"still here");
    assert_eq!(read_some(&host, 10), b"still here");
}

#[test]
fn a_half_closed_session_that_falls_silent_ends_with_a_reset() {
    let (_txlb, client, host) = session("halfClosedTimeout='1'");
    let start = Instant::now();
    say(&client, b"question");
    assert_eq!(hear(&host), b"question");
    assert_eq!(read_all(&client), (Vec::new(), End::Reset));
    assert!(is_over(start, Duration::from_secs(1)));
}

#[test]
fn the_half_closed_timeout_leaves_whole_sessions_alone() {
    let (_txlb, client, host) = session("halfClosedTimeout='0.3'");
    client.set_read_timeout(Some(3 * TIMEOUT)).unwrap();
    let silence = (&client).read(&mut [0]).unwrap_err();
    assert_eq!(silence.kind(), std::io::ErrorKind::WouldBlock);
    write(&client, b"still here");
    assert_eq!(read_some(&host, 10), b"still here");
}

#[test]
fn a_client_of_silent_hosts_is_reset_after_the_connect_timeout_and_not_before() {
    let place = Place::new();
    let _silent = place.fall_silent();
    let txlb = Txlb::start(&web("connectTimeout='0.3'", "roundr", &[place.address()]));
    let start = Instant::now();
    assert_eq!(fate(txlb.address()), (Vec::new(), End::Reset));
    assert!(is_over(start, TIMEOUT));
}
