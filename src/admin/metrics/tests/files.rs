//! That the files which speak of metrics know those there are, and what Prometheus'
//! own tool thinks of them.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;
use crate::control::EndReason;

const DASHBOARD: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/etc/grafana.json"));
const ALERTS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/etc/alerts.yml"));
const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/man/txlb.8"));

/// All that may stand in a query.
fn series_names() -> BTreeSet<String> {
    read(&metrics(&nasty()))
        .into_iter()
        .map(|it| it.name)
        .collect()
}

/// Every word of the text that begins with `txlb_`.
fn mentioned(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let names = words.filter(|word| word.starts_with("txlb_"));
    names.map(str::to_owned).collect()
}

#[test]
fn dashboard_and_alerts_ask_for_what_there_is() {
    let known = series_names();
    for (file, text) in [("grafana.json", DASHBOARD), ("alerts.yml", ALERTS)] {
        let asked = mentioned(text);
        assert!(asked.len() > 5, "{file}: {asked:?}");
        let unknown: Vec<_> = asked.difference(&known).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
}

#[test]
fn the_manual_page_has_every_family_and_no_other() {
    let section = PAGE
        .split("\n.Sh ")
        .find(|it| it.starts_with("METRICS"))
        .unwrap();
    let items = section
        .lines()
        .filter_map(|line| line.strip_prefix(".It Li "));
    let described: BTreeSet<_> = items.map(|item| item.replace(" Pq ", " ")).collect();
    let text = metrics(&nasty());
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    assert_eq!(described, types.map(str::to_owned).collect());
    for reason in EndReason::ALL {
        let mentioned = format!("\n.Ql {} ", reason.as_str());
        assert!(
            section.replace('\n', " \n").contains(&mentioned),
            "{reason:?}"
        );
    }
}

/// Runs promtool on the repository's files, with `input` for its standard input.
fn promtool(arguments: &[&str], input: &str) {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let (out, error) = (output.stdout, output.stderr);
    let said = String::from_utf8_lossy(&out) + String::from_utf8_lossy(&error);
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
}

#[test]
#[ignore = "needs promtool"]
fn prometheus_likes_the_text() {
    for status in [small(), nasty(), Status::default()] {
        promtool(&["check", "metrics"], &metrics(&status));
    }
}

#[test]
#[ignore = "needs promtool"]
fn the_alerts_are_rules_that_do_what_they_should() {
    promtool(&["check", "rules", "etc/alerts.yml"], "");
    promtool(&["test", "rules", "tests/peers/alerts_test.yml"], "");
}

#[test]
#[ignore = "needs promtool"]
fn the_dashboard_asks_in_prometheus_language() {
    let lines = DASHBOARD.lines().map(str::trim);
    let queries: Vec<_> = lines
        .filter_map(|line| line.strip_prefix("\"expr\": "))
        .collect();
    assert!(queries.len() > 20);
    // A string of JSON is one of YAML.
    let mut rules = "groups: [{name: panels, rules: [\n".to_owned();
    for (number, query) in queries.iter().enumerate() {
        let query = query.trim_end_matches(',');
        let query = query
            .replace("$__rate_interval", "5m")
            .replace("$__interval", "5m");
        rules += &format!("{{record: 'query:{number}', expr: {query}}},\n");
    }
    promtool(&["check", "rules", "/dev/stdin"], &(rules + "]}]\n"));
}
