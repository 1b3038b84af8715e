//! What this process has given up, so that an error can say what to do about it.
//!
//! Only remembers, and finds words: nothing is given up here. A process that gave up
//! nothing has no advice.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

static USER: OnceLock<User> = OnceLock::new();
static ALLOWED: OnceLock<Allowed> = OnceLock::new();
static JAIL: OnceLock<PathBuf> = OnceLock::new();

/// Who it runs as since.
struct User {
    name: String,
    group: String,
}

/// Which paths it can reach, whatever their modes say.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// Below these, files are read.
    pub read: Vec<PathBuf>,
    /// Below these, files are read, made, written and removed.
    pub write: Vec<PathBuf>,
}

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// To read this file.
    Read,
    /// To make this file, or to add to it.
    Append,
    /// To make files in this folder.
    Write,
    /// To keep secrets in this folder.
    Own,
}

/// It runs as `user` in `group` from now on, for good.
pub fn gave_up_for(user: &str, group: &str) {
    let (name, group) = (user.to_owned(), group.to_owned());
    // There is no second time.
    let _ = USER.set(User { name, group });
}

/// Its root is this folder from now on: operators know paths from outside.
pub fn jailed_in(folder: PathBuf) {
    let _ = JAIL.set(folder);
}

/// Only these paths can be reached from now on.
pub fn confined_to(allowed: Allowed) {
    let _ = ALLOWED.set(allowed);
}

/// What an operator can do if `error` came of it: words that go behind it, or none.
pub fn advice(error: &io::Error, need: Need, path: &Path) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let outside = JAIL.get().map(|jail| seen_from_outside(jail, path));
            let shown = outside.as_deref().unwrap_or(path);
            words(USER.get(), ALLOWED.get(), need, path, shown)
        }
        io::ErrorKind::NotFound => JAIL.get().map_or_else(String::new, |jail| {
            let outside = seen_from_outside(jail, path);
            format!(" (from outside it is {})", outside.display())
        }),
        _ => String::new(),
    }
}

fn seen_from_outside(jail: &Path, path: &Path) -> PathBuf {
    jail.join(path.strip_prefix("/").unwrap_or(path))
}

/// `shown` is how an operator writes `path`.
fn words(
    user: Option<&User>,
    allowed: Option<&Allowed>,
    need: Need,
    path: &Path,
    shown: &Path,
) -> String {
    if allowed.is_some_and(|allowed| !reaches(allowed, need, path)) {
        let what = match need {
            Need::Read => "reads nothing",
            Need::Append | Need::Write | Need::Own => "writes nothing",
        };
        return format!(
            " (since its start, txlb {what} there: start it again, for this to be allowed, or with \
             --no-sandbox)"
        );
    }
    let Some(User { name, group }) = user else {
        return String::new();
    };
    let shown = shown.display();
    let (what, how) = match need {
        Need::Read => (
            "be able to read it",
            format!("'chgrp {group} {shown}' and 'chmod g+r {shown}'"),
        ),
        Need::Append => (
            "be able to write to it",
            format!(
                "'touch {shown}' and 'chown {name} {shown}', or 'create 640 {name} {group}' for \
                 logrotate"
            ),
        ),
        Need::Write => (
            "be able to write to the folder",
            format!("'chgrp {group} {shown}' and 'chmod 2770 {shown}'"),
        ),
        Need::Own => (
            "own the folder and what is in it",
            format!("'install -d -o {name} -m 700 {shown}' and 'chown -R {name} {shown}'"),
        ),
    };
    format!(" (txlb runs as {name}, who must {what}: {how})")
}

fn reaches(allowed: &Allowed, need: Need, path: &Path) -> bool {
    // Where it leads to counts, if that can be seen.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let read = allowed.read.iter().filter(|_| need == Need::Read);
    let mut folders = allowed.write.iter().chain(read);
    folders.any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(user: bool, need: Need, path: &str) -> String {
        let user = user.then(|| User {
            name: "www".to_owned(),
            group: "data".to_owned(),
        });
        let allowed = Allowed {
            read: vec![PathBuf::from("/nowhere/r")],
            write: vec![PathBuf::from("/nowhere/w")],
        };
        words(
            user.as_ref(),
            Some(&allowed),
            need,
            Path::new(path),
            &seen_from_outside(Path::new("/"), Path::new(path)),
        )
    }

    #[test]
    fn who_gave_up_nothing_gets_no_advice() {
        assert_eq!(
            words(None, None, Need::Write, Path::new("/x"), Path::new("/x")),
            ""
        );
        let error = io::ErrorKind::PermissionDenied.into();
        assert_eq!(advice(&error, Need::Read, Path::new("/x")), "");
    }

    #[test]
    fn paths_in_a_jail_are_named_as_from_outside() {
        let seen = |path| seen_from_outside(Path::new("/srv/jail"), Path::new(path));
        assert_eq!(seen("/etc/x"), Path::new("/srv/jail/etc/x"));
        assert_eq!(seen("x"), Path::new("/srv/jail/x"));
    }

    #[test]
    fn what_is_out_of_reach_takes_another_start() {
        for (need, path) in [
            (Need::Write, "/nowhere/r/x"),
            (Need::Write, "/nowhere"),
            (Need::Read, "/nowhere/rx"),
        ] {
            let said = said(true, need, path);
            assert!(said.contains("--no-sandbox"), "{path}: {said}");
        }
    }

    #[test]
    fn what_is_within_reach_takes_another_mode() {
        let read = said(true, Need::Read, "/nowhere/w/x");
        assert!(read.contains("'chmod g+r /nowhere/w/x'"), "{read}");
        let write = said(true, Need::Write, "/nowhere/w");
        assert!(write.contains("runs as www"), "{write}");
        assert!(write.contains("'chgrp data /nowhere/w'"), "{write}");
        assert_eq!(said(false, Need::Write, "/nowhere/w"), "");
    }
}
