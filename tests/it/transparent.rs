//! Clients' own addresses towards hosts, `source="client"`: three machines as network namespaces,
//! with the rules of txlb.xml(5).
#![cfg(target_os = "linux")]

use std::env;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use crate::support::client::{End, connect, read_all};
use crate::support::config::web;
use crate::support::rerun::{only, own_program, passes};
use crate::support::txlb::Txlb;

/// Which part of the test this process plays.
const ROLE: &str = "TXLB_TEST_ROLE";

const NAME: &str = "a_host_sees_the_address_and_port_of_the_client";

/// Where txlb listens, and the host.
const TXLB: &str = "10.1.0.1:9000";
const HOST: &str = "10.2.0.2:7000";

/// A host that no route leads to.
const UNREACHABLE: &str = "10.3.0.2:7000";

/// Clients on one network, hosts on another, and txlb as the gateway between them.
const MACHINES: &str = "
mkdir -p /run/netns
mount -t tmpfs none /run/netns
ip link set lo up
for it in clients:10.1.0 hosts:10.2.0; do
    name=${it%:*} net=${it#*:}
    ip netns add $name
    ip link add $name type veth peer name eth0 netns $name
    ip address add $net.1/24 dev $name
    ip link set $name up
    ip -n $name address add $net.2/24 dev eth0
    ip -n $name link set lo up
    ip -n $name link set eth0 up
    ip -n $name route add default via $net.1
done
";

/// The commands of the manual page that lead what hosts answer to txlb.
fn rules() -> String {
    let page = include_str!("../../man/txlb.xml.5").replace("\\e\n", "");
    let (_, after) = page.split_once("# ip rule").expect("no rules");
    let (rules, _) = after.split_once(".Ed").expect("no end of the rules");
    let rules = format!("ip rule{rules}").replace("# ", "");
    assert_eq!(rules.lines().count(), 5, "{rules}");
    rules
}

/// This test in another role, on the machine of this name.
fn on_machine(machine: &str, role: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", machine]).arg(own_program());
    command.args(only(module_path!(), NAME)).env(ROLE, role);
    command
}

/// A child that ends with its owner.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Tells each client its address, as the host sees it.
fn serve() {
    let listener = TcpListener::bind(HOST).unwrap();
    println!("\nready");
    for client in listener.incoming() {
        let mut client = client.unwrap();
        let address = client.peer_addr().unwrap();
        client.write_all(address.to_string().as_bytes()).unwrap();
    }
}

/// Clients that are told the addresses that they have.
fn ask() {
    let txlb: SocketAddr = TXLB.parse().unwrap();
    for _ in 0..20 {
        let client = connect(txlb);
        let own = client.local_addr().unwrap().to_string();
        assert_eq!(read_all(&client), (own.into_bytes(), End::Clean));
    }
}

#[test]
#[ignore = "needs root"]
fn a_host_sees_the_address_and_port_of_the_client() {
    match env::var(ROLE).as_deref() {
        Err(_) => {
            let script = format!("set -e\n{MACHINES}{}exec \"$0\" \"$@\"", rules());
            let mut command = Command::new("unshare");
            command.args(["--net", "--mount", "sh", "-c", &script]);
            command.arg(own_program()).args(only(module_path!(), NAME));
            return passes(command.env(ROLE, "txlb"));
        }
        Ok("host") => return serve(),
        Ok("client") => return ask(),
        Ok(_) => {}
    }
    let mut host = on_machine("hosts", "host");
    let mut host = Ended(host.stdout(Stdio::piped()).spawn().unwrap());
    let mut said = host.0.stdout.take().unwrap();
    let mut seen = String::new();
    while !seen.contains("ready") {
        let mut bytes = [0; 256];
        let length = said.read(&mut bytes).unwrap();
        assert!(length > 0, "the host has ended: {seen}");
        seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
    }
    let config = web(
        "",
        "roundr",
        &[UNREACHABLE, HOST].map(|host| host.parse().unwrap()),
    );
    let config = config.replace("127.0.0.1:0", TXLB);
    let config = config.replace("enable=\"true\"", "source=\"client\" enable=\"true\"");
    let mut txlb = Txlb::start(&config);
    passes(&mut on_machine("clients", "client"));
    // What only a client's address may have caused is held against no host.
    assert_eq!(txlb.count(" is down"), 0);
}
