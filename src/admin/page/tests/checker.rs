//! A strict HTML checker, and the contrast of the style sheet (WCAG 2, level AA).
//!
//! The checker accepts only HTML that every browser reads in the same way.

use std::collections::{BTreeMap, BTreeSet};

use super::super::STYLE;

/// An element's start.
#[derive(Debug, Clone)]
pub(super) struct Tag {
    pub(super) name: String,
    /// Escapes are undone.
    pub(super) attributes: Vec<(String, String)>,
}

impl Tag {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Tags and text of a checked document.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) tags: Vec<Tag>,
    /// The text outside of tags, escapes undone.
    pub(super) text: String,
}

impl Checked {
    pub(super) fn count(&self, name: &str) -> usize {
        self.tags.iter().filter(|tag| tag.name == name).count()
    }
}

/// Checks a document.
///
/// # Panics
/// The document is not well-formed.
pub(super) fn check(document: &str) -> Checked {
    let start = "<!DOCTYPE html>\n";
    let rest = document.strip_prefix(start).expect("a document type");
    let checked = check_fragment(rest);
    assert_eq!(checked.tags[0].name, "html");
    for once in ["html", "head", "body", "title", "main", "h1"] {
        assert_eq!(checked.count(once), 1, "<{once}>");
    }
    checked
}

/// Checks elements of a document.
pub(super) fn check_fragment(mut rest: &str) -> Checked {
    let mut checked = Checked::default();
    let mut open: Vec<String> = Vec::new();
    while let Some((text, tag)) = rest.split_once('<') {
        checked.text.push_str(&unescaped(text));
        let end;
        (end, rest) = end_of_tag(tag);
        match end.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop().as_deref(), Some(name), "closed"),
            None => {
                let tag = tag_of(end);
                may_be_inside(&tag.name, &open);
                if !["input", "link", "meta", "br"].contains(&tag.name.as_str()) {
                    open.push(tag.name.clone());
                }
                checked.tags.push(tag);
            }
        }
    }
    checked.text.push_str(&unescaped(rest));
    assert!(open.is_empty(), "{open:?} are not closed");
    all_in_all(&checked.tags);
    checked
}

/// Splits behind the `>` that is not in a value.
fn end_of_tag(text: &str) -> (&str, &str) {
    let mut quoted = false;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'>' if !quoted => return (&text[..index], &text[index + 1..]),
            b'<' => panic!("< in a tag: {text:.80}"),
            _ => {}
        }
    }
    panic!("a tag without an end: {text:.80}")
}

fn tag_of(text: &str) -> Tag {
    let is_name = |name: &str| {
        let mut letters = name.bytes();
        letters.all(|it| it.is_ascii_alphanumeric() || it == b'-') && !name.is_empty()
    };
    let (name, mut rest) = text.split_at(text.find(' ').unwrap_or(text.len()));
    assert!(is_name(name), "no name of an element: {text:.80}");
    let mut attributes: Vec<(String, String)> = Vec::new();
    while let Some(attribute) = rest.strip_prefix(' ') {
        let (name, _) = attribute.split_once("=\"").expect("a value in quotes");
        assert!(is_name(name), "no name of an attribute: {attribute:.80}");
        let value;
        (value, rest) = attribute[name.len() + 2..]
            .split_once('"')
            .expect("a quote");
        let known = attributes.iter().any(|(it, _)| it == name);
        assert!(!known, "{name} twice: {text:.80}");
        assert!(!name.starts_with("on") && name != "style", "{text:.80}");
        attributes.push((name.to_owned(), unescaped(value)));
    }
    assert_eq!(rest, "", "{text:.80}");
    Tag {
        name: name.to_owned(),
        attributes,
    }
}

/// Checks that an element may be inside of its parents: browsers would move it.
fn may_be_inside(name: &str, open: &[String]) {
    let parent = open.last().map_or("", String::as_str);
    let inside = |name: &str| open.iter().any(|it| it == name);
    match name {
        "form" | "a" | "button" | "label" => assert!(!inside(name), "{name} inside another"),
        "tr" => assert!(
            ["thead", "tbody", "tfoot"].contains(&parent),
            "tr in {parent}"
        ),
        "td" | "th" => assert_eq!(parent, "tr"),
        "thead" | "tbody" | "tfoot" | "caption" => assert_eq!(parent, "table"),
        "option" => assert_eq!(parent, "select"),
        "summary" => assert_eq!(parent, "details"),
        "li" => assert_eq!(parent, "ul"),
        "style" | "iframe" | "object" | "base" | "img" => panic!("<{name}>"),
        _ => {}
    }
    let blocks = [
        "p", "div", "ul", "table", "form", "section", "details", "dl", "pre", "h2",
    ];
    assert!(!blocks.contains(&name) || !inside("p"), "<{name}> in <p>");
}

/// Checks ids, labels, links and scripts of the whole document.
fn all_in_all(tags: &[Tag]) {
    let mut ids = BTreeSet::new();
    let mut labels = BTreeSet::new();
    for tag in tags {
        if let Some(id) = tag.attribute("id") {
            assert!(ids.insert(id), "id {id} twice");
        }
        if tag.name == "button"
            && let Some(label) = tag.attribute("aria-label")
        {
            assert!(labels.insert(label), "{label} twice");
        }
        let elsewhere = ["href", "src", "action"];
        for address in elsewhere.into_iter().filter_map(|it| tag.attribute(it)) {
            // Relative: the page may be under any path.
            let inside = !address.starts_with(['/', '\\']) && !address.contains(':');
            assert!(inside && !address.is_empty(), "{address}");
        }
    }
    for tag in tags {
        let named = tag.attribute("aria-labelledby");
        let linked = tag.attribute("href").and_then(|it| it.split_once('#'));
        let linked = linked.map(|(_, id)| id);
        for id in named.into_iter().chain(linked).filter(|id| *id != "main") {
            assert!(ids.contains(id), "no {id}");
        }
    }
    let scripts = tags.iter().filter(|tag| tag.name == "script");
    assert!(scripts.clone().count() <= 1);
    assert!(
        scripts
            .clone()
            .all(|tag| tag.attribute("src") == Some("script.js"))
    );
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('&') {
        out.push_str(plain);
        let (name, after) = escape.split_once(';').expect("an escape that ends");
        out.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "#39" => '\'',
            _ => panic!("&{name:.20};"),
        });
        rest = after;
    }
    out.push_str(rest);
    let strange = out.chars().find(|it| it.is_control() && *it != '\n');
    assert_eq!(strange, None, "{text:.80}");
    assert!(!text.contains(['>', '"', '\'']), "{text:.80}");
    out
}

#[test]
fn it_takes_nothing_that_is_wrong() {
    let wrong = [
        "<p>",
        "<p></b>",
        "<p a=1></p>",
        "<p a></p>",
        "<p a=\"1\" a=\"1\"></p>",
        "<p style=\"\"></p>",
        "<p onclick=\"\"></p>",
        "<p id=\"a\"></p><p id=\"a\"></p>",
        "<p><div></div></p>",
        "<form><form></form></form>",
        "<a href=\"//elsewhere\"></a>",
        "<a href=\"/\"></a>",
        "<a href=\"x:y\"></a>",
        "<a href=\"./#nowhere\"></a>",
        "<a href=\"#nowhere\"></a>",
        "<script></script>",
        "<p>a & b</p>",
        "<p>a > b</p>",
        "<p>\0</p>",
    ];
    for text in wrong {
        let taken = std::panic::catch_unwind(|| check_fragment(text));
        assert!(taken.is_err(), "{text} was taken");
    }
    let right = check_fragment("<p a=\"&quot;\">a &amp; b<br></p>");
    assert_eq!(right.tags[0].attribute("a"), Some("\""));
    assert_eq!(right.text, "a & b");
}

/// Text colours, background colours, and the least contrast of each pair.
const TEXTS: [&str; 6] = ["text", "soft", "link", "good", "fair", "bad"];
const GROUNDS: [&str; 6] = [
    "ground",
    "raised",
    "button",
    "good-ground",
    "fair-ground",
    "bad-ground",
];
const LEAST: f64 = 4.5;

/// The least contrast of the edge of a button or input.
const LEAST_OF_EDGES: f64 = 3.0;

type Colours = BTreeMap<&'static str, f64>;

/// The luminance of every colour in a block.
fn colours(block: &'static str) -> Colours {
    let (block, _) = block.split_once('}').unwrap();
    let lines = block.lines().filter_map(|line| {
        let (name, value) = line.trim().strip_prefix("--")?.split_once(": #")?;
        Some((name, luminance(value.trim_end_matches(';'))))
    });
    lines.collect()
}

fn luminance(hex: &str) -> f64 {
    let width = hex.len() / 3;
    let weights = [0.2126, 0.7152, 0.0722];
    let parts = weights.iter().enumerate().map(|(index, weight)| {
        let digits = hex[index * width..][..width].repeat(3 - width);
        let part = f64::from(u8::from_str_radix(&digits, 16).unwrap()) / 255.0;
        let linear = match part <= 0.04045 {
            true => part / 12.92,
            false => ((part + 0.055) / 1.055).powf(2.4),
        };
        weight * linear
    });
    parts.sum()
}

fn contrast(one: f64, other: f64) -> f64 {
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

fn can_be_read(colours: &Colours) {
    for ground in GROUNDS {
        for text in TEXTS {
            let contrast = contrast(colours[text], colours[ground]);
            assert!(contrast >= LEAST, "{text} on {ground}: {contrast:.2}");
        }
        let edge = contrast(colours["button-line"], colours[ground]);
        assert!(edge >= LEAST_OF_EDGES, "edges on {ground}: {edge:.2}");
    }
}

#[test]
fn everything_can_be_read_by_day_and_by_night() {
    let mut blocks = STYLE.split(":root {").skip(1);
    let (day, night) = (blocks.next().unwrap(), blocks.next().unwrap());
    can_be_read(&colours(day));
    can_be_read(&colours(night));
}

#[test]
fn contrast_is_what_the_standard_says() {
    assert!((contrast(luminance("fff"), luminance("000")) - 21.0).abs() < 0.001);
    assert!((contrast(luminance("767676"), luminance("ffffff")) - 4.54).abs() < 0.01);
}
