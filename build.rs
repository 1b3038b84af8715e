//! What `txlb -VV` tells of a build: the commit, the target, the compiler, and the versions of
//! crates.
//!
//! It needs no crate. What cannot be found out is left out, and nothing fails for want of it: a
//! source package has no commit.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates whose faults would be faults of txlb, each with the feature that brings it.
const CRATES: [(&str, &str); 15] = [
    ("mio", ""),
    ("rustix", ""),
    ("nix", ""),
    ("signal-hook", ""),
    ("roxmltree", ""),
    ("simple-dns", "DNS"),
    ("httparse", "WEB"),
    ("pw_hash", "LOGINS"),
    ("rustls", "HTTPS"),
    ("rcgen", "HTTPS"),
    ("russh", "SSH"),
    ("tokio", "SSH"),
    ("listenfd", "ACTIVATION"),
    ("landlock", "SANDBOX"),
    ("seccompiler", "SANDBOX"),
];

fn main() {
    let top = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");
    println!("cargo::rerun-if-env-changed=TXLB_COMMIT");
    set("COMMIT", &commit(&top));
    set("TARGET", &variable("TARGET"));
    set("COMPILER", &output(&variable("RUSTC"), &["--version"]));
    set("CRATES", &crates(&top.join("Cargo.lock")));
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

fn set(name: &str, value: &str) {
    println!("cargo::rustc-env=TXLB_BUILD_{name}={value}");
}

/// The first line that a program prints; an empty one if it fails.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let stdout = output.ok().filter(|it| it.status.success());
    let stdout = stdout.and_then(|it| String::from_utf8(it.stdout).ok());
    let line = stdout.as_ref().and_then(|text| text.lines().next());
    line.unwrap_or_default().to_owned()
}

/// The commit and its date: what `TXLB_COMMIT` says, or what is checked out here.
///
/// Without optimization only the former: looking at each commit would compile everything again
/// after each.
fn commit(top: &Path) -> String {
    let given = variable("TXLB_COMMIT");
    if !given.is_empty() || variable("PROFILE") != "release" {
        return given;
    }
    let folder = top.to_string_lossy();
    let git = |arguments: &[&str]| output("git", &[&["-C", &folder], arguments].concat());
    // A package may be unpacked inside of somebody's repository.
    let toplevel = PathBuf::from(git(&["rev-parse", "--show-toplevel"]));
    if toplevel.canonicalize().ok() != top.canonicalize().ok() {
        return String::new();
    }
    // Cargo takes a file that is missing for one that has changed.
    for name in ["HEAD", "logs/HEAD"] {
        let path = top.join(git(&["rev-parse", "--git-path", name]));
        if path.is_file() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    git(&["log", "-1", "--format=%h of %cs", "--abbrev=12"])
}

/// Names and versions, as in `mio 1.2.0, rustix 1.1.2`.
fn crates(lock: &Path) -> String {
    let lock = std::fs::read_to_string(lock).unwrap_or_default();
    let has = |feature: &str| {
        feature.is_empty() || env::var_os(format!("CARGO_FEATURE_{feature}")).is_some()
    };
    let wanted = CRATES.iter().filter(|(_, feature)| has(feature));
    let found = wanted.filter_map(|(name, _)| Some(format!("{name} {}", version(&lock, name)?)));
    found.collect::<Vec<_>>().join(", ")
}

/// The version of a crate in `Cargo.lock`. With several it is the last: that is what txlb needs,
/// which asks for new ones.
fn version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let entry = format!("\nname = \"{name}\"\nversion = \"");
    let (_, rest) = lock.rsplit_once(&entry)?;
    rest.split('"').next()
}
