//! Tests of the metrics: the expected text, a strict reader of Prometheus' format, and the
//! files that name metrics (dashboard, alerts, manual page).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;
use crate::admin::haproxy::samples::{NASTY, nasty, small};
use crate::control::{EndReason, Escaped};

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
    assert_eq!(
        metrics_with(&small(), &figures()),
        include_str!("small.txt")
    );
}

/// What is beside a snapshot.
fn figures() -> Figures {
    Figures {
        usage: Usage {
            processor_ms: 12_340,
            resident_bytes: Some(9_000_000),
            virtual_bytes: Some(80_000_000),
            descriptors: Some(31),
            max_descriptors: Some(20_000),
            threads: Some(9),
        },
        failed_logins: 3,
        brief: false,
    }
}

#[test]
fn without_histograms_hosts_have_sums_and_counts_alone() {
    let brief = Figures {
        brief: true,
        ..figures()
    };
    let (text, whole) = (
        metrics_with(&nasty(), &brief),
        metrics_with(&nasty(), &figures()),
    );
    let series = |text: &str, name: &str| {
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let name = "txlb_server_connect_time_seconds";
    assert!(series(&text, &format!("{name}_bucket")).is_empty());
    for kept in ["_sum", "_count"].map(|end| format!("{name}{end}")) {
        assert_eq!(series(&text, &kept), series(&whole, &kept));
        assert!(!series(&text, &kept).is_empty());
    }
    assert_eq!(read(&text).len() + 12 * 9, read(&whole).len());
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
        for state in ServerStatus::ALL.map(ServerStatus::as_str) {
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
fn no_client_and_no_address_is_exported() {
    let text = metrics(&nasty());
    for address in ["10.0.0.1", "2001:db8", "::1"] {
        assert!(!text.contains(address), "{address}");
    }
}

#[test]
fn without_services_the_metrics_of_the_process_are_there() {
    let text = metrics(&Status::default());
    let all = read(&text);
    let names: Vec<_> = all.iter().map(|it| it.name.as_str()).collect();
    // What the system does not tell is left out.
    let told = FIGURES
        .iter()
        .filter(|(_, value)| value((&Status::default(), &Figures::default())).is_some());
    assert_eq!(names.len(), 1 + PROCESS.len() + told.count());
    assert_eq!(
        series(&all, "txlb_build_info", &[("version", ""), ("name", "")]).value,
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

const DASHBOARD: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/etc/grafana.json"));
const ALERTS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/etc/alerts.yml"));
const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/man/txlb.8"));

/// All names that a query may use.
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
    let output_text = String::from_utf8_lossy(&out) + String::from_utf8_lossy(&error);
    assert!(
        output.status.success(),
        "promtool {arguments:?}: {output_text}"
    );
}

#[test]
#[ignore = "needs promtool"]
fn prometheus_likes_the_text() {
    for status in [small(), nasty(), Status::default()] {
        for brief in [false, true] {
            let figures = Figures { brief, ..figures() };
            promtool(&["check", "metrics"], &metrics_with(&status, &figures));
        }
    }
}

#[test]
#[ignore = "needs promtool"]
fn the_alerts_are_rules_that_do_what_they_should() {
    promtool(&["check", "rules", "etc/alerts.yml"], "");
    // The file of the password is not there.
    promtool(
        &["check", "config", "--syntax-only", "etc/prometheus.yml"],
        "",
    );
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

/// A series.
#[derive(Debug, Clone)]
struct Series {
    name: String,
    labels: Vec<(String, String)>,
    value: String,
}

/// The names of all families of the text.
fn families(text: &str) -> BTreeSet<&str> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|rest| rest.split(' ').next().unwrap()).collect()
}

/// Reads a text. Checks that families are complete, series are unique, values are numbers
/// and histograms add up.
fn read(text: &str) -> Vec<Series> {
    let (mut all, mut seen, mut named) = (Vec::new(), HashSet::new(), HashSet::new());
    let (mut family, mut kind) = ("", "");
    let mut lines = text.strip_suffix('\n').unwrap().split('\n').peekable();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(named.insert(name), "{name} comes twice");
            assert!(help.ends_with('.') && !help.contains('\\'), "{line}");
            let of_type = lines.next().unwrap().strip_prefix("# TYPE ").unwrap();
            (family, kind) = of_type.split_once(' ').unwrap();
            assert_eq!(family, name);
            let kinds = ["counter", "gauge", "histogram", "summary"];
            assert!(kinds.contains(&kind), "{line}");
            assert_eq!(kind == "counter", family.ends_with("_total"), "{line}");
            continue;
        }
        let series = sample(line);
        let suffix = series
            .name
            .strip_prefix(family)
            .unwrap_or_else(|| panic!("{line}"));
        let suffixes: &[&str] = match kind {
            "histogram" => &["_bucket", "_sum", "_count"],
            "summary" => &["_sum", "_count"],
            _ => &[""],
        };
        assert!(suffixes.contains(&suffix), "{line} in {family}");
        assert!(
            seen.insert(line.rsplit_once(' ').unwrap().0),
            "{line} comes twice"
        );
        all.push(series);
    }
    histograms(&all);
    all
}

fn sample(line: &str) -> Series {
    let is_name = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    let end = line.find(|letter| !is_name(letter)).unwrap();
    let (name, mut rest) = line.split_at(end);
    let is_own = name.starts_with("txlb_") || name.starts_with("process_");
    assert!(is_own, "{line}");
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap();
            assert!(!label.is_empty() && label.chars().all(is_name), "{line}");
            let (text, after) = unquoted(after);
            labels.push((label.to_owned(), text));
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None => {
                    rest = after.strip_prefix('}').unwrap();
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ').unwrap();
    assert!(!value.is_empty(), "{line}");
    // Neither NaN nor an exponent nor a sign.
    let (whole, part) = value.split_once('.').unwrap_or((value, "0"));
    for digits in [whole, part] {
        assert!(
            !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit()),
            "{line}"
        );
    }
    assert!(value.parse::<f64>().unwrap().is_finite(), "{line}");
    Series {
        name: name.to_owned(),
        labels,
        value: value.to_owned(),
    }
}

/// The text before the closing quote, and the rest behind it.
fn unquoted(text: &str) -> (String, &str) {
    let mut out = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (out, &text[at + 1..]),
            '\\' => out.push(match characters.next().unwrap().1 {
                'n' => '\n',
                same @ ('\\' | '"') => same,
                other => panic!("\\{other} in {text}"),
            }),
            other => out.push(other),
        }
    }
    panic!("no quote ends {text}")
}

/// Checks that buckets and their bounds grow, and that the last bucket has all.
fn histograms(all: &[Series]) {
    let mut last: HashMap<Vec<(String, String)>, (f64, u64)> = HashMap::new();
    for series in all {
        if series.name.ends_with("_bucket") {
            let (rest, bound) = series.labels.split_at(series.labels.len() - 1);
            assert_eq!(bound[0].0, "le");
            // Rust and Prometheus agree on how infinity is written.
            let bound: f64 = bound[0].1.parse().unwrap();
            let count: u64 = series.value.parse().unwrap();
            if let Some((lower, fewer)) = last.insert(rest.to_vec(), (bound, count)) {
                assert!(lower < bound && fewer <= count, "{series:?}");
            }
        } else if series.name.ends_with("_seconds_count") && !last.is_empty() {
            let Some((bound, count)) = last.get(&series.labels) else {
                continue;
            };
            assert!(bound.is_infinite(), "{series:?}");
            assert_eq!(series.value, count.to_string());
        }
    }
}
