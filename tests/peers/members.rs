//! Members of names by dnsmasq and Unbound: a headless service that grows, shrinks and is empty.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use rustix::process::Signal;

use crate::support::client::{Session, who};
use crate::support::name_server::loopbacks;
use crate::support::peer::{Peer, free_address};
use crate::support::traffic::{Traffic, host_everywhere};
use crate::support::txlb::{Folder, Txlb, text};

/// A name server, and the file with what it knows.
struct Server {
    peer: Peer,
    records: PathBuf,
    address: SocketAddr,
    /// The text of a record, for an address.
    record: fn(Ipv4Addr) -> String,
}

impl Server {
    fn set(&self, ips: impl Iterator<Item = Ipv4Addr>) {
        std::fs::write(&self.records, ips.map(self.record).collect::<String>()).unwrap();
        self.peer.signal(Signal::HUP);
    }
}

fn dnsmasq(folder: &Folder) -> Server {
    let address = free_address();
    let record = |ip| format!("{ip} web.test\n");
    let records = folder.write("hosts", loopbacks(3).map(record).collect::<String>());
    let port = format!("--port={}", address.port());
    let hosts = format!("--addn-hosts={}", text(&records));
    let target = "--srv-host=_web._tcp.test,node.test,8080,10,5";
    let node = "--host-record=node.test,127.1.0.77";
    let arguments = [
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--local=/test/",
        "--local-ttl=1",
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        "--pid-file=",
        "--user=",
        "--group=",
        &port,
        &hosts,
        target,
        node,
    ];
    Server {
        peer: Peer::start("dnsmasq", &arguments, address),
        records,
        address,
        record,
    }
}

fn unbound(folder: &Folder) -> Server {
    let address = free_address();
    let record = |ip| format!("local-data: \"web.test. 1 IN A {ip}\"\n");
    let records = folder.write("records", loopbacks(3).map(record).collect::<String>());
    let config = format!(
        "server:\n  interface: 127.0.0.1@{}\n  username: \"\"\n  chroot: \"\"\n  pidfile: \"\"\n  \
         use-syslog: no\n  do-daemonize: no\n  local-zone: \"test.\" static\n  \
         include: \"{}\"\nremote-control:\n  control-enable: no\n",
        address.port(),
        text(&records)
    );
    let file = folder.write("unbound.conf", config);
    Server {
        peer: Peer::start("unbound", &["-c", text(&file)], address),
        records,
        address,
        record,
    }
}

fn grows_and_shrinks(server: &Server) {
    let host = host_everywhere();
    let config = format!(
        "<config><service name=\"web\"><listen ip=\"127.0.0.1:0\"/>\
         <group name=\"main\" scheduler=\"roundr\" enable=\"true\">\
         <host name=\"web\" ip=\"web.test:{}\" each=\"true\"/></group></service>\
         <resolver nameservers=\"{}\"/></config>",
        host.address().port(),
        server.address
    );
    let mut txlb = Txlb::start(&config);
    let address = txlb.address();
    assert_eq!(who(address), "127.1.0.1");
    let mut session = Session::open(address);
    let traffic = Traffic::start(address);
    server.set(loopbacks(200));
    txlb.wait_for("197 members more, 200 in all: ");
    server.set(loopbacks(10).skip(5));
    txlb.wait_for("195 members less, 5 in all: ");
    session.echo(1000);
    server.set(loopbacks(0));
    txlb.wait_for("the members of web.test are not known any more: ");
    server.set(loopbacks(1));
    txlb.wait_for("5 members less, 1 in all: ");
    assert_eq!(who(address), "127.1.0.1");
    assert!(traffic.end() > 100);
    session.close();
}

#[test]
#[ignore = "needs dnsmasq"]
fn a_service_of_dnsmasq_grows_and_shrinks_under_traffic() {
    let folder = Folder::new();
    let server = dnsmasq(&folder);
    grows_and_shrinks(&server);
    let config = format!(
        "<config><service name=\"web\"><listen ip=\"127.0.0.1:0\"/><group name=\"main\" \
         enable=\"true\"><host name=\"web\" ip=\"_web._tcp.test\" each=\"srv\"/></group></service>\
         <resolver nameservers=\"{}\"/></config>",
        server.address
    );
    let mut txlb = Txlb::start(&config);
    txlb.log();
    assert!(txlb.has_said("has 1 member more, 1 in all: web@node.test:8080"));
}

#[test]
#[ignore = "needs unbound"]
fn a_service_of_unbound_grows_and_shrinks_under_traffic() {
    let folder = Folder::new();
    grows_and_shrinks(&unbound(&folder));
}
