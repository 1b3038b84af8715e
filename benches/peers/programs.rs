//! The installed programs to compare with, and the missing packages.

use std::path::Path;
use std::process::Command;

use super::Outcome;
use super::balancer::{Peer, STREAM_MODULE};

/// A program and its Debian package.
struct Program {
    name: &'static str,
    package: &'static str,
    needed: bool,
}

const fn program(name: &'static str, package: &'static str, needed: bool) -> Program {
    Program {
        name,
        package,
        needed,
    }
}

const PROGRAMS: [Program; 6] = [
    program("haproxy", "haproxy", true),
    program("nginx", "nginx", true),
    program("wrk", "wrk", true),
    program("pen", "pen", false),
    program("strace", "strace", false),
    program("perf", "linux-perf", false),
];

/// The balancers that can be compared; prints which cannot, and why.
///
/// # Errors
/// If a program is missing that every run needs.
pub(crate) fn peers() -> Outcome<Vec<Peer>> {
    let missing: Vec<&Program> = PROGRAMS.iter().filter(|it| !has(it.name)).collect();
    let mut packages: Vec<&str> = missing.iter().map(|it| it.package).collect();
    let mut peers = vec![
        Peer::Txlb,
        Peer::Haproxy,
        Peer::HaproxyAuto,
        Peer::HaproxySplice,
        Peer::Nginx,
        Peer::Pen,
        Peer::Floor,
    ];
    if !has("pen") {
        peers.retain(|peer| *peer != Peer::Pen);
    }
    if !has_stream() {
        packages.push("libnginx-mod-stream");
        peers.retain(|peer| *peer != Peer::Nginx);
    }
    if !packages.is_empty() {
        let line = format!("apt-get install {}", packages.join(" "));
        if missing.iter().any(|it| it.needed) {
            return Err(format!("this cannot be done without: {line}").into());
        }
        eprintln!("peers: left out what is not here: {line}");
    }
    Ok(peers)
}

/// Whether a program is installed.
pub(crate) fn has(name: &str) -> bool {
    version_output(name, "-v").is_some()
}

fn has_stream() -> bool {
    let built_in = version_output("nginx", "-V")
        .is_some_and(|text| text.split_whitespace().any(|word| word == "--with-stream"));
    built_in || Path::new(STREAM_MODULE).exists()
}

/// The versions of the installed programs, a line each.
pub(crate) fn versions() -> String {
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f", "* ${Package} ${Version}\\n"]);
    query.args(PROGRAMS.iter().map(|it| it.package));
    match query.output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(_) => String::from("* peers of unknown versions\n"),
    }
}

/// Its output on both streams; `None` if it cannot be started.
fn version_output(name: &str, option: &str) -> Option<String> {
    let output = Command::new(name).arg(option).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&text).into_owned())
}
