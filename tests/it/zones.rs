//! IPv6 addresses with an interface name, of listeners and of hosts.
#![cfg(target_os = "linux")]

use std::io::Write;
use std::net::TcpListener;

use crate::support::client::{patient, read_all};
use crate::support::txlb::{Folder, Txlb, run, text};

/// A listener and a host at this interface, and another host at one that does not exist.
fn config(zone: &str, host_port: u16) -> String {
    format!(
        "<config><service name=\"web\"><listen ip=\"[::1%{zone}]:0\"/>\
         <group name=\"main\" enable=\"true\"><host name=\"a\" ip=\"[::1%lo]:{host_port}\"/>\
         <host name=\"gone\" ip=\"[fe80::1%nowhere0]:80\"/></group></service></config>"
    )
}

#[test]
fn an_interface_is_looked_up_by_its_name_which_stays_as_it_is_written() {
    // Not every machine has IPv6.
    let Ok(host) = TcpListener::bind("[::1]:0") else {
        return;
    };
    let port = host.local_addr().unwrap().port();
    let mut txlb = Txlb::start(&config("lo", port));
    assert!(txlb.count("%nowhere0 does not resolve: no interface nowhere0 is there") > 0);
    let client = std::net::TcpStream::connect(txlb.address()).unwrap();
    let (mut session, _) = host.accept().unwrap();
    session.write_all(b"a\n").unwrap();
    drop(session);
    assert_eq!(read_all(&patient(client)).0, b"a\n");

    let file = txlb.config_file();
    let shown = run(&["-T", "-f", text(&file)]);
    for written in ["\"[::1%lo]:0\"", "\"[fe80::1%nowhere0]:80\""] {
        assert!(shown.stdout.contains(written), "{shown:?}");
    }
}

#[test]
fn a_listener_at_an_interface_that_is_not_there_is_refused_with_words() {
    let folder = Folder::new();
    let file = folder.write("config.xml", config("nowhere0", 9));
    let why =
        "cannot listen at [::1%nowhere0], which does not resolve: no interface nowhere0 is there";
    for arguments in [&["-t", "-f", text(&file)][..], &["-f", text(&file)]] {
        let refused = run(arguments);
        assert_eq!(refused.status, Some(69), "{refused:?}");
        assert!(refused.stderr.contains(why), "{refused:?}");
    }
}
