//! Rules for the source tree: which module may use which, file headers and lengths, unsafe
//! code, sleeps.
//!
//! Each check also says what it must find, so that it fails on an empty list.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules from the lowest to the highest: each may use those before it.
const MODULES: [&str; 6] = ["config", "balance", "relay", "control", "admin", "balancer"];

/// All modules may use these; these use only one another.
const LEAF_MODULES: [&str; 7] = [
    "os",
    "calendar",
    "json",
    "log_targets",
    "non_printing",
    "sync",
    "text",
];

/// Maximum lines of a file.
const MAX_LINES: usize = 600;

/// Files that may sleep.
const MAY_SLEEP: [&str; 11] = [
    "src/os/socket_file.rs",
    "src/program/demo/hosts.rs",
    "src/program/demo/traffic.rs",
    "src/program/logging/syslog.rs",
    "src/os/state.rs",
    "src/program/pidfile/mod.rs",
    "src/program/reload.rs",
    "src/program/serve.rs",
    "src/program/supervisor.rs",
    "src/program/upgrade/mod.rs",
    "tests/support/mod.rs",
];

/// A source file: its path from the top, and its text.
#[derive(Clone)]
struct Source {
    path: String,
    text: String,
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files in a folder of the tree and below it; at least one.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![top().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    assert!(!files.is_empty(), "{folder} is empty");
    files
}

/// The Rust files in a folder; at least one.
fn sources(folder: &str) -> Vec<Source> {
    let mut files = files(folder);
    files.retain(|path| path.extension().is_some_and(|it| it == "rs"));
    assert!(!files.is_empty(), "there is no source in {folder}");
    let source = |path: PathBuf| Source {
        text: fs::read_to_string(&path).unwrap(),
        path: path.strip_prefix(top()).unwrap().to_str().unwrap().into(),
    };
    files.into_iter().map(source).collect()
}

/// The paths of the sources whose code has such a line.
fn with_line(sources: &[Source], has: impl Fn(&str) -> bool) -> BTreeSet<&str> {
    let with = sources.iter().filter(|it| it.code().any(&has));
    with.map(|it| it.path.as_str()).collect()
}

impl Source {
    /// The code, roughly: without comments and doc tests.
    fn code(&self) -> impl Iterator<Item = &str> {
        let code = self
            .text
            .lines()
            .map(|line| line.split("//").next().unwrap_or(line));
        code.filter(|line| !line.trim().is_empty())
    }

    /// The top module of the file; none for the program and `lib.rs`.
    fn module(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let name = inside.split('/').next()?.trim_end_matches(".rs");
        MODULES
            .into_iter()
            .chain(LEAF_MODULES)
            .find(|module| *module == name)
    }

    /// The names it uses as `crate::NAME`, alone or in a list.
    fn uses(&self) -> BTreeSet<String> {
        let text: String = self.code().collect::<Vec<_>>().join("\n");
        text.split("crate::")
            .skip(1)
            .flat_map(first_names)
            .collect()
    }
}

/// The first names of a path, or of each path in a list in braces.
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

fn height(module: &str) -> Option<usize> {
    MODULES.iter().position(|it| *it == module)
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
        uses("fn f(x: &crate::control::Status) {} // crate::admin"),
        ["control"]
    );
    assert_eq!(source("").module(), Some("relay"));
}

#[test]
fn arrows_go_one_way() {
    let mut seen = BTreeSet::new();
    for source in sources("src") {
        let Some(module) = source.module() else {
            continue;
        };
        for used in source.uses() {
            let allowed = match (height(module), height(&used)) {
                _ if used == module || LEAF_MODULES.contains(&used.as_str()) => {
                    !LEAF_MODULES.contains(&module) || LEAF_MODULES.contains(&used.as_str())
                }
                (Some(module), Some(used)) => used < module,
                _ => false,
            };
            // The admin interfaces use the controller, not the data plane.
            let past = module == "admin" && used == "relay";
            assert!(allowed && !past, "{} must not use {used}", source.path);
            seen.insert((module.to_owned(), used));
        }
    }
    // The check must find these.
    for (module, used) in [
        ("balance", "config"),
        ("relay", "balance"),
        ("control", "relay"),
        ("admin", "control"),
    ] {
        assert!(
            seen.contains(&(module.to_owned(), used.to_owned())),
            "{module} does not use {used}"
        );
    }
}

#[test]
fn the_event_loop_is_known_to_the_relay_alone() {
    let mut users = BTreeSet::new();
    for source in sources("src") {
        if source.code().any(|line| line.contains("mio::")) {
            users.insert(source.module().unwrap_or("the program").to_owned());
        }
    }
    assert_eq!(Vec::from_iter(users), ["relay"]);
}

#[test]
fn every_module_is_there() {
    let sources = sources("src");
    let found: BTreeSet<&str> = sources.iter().filter_map(Source::module).collect();
    assert_eq!(found, MODULES.into_iter().chain(LEAF_MODULES).collect());
}

#[test]
fn the_async_runtime_is_known_to_the_ssh_server_alone() {
    let sources = sources("src");
    for word in ["tokio::", "russh::"] {
        let users = with_line(&sources, |line| line.contains(word));
        assert!(!users.is_empty(), "nobody knows {word}");
        for user in users {
            assert!(user.starts_with("src/admin/ssh"), "{user} knows {word}");
        }
    }
}

#[test]
fn pure_modules_have_no_socket_thread_or_clock() {
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
    let sources = sources("src");
    let is_pure = |source: &&Source| matches!(source.module(), Some("config" | "balance"));
    let is_test = |source: &Source| source.path.contains("tests") || source.path.contains("model");
    for source in sources.iter().filter(is_pure).filter(|it| !is_test(it)) {
        for line in source
            .code()
            .take_while(|line| !line.contains("#[cfg(test)]"))
        {
            let word = impure.iter().find(|word| line.contains(**word));
            assert!(word.is_none(), "{}: {line}", source.path);
        }
    }
    // The check must find each word elsewhere.
    for word in impure {
        let users = with_line(&sources, |line| line.contains(word));
        assert!(!users.is_empty(), "nobody knows {word}");
    }
}

#[test]
fn only_the_main_function_ends_the_process() {
    let words = ["process::exit", "process::abort", "low_level::exit"];
    let sources = sources("src");
    let ends = with_line(&sources, |line| {
        words.iter().any(|word| line.contains(word))
    });
    // `serve` ends the process if the main function hangs.
    assert_eq!(ends, BTreeSet::from(["src/program/serve.rs"]));
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
                lines <= MAX_LINES,
                "{path} has {lines} lines, {MAX_LINES} at most"
            );
        }
    }
}

#[test]
fn no_code_is_unsafe() {
    for file in ["src/lib.rs", "src/program/main.rs"] {
        let text = fs::read_to_string(top().join(file)).unwrap();
        assert!(text.contains("#![forbid(unsafe_code)]"), "{file}");
    }
}

#[test]
fn nobody_sleeps_but_those_who_may_and_no_test_but_by_one_helper() {
    let mut sources = [sources("src"), sources("tests")].concat();
    sources.retain(|source| source.path != file!());
    let words = ["thread::sleep", "time::sleep(", "park_timeout"];
    let sleepers = with_line(&sources, |line| {
        words.iter().any(|word| line.contains(word))
    });
    assert_eq!(sleepers, MAY_SLEEP.into());
    // A receive with a timeout is a sleep if nothing is sent.
    let pauses = |line: &str| line.contains("let _ =") && line.contains(".recv_timeout(");
    assert!(pauses("let _ = over.recv_timeout(time);"));
    sources.retain(|source| source.path.contains("tests"));
    assert_eq!(with_line(&sources, pauses), BTreeSet::new());
}

/// cargo accepts filters that match no test.
#[test]
fn every_test_that_ci_asks_for_is_there() {
    if top().join("Cargo.toml.orig").is_file() {
        eprintln!("left out: a package has no CI");
        return;
    }
    let mut asked = 0;
    for script in files(".ci") {
        let text = fs::read_to_string(&script).unwrap();
        for line in text.lines().filter(|line| line.contains("cargo test")) {
            let mut words = line.split_whitespace();
            let Some(program) = words.find(|it| *it == "--test").and_then(|_| words.next()) else {
                continue;
            };
            for module in words
                .filter_map(|word| word.split_once("::"))
                .map(|it| it.0)
            {
                let file = format!("tests/{program}/{module}.rs");
                assert!(top().join(&file).is_file(), "{line}: there is no {file}");
                asked += 1;
            }
        }
    }
    assert!(asked > 0, "CI asks for no test by its name");
}

/// A file without a `mod` line is not compiled.
#[test]
fn every_file_of_a_test_program_is_a_module_of_it() {
    for program in ["it", "embedded", "peers"] {
        let sources = sources(&format!("tests/{program}"));
        let (main, modules): (Vec<_>, Vec<_>) = sources
            .into_iter()
            .partition(|source| source.path.ends_with("/main.rs"));
        assert!(!modules.is_empty(), "{program} has no module");
        for Source { path, .. } in modules {
            let path = Path::new(&path);
            let (folder, name) = (path.parent().unwrap(), path.file_stem().unwrap());
            // A folder is the module of its `mod.rs`, where those beside it are declared.
            let (declared_in, name) = match name == "mod" {
                true => (folder.parent().unwrap(), folder.file_name().unwrap()),
                false => (folder, name),
            };
            let parent = match declared_in.file_name().unwrap() == program {
                true => main[0].text.clone(),
                false => fs::read_to_string(top().join(declared_in).join("mod.rs")).unwrap(),
            };
            let line = format!("mod {};", name.to_str().unwrap());
            assert!(parent.lines().any(|it| it == line), "{}", path.display());
        }
    }
}

/// A call without its target would be rate limited.
#[test]
fn who_names_a_log_target_names_one_in_each_call() {
    // Split, so that this line is not found.
    let named = ["log_targets", ""].join("::");
    let mut calls = 0;
    for source in sources("src") {
        let code: Vec<_> = source.code().map(str::trim).collect();
        let code = code.join(" ");
        if !code.contains(&format!("target: {named}")) {
            continue;
        }
        for level in ["error", "warn", "info", "log"] {
            for call in code.split(&format!("log::{level}!(")).skip(1) {
                let is_named = call.trim_start().starts_with(&format!("target: {named}"));
                let shown: String = call.chars().take(80).collect();
                assert!(is_named, "{}: no target: {shown}", source.path);
                calls += 1;
            }
        }
    }
    assert!(calls >= 15, "there are calls with a target: {calls}");
}
