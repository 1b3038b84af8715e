//! Hosts that ask over AMP which client a connection belongs to, as soon as they have accepted
//! it.
//!
//! Twisted's own client is in `tests/peers`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::support::client::{
    are_told_their_places, connect, connect_from, is_told_its_place, place_of,
};
use crate::support::config::web;
use crate::support::control::with_control;
use crate::support::host::{Host, Listener};
use crate::support::txlb::{Folder, Txlb, text};
use crate::support::{TIMEOUT, until};

/// An AMP key and value, each behind its length.
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

/// `HOST PORT` of the client of this connection, or the code of the error.
fn whose(socket: &Path, local: SocketAddr) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
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

/// A host named after the control socket: sends the client's address.
fn say_whose(mut stream: TcpStream, socket: &str) {
    let answer = whose(Path::new(socket), stream.peer_addr().unwrap());
    stream.write_all(answer.as_bytes()).unwrap();
}

#[test]
fn a_host_may_ask_as_soon_as_it_has_accepted() {
    let place = Folder::new();
    let socket = place.file("control");
    let host = Host::that(Listener::new(), text(&socket), say_whose);
    let config = with_control(&web("", "roundr", &[host.address()]), &socket);
    let txlb = Txlb::start(&config);
    // No more at a time than the control socket accepts.
    are_told_their_places(txlb.address(), 50);
    if cfg!(target_os = "linux") {
        let other = Ipv4Addr::new(127, 0, 0, 2).into();
        is_told_its_place(&connect_from(other, txlb.address()));
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
    assert_eq!(whose(&socket, local), place_of(&client));
    drop((client, accepted));
    until("forgotten", || whose(&socket, local) == "UNKNOWN_PORT");
    // A connection that is opened without a control socket is known later, too.
    let client = connect(txlb.address());
    let accepted = host.accept();
    txlb.reload(&config);
    txlb.reload(&with_control(&config, &socket));
    let local = accepted.peer_addr().unwrap();
    assert_eq!(whose(&socket, local), place_of(&client));
    assert_eq!(whose(&socket, txlb.address()), "UNKNOWN_PORT");
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
    is_told_its_place(&connect(txlb.address()));
    let mode = std::fs::metadata(&amp).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);

    // One socket refuses verbs, the other AMP.
    let said = |socket: &Path, first: &[u8]| {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(first).unwrap();
        let mut said = String::new();
        let _ = BufReader::new(stream).read_line(&mut said);
        said
    };
    assert_eq!(
        said(&amp, b"status\n"),
        "error: this socket accepts AMP only\n"
    );
    assert_eq!(said(&control, b"\0\x04_ask"), "");
    txlb.wait_for("AMP is off on this socket (amp=\"false\")");

    // Each of the two can be added and removed alone.
    txlb.reload(
        &config
            .replace(" ampSocket=", " ampMode=\"0600\" ampSocket=")
            .replace(" ampMode=\"0666\"", ""),
    );
    let mode = std::fs::metadata(&amp).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    is_told_its_place(&connect(txlb.address()));
    assert_eq!(txlb.stop(), Some(0));
    assert!(!amp.exists() && !control.exists());
}
