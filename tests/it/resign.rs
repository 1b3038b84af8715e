//! The verbs `resign` and `resume`: txlb says that nothing is ready, and serves on.

use std::time::{Duration, Instant};

use crate::support::client::{Session, who_in_turn};
use crate::support::config::web;
use crate::support::control::Controlled;
use crate::support::host::Host;

#[test]
fn one_that_resigns_is_not_ready_and_serves_whoever_comes() {
    let a = Host::new("a");
    let mut controlled = Controlled::start(&web("", "roundr", &[a.address()]));
    let address = controlled.txlb.address();
    let mut open = Session::open(address);
    assert!(controlled.ctl(&["ready"]).status == Some(0));
    let said = controlled.tell(&["resign"]);
    assert!(said.starts_with("resigned: not ready any more"), "{said}");
    for words in [&["ready"][..], &["ready", "service=web"]] {
        let refused = controlled.ctl(words);
        assert_eq!(refused.status, Some(1), "{refused:?}");
        assert!(
            refused.stderr.contains("not ready: txlb has resigned"),
            "{refused:?}"
        );
    }
    assert!(controlled.tell(&["status"]).contains("resigned: not ready"));
    let json = controlled.ctl(&["--json", "status"]).stdout;
    assert!(!json.contains("\"resigned\":false"), "{json}");
    assert_eq!(who_in_turn(address, 2), "aa");
    open.echo(1000);
    let again = controlled.tell(&["resign"]);
    assert!(again.contains("it is so already"), "{again}");
    let asked = Instant::now();
    controlled.tell(&["resign", "wait=0.5"]);
    assert!(asked.elapsed() >= Duration::from_millis(500));
    controlled.txlb.wait_for("generation 1: resign; by uid ");
    let said = controlled.tell(&["resume"]);
    assert!(said.starts_with("resumed"), "{said}");
    assert_eq!(controlled.ctl(&["ready"]).status, Some(0));
    assert!(!controlled.tell(&["status"]).contains("resigned"));
    assert_eq!(open.close(), "a");
}
