//! The state folder: secrets that a program generates once and keeps, such as keys. Only
//! their owner can read them.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::process::geteuid;

use super::files::{open_file, open_folder};
use super::rights::{self, Need};

/// The most bytes of a secret.
const MAX_BYTES: u64 = 1 << 20;

/// How often, and after which pause, a busy lock is tried: for 5 s in all.
const LOCK_TRIES: u32 = 250;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The program and its folder, once that is fixed.
static FIXED: OnceLock<(String, PathBuf)> = OnceLock::new();

/// Fixes the result of [`folder`], so that it stays the same when privileges are dropped.
///
/// # Errors
/// As [`folder`]; nothing is fixed then.
pub fn fix_folder(program: &str) -> io::Result<PathBuf> {
    let folder = folder(program)?;
    // An earlier call has fixed the same folder.
    let _ = FIXED.set((program.to_owned(), folder.clone()));
    Ok(folder)
}

/// The folder of `program`: the first of `$STATE_DIRECTORY`; without it `/var/lib/PROGRAM`
/// for root, and `~/.local/state/PROGRAM` for others. It need not exist. A program that
/// drops privileges fixes it before ([`fix_folder`]).
///
/// # Errors
/// `InvalidInput` if neither `$STATE_DIRECTORY` nor, for others than root, `$HOME` is an
/// absolute path.
pub fn folder(program: &str) -> io::Result<PathBuf> {
    if let Some((_, folder)) = FIXED.get().filter(|(of, _)| of == program) {
        return Ok(folder.clone());
    }
    folder_of(
        program,
        std::env::var_os("STATE_DIRECTORY").as_deref(),
        geteuid().is_root(),
        std::env::var_os("HOME").as_deref(),
    )
}

fn folder_of(
    program: &str,
    state: Option<&OsStr>,
    is_root: bool,
    home: Option<&OsStr>,
) -> io::Result<PathBuf> {
    // systemd lists all folders of a unit, separated by colons.
    let first = state.and_then(|list| {
        let first = list.as_bytes().split(|byte| *byte == b':').next()?;
        (!first.is_empty()).then(|| Path::new(OsStr::from_bytes(first)))
    });
    let home = home.map(Path::new).filter(|home| home.is_absolute());
    match (first, home) {
        (Some(first), _) if first.is_absolute() => Ok(first.to_owned()),
        (Some(_), _) => Err(invalid("STATE_DIRECTORY does not begin with a slash")),
        (None, _) if is_root => Ok(Path::new("/var/lib").join(program)),
        (None, Some(home)) => Ok(home.join(".local/state").join(program)),
        (None, None) => Err(invalid("set STATE_DIRECTORY or HOME")),
    }
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// Loads the secret in the file `name` of `folder` if it is `good`. Otherwise it generates one
/// by `make` and writes it to the file.
///
/// If several processes call it at the same time, one generates the secret, and all get the
/// same. `good` may be called twice. A missing folder is created for its owner alone; an
/// existing one keeps its mode.
///
/// # Errors
/// `PermissionDenied` if other users may read the file; the error of `make`, or the
/// system's. Each names the path.
pub fn load_or_create(
    folder: &Path,
    name: &str,
    mut good: impl FnMut(&[u8]) -> bool,
    make: impl FnOnce() -> io::Result<Vec<u8>>,
) -> io::Result<Vec<u8>> {
    let path = folder.join(name);
    // The usual case needs no permission to write.
    if let Some(bytes) = read(&path)?.filter(|bytes| good(bytes)) {
        return Ok(bytes);
    }
    make_folder(folder).map_err(|error| unwritable(folder, &error))?;
    let lock = lock(folder).map_err(|error| unwritable(folder, &error))?;
    // Another process may have been faster.
    let bytes = match read(&path)?.filter(|bytes| good(bytes)) {
        Some(bytes) => bytes,
        None => {
            let bytes = make().map_err(|error| with_path(&path, &error))?;
            write(folder, name, &bytes).map_err(|error| with_path(&path, &error))?;
            bytes
        }
    };
    drop(lock);
    Ok(bytes)
}

fn with_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// As [`with_path`], with advice on a folder that cannot be written to.
fn unwritable(folder: &Path, error: &io::Error) -> io::Error {
    let advice = rights::advice(error, Need::MakeFolder, folder);
    io::Error::new(
        error.kind(),
        format!("{}: {error}{advice}", folder.display()),
    )
}

/// As [`with_path`], with advice on a file of another owner: root, if txlb ran without `-u`
/// before.
fn unreadable(path: &Path, error: &io::Error) -> io::Error {
    let folder = path.parent().unwrap_or(path);
    let advice = rights::advice(error, Need::MakeFolder, folder);
    io::Error::new(error.kind(), format!("{}: {error}{advice}", path.display()))
}

/// Reads the file, which only its owner may read; `None` if there is none.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match open_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| unreadable(path, &error))?,
    };
    check(path, &file).map_err(|error| with_path(path, &error))?;
    let mut bytes = Vec::new();
    let read = file.take(MAX_BYTES).read_to_end(&mut bytes);
    read.map_err(|error| with_path(path, &error))?;
    Ok(Some(bytes))
}

fn check(path: &Path, file: &File) -> io::Result<()> {
    let metadata = file.metadata()?;
    if metadata.mode() & 0o077 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "others than its owner may read or change it: remove it if they may have, else 'chmod 600 {}'",
                path.display()
            ),
        ));
    }
    Ok(())
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    match made {
        // Another process created a part of it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        other => other,
    }
}

/// Locks the folder while a secret is generated, until the returned file is dropped. Another
/// process holds the lock for milliseconds, so the wait for it has an end.
fn lock(folder: &Path) -> io::Result<File> {
    // A file and not the folder: some systems only lock what is open for writing.
    let path = folder.join(".lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags(OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW))
        .open(path)?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(error),
            Ok(()) => return Ok(file),
        }
    }
    let message = "another process has its .lock and does not give it up";
    Err(io::Error::new(io::ErrorKind::ResourceBusy, message))
}

/// Writes the bytes to a new file, and renames it to `name`. The caller holds the lock.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let beside = folder.join(format!(".{name}.new"));
    // Left behind by a crash, as the lock is held.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, folder.join(name))
    };
    let written = written();
    match &written {
        // The file is in place. That it survives a power failure is more than some systems
        // promise, so an error does not matter.
        Ok(()) => drop(open_folder(folder).and_then(|folder| folder.sync_all())),
        Err(_) => drop(std::fs::remove_file(&beside)),
    }
    written
}

#[cfg(test)]
mod tests {
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
        let first = load_or_create(&folder, "s", |_| true, made(b"one")).unwrap();
        let second = load_or_create(&folder, "s", |_| true, made(b"two")).unwrap();
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
        load_or_create(&folder, "s", |_| true, made(b"old")).unwrap();
        let good = |bytes: &[u8]| bytes != b"old";
        assert_eq!(
            load_or_create(&folder, "s", good, made(b"new")).unwrap(),
            b"new"
        );
        assert_eq!(std::fs::read(folder.join("s")).unwrap(), b"new");
        assert_eq!(mode(&folder), 0o755);
        assert_eq!(names_in(&folder), [".lock", "s"]);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn one_that_others_may_read_is_not_used() {
        let folder = fresh("open");
        let path = folder.join("s");
        load_or_create(&folder, "s", |_| true, made(b"one")).unwrap();
        for open in [0o640, 0o604, 0o620] {
            std::fs::set_permissions(&path, Permissions::from_mode(open)).unwrap();
            let error = load_or_create(&folder, "s", |_| true, made(b"two")).unwrap_err();
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
        let error = load_or_create(&folder, "s", |_| true, failed).unwrap_err();
        let path = folder.join("s");
        assert_eq!(error.to_string(), format!("{}: no luck", path.display()));
        assert_eq!(names_in(&folder), [".lock"]);
        // Where a folder is in the way, it is neither read nor replaced.
        std::fs::create_dir(&path).unwrap();
        let error = load_or_create(&folder, "s", |_| true, made(b"x")).unwrap_err();
        assert!(
            error.to_string().contains("a folder, and not a file"),
            "{error}"
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn of_many_that_start_at_once_one_makes_it() {
        let folder = fresh("race");
        let (makers, start) = (AtomicUsize::new(0), Barrier::new(8));
        let come = |number: u8| {
            start.wait();
            let make = || {
                makers.fetch_add(1, Ordering::Relaxed);
                Ok(vec![number; 1000])
            };
            load_or_create(&folder, "s", |_| true, make).unwrap()
        };
        let secrets: Vec<_> = thread::scope(|scope| {
            let come = &come;
            let all: Vec<_> = (0..8)
                .map(|number| scope.spawn(move || come(number)))
                .collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(makers.into_inner(), 1);
        assert!(
            secrets
                .iter()
                .all(|load_or_create| *load_or_create == secrets[0])
        );
        assert_eq!(std::fs::read(folder.join("s")).unwrap(), secrets[0]);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
