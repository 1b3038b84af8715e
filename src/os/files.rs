//! Opens and reads files in folders that others may write to: it never blocks on a named pipe, never
//! opens a device, and never reads without a limit.

use std::fs::{File, FileType, OpenOptions, metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

/// `O_NONBLOCK`, so that a named pipe without a writer does not block; `O_NOCTTY`, so that no terminal
/// becomes the controlling one.
fn flags(more: OFlags) -> i32 {
    (OFlags::NONBLOCK | OFlags::NOCTTY | more)
        .bits()
        .cast_signed()
}

/// Opens a regular file for reading. Follows links.
///
/// # Errors
/// `InvalidInput` if it is no regular file, or the system's.
pub fn open_file(path: &Path) -> io::Result<File> {
    // Checked before it is opened, as opening alone has effects on some devices.
    expect_file(metadata(path)?.file_type())?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags(OFlags::empty()))
        .open(path)?;
    // Checked again, as it may have been replaced meanwhile.
    expect_file(file.metadata()?.file_type())?;
    Ok(file)
}

/// The first `limit` bytes of a regular file.
///
/// # Errors
/// As [`open_file`].
pub fn read_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_file(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// As [`read_file`], and also reads an inherited pipe that is named by its descriptor: `/dev/stdin`, or
/// the `/dev/fd/63` that a shell makes of `<(command)`. It waits for each piece for at most `timeout`.
///
/// # Errors
/// As [`open_file`]; `TimedOut` if nothing came in time.
pub fn read_file_or_pipe(
    path: &Path,
    limit: usize,
    timeout: Option<Duration>,
) -> io::Result<Vec<u8>> {
    if !is_descriptor(path) || !metadata(path)?.file_type().is_fifo() {
        return read_file(path, limit as u64);
    }
    let mut pipe = OpenOptions::new()
        .read(true)
        .custom_flags(flags(OFlags::empty()))
        .open(path)?;
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    while bytes.len() < limit {
        if poll(&mut [PollFd::new(&pipe, PollFlags::IN)], timeout.as_ref())? == 0 {
            return Err(io::Error::new(
                ErrorKind::TimedOut,
                "nothing came through this pipe",
            ));
        }
        match pipe.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => bytes.extend_from_slice(&piece[..length]),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(limit);
    Ok(bytes)
}

/// Whether a path itself names a descriptor of this process, and does not lead to one through a link.
fn is_descriptor(path: &Path) -> bool {
    let of_number = |folder: &str| {
        let number = path.strip_prefix(folder).ok().and_then(Path::to_str);
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    path == Path::new("/dev/stdin") || of_number("/dev/fd") || of_number("/proc/self/fd")
}

/// Opens a folder, to lock it or to sync it to the disk.
///
/// # Errors
/// The system's; `NotADirectory` if it is no folder.
pub fn open_folder(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(flags(OFlags::DIRECTORY))
        .open(path)
}

fn expect_file(kind: FileType) -> io::Result<()> {
    let what = match kind {
        _ if kind.is_file() => return Ok(()),
        _ if kind.is_dir() => "a folder",
        _ if kind.is_fifo() => "a named pipe",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    };
    let message = format!("it is {what}, and not a file");
    Err(io::Error::new(ErrorKind::InvalidInput, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType as Kind, Mode, mknodat};
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    /// A folder with a named pipe in it, and a link to that.
    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("txlb-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        mknodat(
            CWD,
            folder.join("pipe"),
            Kind::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        symlink("pipe", folder.join("link")).unwrap();
        folder
    }

    #[test]
    fn what_is_no_file_is_refused_and_not_waited_for() {
        let folder = folder("no-file");
        let _socket = UnixListener::bind(folder.join("socket")).unwrap();
        for (path, what) in [
            (folder.join("pipe"), "a named pipe"),
            (folder.join("link"), "a named pipe"),
            (folder.join("socket"), "a socket"),
            (folder.clone(), "a folder"),
            ("/dev/zero".into(), "a device"),
            ("/dev/null".into(), "a device"),
        ] {
            let errors = [read_file(&path, 10), read_file_or_pipe(&path, 10, None)];
            for error in errors.map(Result::unwrap_err) {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path:?}");
                assert!(error.to_string().contains(what), "{error}");
            }
        }
        for name in ["pipe", "link"] {
            assert!(open_folder(&folder.join(name)).is_err());
        }
        open_folder(&folder).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn of_a_file_so_many_bytes_are_read_and_no_more() {
        let folder = folder("bytes");
        let file = folder.join("file");
        std::fs::write(&file, "0123456789").unwrap();
        for (limit, read) in [(4, "0123"), (10, "0123456789"), (20, "0123456789")] {
            assert_eq!(read_file(&file, limit).unwrap(), read.as_bytes());
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn only_the_name_of_a_descriptor_is_one() {
        for path in ["/dev/stdin", "/dev/fd/63", "/proc/self/fd/0"] {
            assert!(is_descriptor(Path::new(path)), "{path}");
        }
        for path in [
            "/dev/fd/",
            "/dev/fd/x",
            "/dev/fd/1/2",
            "/dev/zero",
            "stdin",
            "/proc/1/fd/0",
        ] {
            assert!(!is_descriptor(Path::new(path)), "{path}");
        }
    }
}
