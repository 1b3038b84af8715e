//! One connection to the control socket of a running txlb.
//!
//! A response is waited for as long as the txlb answers a second connection beside it.

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

/// After so long without a byte it is asked anew, on the side, whether somebody is there at all.
const CHECK_AFTER: Duration = Duration::from_secs(3);

/// How long that question waits: it needs no turn at the desk, and is answered at once.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// How often in a row that may turn out well before an answer is given up: for a minute in all. Names
/// are waited for, and listeners closed, in less.
const MAX_CHECKS: usize = 20;

/// An answer has no more bytes. The status of 17,000 hosts as JSON has a quarter of it.
const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// A connection to a running txlb.
pub(super) struct ControlConnection {
    stream: BufReader<UnixStream>,
    path: PathBuf,
    /// Why it does not listen any more; it may have said why.
    unsent: Option<io::Error>,
    /// Bytes of the answer that is being read.
    read: usize,
}

/// Whether something came within a time.
pub(super) type Wait<'a> = dyn FnMut(&UnixStream, Duration) -> Result<bool, Exit> + 'a;

impl ControlConnection {
    pub(super) fn connect(path: &Path) -> Result<ControlConnection, Exit> {
        let stream = connected(path, CHECK_AFTER + CHECK_TIMEOUT)
            .map_err(|error| cannot_reach(path, &error))?;
        // A blank line is not answered, but whoever says nothing at all is not waited for:
        // what is to be asked may be typed only now. Who is turned away is told.
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

    /// Says a line, of which this is the text.
    pub(super) fn send(&mut self, line: &[u8]) {
        self.read = 0;
        let line = [line, b"\n"].concat();
        self.unsent = self.stream.get_mut().write_all(&line).err();
    }

    /// Says that this is all.
    pub(super) fn end(&mut self) {
        self.read = 0;
        // Who has left already has no more to say.
        let _ = self.stream.get_ref().shutdown(Shutdown::Write);
    }

    /// The next line that is answered, without its end; `None` if no more will come.
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
                let message = format!("txlb: the answer has more than {mib} MiB, and is no txlb's");
                return Err(Exit::new(Exit::OTHER, &message));
            }
            if end.is_some() {
                line.pop();
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
        }
    }

    /// That it ended without an answer, and why.
    pub(super) fn lost_reason(&mut self) -> Exit {
        let ended = || io::Error::from(ErrorKind::UnexpectedEof);
        lost(&self.unsent.take().unwrap_or_else(ended))
    }

    fn wait(&self, wait: &mut Wait<'_>) -> Result<(), Exit> {
        for _ in 0..MAX_CHECKS {
            if wait(self.stream(), CHECK_AFTER)? {
                return Ok(());
            }
            // It may have come just now.
            if !is_there(&self.path) && !wait(self.stream(), Duration::ZERO)? {
                return Err(no_answer());
            }
        }
        let seconds = (CHECK_AFTER * u32::try_from(MAX_CHECKS).unwrap_or(1)).as_secs();
        let message = format!(
            "txlb: the txlb that runs is there, but has not done this within {seconds} s: it may be \
             waiting for a disk; its log says what became of it"
        );
        Err(Exit::new(Exit::NO_ANSWER, &message))
    }
}

/// Waits with nothing else to look at.
pub(super) fn wait(stream: &UnixStream, most: Duration) -> Result<bool, Exit> {
    let most = Timespec::try_from(most).ok();
    loop {
        match poll(&mut [PollFd::new(stream, PollFlags::IN)], most.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(lost(&error.into())),
        }
    }
}

/// Whether anybody answers what is answered without a turn at the desk.
fn is_there(path: &Path) -> bool {
    let ask = || {
        let mut stream = connected(path, CHECK_TIMEOUT)?;
        stream.write_all(b"abort\n")?;
        stream.read(&mut [0])
    };
    // The end of the stream is an answer: somebody let the client in.
    ask().is_ok()
}

fn connected(path: &Path, most: Duration) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let descriptor = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
    // Connecting waits as well: for room in the queue of one that lets nobody in.
    set_socket_timeout(&descriptor, Timeout::Send, Some(most))?;
    set_socket_timeout(&descriptor, Timeout::Recv, Some(most))?;
    connect(&descriptor, &address)?;
    Ok(UnixStream::from(descriptor))
}

fn cannot_reach(socket: &Path, error: &io::Error) -> Exit {
    let path = socket.display();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => Exit::new(
            Exit::NO_SOCKET,
            &format!(
                "txlb: nobody answers at {path}: is txlb running, and does its configuration \
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

/// The connection is of no use any more.
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

/// A line whose answer, if it has tables, has them so wide.
pub(super) fn in_columns(line: &str, columns: u16) -> String {
    match line.parse() {
        Ok(Command::Question(Question::Status | Question::Sessions)) if columns > 0 => {
            format!("columns {columns} {line}")
        }
        _ => line.to_owned(),
    }
}
