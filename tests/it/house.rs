//! Keeps the house in order: who may use whom, and what every file has.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from the lowest to the highest: each may use those before it.
const ROOMS: [&str; 6] = [
    "config", "balance", "relay", "director", "admin", "balancer",
];

/// Anybody may use these; they use one another at most.
const LEAVES: [&str; 4] = ["os", "calendar", "json", "unseen"];

/// No file is longer.
const MOST_LINES: usize = 600;

/// A source file: its path from the top, and its text.
struct Source {
    path: String,
    text: String,
}

fn sources(folder: &str) -> Vec<Source> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    let mut folders: Vec<PathBuf> = vec![top.join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else {
            continue;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
                sources.push(Source { path, text });
            }
        }
    }
    sources
}

impl Source {
    /// What the compiler sees of it, roughly: no comments, no doc tests.
    fn code(&self) -> impl Iterator<Item = &str> {
        let code = self
            .text
            .lines()
            .map(|line| line.split("//").next().unwrap_or(line));
        code.filter(|line| !line.trim().is_empty())
    }

    /// The room it is in; the program itself and `lib.rs` are in none.
    fn room(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let name = inside.split('/').next()?.trim_end_matches(".rs");
        ROOMS.into_iter().chain(LEAVES).find(|room| *room == name)
    }

    /// What it names as `crate::NAME`, alone or in a list.
    fn uses(&self) -> BTreeSet<String> {
        let text: String = self.code().collect::<Vec<_>>().join("\n");
        text.split("crate::")
            .skip(1)
            .flat_map(first_names)
            .collect()
    }
}

/// The first names of a path, or of each of a list of paths in braces.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.chars()
            .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
            .collect()
    };
    let Some(list) = path.strip_prefix('{') else {
        return vec![name(path)];
    };
    let (mut depth, mut names, mut item) = (0, Vec::new(), String::new());
    for letter in list.chars() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(name(std::mem::take(&mut item).trim())),
            _ if depth == 0 => item.push(letter),
            _ => {}
        }
    }
    names.push(name(item.trim()));
    names.retain(|name| !name.is_empty());
    names
}

fn height(room: &str) -> Option<usize> {
    ROOMS.iter().position(|it| *it == room)
}

#[test]
fn paths_are_found_in_every_form() {
    let source = |text: &str| Source {
        path: "src/relay/x.rs".to_owned(),
        text: text.to_owned(),
    };
    let uses = |text| Vec::from_iter(source(text).uses());
    assert_eq!(uses("use crate::config::{A, B};"), ["config"]);
    assert_eq!(
        uses("use crate::{\n  balance::{self, X},\n  os,\n};"),
        ["balance", "os"]
    );
    assert_eq!(
        uses("fn f(x: &crate::director::Status) {} // crate::admin"),
        ["director"]
    );
    assert_eq!(source("").room(), Some("relay"));
}

#[test]
fn arrows_go_one_way() {
    let mut seen = BTreeSet::new();
    for source in sources("src") {
        let Some(room) = source.room() else {
            continue;
        };
        for used in source.uses() {
            let allowed = match (height(room), height(&used)) {
                _ if used == room || LEAVES.contains(&used.as_str()) => {
                    !LEAVES.contains(&room) || LEAVES.contains(&used.as_str())
                }
                (Some(room), Some(used)) => used < room,
                _ => false,
            };
            // The doors speak to the director alone.
            let past = room == "admin" && used == "relay";
            assert!(allowed && !past, "{} must not use {used}", source.path);
            seen.insert((room.to_owned(), used));
        }
    }
    // It would notice: these are there.
    for (room, used) in [
        ("balance", "config"),
        ("relay", "balance"),
        ("director", "relay"),
        ("admin", "director"),
    ] {
        assert!(
            seen.contains(&(room.to_owned(), used.to_owned())),
            "{room} does not use {used}"
        );
    }
}

#[test]
fn the_event_loop_is_known_to_the_relay_alone() {
    let mut users = BTreeSet::new();
    for source in sources("src") {
        if source.code().any(|line| line.contains("mio::")) {
            users.insert(source.room().unwrap_or("the program").to_owned());
        }
    }
    assert_eq!(Vec::from_iter(users), ["relay"]);
}

#[test]
fn the_async_runtime_is_known_to_the_ssh_door_alone() {
    for source in sources("src") {
        let is_door = source.path.starts_with("src/admin/ssh");
        for word in ["tokio", "russh"] {
            let knows = source
                .code()
                .any(|line| line.contains(&format!("{word}::")));
            assert!(is_door || !knows, "{} knows {word}", source.path);
        }
    }
}

#[test]
fn pure_rooms_have_no_socket_thread_or_clock() {
    let impure = [
        "std::thread",
        "std::fs",
        "std::time::Instant",
        "SystemTime",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "std::env",
        "RandomState",
    ];
    for source in sources("src") {
        let is_test = source.path.contains("tests") || source.path.contains("model");
        if !matches!(source.room(), Some("config" | "balance")) || is_test {
            continue;
        }
        for line in source
            .code()
            .take_while(|line| !line.contains("#[cfg(test)]"))
        {
            let word = impure.iter().find(|word| line.contains(**word));
            assert!(word.is_none(), "{}: {line}", source.path);
        }
    }
}

#[test]
fn only_the_main_function_ends_the_process() {
    for source in sources("src") {
        let words = ["process::exit", "process::abort", "low_level::exit"];
        let ends = source
            .code()
            .any(|line| words.iter().any(|word| line.contains(word)));
        // Where it is to end whatever the main function waits for.
        assert!(
            !ends || ["src/main.rs", "src/ending.rs"].contains(&&*source.path),
            "{} ends the process",
            source.path
        );
    }
}

#[test]
fn every_file_says_what_it_is_for_and_ends_in_time() {
    for folder in ["src", "tests", "benches", "examples", "fuzz"] {
        for Source { path, text } in sources(folder) {
            assert!(
                text.starts_with("//! "),
                "{path} does not say what it is for"
            );
            let lines = text.lines().count();
            assert!(
                lines <= MOST_LINES,
                "{path} has {lines} lines, {MOST_LINES} at most"
            );
        }
    }
}

#[test]
fn no_code_is_unsafe() {
    for file in ["src/lib.rs", "src/main.rs"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        assert!(text.contains("#![forbid(unsafe_code)]"), "{file}");
    }
}

#[test]
fn no_test_sleeps() {
    // Taken apart, so that it is not found here.
    let word = ["thread", "sleep"].join("::");
    for folder in ["src", "tests"] {
        for source in sources(folder) {
            assert!(
                !source.code().any(|line| line.contains(&word)),
                "{} sleeps",
                source.path
            );
        }
    }
}
