//! What Prometheus is to find.

mod exposition;
mod files;

use self::exposition::{Series, families, read};
use super::*;
use crate::admin::haproxy::scene::{NASTY, nasty, small};
use crate::control::Escaped;

fn labels(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    labels.iter().map(owned).collect()
}

fn series<'a>(all: &'a [Series], name: &str, of: &[(&str, &str)]) -> &'a Series {
    let labels = labels(of);
    let mut found = all
        .iter()
        .filter(|it| it.name == name && labels.iter().all(|label| it.labels.contains(label)));
    let series = found
        .next()
        .unwrap_or_else(|| panic!("no {name} of {of:?}"));
    assert!(found.next().is_none(), "several {name} of {of:?}");
    series
}

#[test]
fn the_text_is_what_dashboards_know() {
    assert_eq!(metrics(&small()), include_str!("small.txt"));
}

#[test]
fn every_line_can_be_read_whatever_the_names_are() {
    let all = read(&metrics(&nasty()));
    let escaped = Escaped(NASTY).to_string();
    let proxy = format!("{escaped}:{escaped}");
    for (state, weight, word) in [
        ("Up", 0, "NOLB"),
        ("Drain", 5, "DRAIN"),
        ("Down", 5, "MAINT"),
    ] {
        let server = format!("{escaped}{state}{weight}");
        let of = [("proxy", proxy.as_str()), ("server", &server)];
        for state in Server::ALL.map(Server::as_str) {
            let of = [of[0], of[1], ("state", state)];
            let value = if state == word { "1" } else { "0" };
            assert_eq!(series(&all, "txlb_server_status", &of).value, value);
        }
        assert_eq!(series(&all, "txlb_server_sessions_total", &of).value, "7");
    }
    let of = [("proxy", proxy.as_str())];
    assert_eq!(series(&all, "txlb_backend_active_servers", &of).value, "2");
    assert_eq!(series(&all, "txlb_backend_enabled", &of).value, "1");
    let of = [("proxy", format!("{escaped}:empty"))];
    let of = [("proxy", of[0].1.as_str())];
    assert_eq!(series(&all, "txlb_backend_enabled", &of).value, "0");
    let of = [of[0], ("state", "DOWN")];
    assert_eq!(series(&all, "txlb_backend_status", &of).value, "1");
}

#[test]
fn no_client_and_no_address_is_told() {
    let text = metrics(&nasty());
    for address in ["10.0.0.1", "2001:db8", "::1"] {
        assert!(!text.contains(address), "{address}");
    }
}

#[test]
fn without_services_what_is_told_of_the_process_is_there() {
    let text = metrics(&Status::default());
    let all = read(&text);
    let names: Vec<_> = all.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names.len(), 1 + PROCESS.len());
    assert_eq!(
        series(&all, "txlb_build_info", &[("version", "")]).value,
        "1"
    );
    for name in ["reload", "save"] {
        let successful = format!("txlb_config_last_{name}_successful");
        assert_eq!(series(&all, &successful, &[]).value, "1");
        let at = format!("txlb_config_last_{name}_timestamp_seconds");
        assert_eq!(series(&all, &at, &[]).value, "0");
    }
    // A dashboard that knows the families of a full one knows these.
    assert_eq!(families(&text), families(&metrics(&nasty())));
}
