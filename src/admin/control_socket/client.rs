//! One client of the control socket: lines or, if its first byte is NUL, AMP.
//!
//! A slow or silent client takes one thread until a timeout, and nothing else.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::amp::{self, Amp};
use super::limit::{ConnectionSlot, MAX_AMP_CLIENTS};
use crate::admin::server::acceptor::InFlight;
use crate::config::Access;
use crate::control::{Actor, ClientLookup, Handle, LineProtocol};
use crate::sync::Counter;

/// Timeout of the first byte.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout of the next line. AMP has none: a host stays connected, and asks whenever it
/// gets a connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// Timeout of a write.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a line: enough for twenty large SSH keys of a user.
const MAX_LINE: usize = 64 * 1024;

/// What the threads of all clients share.
pub(super) struct ClientContext {
    client_lookup: ClientLookup,
    handle: OnceLock<Handle>,
    /// Whether the control socket speaks AMP, too.
    pub(super) speaks_amp: AtomicBool,
    /// AMP clients of the control socket.
    amp_on_control: Counter,
    /// Clients of the socket for AMP alone.
    pub(super) amp_clients: Counter,
    pub(super) in_flight: InFlight,
}

impl ClientContext {
    pub(super) fn new(client_lookup: ClientLookup) -> ClientContext {
        ClientContext {
            client_lookup,
            handle: OnceLock::new(),
            speaks_amp: AtomicBool::new(true),
            amp_on_control: Counter::default(),
            amp_clients: Counter::default(),
            in_flight: InFlight::default(),
        }
    }

    /// Sets the controller's handle. Requests wait until it is set.
    pub(super) fn set_handle(&self, handle: Handle) {
        let _ = self.handle.set(handle);
    }

    fn handle(&self) -> &Handle {
        self.handle.wait()
    }
}

/// Serves a client until it leaves.
///
/// # Errors
/// The connection is lost.
pub(super) fn serve_client(
    stream: &UnixStream,
    actor: &Actor,
    slot: &ConnectionSlot,
    context: &ClientContext,
) -> io::Result<()> {
    let mut reader = with_timeouts(stream)?;
    let first = match reader.fill_buf() {
        Err(error) if is_timeout(&error) => return report_timeout(stream, FIRST_BYTE_TIMEOUT),
        bytes => bytes?.first().copied(),
    };
    if first.is_some() {
        slot.mark_spoken();
    }
    stream.set_read_timeout(Some(IDLE_TIMEOUT))?;
    match first {
        None => Ok(()),
        Some(amp::FIRST_BYTE) => {
            if !context.speaks_amp.load(Ordering::Relaxed) {
                log::warn!(
                    "control: {actor} is turned away: AMP is off on this socket (amp=\"false\")"
                );
                return Ok(());
            }
            let Some(_slot) = context.amp_on_control.count_below(MAX_AMP_CLIENTS) else {
                log::warn!(
                    "control: {actor} is turned away: {MAX_AMP_CLIENTS} clients speak AMP already"
                );
                return Ok(());
            };
            serve_amp(reader, stream, context)
        }
        Some(_) => serve_lines(reader, stream, actor, context),
    }
}

/// Serves a client of the socket for AMP alone.
///
/// # Errors
/// As [`serve_client`].
pub(super) fn serve_amp_client(
    stream: &UnixStream,
    actor: &Actor,
    context: &ClientContext,
) -> io::Result<()> {
    let mut reader = with_timeouts(stream)?;
    match reader.fill_buf()?.first() {
        None => Ok(()),
        Some(&amp::FIRST_BYTE) => serve_amp(reader, stream, context),
        Some(_) => {
            log::warn!("amp: {actor} is turned away: this socket accepts AMP only");
            write_error(stream, "this socket accepts AMP only")
        }
    }
}

/// A reader of the client's socket, with the timeouts of its first byte and of writes.
fn with_timeouts(stream: &UnixStream) -> io::Result<BufReader<&UnixStream>> {
    // On some systems accept(2) hands the listener's O_NONBLOCK on.
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(FIRST_BYTE_TIMEOUT))?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    Ok(BufReader::new(stream))
}

/// The result of reading a line.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Whole(String),
    NotText,
    TooLong,
    /// The connection ended in the middle of it: not executed.
    Half,
    End,
}

fn serve_lines(
    mut reader: impl BufRead,
    mut out: &UnixStream,
    actor: &Actor,
    context: &ClientContext,
) -> io::Result<()> {
    let mut protocol = LineProtocol::new(Access::Full);
    loop {
        let line = match read_line(&mut reader) {
            Err(error) if is_timeout(&error) => {
                return report_timeout(out, IDLE_TIMEOUT);
            }
            line => line?,
        };
        let _in_flight = context.in_flight.begin();
        let why = match line {
            Line::Whole(line) => {
                let answer = protocol.reply_text(&line, context.handle(), actor);
                out.write_all(answer.as_bytes())?;
                continue;
            }
            Line::NotText => "the line is not UTF-8".to_owned(),
            Line::TooLong => format!("the line is too long: {MAX_LINE} bytes are possible"),
            Line::Half => return write_error(out, "the last line has no end: it is ignored"),
            Line::End if protocol.is_in_batch() => {
                return write_error(out, "the batch was not committed: nothing was changed");
            }
            Line::End => return Ok(()),
        };
        protocol.reject_line(&why);
        write_error(out, &why)?;
    }
}

/// Writes an error response.
pub(super) fn write_error(mut out: &UnixStream, why: &str) -> io::Result<()> {
    out.write_all(format!("error: {why}\n").as_bytes())
}

fn report_timeout(out: &UnixStream, timeout: Duration) -> io::Result<()> {
    let seconds = timeout.as_secs();
    write_error(out, &format!("no command came for {seconds} s"))
}

/// Reads a line without its end. The rest of a line that is too long is skipped, without
/// memory for it. It must not be obeyed in part.
// Test: a_line_that_is_too_long_is_passed_over_up_to_its_end.
fn read_line(reader: &mut impl BufRead) -> io::Result<Line> {
    let mut line = Vec::new();
    let most = MAX_LINE as u64 + 1;
    reader.take(most).read_until(b'\n', &mut line)?;
    match line.pop() {
        None => Ok(Line::End),
        Some(b'\n') => Ok(String::from_utf8(line).map_or(Line::NotText, Line::Whole)),
        Some(_) if line.len() < MAX_LINE => Ok(Line::Half),
        Some(_) => {
            let ended = reader.skip_until(b'\n')? > 0;
            Ok(if ended { Line::TooLong } else { Line::Half })
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn serve_amp(
    mut reader: impl BufRead,
    mut out: &UnixStream,
    context: &ClientContext,
) -> io::Result<()> {
    out.set_read_timeout(None)?;
    let mut amp = Amp::default();
    let mut answers = Vec::new();
    loop {
        let bytes = reader.fill_buf()?;
        let length = bytes.len();
        if length == 0 {
            return Ok(());
        }
        let result = amp.receive(
            bytes,
            |local| context.client_lookup.client_of(local),
            &mut answers,
        );
        reader.consume(length);
        out.write_all(&answers)?;
        answers.clear();
        if let Err(error) = result {
            log::warn!("control: this is no AMP command: {error}");
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<Line> {
        let mut reader = BufReader::with_capacity(7, bytes);
        let mut lines = Vec::new();
        while lines.last() != Some(&Line::End) {
            lines.push(read_line(&mut reader).unwrap());
        }
        lines
    }

    #[test]
    fn lines_end_where_they_end() {
        let whole = |text: &str| Line::Whole(text.to_owned());
        assert_eq!(lines(b""), [Line::End]);
        assert_eq!(
            lines(b"status\n\n a \xff\nb"),
            [
                whole("status"),
                whole(""),
                Line::NotText,
                Line::Half,
                Line::End
            ]
        );
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_up_to_its_end() {
        let longest = "x".repeat(MAX_LINE);
        let whole = |text: &str| Line::Whole(text.to_owned());
        assert_eq!(
            lines(format!("{longest}\nstatus\n").as_bytes()),
            [whole(&longest), whole("status"), Line::End]
        );
        for length in [MAX_LINE + 1, MAX_LINE + 2, 1 << 20] {
            let long = "x".repeat(length);
            assert_eq!(
                lines(format!("{long}\nstatus\n").as_bytes()),
                [Line::TooLong, whole("status"), Line::End]
            );
        }
        assert_eq!(lines(longest.as_bytes())[0], Line::Half);
    }
}
