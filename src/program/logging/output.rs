//! Log destinations, and the outputs that are opened for them.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::{fmt, io};

use rustix::fs::{OFlags, fcntl_setfl};

use super::format::{LineFormat, LineWriter, Lines, WriteError};
use super::syslog::Syslog;

/// Where the operator wants the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogDestination<'a> {
    StandardError,
    /// The system's syslog daemon.
    Syslog,
    File(&'a Path),
}

impl<'a> LogDestination<'a> {
    /// Parses a name: only `syslog` is syslog, while `./syslog` is a file.
    pub(crate) fn named(name: Option<&'a Path>) -> LogDestination<'a> {
        match name {
            None => LogDestination::StandardError,
            Some(name) if name.as_os_str() == "syslog" => LogDestination::Syslog,
            Some(file) => LogDestination::File(file),
        }
    }

    /// The path, if it is a file.
    pub(crate) fn file(self) -> Option<&'a Path> {
        match self {
            LogDestination::File(file) => Some(file),
            LogDestination::StandardError | LogDestination::Syslog => None,
        }
    }
}

impl fmt::Display for LogDestination<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogDestination::StandardError => f.write_str("standard error"),
            LogDestination::Syslog => f.write_str("syslog"),
            LogDestination::File(file) => file.display().fmt(f),
        }
    }
}

/// An open output: its format, and what writes to it.
pub(crate) struct LogOutput {
    pub(super) format: LineFormat,
    pub(super) writer: Box<dyn LineWriter>,
}

impl LogOutput {
    pub(crate) fn standard_error() -> LogOutput {
        LogOutput::stream(stream_format(io::stderr()), io::stderr())
    }

    /// Opens an output; a file is appended to.
    ///
    /// # Errors
    /// The system's. A named pipe without a reader and a missing syslog daemon are errors.
    pub(crate) fn open(destination: LogDestination<'_>) -> io::Result<LogOutput> {
        let path = match destination {
            LogDestination::StandardError => return Ok(LogOutput::standard_error()),
            LogDestination::Syslog => return Syslog::open().map(LogOutput::syslog),
            LogDestination::File(path) => path,
        };
        if let Some(stream) = named_descriptor(path).and_then(standard_stream) {
            let stream = stream?;
            return Ok(LogOutput::stream(stream_format(&stream), stream));
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(path)?;
        // Non-blocking only for open(2), which would wait for a pipe's reader. The log's thread may
        // wait.
        fcntl_setfl(&file, OFlags::APPEND)?;
        Ok(LogOutput::file(file))
    }

    /// An open file, appended to.
    pub(crate) fn file(file: File) -> LogOutput {
        LogOutput::stream(LineFormat::File, file)
    }

    pub(super) fn stream(format: LineFormat, to: impl Write + Send + 'static) -> LogOutput {
        let writer = Box::new(StreamWriter { to, torn: false });
        LogOutput { format, writer }
    }

    pub(super) fn syslog(syslog: Syslog) -> LogOutput {
        LogOutput {
            format: LineFormat::Syslog,
            writer: Box::new(syslog),
        }
    }
}

/// Symbolic links that are followed to find a descriptor's name.
const MAX_LINKS: usize = 8;

/// The number of the descriptor that `path` names, also by links: `/dev/stdout`,
/// `/proc/self/fd/3`. It is open already. It may be a pipe or a socket that cannot be opened
/// again with fewer rights.
pub(crate) fn named_descriptor(path: &Path) -> Option<u32> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let found = descriptor_named(&path);
        if found.is_some() {
            return found;
        }
        let (folder, name) = (path.parent()?, path.file_name()?);
        let settled = folder.canonicalize().ok()?.join(name);
        let found = descriptor_named(&settled);
        if found.is_some() {
            return found;
        }
        // A relative link begins at its own folder.
        path = settled.parent()?.join(settled.read_link().ok()?);
    }
    None
}

/// Goes by the name alone: after chroot(2) there may be no `/dev` and no `/proc`.
fn descriptor_named(path: &Path) -> Option<u32> {
    let text = path.to_str()?;
    let own = format!("/proc/{}/fd/", std::process::id());
    let folders = ["/dev/fd/", "/proc/self/fd/", "/proc/thread-self/fd/", &own];
    match text {
        "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        _ => {
            let number = folders
                .iter()
                .find_map(|folder| text.strip_prefix(folder))?;
            number.parse().ok()
        }
    }
}

/// A copy of standard output or standard error.
fn standard_stream(descriptor: u32) -> Option<io::Result<File>> {
    let copied = match descriptor {
        1 => io::stdout().as_fd().try_clone_to_owned(),
        2 => io::stderr().as_fd().try_clone_to_owned(),
        _ => return None,
    };
    Some(copied.map(File::from))
}

/// The format for an inherited stream: the journal adds its own dates.
fn stream_format(stream: impl AsFd) -> LineFormat {
    let journal = std::env::var("JOURNAL_STREAM");
    match journal.is_ok_and(|journal| leads_to(&journal, stream)) {
        true => LineFormat::Journal,
        false => LineFormat::File,
    }
}

/// Whether `JOURNAL_STREAM` (device and inode) is this file. Children inherit the variable even
/// if their standard error is another file.
fn leads_to(stream: &str, file: impl AsFd) -> bool {
    let Some((device, inode)) = stream.split_once(':') else {
        return false;
    };
    let copy = file.as_fd().try_clone_to_owned().map(File::from);
    let Ok(found) = copy.and_then(|file| file.metadata()) else {
        return false;
    };
    (device.parse(), inode.parse()) == (Ok(found.dev()), Ok(found.ino()))
}

/// A file or a pipe.
struct StreamWriter<W> {
    to: W,
    /// The last line is incomplete: end it before the next one.
    torn: bool,
}

impl<W: Write + Send> LineWriter for StreamWriter<W> {
    fn write(&mut self, lines: &Lines) -> Result<(), WriteError> {
        let mut written = 0;
        if self.torn {
            let ended = self.to.write_all(b"\n");
            ended.map_err(|error| lines.unwritten(0, error))?;
            self.torn = false;
        }
        while let rest @ [_, ..] = &lines.as_bytes()[written..] {
            match self.to.write(rest) {
                Ok(0) => {
                    self.torn = lines.is_torn_at(written);
                    return Err(lines.unwritten(written, io::ErrorKind::WriteZero.into()));
                }
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.torn = lines.is_torn_at(written);
                    return Err(lines.unwritten(written, error));
                }
            }
        }
        Ok(())
    }
}
