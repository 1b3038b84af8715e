//! Tests of the state folder: where it is, and how secrets come into it.

use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;

/// A folder of this test's own, which is not there.
fn fresh(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("txlb-state-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o7777
}

fn made(bytes: &[u8]) -> impl FnOnce() -> io::Result<Vec<u8>> {
    let bytes = bytes.to_owned();
    move || Ok(bytes)
}

fn names_in(folder: &Path) -> Vec<OsString> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

/// What is set, where `-` stands for what is not.
fn given(text: &str) -> Option<&OsStr> {
    (text != "-").then(|| OsStr::new(text))
}

#[test]
fn the_folder_is_what_the_surroundings_say() {
    let of = |state: &str, is_root, home: &str| {
        let folder = folder_of("it", given(state), is_root, given(home));
        folder.map(|folder| folder.display().to_string()).ok()
    };
    let is = |path: &str| Some(path.to_owned());
    assert_eq!(of("/a/b", true, "/root"), is("/a/b"));
    assert_eq!(of("/a:/b", false, "-"), is("/a"));
    assert_eq!(of("-", true, "/root"), is("/var/lib/it"));
    assert_eq!(of("", true, "-"), is("/var/lib/it"));
    assert_eq!(of("-", false, "/home/ann"), is("/home/ann/.local/state/it"));
    for (state, home) in [("-", "-"), ("-", ""), ("-", "ann"), ("a:/b", "/home/ann")] {
        assert_eq!(of(state, false, home), None, "{state} {home}");
    }
}

#[test]
fn a_secret_is_made_once_for_its_owner_alone() {
    let top = fresh("once");
    let folder = top.join("a/b");
    let first = secret(&folder, "s", |_| true, made(b"one")).unwrap();
    let second = secret(&folder, "s", |_| true, made(b"two")).unwrap();
    assert_eq!(
        (first.as_slice(), second.as_slice()),
        (&b"one"[..], &b"one"[..])
    );
    assert_eq!(mode(&folder.join("s")), 0o600);
    assert_eq!([mode(&top), mode(&folder)], [0o700; 2]);
    assert_eq!(names_in(&folder), [".lock", "s"]);
    std::fs::remove_dir_all(&top).unwrap();
}

#[test]
fn one_that_is_no_good_is_made_anew_and_the_folder_keeps_its_mode() {
    let folder = fresh("anew");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    // Left behind by a crash, and not to be kept.
    std::fs::write(folder.join(".s.new"), "half").unwrap();
    secret(&folder, "s", |_| true, made(b"old")).unwrap();
    let good = |bytes: &[u8]| bytes != b"old";
    assert_eq!(secret(&folder, "s", good, made(b"new")).unwrap(), b"new");
    assert_eq!(std::fs::read(folder.join("s")).unwrap(), b"new");
    assert_eq!(mode(&folder), 0o755);
    assert_eq!(names_in(&folder), [".lock", "s"]);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn one_that_others_may_read_is_not_used() {
    let folder = fresh("open");
    let path = folder.join("s");
    secret(&folder, "s", |_| true, made(b"one")).unwrap();
    for open in [0o640, 0o604, 0o620] {
        std::fs::set_permissions(&path, Permissions::from_mode(open)).unwrap();
        let error = secret(&folder, "s", |_| true, made(b"two")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        let advice = format!("'chmod 600 {}'", path.display());
        assert!(error.to_string().ends_with(&advice), "{error}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"one");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_cannot_be_made_leaves_nothing_behind() {
    let folder = fresh("failed");
    let failed = || Err(io::Error::other("no luck"));
    let error = secret(&folder, "s", |_| true, failed).unwrap_err();
    let path = folder.join("s");
    assert_eq!(error.to_string(), format!("{}: no luck", path.display()));
    assert_eq!(names_in(&folder), [".lock"]);
    // Where a folder is in the way, it is neither read nor replaced.
    std::fs::create_dir(&path).unwrap();
    let error = secret(&folder, "s", |_| true, made(b"x")).unwrap_err();
    assert!(
        error.to_string().contains("a folder, and not a file"),
        "{error}"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn of_many_who_come_at_once_one_makes_it() {
    let folder = fresh("race");
    let (makers, start) = (AtomicUsize::new(0), Barrier::new(8));
    let come = |number: u8| {
        start.wait();
        let make = || {
            makers.fetch_add(1, Ordering::Relaxed);
            Ok(vec![number; 1000])
        };
        secret(&folder, "s", |_| true, make).unwrap()
    };
    let secrets: Vec<_> = thread::scope(|scope| {
        let come = &come;
        let all: Vec<_> = (0..8)
            .map(|number| scope.spawn(move || come(number)))
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(makers.into_inner(), 1);
    assert!(secrets.iter().all(|secret| *secret == secrets[0]));
    assert_eq!(std::fs::read(folder.join("s")).unwrap(), secrets[0]);
    std::fs::remove_dir_all(&folder).unwrap();
}
