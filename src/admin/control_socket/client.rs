//! Clients of the control socket: how many may be connected, and how one is served: lines or, if its
//! first byte is NUL, AMP.
//!
//! A slow or silent client takes one thread until a timeout, and nothing else.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use super::amp::{self, Amp};
use crate::admin::haproxy::cli::HaproxyCli;
use crate::admin::server::acceptor::InFlight;
use crate::config::Access;
use crate::control::{Actor, ClientLookup, Handle, LineProtocol};
use crate::sync::{Counter, lock};

/// Timeout of the first byte.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout of the next line. AMP has none: a host stays connected, and asks whenever it
/// gets a connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// Timeout of a write.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a line: enough for twenty large SSH keys of a user.
const MAX_LINE: usize = 64 * 1024;

/// Clients that are connected at the same time.
const MAX_CLIENTS: usize = 32;

/// Clients of users other than root and txlb's own.
const MAX_OTHER_USERS: usize = 28;

/// After this time a client that has sent nothing can be evicted for any other.
const MAX_SILENCE: Duration = Duration::from_secs(1);

/// AMP clients that are served at the same time, on each socket. Hosts stay connected, and
/// operators need slots, too.
pub(super) const MAX_AMP_CLIENTS: usize = 24;

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
    let mut haproxy = HaproxyCli::default();
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
                if let Some(answer) = haproxy.answer(&line, context.handle()) {
                    out.write_all(answer.text.as_bytes())?;
                    match answer.ends {
                        true => return Ok(()),
                        false => continue,
                    }
                }
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

/// The connection limit. Some slots are reserved for root and txlb's own user, and clients that have
/// sent nothing are evicted for them.
#[derive(Default)]
pub(super) struct ConnectionLimit(Mutex<Taken>);

/// The connected clients.
#[derive(Default)]
struct Taken {
    /// In the order in which they connected.
    clients: Vec<Client>,
    last_id: u64,
}

struct Client {
    id: u64,
    is_own: bool,
    since: Instant,
    has_spoken: Arc<AtomicBool>,
    stream: Arc<UnixStream>,
}

/// A client's slot, until it is dropped.
pub(super) struct ConnectionSlot {
    limit: Arc<ConnectionLimit>,
    id: u64,
    has_spoken: Arc<AtomicBool>,
}

impl ConnectionSlot {
    /// The client has sent something, so it is not evicted.
    pub(super) fn mark_spoken(&self) {
        self.has_spoken.store(true, Ordering::Relaxed);
    }
}

impl ConnectionLimit {
    /// Takes a slot; `is_own` means root or txlb's own user. Also returns the client that was
    /// evicted for it.
    ///
    /// # Errors
    /// All slots are taken: the limit that was reached.
    pub(super) fn take(
        self: &Arc<ConnectionLimit>,
        stream: &Arc<UnixStream>,
        is_own: bool,
    ) -> Result<(ConnectionSlot, Option<Arc<UnixStream>>), usize> {
        let mut taken = self.lock();
        let others = taken.clients.iter().filter(|it| !it.is_own).count();
        let is_full = taken.clients.len() >= MAX_CLIENTS || (!is_own && others >= MAX_OTHER_USERS);
        let evicted = match taken.eviction_candidate(is_own) {
            _ if !is_full => None,
            Some(at) => Some(taken.clients.remove(at).stream),
            None if is_own => return Err(MAX_CLIENTS),
            None => return Err(MAX_OTHER_USERS),
        };
        taken.last_id += 1;
        let (id, has_spoken) = (taken.last_id, Arc::default());
        taken.clients.push(Client {
            id,
            is_own,
            since: Instant::now(),
            has_spoken: Arc::clone(&has_spoken),
            stream: Arc::clone(stream),
        });
        let limit = Arc::clone(self);
        let slot = ConnectionSlot {
            limit,
            id,
            has_spoken,
        };
        Ok((slot, evicted))
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        lock(&self.0)
    }
}

impl Taken {
    /// The client to evict, of those that have sent nothing: other users first, then the oldest.
    /// A client of another user evicts only other users, after [`MAX_SILENCE`].
    fn eviction_candidate(&self, is_own: bool) -> Option<usize> {
        let silent = self.clients.iter().enumerate().filter(|(_, it)| {
            let may_go = is_own || (!it.is_own && it.since.elapsed() >= MAX_SILENCE);
            may_go && !it.has_spoken.load(Ordering::Relaxed)
        });
        silent
            .min_by_key(|(at, it)| (it.is_own, *at))
            .map(|(at, _)| at)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.limit.lock().clients.retain(|it| it.id != self.id);
    }
}

/// Ends a connection, also for the thread that reads from it.
pub(super) fn disconnect(stream: &UnixStream) {
    // Fails only if the client has gone.
    let _ = stream.shutdown(Shutdown::Both);
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

    fn stream() -> Arc<UnixStream> {
        Arc::new(UnixStream::pair().unwrap().0)
    }

    /// Takes `count` slots.
    fn take_slots(limit: &Arc<ConnectionLimit>, count: usize, is_own: bool) -> Vec<ConnectionSlot> {
        let take = |_| limit.take(&stream(), is_own);
        (0..count).filter_map(take_only(take)).collect()
    }

    fn take_only(
        take: impl Fn(usize) -> Result<(ConnectionSlot, Option<Arc<UnixStream>>), usize>,
    ) -> impl Fn(usize) -> Option<ConnectionSlot> {
        move |number| take(number).ok().map(|(slot, _)| slot)
    }

    #[test]
    fn slots_are_reserved_for_root() {
        let limit = Arc::new(ConnectionLimit::default());
        let others = take_slots(&limit, 40, false);
        assert_eq!(others.len(), MAX_OTHER_USERS);
        others.iter().for_each(ConnectionSlot::mark_spoken);
        let own = take_slots(&limit, 4, true);
        assert_eq!(own.len(), 4);
        own.iter().for_each(ConnectionSlot::mark_spoken);
        assert_eq!(limit.take(&stream(), true).err(), Some(MAX_CLIENTS));
        assert_eq!(limit.take(&stream(), false).err(), Some(MAX_OTHER_USERS));
        drop(others);
        assert!(limit.take(&stream(), false).is_ok());
        drop(own);
        assert_eq!(limit.lock().clients.len(), 0);
    }

    #[test]
    fn a_silent_client_is_evicted_for_root_other_users_before_root() {
        let limit = Arc::new(ConnectionLimit::default());
        let own = take_slots(&limit, 10, true);
        let others = take_slots(&limit, 22, false);
        others[0].mark_spoken();
        let (first, evicted) = limit.take(&stream(), true).unwrap();
        assert!(evicted.is_some());
        let is_there =
            |slot: &ConnectionSlot| limit.lock().clients.iter().any(|it| it.id == slot.id);
        assert!(is_there(&others[0]) && !is_there(&others[1]) && is_there(&own[0]));
        others.iter().for_each(ConnectionSlot::mark_spoken);
        let second = limit.take(&stream(), true);
        assert!(second.is_ok() && !is_there(&own[0]) && is_there(&first));
        // Other users evict no client that has only just connected.
        assert_eq!(limit.take(&stream(), false).err(), Some(MAX_OTHER_USERS));
    }

    #[test]
    fn a_client_that_is_silent_for_a_second_is_evicted_for_any_other() {
        let limit = Arc::new(ConnectionLimit::default());
        let others = take_slots(&limit, MAX_OTHER_USERS, false);
        let long_ago = Instant::now().checked_sub(MAX_SILENCE).unwrap();
        limit.lock().clients[3].since = long_ago;
        assert!(limit.take(&stream(), false).is_ok());
        assert_eq!(limit.lock().clients.len(), MAX_OTHER_USERS - 1);
        assert!(!limit.lock().clients.iter().any(|it| it.id == others[3].id));
    }
}
