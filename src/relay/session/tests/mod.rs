//! The state machine, event by event, without a byte or a socket.

mod connecting;
mod relaying;
mod silence;

use super::*;
use Direction::{ToClient, ToHost};
use Side::{Client, Host};

const TIMEOUTS: TimeoutsMs = TimeoutsMs {
    connect: 5000,
    idle: 60_000,
    half_closed: 10_000,
};

const READABLE: Readiness = ready(true, false, false, false);
const WRITABLE: Readiness = ready(false, true, false, false);
/// Bytes and the end of the stream, or the end alone.
const ENDING: Readiness = ready(true, true, true, false);
/// A reset, as epoll shows it.
const BROKEN: Readiness = ready(true, true, true, true);

const fn ready(readable: bool, writable: bool, read_closed: bool, error: bool) -> Readiness {
    Readiness {
        readable,
        writable,
        read_closed,
        error,
        urgent: false,
        connected: false,
    }
}

/// The action that checks a connect without a hint.
const fn check_connect(late: bool) -> Action {
    Action::CheckConnect {
        late,
        connect_hint: false,
    }
}

/// A session whose client was accepted at 0.
fn picking(timeouts: TimeoutsMs) -> Session {
    let session = Session::new(timeouts, 0);
    assert_eq!(session.next(), Action::Pick);
    session
}

/// The same with a connect that started at `now_ms`.
fn connecting(timeouts: TimeoutsMs, now_ms: u64) -> Session {
    let mut session = picking(timeouts);
    session.handle_picked(now_ms);
    assert_eq!(session.next(), Action::Wait);
    session
}

/// The same, connected at once.
fn relaying(timeouts: TimeoutsMs) -> Session {
    let mut session = connecting(timeouts, 0);
    session.handle_connected(0);
    assert_eq!(session.next(), Action::Wait);
    session
}

/// Reads `bytes` in a short read, of which `sent` are written.
fn pass(session: &mut Session, direction: Direction, bytes: &[u8], sent: usize, now_ms: u64) {
    assert_eq!(session.next(), Action::Read(direction));
    session.handle_read(direction, true, now_ms);
    session.handle_sent(direction, sent, &bytes[sent..]);
}

/// Reads the end of a direction and passes it on.
fn half_close(session: &mut Session, direction: Direction) {
    session.handle_ready(direction.source(), ENDING);
    assert_eq!(session.next(), Action::Read(direction));
    session.handle_end(direction);
    assert_eq!(session.next(), Action::Shutdown(direction));
    session.handle_shutdown(direction);
}

/// Reports a shortage each time the session picks. Returns when the session ends, and why.
fn trouble_without_end(timeouts: TimeoutsMs) -> (u64, EndReason) {
    let mut session = picking(timeouts);
    let mut now_ms = 0;
    loop {
        session.handle_shortage(now_ms);
        match session.next() {
            Action::Close(reason) => return (now_ms, reason),
            action => assert_eq!(action, Action::Wait),
        }
        now_ms = session.deadline_ms().unwrap();
        session.handle_deadline(now_ms);
        assert_eq!(session.next(), Action::Pick);
    }
}
