//! One client of the control socket: a conversation in lines or, if its first byte
//! is a NUL, AMP.
//!
//! What a line means is `director`'s to know. A client that goes slowly, or not at
//! all, takes up one thread for a while, and nothing else.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::amp::{self, Amp};
use super::limit::Place;
use super::{Hall, HostPlace, MAX_HOSTS};
use crate::config::Access;
use crate::control::{Actor, LineProtocol};

/// How long a client may take until it says anything.
const FIRST: Duration = Duration::from_secs(10);

/// How long a conversation may be silent then. Who speaks AMP may be so for ever: a host
/// stays, and asks when it has a client.
const IDLE: Duration = Duration::from_secs(600);

/// How long a client may take none of its answer.
const SLOW: Duration = Duration::from_secs(10);

/// Twenty large keys of a user fit in.
const MAX_LINE: usize = 64 * 1024;

/// Talks with a client until it leaves.
///
/// # Errors
/// The socket's; there is nobody to tell of them.
pub(super) fn talk(
    stream: &UnixStream,
    by: &Actor,
    place: &Place,
    hall: &Arc<Hall>,
) -> io::Result<()> {
    // Accepted sockets are as the listening one on some systems.
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(FIRST))?;
    stream.set_write_timeout(Some(SLOW))?;
    let mut reader = BufReader::new(stream);
    let first = match reader.fill_buf() {
        Err(error) if is_timeout(&error) => return refuse_silence(stream, FIRST),
        bytes => bytes?.first().copied(),
    };
    if first.is_some() {
        place.hear();
    }
    stream.set_read_timeout(Some(IDLE))?;
    match first {
        None => Ok(()),
        Some(amp::FIRST_BYTE) => {
            if !hall.speaks_amp.load(Ordering::Relaxed) {
                log::warn!("control: {by} is turned away: amp=\"false\" leaves AMP out here");
                return Ok(());
            }
            let Some(_place) = HostPlace::take(hall, |hall| &hall.hosts) else {
                log::warn!("control: {by} is turned away: {MAX_HOSTS} clients speak AMP already");
                return Ok(());
            };
            stream.set_read_timeout(None)?;
            answer_boxes(reader, stream, hall)
        }
        Some(_) => answer_lines(reader, stream, by, hall),
    }
}

/// As [`talk`], where nothing but AMP is spoken.
///
/// # Errors
/// As [`talk`].
pub(super) fn talk_amp(stream: &UnixStream, by: &Actor, hall: &Hall) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(FIRST))?;
    stream.set_write_timeout(Some(SLOW))?;
    let mut reader = BufReader::new(stream);
    match reader.fill_buf()?.first() {
        None => Ok(()),
        Some(&amp::FIRST_BYTE) => {
            stream.set_read_timeout(None)?;
            answer_boxes(reader, stream, hall)
        }
        Some(_) => {
            log::warn!("amp: {by} is turned away: nothing but AMP is spoken here");
            refuse(stream, "nothing but AMP is spoken here")
        }
    }
}

/// What was read of a line.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Whole(String),
    NotText,
    TooLong,
    /// The client left in the middle of it: who knows what it was to be.
    Half,
    End,
}

fn answer_lines(
    mut reader: impl BufRead,
    mut out: &UnixStream,
    by: &Actor,
    hall: &Hall,
) -> io::Result<()> {
    let mut conversation = LineProtocol::new(Access::Full);
    loop {
        let line = match read_line(&mut reader) {
            Err(error) if is_timeout(&error) => {
                return refuse_silence(out, IDLE);
            }
            line => line?,
        };
        let _answering = hall.answers.begin();
        let why = match line {
            Line::Whole(line) => {
                let answer = conversation.answer(&line, hall.desk(), by);
                out.write_all(answer.as_bytes())?;
                continue;
            }
            Line::NotText => "the line is not UTF-8".to_owned(),
            Line::TooLong => format!("the line is too long: {MAX_LINE} bytes are possible"),
            Line::Half => return refuse(out, "the last line has no end: it is ignored"),
            Line::End if conversation.is_in_batch() => {
                return refuse(out, "the batch was not committed: nothing of it is done");
            }
            Line::End => return Ok(()),
        };
        conversation.refuse(&why);
        refuse(out, &why)?;
    }
}

/// Says why something is not done, as an answer.
pub(super) fn refuse(mut out: &UnixStream, why: &str) -> io::Result<()> {
    out.write_all(format!("error: {why}\n").as_bytes())
}

fn refuse_silence(out: &UnixStream, patience: Duration) -> io::Result<()> {
    let seconds = patience.as_secs();
    refuse(out, &format!("nothing was said for {seconds} s"))
}

/// The next line, without its end. One that is too long costs no memory.
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

fn answer_boxes(mut reader: impl BufRead, mut out: &UnixStream, hall: &Hall) -> io::Result<()> {
    let mut amp = Amp::default();
    let mut answers = Vec::new();
    loop {
        let bytes = reader.fill_buf()?;
        let length = bytes.len();
        if length == 0 {
            return Ok(());
        }
        let heard = amp.hear(bytes, |local| hall.origins.client_of(local), &mut answers);
        reader.consume(length);
        out.write_all(&answers)?;
        answers.clear();
        if let Err(error) = heard {
            log::warn!("control: this is not AMP, or nothing to be asked: {error}");
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
