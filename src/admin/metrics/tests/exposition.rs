//! A strict reader of Prometheus' text format: what is not exactly as it should be
//! fails the test.

use std::collections::{BTreeSet, HashMap, HashSet};

/// One series.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: String,
}

/// The names of all families of the text.
pub(super) fn families(text: &str) -> BTreeSet<&str> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|rest| rest.split(' ').next().unwrap()).collect()
}

/// Reads all of a text, and looks whether families are whole, series differ, values are
/// numbers and histograms add up.
pub(super) fn read(text: &str) -> Vec<Series> {
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
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
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
    assert!(name.starts_with("txlb_"), "{line}");
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, behind) = rest.split_once("=\"").unwrap();
            assert!(!label.is_empty() && label.chars().all(is_name), "{line}");
            let (text, behind) = unquoted(behind);
            labels.push((label.to_owned(), text));
            match behind.strip_prefix(',') {
                Some(next) => rest = next,
                None => {
                    rest = behind.strip_prefix('}').unwrap();
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

/// What is in front of the closing quote, and what is behind it.
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

/// Buckets grow, the last one has all, and their bounds grow too.
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
        } else if series.name.ends_with("_time_seconds_count") {
            let (bound, count) = last[&series.labels];
            assert!(bound.is_infinite(), "{series:?}");
            assert_eq!(series.value, count.to_string());
        }
    }
}
