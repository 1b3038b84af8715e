//! Hosts that are listeners of txlb itself: chains of services work, circles are refused.

use std::net::SocketAddr;

use crate::support::client::{End, Session, fate, who};
use crate::support::host::Host;
use crate::support::peer::free_port;
use crate::support::txlb::{Folder, Txlb, run, text};

/// A service that listens on all addresses, with these hosts.
fn service(name: &str, port: u16, hosts: &[String]) -> String {
    let numbered = hosts.iter().enumerate();
    let hosts: String = numbered
        .map(|(number, ip)| format!("<host name=\"h{number}\" ip=\"{ip}\"/>"))
        .collect();
    format!(
        "<service name=\"{name}\"><listen ip=\"*:{port}\"/>\
         <group name=\"main\" enable=\"true\">{hosts}</group></service>"
    )
}

fn at(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

const CIRCLE: &str = "it is a listener of txlb itself: sessions would go in circles";

#[test]
fn a_host_that_is_its_own_listener_is_down_and_takes_nothing_from_others() {
    let host = Host::new("a");
    let (web, looped, named) = (free_port(), free_port(), free_port());
    let config = format!(
        "<config>{}{}{}</config>",
        service("web", web, &[host.address().to_string()]),
        service("loop", looped, &[format!("127.9.9.9:{looped}")]),
        service("named", named, &[format!("localhost:{named}")]),
    );
    let mut txlb = Txlb::start_limited(128, &config, &["-w", "2"]);
    assert_eq!(txlb.count(CIRCLE), 2, "{:?}", txlb.seen);
    assert_eq!(fate(at(looped)).1, End::Reset);
    assert_eq!(fate(at(named)).1, End::Reset);
    assert_eq!(who(at(web)), "a");
    let file = txlb.config_file();
    let checked = run(&["-t", "-f", text(&file)]);
    assert_eq!(checked.status, Some(0));
    for host in ["loop:main/h0", "named:main/h0"] {
        let warning = format!("warning: the host {host} is a listener of txlb itself");
        assert!(checked.stderr.contains(&warning), "{checked:?}");
    }
    // Another program's address is fine.
    let mended = config.replace(&format!("127.9.9.9:{looped}"), &host.address().to_string());
    txlb.reload(&mended);
    assert_eq!(who(at(looped)), "a");
}

#[test]
fn services_may_be_chained_and_a_change_that_makes_a_circle_is_warned_of() {
    let host = Host::new("a");
    let (first, second) = (free_port(), free_port());
    let config = |hosts: &[String]| {
        format!(
            "<config>{}{}</config>",
            service("first", first, &[format!("127.0.0.1:{second}")]),
            service("second", second, hosts),
        )
    };
    let real = host.address().to_string();
    let mut txlb = Txlb::start(&config(std::slice::from_ref(&real)));
    let mut session = Session::open(at(first));
    session.echo(100_000);
    assert_eq!(session.close(), "a");
    txlb.reload(&config(&[real, format!("127.0.0.1:{first}")]));
    assert!(txlb.count(CIRCLE) == 1, "{:?}", txlb.seen);
    // The chain still works, and so does the host that leads into no circle.
    for _ in 0..4 {
        assert_eq!(who(at(first)), "a");
    }
    let folder = Folder::new();
    let file = folder.write("chain.xml", config(&[host.address().to_string()]));
    assert!(!run(&["-t", "-f", text(&file)]).stderr.contains("circles"));
}

/// Two ports of the one host lead to two services, of which only the second leads back; and two
/// services of which each tells the other the port that the client asked for.
#[test]
fn a_circle_over_one_of_the_ports_of_a_host_without_a_port_is_refused() {
    let service = |name: &str, listens: &str, group: &str, host: &str| {
        format!(
            "<service name=\"{name}\">{listens}<group name=\"main\" enable=\"true\"{group}>\
             <host name=\"one\" ip=\"{host}\"/></group></service>"
        )
    };
    let mut ports = [free_port(), free_port()];
    ports.sort_unstable();
    let [first, second] = ports;
    let listen = |ip: &str, port: u16| format!("<listen ip=\"{ip}:{port}\"/>");
    let both = listen("127.0.0.5", first) + &listen("127.0.0.5", second);
    let back = format!("127.0.0.5:{second}");
    let services = [
        service("a", &both, "", "127.0.0.6"),
        service("b", &listen("127.0.0.6", first), "", "127.0.0.7:9"),
        service("c", &listen("127.0.0.6", second), "", &back),
    ];
    let mut txlb = Txlb::start(&format!("<config>{}</config>", services.concat()));
    txlb.wait_for_count("host c:main/one is down: ", 1);
    drop(txlb);
    let with_header = |listen: String| listen.replace("/>", " proxy=\"require\"/>");
    let (at_a, at_b) = (listen("127.0.0.5", second), listen("127.0.0.6", first));
    let sends = " sendProxy=\"v1\"";
    let services = [
        service("a", &with_header(at_a), sends, "127.0.0.6"),
        service("b", &with_header(at_b), sends, &back),
    ];
    let mut txlb = Txlb::start(&format!("<config>{}</config>", services.concat()));
    txlb.wait_for_count("host b:main/one is down: ", 1);
}
