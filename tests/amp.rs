//! Hosts that ask over AMP whose a connection is, as soon as they have accepted it.
//!
//! The one that is Twisted's is ignored unless asked for: it needs Twisted for the
//! Python that `TXLB_PYTHON` names, or for the one in `target/twisted`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use support::client::{connect, connect_from, read_all};
use support::config::web;
use support::control::{Controlled, with_control};
use support::host::{Host, Listener};
use support::txlb::{Folder, Txlb, text};
use support::{PATIENCE, until};

/// One value behind its key, each behind its length.
fn pair(key: &str, value: &str) -> Vec<u8> {
    let sized = |text: &str| {
        let length = u16::try_from(text.len()).unwrap().to_be_bytes();
        [&length[..], text.as_bytes()].concat()
    };
    [sized(key), sized(value)].concat()
}

fn next(stream: &mut impl Read) -> String {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut bytes = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// `HOST PORT` of the client whose connection this is, or the code of the error.
fn whose(socket: &Path, local: SocketAddr) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let question = [
        pair("_ask", "7"),
        pair("_command", "GetClientAddress"),
        pair("host", &local.ip().to_string()),
        pair("port", &local.port().to_string()),
        vec![0, 0],
    ];
    stream.write_all(&question.concat()).unwrap();
    let mut values = Vec::new();
    while !next(&mut stream).is_empty() {
        values.push(next(&mut stream));
    }
    assert_eq!(values.remove(0), "7");
    match &values[..] {
        [host, port] if port.parse::<u16>().is_ok() => format!("{host} {port}"),
        [code, _] => code.clone(),
        other => panic!("{other:?}"),
    }
}

/// What a host does that is named after the control socket: says who the client is.
fn say_whose(mut stream: TcpStream, socket: &str) {
    let answer = whose(Path::new(socket), stream.peer_addr().unwrap());
    stream.write_all(answer.as_bytes()).unwrap();
}

fn address_of(stream: &TcpStream) -> String {
    let local = stream.local_addr().unwrap();
    format!("{} {}", local.ip(), local.port())
}

/// That a client is known to its host by its own address.
fn check(stream: &TcpStream) {
    let said = read_all(stream).0;
    let said = String::from_utf8(said).unwrap();
    assert_eq!(said.trim_end(), address_of(stream));
}

/// Clients side by side, so that hosts ask while others connect.
fn check_many(address: SocketAddr, each: usize) {
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(move || (0..each).for_each(|_| check(&connect(address))));
        }
    });
}

#[test]
fn a_host_may_ask_as_soon_as_it_has_accepted() {
    let place = Folder::new();
    let socket = place.file("control");
    let host = Host::that(Listener::new(), text(&socket), say_whose);
    let config = with_control(&web("", "roundr", &[host.address()]), &socket);
    let txlb = Txlb::start(&config);
    // Not more at a time than the control socket lets in.
    check_many(txlb.address(), 50);
    if cfg!(target_os = "linux") {
        let other = Ipv4Addr::new(127, 0, 0, 2).into();
        check(&connect_from(other, txlb.address()));
    }
}

#[test]
fn what_is_over_or_was_before_is_not_known() {
    let host = Listener::new();
    let config = web("", "roundr", &[host.address()]);
    let place = Folder::new();
    let socket = place.file("control");
    let mut txlb = Txlb::start(&config);
    let _early = connect(txlb.address());
    let early = host.accept().peer_addr().unwrap();
    txlb.reload(&with_control(&config, &socket));
    let client = connect(txlb.address());
    let accepted = host.accept();
    let local = accepted.peer_addr().unwrap();
    assert_eq!(whose(&socket, early), "UNKNOWN_PORT");
    assert_eq!(whose(&socket, local), address_of(&client));
    drop((client, accepted));
    until("forgotten", || whose(&socket, local) == "UNKNOWN_PORT");
    // What is open while there is no control socket is still known after.
    let client = connect(txlb.address());
    let accepted = host.accept();
    txlb.reload(&config);
    txlb.reload(&with_control(&config, &socket));
    let local = accepted.peer_addr().unwrap();
    assert_eq!(whose(&socket, local), address_of(&client));
    assert_eq!(whose(&socket, txlb.address()), "UNKNOWN_PORT");
}

/// A Python that has Twisted.
fn python() -> PathBuf {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/twisted/bin/python");
    std::env::var_os("TXLB_PYTHON").map_or(ours, PathBuf::from)
}

/// Twisted's host, ended with the test.
struct TwistedHost {
    child: Child,
    address: SocketAddr,
}

impl TwistedHost {
    fn start(socket: &Path) -> TwistedHost {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/whose.py");
        let mut child = Command::new(python())
            .arg(script)
            .arg(socket)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut port).unwrap();
        let port: u16 = port.trim().parse().expect("it does not start");
        TwistedHost {
            child,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        }
    }
}

impl Drop for TwistedHost {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "needs Twisted"]
fn twisted_understands_the_answers() {
    let controlled = Controlled::start(&web("", "roundr", &[]));
    let host = TwistedHost::start(&controlled.socket);
    let ip = format!("ip={}", host.address);
    controlled.tell(&["addHost", "service=web", "group=main", "name=t", &ip]);
    check_many(controlled.txlb.address(), 100);
    // One that does not come through txlb.
    let direct = read_all(&connect(host.address)).0;
    assert_eq!(direct, b"UnknownPort\n");
}

#[test]
fn a_socket_for_amp_alone_answers_nothing_else() {
    let folder = Folder::new();
    let (control, amp) = (folder.file("control.sock"), folder.file("amp.sock"));
    let host = Host::that(Listener::new(), text(&amp), say_whose);
    let attributes = format!(
        "<control socket=\"{}\" amp=\"false\" ampSocket=\"{}\" ampMode=\"0666\"/>",
        text(&control),
        text(&amp)
    );
    let config = web("", "roundr", &[host.address()]);
    let config = config.replace("</config>", &format!("{attributes}</config>"));
    let mut txlb = Txlb::start(&config);
    check(&connect(txlb.address()));
    let mode = std::fs::metadata(&amp).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);

    // The one answers no verbs, the other no AMP.
    let said = |socket: &Path, first: &[u8]| {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(first).unwrap();
        let mut said = String::new();
        let _ = BufReader::new(stream).read_line(&mut said);
        said
    };
    assert_eq!(
        said(&amp, b"status\n"),
        "error: nothing but AMP is spoken here\n"
    );
    assert_eq!(said(&control, b"\0\x04_ask"), "");
    txlb.wait_for("amp=\"false\" leaves AMP out here");

    // It goes, and comes, without the other.
    txlb.reload(
        &config
            .replace(" ampSocket=", " ampMode=\"0600\" ampSocket=")
            .replace(" ampMode=\"0666\"", ""),
    );
    let mode = std::fs::metadata(&amp).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    check(&connect(txlb.address()));
    assert_eq!(txlb.stop(), Some(0));
    assert!(!amp.exists() && !control.exists());
}
