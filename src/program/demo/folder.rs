//! The private folder of `--demo`, with its configuration and control socket.
//!
//! The sandbox lets nobody remove a folder, so a shell that is started before removes this one when
//! the process ends, however that happens.

use std::fs::{DirBuilder, OpenOptions, remove_dir_all};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown, fchown};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use txlb::sync::lock;

use crate::privileges::Identity;

/// Names that are tried; those of earlier demonstrations may be kept.
const TRIES: u32 = 100;

/// Longer paths leave too little for the name of a socket.
const MAX_LENGTH: usize = 64;

/// Waits for the end of its input, and removes the folder if there was none. Signals of the
/// terminal are not for it.
const REMOVE: &str = "trap '' HUP INT QUIT TERM; read -r kept || rm -rf -- \"$0\"";

/// The folder. It is removed when this is dropped or the process ends, unless it is kept.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    is_kept: AtomicBool,
    /// The input of the shell that removes it; `None` where there is no shell.
    remover: Mutex<Option<ChildStdin>>,
}

impl Folder {
    /// Makes it in the folder for temporary files, for `owner` or the user of the process alone.
    ///
    /// # Errors
    /// The system's, with the path.
    pub(super) fn make(owner: Option<&Identity>) -> io::Result<Folder> {
        let place = Some(std::env::temp_dir()).filter(|path| is_plain(path));
        let place = place.unwrap_or_else(|| PathBuf::from("/tmp"));
        let process = std::process::id();
        let with_path = |error: io::Error| {
            let place = place.display();
            io::Error::new(
                error.kind(),
                format!("cannot make a folder in {place}: {error}"),
            )
        };
        for number in 0..TRIES {
            let path = place.join(format!("txlb-demo-{process}-{number}"));
            // It fails if there is anything of that name, a link included.
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(with_path(error)),
                Ok(()) => {
                    if let Some(owner) = owner {
                        let (user, group) = (owner.uid.as_raw(), owner.gid.as_raw());
                        chown(&path, Some(user), Some(group)).map_err(with_path)?;
                    }
                    let remover = start_remover(&path).ok();
                    return Ok(Folder {
                        path,
                        is_kept: AtomicBool::new(false),
                        remover: Mutex::new(remover),
                    });
                }
            }
        }
        Err(with_path(ErrorKind::AlreadyExists.into()))
    }

    /// Keeps it for good.
    pub(super) fn keep(&self) {
        if let Some(remover) = &mut *lock(&self.remover) {
            // A shell that has gone removes nothing.
            let _ = remover.write_all(b"kept\n");
        }
        self.is_kept.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::Relaxed)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a new file.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn write(
        &self,
        name: &str,
        text: &str,
        owner: Option<&Identity>,
    ) -> io::Result<PathBuf> {
        let path = self.file(name);
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(text.as_bytes())?;
        if let Some(owner) = owner {
            fchown(&file, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))?;
        }
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if lock(&self.remover).is_none() && !self.is_kept() {
            // What cannot be removed is small, and where temporary files are.
            let _ = remove_dir_all(&self.path);
        }
    }
}

fn start_remover(folder: &Path) -> io::Result<ChildStdin> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", REMOVE]).arg(folder).current_dir("/");
    shell
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Nobody waits for it: it ends after this process.
    let stdin = shell.spawn()?.stdin.take();
    stdin.ok_or_else(|| ErrorKind::BrokenPipe.into())
}

/// Whether it can be written into XML and shell commands as it is, and is short enough.
fn is_plain(path: &Path) -> bool {
    let is_plain = |it: u8| it.is_ascii_alphanumeric() || b"/._-".contains(&it);
    let bytes = path.as_os_str().as_encoded_bytes();
    path.is_absolute() && bytes.len() <= MAX_LENGTH && bytes.iter().all(|it| is_plain(*it))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn it_is_private_and_goes_unless_it_is_kept() {
        let (first, second) = (Folder::make(None).unwrap(), Folder::make(None).unwrap());
        assert_ne!(first.path, second.path);
        let file = first.write("x", "text", None).unwrap();
        assert!(first.write("x", "text", None).is_err());
        drop(first);
        let start = Instant::now();
        while file.parent().unwrap().exists() {
            assert!(start.elapsed() < Duration::from_secs(30), "it stays");
            std::thread::yield_now();
        }
        let file = second.write("x", "text", None).unwrap();
        second.keep();
        drop(second);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "text");
        remove_dir_all(file.parent().unwrap()).unwrap();
    }

    #[test]
    fn only_plain_paths_are_used() {
        for (path, plain) in [
            ("/tmp", true),
            ("/a b", false),
            ("tmp", false),
            ("/a&b", false),
        ] {
            assert_eq!(is_plain(Path::new(path)), plain, "{path}");
        }
        assert!(!is_plain(Path::new(&"/x".repeat(33))));
    }
}
