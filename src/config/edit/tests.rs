//! Tests of editing: examples of each kind of change, and what holds for any.

mod changes;
mod examples;
mod properties;
mod settings;
mod spelled;

use super::*;

fn parsed(text: &str) -> Config {
    read(text.as_bytes())
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
        .config
}

/// The text, edited into what `change` makes of its configuration.
fn changed(text: &str, change: impl FnOnce(&mut Config)) -> String {
    let mut wanted = parsed(text);
    change(&mut wanted);
    let edited = edit(text.as_bytes(), &wanted).unwrap_or_else(|error| panic!("{error}\n{text}"));
    String::from_utf8(edited).unwrap()
}

/// What `change` must make of `text`.
fn example(text: &str, change: impl FnOnce(&mut Config), expected: &str) {
    let edited = changed(text, change);
    assert_eq!(edited, expected, "\n{edited}\n--- should be\n{expected}");
}
