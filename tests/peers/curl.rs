//! The API over HTTPS as curl asks for it: whom it trusts, and what it gets.
//!
//! Ignored unless asked for, for it needs Debian's curl. What the API answers is tested
//! without one.
#![cfg(feature = "https")]

use std::process::{Command, Output};

use crate::support::client::who_in_turn;
use crate::support::host::Host;
use crate::support::http::{USERS, page_of, with_page};
use crate::support::txlb::{Txlb, text};

/// `(60) SSL peer certificate was not OK`, of curl(1).
const NOT_TRUSTED: i32 = 60;

/// What curl says to such a request; with nobody's settings but these.
fn curl(arguments: &[&str]) -> Output {
    let mut curl = Command::new("curl");
    curl.args(["--disable", "--silent", "--show-error", "--noproxy", "*"]);
    curl.args(["--max-time", "30"]).args(arguments);
    curl.output().unwrap()
}

#[test]
#[ignore = "needs curl"]
fn curl_drains_a_host_of_a_txlb_whose_certificate_it_was_given() {
    let hosts = [Host::new("a"), Host::new("b")];
    let addresses = hosts.each_ref().map(Host::address);
    let secure = with_page(&addresses, "secure=\"true\"", USERS);
    let (txlb, stranger) = (Txlb::start(&secure), Txlb::start(&secure));
    let certificate = |of: &Txlb| text(&of.folder.file("state/web.pem")).to_owned();
    let drain = |certificate: &str, user: &str, name: &str| {
        let url = format!("https://{}/api/drainHost", page_of(&txlb));
        let form = format!("service=web&group=main&name={name}");
        let as_user = ["--user", user, "--data", &form, &url];
        curl(&[&["--cacert", certificate], &as_user[..]].concat())
    };

    let refused = drain(&certificate(&stranger), "admin:admin", "a");
    assert_eq!(refused.status.code(), Some(NOT_TRUSTED), "{refused:?}");
    assert_eq!(refused.stdout, b"");
    assert_eq!(who_in_turn(txlb.address(), 4), "abab");

    let own = certificate(&txlb);
    let wrong = drain(&own, "admin:wrong", "a");
    assert!(String::from_utf8_lossy(&wrong.stdout).contains("401"));
    assert_eq!(who_in_turn(txlb.address(), 4), "abab");

    let done = drain(&own, "admin:admin", "a");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{done:?}");
    assert!(said.starts_with("{\"ok\":true,\"generation\":2,"), "{said}");
    assert_eq!(who_in_turn(txlb.address(), 4), "bbbb");
}
