//! Whether people with weak eyes can read the page, by day and by night: WCAG 2, level AA.
//!
//! Only the colours; what is written in them is for the other tests.

use std::collections::BTreeMap;

use super::super::STYLE;

/// The colours that texts have, the grounds they are on, and what they need at least.
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

/// What the edge of a button or an input needs.
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
