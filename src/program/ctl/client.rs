//! A connection to the control socket of a running txlb.
//!
//! While a response is late, a second connection checks now and then that txlb still answers.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};
use txlb::config::verb::{Command, Question};

use crate::exit::Exit;

/// Time without a byte of the response before a second connection checks that txlb answers.
const CHECK_AFTER: Duration = Duration::from_secs(3);

/// Timeout of that check: it does not wait for the controller.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Checks before a response is given up: a minute in all. Resolving names and closing listeners
/// takes less.
const MAX_CHECKS: usize = 20;

/// Maximum bytes of a response: four times the status of 17,000 hosts as JSON.
const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// A connection to the control socket.
pub(super) struct ControlConnection {
    stream: BufReader<UnixStream>,
    path: PathBuf,
    /// The error of the last write. The response may say why txlb closed the connection.
    unsent: Option<io::Error>,
    /// Bytes of the current response.
    read: usize,
}

/// Waits for input of a stream; returns whether it came in time.
pub(super) type Wait<'a> = dyn FnMut(&UnixStream, Duration) -> Result<bool, Exit> + 'a;

impl ControlConnection {
    pub(super) fn connect(path: &Path) -> Result<ControlConnection, Exit> {
        let stream = connected(path, CHECK_AFTER + CHECK_TIMEOUT)
            .map_err(|error| cannot_reach(path, &error))?;
        // A blank line gets no response. It ends the server's wait for the first line: the first
        // command may be typed much later. A client that is rejected gets a response.
        let _ = (&stream).write_all(b"\n");
        Ok(ControlConnection {
            stream: BufReader::new(stream),
            path: path.to_owned(),
            unsent: None,
            read: 0,
        })
    }

    pub(super) fn stream(&self) -> &UnixStream {
        self.stream.get_ref()
    }

    /// Sends a line; `line` has no newline.
    pub(super) fn send(&mut self, line: &[u8]) {
        self.read = 0;
        let line = [line, b"\n"].concat();
        self.unsent = self.stream.get_mut().write_all(&line).err();
    }

    /// Ends the input of the server.
    pub(super) fn end(&mut self) {
        self.read = 0;
        // If it has closed the connection, there is no more to read.
        let _ = self.stream.get_ref().shutdown(Shutdown::Write);
    }

    /// The next line without its newline; `None` at the end of the connection.
    pub(super) fn line(&mut self, wait: &mut Wait<'_>) -> Result<Option<String>, Exit> {
        let mut line = Vec::new();
        loop {
            if self.stream.buffer().is_empty() {
                self.wait(wait)?;
            }
            let piece = self.stream.fill_buf().map_err(|error| lost(&error))?;
            if piece.is_empty() {
                return Ok(None);
            }
            let end = piece.iter().position(|byte| *byte == b'\n');
            let length = end.map_or(piece.len(), |end| end + 1);
            line.extend_from_slice(&piece[..length]);
            self.stream.consume(length);
            self.read += length;
            if self.read > MAX_RESPONSE_BYTES {
                let mib = MAX_RESPONSE_BYTES >> 20;
                let message = format!(
                    "txlb: the response has more than {mib} MiB: this is not txlb's socket"
                );
                return Err(Exit::new(Exit::OTHER, &message));
            }
            if end.is_some() {
                line.pop();
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
        }
    }

    /// The error for a connection that ended without a response.
    pub(super) fn lost_reason(&mut self) -> Exit {
        let ended = || io::Error::from(ErrorKind::UnexpectedEof);
        lost(&self.unsent.take().unwrap_or_else(ended))
    }

    fn wait(&self, wait: &mut Wait<'_>) -> Result<(), Exit> {
        for _ in 0..MAX_CHECKS {
            if wait(self.stream(), CHECK_AFTER)? {
                return Ok(());
            }
            // The response may have come during the check.
            if !is_there(&self.path) && !wait(self.stream(), Duration::ZERO)? {
                return Err(no_answer());
            }
        }
        let seconds = (CHECK_AFTER * u32::try_from(MAX_CHECKS).unwrap_or(1)).as_secs();
        let message = format!(
            "txlb: txlb answers, but has not done this within {seconds} s: it may be \
             waiting for a disk; see its log"
        );
        Err(Exit::new(Exit::NO_ANSWER, &message))
    }
}

/// Waits for one stream.
pub(super) fn wait(stream: &UnixStream, timeout: Duration) -> Result<bool, Exit> {
    let timeout = Timespec::try_from(timeout).ok();
    loop {
        match poll(&mut [PollFd::new(stream, PollFlags::IN)], timeout.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(lost(&error.into())),
        }
    }
}

/// Whether txlb answers `abort`, which does not wait for the controller.
fn is_there(path: &Path) -> bool {
    let ask = || {
        let mut stream = connected(path, CHECK_TIMEOUT)?;
        stream.write_all(b"abort\n")?;
        stream.read(&mut [0])
    };
    // A closed connection is an answer, too: something has accepted it.
    ask().is_ok()
}

fn connected(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let descriptor = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
    // connect(2) waits as well, if the accept backlog is full.
    set_socket_timeout(&descriptor, Timeout::Send, Some(timeout))?;
    set_socket_timeout(&descriptor, Timeout::Recv, Some(timeout))?;
    connect(&descriptor, &address)?;
    Ok(UnixStream::from(descriptor))
}

fn cannot_reach(socket: &Path, error: &io::Error) -> Exit {
    let path = socket.display();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => Exit::new(
            Exit::NO_SOCKET,
            &format!(
                "txlb: no txlb answers at {path}: is txlb running, and does its configuration \
                 have <control socket=\"{path}\"/>? (-C says where the socket is)"
            ),
        ),
        ErrorKind::PermissionDenied => Exit::new(
            Exit::NO_PERMISSION,
            &format!("txlb: {path} is for the user and the group of the txlb that runs"),
        ),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => no_answer(),
        _ => Exit::new(Exit::NO_SOCKET, &format!("txlb: {path}: {error}")),
    }
}

/// The error for a connection that broke.
pub(super) fn lost(error: &io::Error) -> Exit {
    let what = match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => return no_answer(),
        ErrorKind::UnexpectedEof => "left without an answer".to_owned(),
        _ => format!("left without an answer: {error}"),
    };
    Exit::new(Exit::OTHER, &format!("txlb: the txlb that runs {what}"))
}

fn no_answer() -> Exit {
    let message = "txlb: the txlb that runs does not answer: it may be stopped (SIGSTOP, a debugger, \
                   a frozen container); 'ps -o pid,stat,args -C txlb' shows a T then, and SIGCONT has \
                   it go on";
    Exit::new(Exit::NO_ANSWER, message)
}

/// Adds the width to a command whose response has tables.
pub(super) fn in_columns(line: &str, columns: u16) -> String {
    match line.parse() {
        Ok(Command::Question(Question::Status | Question::Sessions)) if columns > 0 => {
            format!("columns {columns} {line}")
        }
        _ => line.to_owned(),
    }
}
