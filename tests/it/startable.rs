//! `-t` reports what would keep txlb from starting here.

use std::net::TcpListener;
use std::path::Path;
#[cfg(target_os = "linux")]
use std::process::Command;

use crate::support::config::{web, web_service};
use crate::support::txlb::{Finished, Folder, Txlb, run, text};
#[cfg(target_os = "linux")]
use crate::support::txlb::{command, finish, program};
#[cfg(target_os = "linux")]
use rustix::process::geteuid;

/// A service with a host to which no client connects.
fn service() -> String {
    web_service("", "roundr", &["127.0.0.1:9".parse().unwrap()])
}

/// The result of `-t` or `-T` for this configuration.
fn checked(folder: &Folder, option: &str, config: &str) -> Finished {
    let file = folder.write("checked.xml", config);
    run(&[option, "-f", text(&file)])
}

fn refused(status: i32, config: &str, why: &str) {
    let folder = Folder::new();
    let found = checked(&folder, "-t", config);
    assert_eq!(found.status, Some(status), "{found:?}");
    assert!(found.stderr.contains(why), "{found:?}");
    assert!(!found.stderr.contains("is good"), "{found:?}");
    // `-T` works on any machine.
    assert_eq!(checked(&folder, "-T", config).status, Some(0));
}

#[test]
fn an_address_that_this_machine_does_not_have_is_an_error() {
    // An address for documentation is on no machine.
    let config = format!("<config>{}</config>", service());
    let config = config.replace("127.0.0.1:0", "203.0.113.5:7000");
    let why = "service web cannot listen at 203.0.113.5:7000: this machine has no such address";
    refused(69, &config, why);
    let folder = Folder::new();
    let file = folder.write("config.xml", &config);
    let started = run(&["-f", text(&file)]);
    assert_eq!(started.status, Some(69), "{started:?}");
    assert!(started.stderr.contains("this machine has no such address"));
}

#[test]
fn two_services_that_meet_by_a_name_are_an_error() {
    let one = service().replace("127.0.0.1:0", "127.0.0.1:7001");
    let two = one
        .replace("web", "other")
        .replace("127.0.0.1:7001", "localhost:7001");
    let why = "service web and service other would both listen at 127.0.0.1:7001";
    refused(69, &format!("<config>{one}{two}</config>"), why);
}

#[test]
fn a_folder_that_is_missing_is_an_error() {
    let log = "<logging file=\"/nowhere/at/all/log\"/>";
    let why = "the folder /nowhere/at/all of the log";
    refused(73, &format!("<config>{}{log}</config>", service()), why);
    let control = "<control socket=\"/nowhere/at/all/socket\"/>";
    let why = "the folder /nowhere/at/all of the control socket";
    refused(69, &format!("<config>{}{control}</config>", service()), why);
}

/// Without the right, which root takes with it to another user.
#[cfg(target_os = "linux")]
#[test]
fn addresses_of_clients_are_warned_of_where_txlb_may_not_have_them() {
    let folder = Folder::new();
    let group = "<group name=\"main\"";
    let config = web("", "roundr", &["127.0.0.1:9".parse().unwrap()]);
    let asks = config.replace(group, &format!("{group} source=\"client\""));
    assert_ne!(asks, config);
    let words = "warning: source=\"client\" takes the capability CAP_NET_RAW";
    for (config, is_warned) in [(&config, false), (&asks, true)] {
        let file = folder.write("checked.xml", config);
        let mut check = command(&["-t", "-f", text(&file)]);
        if geteuid().is_root() {
            let mut without = Command::new("setpriv");
            without.args(["--bounding-set", "-net_raw,-net_admin"]);
            without.arg(program()).args(check.get_args());
            check = without;
            let found = run(&["-t", "-u", "nobody", "-f", text(&file)]);
            assert!(!found.stderr.contains(words), "{found:?}");
        }
        let found = finish(check);
        assert_eq!(found.status, Some(0), "{found:?}");
        assert_eq!(found.stderr.contains(words), is_warned, "{found:?}");
    }
}

#[test]
fn an_address_in_use_is_warned_of_unless_txlb_runs_there() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = taken.local_addr().unwrap().to_string();
    let folder = Folder::new();
    let config = web("", "roundr", &["127.0.0.1:9".parse().unwrap()]);
    let found = checked(&folder, "-t", &config.replace("127.0.0.1:0", &place));
    assert_eq!(found.status, Some(0), "{found:?}");
    assert!(
        found
            .stderr
            .contains(&format!("warning: service web cannot listen at {place}"))
    );

    drop(taken);
    let control = |socket: &Path| format!("<control socket=\"{}\"/>", socket.display());
    let config = format!(
        "<config>{}{}</config>",
        service(),
        control(&folder.file("socket"))
    );
    let config = config.replace("127.0.0.1:0", &place);
    let _txlb = Txlb::start(&config);
    let found = checked(&folder, "-t", &config);
    assert_eq!(found.status, Some(0), "{found:?}");
    assert!(!found.stderr.contains("warning"), "{found:?}");
}
