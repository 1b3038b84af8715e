//! Advice for file errors after privileges were dropped: which user, mode or option lets this
//! process reach a path. It records user, chroot and sandbox; it does not set them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

static USER: OnceLock<User> = OnceLock::new();
static SANDBOX: OnceLock<ReachablePaths> = OnceLock::new();
static CHROOT: OnceLock<PathBuf> = OnceLock::new();

/// The user that it runs as.
struct User {
    name: String,
    group: String,
}

/// The paths that the sandbox lets this process reach, whatever their modes are.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ReachablePaths {
    /// Below these, files may be read.
    pub read: Vec<PathBuf>,
    /// Below these, files may be read, created, written and removed.
    pub write: Vec<PathBuf>,
}

/// The access that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// To read this file.
    Read,
    /// To create this file, or to append to it.
    Append,
    /// To create files in this folder.
    Write,
    /// To keep secrets in this folder.
    MakeFolder,
}

/// Records that this process runs as `user` in `group`, for good.
pub fn record_user(user: &str, group: &str) {
    let (name, group) = (user.to_owned(), group.to_owned());
    // Privileges are dropped once.
    let _ = USER.set(User { name, group });
}

/// Records that the root of this process is this folder. Advice then has the paths as
/// operators see them.
pub fn record_chroot(folder: PathBuf) {
    let _ = CHROOT.set(folder);
}

/// Records that this process can reach these paths only.
pub fn record_sandbox(reachable: ReachablePaths) {
    let _ = SANDBOX.set(reachable);
}

/// What an operator can do about `error`: text to append to its message, or none.
pub fn advice(error: &io::Error, need: Need, path: &Path) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let outside = CHROOT.get().map(|jail| seen_from_outside(jail, path));
            let shown = outside.as_deref().unwrap_or(path);
            advice_text(USER.get(), SANDBOX.get(), need, path, shown)
        }
        io::ErrorKind::NotFound => CHROOT.get().map_or_else(String::new, |jail| {
            let outside = seen_from_outside(jail, path);
            format!(" (from outside it is {})", outside.display())
        }),
        _ => String::new(),
    }
}

fn seen_from_outside(jail: &Path, path: &Path) -> PathBuf {
    jail.join(path.strip_prefix("/").unwrap_or(path))
}

/// The advice for a permission error. `shown` is `path` as an operator sees it.
fn advice_text(
    user: Option<&User>,
    reachable: Option<&ReachablePaths>,
    need: Need,
    path: &Path,
    shown: &Path,
) -> String {
    if reachable.is_some_and(|reachable| !reaches(reachable, need, path)) {
        let what = match need {
            Need::Read => "reads nothing",
            Need::Append | Need::Write | Need::MakeFolder => "writes nothing",
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
        Need::MakeFolder => (
            "own the folder and what is in it",
            format!("'install -d -o {name} -m 700 {shown}' and 'chown -R {name} {shown}'"),
        ),
    };
    format!(" (txlb runs as {name}, who must {what}: {how})")
}

fn reaches(reachable: &ReachablePaths, need: Need, path: &Path) -> bool {
    // The target of a link counts, if it can be resolved.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let read = reachable.read.iter().filter(|_| need == Need::Read);
    let mut folders = reachable.write.iter().chain(read);
    folders.any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice_for(user: bool, need: Need, path: &str) -> String {
        let user = user.then(|| User {
            name: "www".to_owned(),
            group: "data".to_owned(),
        });
        let reachable = ReachablePaths {
            read: vec![PathBuf::from("/nowhere/r")],
            write: vec![PathBuf::from("/nowhere/w")],
        };
        advice_text(
            user.as_ref(),
            Some(&reachable),
            need,
            Path::new(path),
            &seen_from_outside(Path::new("/"), Path::new(path)),
        )
    }

    #[test]
    fn without_dropped_privileges_there_is_no_advice() {
        assert_eq!(
            advice_text(None, None, Need::Write, Path::new("/x"), Path::new("/x")),
            ""
        );
        let error = io::ErrorKind::PermissionDenied.into();
        assert_eq!(advice(&error, Need::Read, Path::new("/x")), "");
    }

    #[test]
    fn paths_in_a_chroot_are_named_as_from_outside() {
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
            let advice = advice_for(true, need, path);
            assert!(advice.contains("--no-sandbox"), "{path}: {advice}");
        }
    }

    #[test]
    fn what_is_within_reach_takes_another_mode() {
        let read = advice_for(true, Need::Read, "/nowhere/w/x");
        assert!(read.contains("'chmod g+r /nowhere/w/x'"), "{read}");
        let write = advice_for(true, Need::Write, "/nowhere/w");
        assert!(write.contains("runs as www"), "{write}");
        assert!(write.contains("'chgrp data /nowhere/w'"), "{write}");
        assert_eq!(advice_for(false, Need::Write, "/nowhere/w"), "");
    }
}
