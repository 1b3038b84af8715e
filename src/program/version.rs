//! `-V` and `-VV`: the version, what it was built of, its limits, and its default paths.

use std::path::PathBuf;

use txlb::config::Control;
use txlb::control::limits;
use txlb::os::state;
use txlb::text::wrap;

use crate::cli::{DEFAULT_FILE, DEFAULT_PID_FILE, MAX_WORKERS};

/// The one line of `-V`.
pub(crate) const LINE: &str = concat!("txlb ", env!("CARGO_PKG_VERSION"), "\n");

/// The features of this build.
const FEATURES: [(&str, bool); 7] = [
    ("web", cfg!(feature = "web")),
    ("https", cfg!(feature = "https")),
    ("ssh", cfg!(feature = "ssh")),
    ("logins", cfg!(feature = "logins")),
    ("activation", cfg!(feature = "activation")),
    ("sandbox", cfg!(feature = "sandbox")),
    ("dns", cfg!(feature = "dns")),
];

/// Columns of the text.
const WIDTH: usize = 80;

/// The text of `-VV`: the line of `-V` and what follows from it.
pub(crate) fn details() -> String {
    let has = FEATURES.iter().filter(|(_, has)| *has);
    let features = has.map(|(name, _)| *name).collect::<Vec<_>>().join(" ");
    let facts = [
        ("commit", known(env!("TXLB_BUILD_COMMIT"))),
        ("target", known(env!("TXLB_BUILD_TARGET"))),
        ("compiler", known(env!("TXLB_BUILD_COMPILER"))),
        ("features", listed(&features)),
        ("crates", known(env!("TXLB_BUILD_CRATES"))),
    ];
    let mut text = LINE.to_owned();
    for (name, value) in facts {
        push(&mut text, &format!("{name:<10}{value}"), "          ");
    }
    text += "limits\n";
    push(&mut text, "  sessions: two file descriptors each", "    ");
    push(&mut text, &format!("  {MAX_WORKERS} workers"), "    ");
    for (what, most) in limits() {
        push(&mut text, &format!("  {most} {what}"), "    ");
    }
    text += "paths\n";
    for (what, path) in paths() {
        text += &format!("  {what:<16}{}\n", path.display());
    }
    text
}

/// Adds a line, wrapped; what goes on in the next is indented so.
fn push(text: &mut String, line: &str, indent: &str) {
    for line in wrap(line, WIDTH, indent) {
        *text += &line;
        text.push('\n');
    }
}

fn known(value: &str) -> &str {
    match value {
        "" => "unknown",
        known => known,
    }
}

fn listed(value: &str) -> &str {
    match value {
        "" => "none",
        listed => listed,
    }
}

/// Where things are unless the command line or the configuration say otherwise.
fn paths() -> Vec<(&'static str, PathBuf)> {
    let paths = [
        ("configuration", Some(PathBuf::from(DEFAULT_FILE))),
        ("PID file, -D", Some(PathBuf::from(DEFAULT_PID_FILE))),
        ("control socket", Some(Control::default().socket)),
        ("keys", state::folder("txlb").ok()),
    ];
    let known = paths.into_iter();
    known
        .filter_map(|(what, path)| Some((what, path?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_was_built_of_is_told_with_versions() {
        let text = details();
        assert!(text.starts_with(LINE), "{text}");
        let crates = env!("TXLB_BUILD_CRATES").split(", ");
        let mut names = Vec::new();
        for of in crates {
            let (name, version) = of.split_once(' ').unwrap();
            assert!(version.starts_with(|it: char| it.is_ascii_digit()), "{of}");
            names.push(name);
        }
        assert!(names.starts_with(&["mio", "rustix", "nix"]), "{names:?}");
        assert_eq!(names.contains(&"rustls"), cfg!(feature = "https"));
        assert!(env!("TXLB_BUILD_COMPILER").starts_with("rustc "), "{text}");
        assert!(env!("TXLB_BUILD_TARGET").contains('-'), "{text}");
    }

    #[test]
    fn no_line_is_long_and_every_limit_is_there() {
        let text = details();
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        for (what, most) in limits() {
            assert!(text.contains(&format!("  {most} {what}")), "{what}: {text}");
        }
        assert!(text.contains(DEFAULT_FILE) && text.contains("/run/txlb/control.sock"));
    }
}
