//! What is said first: PROXY protocol headers of clients and to hosts, routes by TLS name, and what
//! is said again to another host.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::client::{End, connect, fate, read_all};
use crate::support::config::web;
use crate::support::control::Controlled;
use crate::support::host::{Host, Listener};
use crate::support::{pause, until};

/// A service whose group has these attributes, and logs its sessions.
fn start(listener: &str, group: &str, hosts: &[SocketAddr]) -> Controlled {
    let config = web("firstBytesTimeout='1'", "roundr", hosts)
        .replace("<listen ", &format!("<listen {listener} "))
        .replace("<group ", &format!("<group {group} "))
        .replace("</config>", "<logging connections='true'/></config>");
    Controlled::start(&config)
}

/// A client that says this, and nothing more.
fn saying(controlled: &Controlled, bytes: &[u8]) -> TcpStream {
    let mut client = connect(controlled.txlb.address());
    client.write_all(bytes).unwrap();
    // It may have been reset already.
    let _ = client.shutdown(Shutdown::Write);
    client
}

/// What the next session of a host begins with, to its end.
fn heard(host: &Listener) -> String {
    let (bytes, _) = read_all(&host.accept());
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Version 2 of "192.0.2.7:1000 to 10.0.0.9:25", with a vendor's field as of AWS.
const BLOCK: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\xc0\0\x02\x07\x0a\0\0\x09\x03\xe8\0\x19\
                       \xea\0\x04\x01vpc";

#[test]
fn a_clients_header_tells_who_it_is() {
    let host = Listener::new();
    let mut controlled = start("proxy='require'", "", &[host.address()]);
    let line = b"PROXY TCP4 192.0.2.7 10.0.0.9 1000 25\r\nhello";
    let whole = saying(&controlled, line);
    assert_eq!(heard(&host), "hello");
    drop(whole);
    let logged = controlled.txlb.wait_for(" 192.0.2.7:1000 [");
    assert!(logged.contains(" via=127.0.0.1:"), "{logged}");
    // Byte by byte.
    let mut slow = connect(controlled.txlb.address());
    for byte in [BLOCK, b"hello"].concat() {
        slow.write_all(&[byte]).unwrap();
        pause(Duration::from_millis(1));
    }
    let at_host = host.accept();
    (&at_host).read_exact(&mut [0; 5]).unwrap();
    let listed = controlled.tell(&["--json", "sessions"]);
    assert!(listed.contains("\"client\":\"192.0.2.7:1000\",\"via\":\"127.0.0.1:"));
    assert!(controlled.tell(&["sessions"]).contains("via 127.0.0.1:"));
    let of_network = ["endSessions", "client=192.0.2.0/24"];
    assert!(controlled.tell(&of_network).contains("1 session ended"));
    assert_eq!(read_all(&slow).1, End::Clean);
    // The connection's own address counts.
    let own = saying(&controlled, b"PROXY UNKNOWN\r\nhello");
    assert_eq!(heard(&host), "hello");
    drop(own);
    let logged = controlled.txlb.wait_for(" 127.0.0.1:");
    assert!(!logged.contains("via"), "{logged}");
}

#[test]
fn who_sends_no_header_is_reset() {
    let host = Host::new("a");
    let mut controlled = start("proxy='require'", "", &[host.address()]);
    let address = controlled.txlb.address();
    for wrong in [
        &b"GET / HTTP/1.0\r\n\r\n"[..],
        b"PROXY TCP4 1.2.3.4 5.6",
        b"",
    ] {
        let client = saying(&controlled, wrong);
        assert_eq!(read_all(&client), (Vec::new(), End::Reset));
    }
    controlled.txlb.wait_for(" PR ");
    controlled
        .txlb
        .wait_for("sends no PROXY protocol header, which its listener requires");
    // One that says nothing, and one that says too much.
    assert_eq!(fate(address), (Vec::new(), End::Reset));
    controlled.txlb.wait_for(" cR ");
    let mut endless = connect(address);
    let mut block = BLOCK[..14].to_vec();
    block.extend([0xff; 2]);
    block.resize(20_000, 4);
    let _ = endless.write_all(&block);
    assert_eq!(read_all(&endless), (Vec::new(), End::Reset));
    let metrics = controlled.tell(&["status"]);
    assert!(metrics.contains("bad proxy header") || metrics.contains("untried"));
}

#[test]
fn only_those_of_proxy_from_send_a_header() {
    let host = Listener::new();
    let mut controlled = start(
        "proxy='require' proxyFrom='10.0.0.0/8 ::1'",
        "",
        &[host.address()],
    );
    let plain = saying(&controlled, b"hello");
    assert_eq!(heard(&host), "hello");
    drop(plain);
    // The change is in force at once, at the same socket.
    let address = controlled.txlb.address();
    let place = format!("ip={address}");
    let listed = controlled.tell(&["--json", "status"]);
    assert!(listed.contains("127.0.0.1"), "{place} {listed}");
    let config = std::fs::read_to_string(controlled.txlb.config_file()).unwrap();
    controlled
        .txlb
        .reload(&config.replace("10.0.0.0/8", "127.0.0.0/8"));
    assert_eq!(fate(address), (Vec::new(), End::Reset));
}

#[test]
fn hosts_get_a_header_in_the_first_write() {
    let host = Listener::new();
    let controlled = start("", "sendProxy='v1'", &[host.address()]);
    let client = saying(&controlled, b"hello");
    let local = client.local_addr().unwrap();
    let asked = controlled.txlb.address();
    let line = format!(
        "PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\nhello",
        local.port(),
        asked.port()
    );
    assert_eq!(heard(&host), line);
    controlled.tell(&["setGroup", "service=web", "group=main", "sendProxy=v2"]);
    let client = saying(&controlled, b"hello");
    let (bytes, _) = read_all(&host.accept());
    assert_eq!(bytes[..15], *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0");
    assert_eq!(usize::from(bytes[15]), bytes.len() - b"hello".len() - 16);
    let [high, low] = client.local_addr().unwrap().port().to_be_bytes();
    assert_eq!(bytes[16..26], [127, 0, 0, 1, 127, 0, 0, 1, high, low]);
    assert!(bytes.ends_with(b"hello"));
}

/// A header that came in goes out with the same addresses.
#[test]
fn a_clients_header_is_passed_on() {
    let host = Listener::new();
    let controlled = start("proxy='require'", "sendProxy='v1'", &[host.address()]);
    let _client = saying(&controlled, &[BLOCK, b"hello"].concat());
    assert_eq!(
        heard(&host),
        "PROXY TCP4 192.0.2.7 10.0.0.9 1000 25\r\nhello"
    );
}

#[test]
fn checks_say_that_they_are_txlbs_own() {
    let host = Listener::new();
    let check = "<check type='send' send='ping' expect='pong' interval='0.1' rise='1'/><host ";
    let config = web("", "roundr", &[host.address()])
        .replace("<group ", "<group sendProxy='v1' initial='down' ")
        .replacen("<host ", check, 1);
    let controlled = Controlled::start(&config);
    let mut probe = host.accept();
    let mut heard = [0; 19];
    probe.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"PROXY UNKNOWN\r\nping");
    probe.write_all(b"pong").unwrap();
    until("it has passed", || {
        let status = controlled.tell(&["--json", "status"]);
        status.contains("\"health\":\"healthy\"")
    });
}

/// A TLS client's hello that asks for a name.
fn hello(name: &str) -> Vec<u8> {
    let length = |bytes: usize| u16::try_from(bytes).unwrap().to_be_bytes();
    let mut extension = vec![0, 0];
    extension.extend(length(name.len() + 5));
    extension.extend(length(name.len() + 3));
    extension.push(0);
    extension.extend(length(name.len()));
    extension.extend(name.bytes());
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    hello.extend(length(extension.len()));
    hello.extend(extension);
    let mut record = vec![22, 3, 1];
    record.extend(length(hello.len() + 4));
    record.extend([1, 0]);
    record.extend(length(hello.len()));
    record.extend(hello);
    record
}

#[test]
fn a_tls_client_gets_the_group_of_its_name() {
    let (a, b, c) = (Listener::new(), Listener::new(), Listener::new());
    let groups = format!(
        "<group name='main' enable='true'><host ip='{}'/></group>\
         <group name='exact'><host ip='{}'/></group><group name='any'><host ip='{}'/></group>\
         <route sni='a.example.org' group='exact'/><route sni='*.example.org' group='any'/>",
        a.address(),
        b.address(),
        c.address()
    );
    let config = format!(
        "<config><service name='web' firstBytesTimeout='1'><listen ip='127.0.0.1:0'/>{groups}\
         </service><logging connections='true'/></config>"
    );
    let mut controlled = Controlled::start(&config);
    for (bytes, host) in [
        (hello("A.Example.org"), &b),
        (hello("b.example.org"), &c),
        (hello("example.org"), &a),
        (b"SSH-2.0-x\r\n".to_vec(), &a),
    ] {
        let mut client = connect(controlled.txlb.address());
        let (first, rest) = bytes.split_at(bytes.len() / 2);
        client.write_all(first).unwrap();
        pause(Duration::from_millis(5));
        client.write_all(rest).unwrap();
        let mut heard = vec![0; bytes.len()];
        host.accept().read_exact(&mut heard).unwrap();
        assert_eq!(heard, bytes);
    }
    let logged = controlled.txlb.wait_for("web:any/");
    assert!(logged.contains(" sni=b.example.org"), "{logged}");
    // Who only listens is not served: txlb awaits its name.
    assert_eq!(fate(controlled.txlb.address()), (Vec::new(), End::Reset));
}

#[test]
fn routes_and_headers_change_while_it_runs() {
    let (main, other) = (Listener::new(), Listener::new());
    let config = format!(
        "<config><service name='web' firstBytesTimeout='1'><listen ip='127.0.0.1:0'/>\
         <group name='main' enable='true'><host ip='{}'/></group>\
         <group name='other'><host ip='{}'/></group></service></config>",
        main.address(),
        other.address()
    );
    let mut controlled = Controlled::start(&config);
    let address = controlled.txlb.address();
    let hears = |host: &Listener, said: &[u8], expected: &[u8]| {
        let mut client = connect(address);
        client.write_all(said).unwrap();
        let mut heard = vec![0; expected.len()];
        host.accept().read_exact(&mut heard).unwrap();
        assert_eq!(heard, expected);
    };
    let (b, c) = (hello("b.test"), hello("c.test"));
    hears(&main, &b, &b);
    controlled.tell(&["addRoute", "service=web", "sni=b.test", "group=other"]);
    hears(&other, &b, &b);
    hears(&main, &c, &c);
    controlled.tell(&["setRoute", "service=web", "route=1", "sni=*.test a.example"]);
    hears(&other, &c, &c);
    let listed = controlled.tell(&["status"]);
    assert!(
        listed.contains("route 1: sni *.test a.example: group other"),
        "{listed}"
    );
    let refused = controlled.refused(&["delGroup", "service=web", "group=other"]);
    assert!(refused.contains("has a route"), "{refused}");
    let listener = ["setListen", "service=web", "ip=127.0.0.1:0"];
    controlled.tell(&[&listener[..], &["proxy=require"]].concat());
    hears(&other, &[BLOCK, &b].concat(), &b);
    assert_eq!(read_all(&saying(&controlled, &b)), (Vec::new(), End::Reset));
    controlled.tell(&["delRoute", "service=web", "route=1"]);
    hears(&main, &[BLOCK, &b].concat(), &b);
    controlled.tell(&[&listener[..], &["proxy=off"]].concat());
    hears(&main, &b, &b);
    assert!(controlled.tell(&["status"]).contains(&address.to_string()));
    controlled.txlb.wait_for("setListen");
}

#[test]
fn what_a_host_has_not_answered_is_said_to_another_one() {
    let (a, b) = (Listener::new(), Listener::new());
    let mut controlled = start(
        "",
        "replay='16384' sendProxy='v1'",
        &[a.address(), b.address()],
    );
    let mut client = connect(controlled.txlb.address());
    client.write_all(b"hello").unwrap();
    let mut first = a.accept();
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\nhello") {
        let mut byte = [0];
        first.read_exact(&mut byte).unwrap();
        heard.extend(byte);
    }
    drop(first);
    let mut second = b.accept();
    let mut again = vec![0; heard.len()];
    second.read_exact(&mut again).unwrap();
    assert!(again.starts_with(b"PROXY TCP4 "));
    second.write_all(b"answer").unwrap();
    client.read_exact(&mut [0; 6]).unwrap();
    drop((second, client));
    let logged = controlled.txlb.wait_for(" seen_by=2");
    assert!(logged.contains("web:main/b "), "{logged}");
}

#[test]
fn where_no_other_host_is_left_a_session_ends_as_its_host_did() {
    let host = Listener::new();
    let mut controlled = start("", "replay='1000'", &[host.address()]);
    let mut client = connect(controlled.txlb.address());
    client.write_all(b"hello").unwrap();
    let mut at_host = host.accept();
    at_host.read_exact(&mut [0; 5]).unwrap();
    at_host.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&client), (Vec::new(), End::Clean));
    drop((client, at_host));
    let logged = controlled.txlb.wait_for("web:main/a ");
    assert!(
        logged.contains(" -- ") && !logged.contains("seen_by"),
        "{logged}"
    );
}

#[test]
fn a_client_gets_the_group_that_is_enabled_when_its_first_bytes_are_there() {
    let (a, b) = (Listener::new(), Listener::new());
    let config = format!(
        "<config><service name='web' firstBytesTimeout='20'>\
         <listen ip='127.0.0.1:0' proxy='require'/>\
         <group name='blue' enable='true'><host ip='{}'/></group>\
         <group name='green'><host ip='{}'/></group></service></config>",
        a.address(),
        b.address()
    );
    let controlled = Controlled::start(&config);
    let mut client = connect(controlled.txlb.address());
    let (first, rest) = BLOCK.split_at(20);
    client.write_all(first).unwrap();
    until("it is awaited", || {
        controlled.tell(&["sessions"]).contains("first-bytes")
    });
    controlled.feed(
        "begin\nenableGroup service=web group=green\ndelGroup service=web group=blue\ncommit\n",
    );
    client.write_all(&[rest, b"hello"].concat()).unwrap();
    b.accept().read_exact(&mut [0; 5]).unwrap();
}
