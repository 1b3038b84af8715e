//! Socket activation: listeners that systemd, or here a shell, has made and passes on.
#![cfg(feature = "activation")]

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};

use crate::support::client::{Session, who};
use crate::support::config::web;
use crate::support::host::Host;
use crate::support::txlb::{Folder, Txlb, program, text};
use rustix::process::Signal;

/// Moves standard input and output to descriptors 3 and 4, and sets the variables.
const HAND_OVER: &str = "exec 3<&0 4<&1 </dev/null >/dev/null
LISTEN_PID=${PRETENDED_PID:-$$} exec \"$0\" \"$@\"";

/// A txlb that gets these sockets with these names.
fn start(config: &str, given: [OwnedFd; 2], more: &[(&str, &str)]) -> Txlb {
    let folder = Folder::new();
    let file = folder.write("config.xml", config);
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        HAND_OVER,
        text(program()),
        "-w",
        "2",
        "-f",
        text(&file),
    ]);
    shell
        .env("LISTEN_FDS", "2")
        .env_remove("LISTEN_FDNAMES")
        .envs(more.iter().copied());
    Txlb::spawn_between(given.map(Stdio::from), shell, folder)
}

fn serving(config: &str, given: [&TcpListener; 2], names: &str) -> Txlb {
    let given = given.map(|socket| socket.try_clone().unwrap().into());
    let mut txlb = start(config, given, &[("LISTEN_FDNAMES", names)]);
    txlb.wait_for(" runs as process ");
    txlb
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A service with a host and these listeners.
fn config(host: &Host, listens: &[SocketAddr]) -> String {
    let listens: String = listens
        .iter()
        .map(|address| format!("<listen ip=\"{address}\"/>"))
        .collect();
    web("", "roundr", &[host.address()]).replace("<listen ip=\"127.0.0.1:0\"/>", &listens)
}

#[test]
fn a_socket_is_the_listener_at_its_address_whatever_its_name() {
    let host = Host::new("a");
    let [(one, first), (two, second)] = [listener(), listener()];
    // A client that comes before txlb waits in the accept backlog.
    let early = std::net::TcpStream::connect(first).unwrap();
    let mut txlb = serving(&config(&host, &[first, second]), [&one, &two], "x:y.socket");
    let addresses = txlb.addresses("web");
    assert!(addresses.len() == 2 && addresses.contains(&first) && addresses.contains(&second));
    assert_eq!(Session::on(early).unwrap().close(), "a");
    let mut sessions: Vec<Session> = (0..20).map(|_| Session::open(first)).collect();
    sessions.iter_mut().for_each(|session| session.echo(1000));
    assert_eq!(who(second), "a");
    assert_eq!(txlb.count("WARN"), 0, "{:?}", txlb.seen);
    drop(sessions);
    assert_eq!(txlb.stop(), Some(0));
}

#[test]
fn a_socket_with_a_services_name_is_one_more_listener_of_it() {
    let host = Host::new("a");
    let [(one, first), (two, second)] = [listener(), listener()];
    let free = "127.0.0.1:0".parse().unwrap();
    let mut txlb = serving(&config(&host, &[free]), [&one, &two], "web:web");
    let addresses = txlb.addresses("web");
    assert!(addresses.len() == 3 && addresses.contains(&first) && addresses.contains(&second));
    for address in addresses {
        assert_eq!(who(address), "a");
    }
    // A listener that is added again gets the same socket.
    let (a, b) = ("name=\"web\"", "name=\"other\"");
    for (config, is_served) in [
        (config(&host, &[free]).replace(a, b), false),
        (config(&host, &[free, first]).replace(a, b), true),
        (config(&host, &[free]), true),
    ] {
        txlb.reload(&config);
        let service = if config.contains(b) { "other" } else { "web" };
        assert_eq!(txlb.addresses(service).contains(&first), is_served);
        if is_served {
            assert_eq!(who(first), "a");
        }
    }
    assert_eq!(txlb.stop(), Some(0));
}

#[test]
fn what_serves_nothing_or_something_else_is_said() {
    let host = Host::new("a");
    let [(one, first), (two, second)] = [listener(), listener()];
    let other = config(&host, &[second])
        .replace("name=\"web\"", "name=\"mail\"")
        .replace("<config>", "");
    let config = config(&host, &["127.0.0.1:0".parse().unwrap()]).replace("</config>", "") + &other;
    let mut txlb = serving(&config, [&one, &two], "nothing:web");
    let said = txlb.log().join("\n");
    assert!(
        said.contains(&format!(
            "the inherited socket \"nothing\" at {first} serves nothing: "
        )) && said.contains(&format!(
            "the inherited socket \"web\" at {second} serves mail, which listens there"
        )),
        "{said}"
    );
    assert_eq!(who(second), "a");
}

#[test]
fn an_inherited_socket_with_mptcp_or_an_interface_is_refused() {
    let host = Host::new("a");
    let [(one, first), (two, second)] = [listener(), listener()];
    let plain = config(&host, &[first, second]);
    let listen = format!("<listen ip=\"{second}\"");
    for attribute in ["mptcp=\"true\"", "interface=\"lo\""] {
        let other = plain.replace(&listen, &format!("{listen} {attribute}"));
        assert_ne!(other, plain);
        let why =
            format!("cannot listen at {second} with mptcp or interface: this socket was made");
        let given = [&one, &two].map(|socket| socket.try_clone().unwrap().into());
        let mut refused = start(&other, given, &[]);
        assert_eq!(refused.wait_exit().code(), Some(69));
        let said = refused.log().join("\n");
        assert!(said.contains(&why), "{said}");
        let mut txlb = serving(&plain, [&one, &two], "a:b");
        let said = txlb.reload_in_vain(&other);
        assert!(said.contains(&why), "{said}");
        assert_eq!(who(second), "a");
        assert_eq!(txlb.stop(), Some(0));
    }
}

#[test]
fn who_comes_between_two_instances_waits_for_the_second() {
    let host = Host::new("a");
    let [(one, first), (two, second)] = [listener(), listener()];
    let config = config(&host, &[first, second]);
    let mut txlb = serving(&config, [&one, &two], "a:b");
    let session = Session::open(first);
    txlb.signal(Signal::QUIT);
    txlb.wait_for("stopping once the open session is over");
    assert_eq!(session.close(), "a");
    assert_eq!(txlb.wait_exit().code(), Some(0));
    let early = std::net::TcpStream::connect(first).unwrap();
    let _txlb = serving(&config, [&one, &two], "a:b");
    assert_eq!(Session::on(early).unwrap().close(), "a");
}

#[test]
fn a_unix_socket_is_the_listener_at_its_path_and_stays_its_makers() {
    let host = Host::new("a");
    let folder = Folder::new();
    let path = folder.file("socket");
    let socket = UnixListener::bind(&path).unwrap();
    let (other, address) = listener();
    let config = config(&host, &[address]).replace(
        "</service>",
        &format!(
            "</service><service name=\"unix\"><listen ip=\"unix:{}\"/>\
                  <group name=\"g\" enable=\"true\"><host ip=\"{}\"/></group></service>",
            text(&path),
            host.address()
        ),
    );
    let given = [socket.try_clone().unwrap().into(), other.into()];
    let mut txlb = start(&config, given, &[]);
    txlb.wait_for(" runs as process ");
    assert_eq!(greeting(&path), "a");
    assert_eq!(txlb.stop(), Some(0));
    // Its maker has it still, and the next one gets it.
    let client = UnixStream::connect(&path).unwrap();
    drop((client, socket));
}

/// What a host says first.
fn greeting(path: &std::path::Path) -> String {
    use std::io::{BufRead, BufReader};
    let mut line = String::new();
    let stream = UnixStream::connect(path).unwrap();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

#[test]
fn what_is_no_listening_tcp_socket_is_69() {
    let host = Host::new("a");
    let folder = Folder::new();
    let client = std::net::TcpStream::connect(host.address()).unwrap();
    let wrong: [OwnedFd; 3] = [
        UnixDatagram::bind(folder.file("socket")).unwrap().into(),
        UdpSocket::bind("127.0.0.1:0").unwrap().into(),
        client.into(),
    ];
    for wrong in wrong {
        let (good, address) = listener();
        let config = config(&host, &[address]);
        let mut txlb = start(&config, [good.into(), wrong], &[]);
        assert_eq!(txlb.wait_exit().code(), Some(69));
        let said = "txlb: number 2 of those that were inherited (\"\") is no listening TCP socket";
        assert_eq!(txlb.seen, [said]);
    }
}

#[test]
fn the_same_place_twice_is_69() {
    let host = Host::new("a");
    let (one, address) = listener();
    let config = config(&host, &[address]);
    let again = one.try_clone().unwrap();
    let mut txlb = start(&config, [one.into(), again.into()], &[]);
    assert_eq!(txlb.wait_exit().code(), Some(69));
    assert!(txlb.seen[0].contains("as another one does"));
}

#[test]
fn sockets_for_another_process_are_let_alone() {
    let host = Host::new("a");
    let [(one, first), (two, _)] = [listener(), listener()];
    let config = config(&host, &[first]);
    let given = [one.into(), two.into()];
    let mut txlb = start(&config, given, &[("PRETENDED_PID", "1")]);
    // The socket is still open, though no listener uses it.
    txlb.wait_for("cannot listen at ");
    assert_eq!(txlb.wait_exit().code(), Some(69));
}
