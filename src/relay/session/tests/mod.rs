//! The state machine, event by event, without a byte or a socket. Here until a host has accepted.

mod held;
mod relaying;
mod silence;

use super::*;
use Direction::{ToClient, ToHost};
use Side::{Client, Host};

const TIMEOUTS: TimeoutsMs = TimeoutsMs {
    connect: 5000,
    idle: 60_000,
    half_closed: 10_000,
    keep_alive: 60_000,
    unacked: 0,
    max_duration: 0,
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
    session.handle_connected(b"", 0);
    assert_eq!(session.next(), Action::Wait);
    session
}

/// Reads `bytes` in a short read, of which `sent` are written.
fn pass(session: &mut Session, direction: Direction, bytes: &[u8], sent: usize, now_ms: u64) {
    assert_eq!(session.next(), Action::Read(direction));
    session.handle_read(direction, true, now_ms);
    session.handle_sent(direction, bytes, sent);
}

/// Reads the end of a direction and passes it on.
fn half_close(session: &mut Session, direction: Direction) {
    session.handle_ready(direction.source(), ENDING, 0);
    assert_eq!(session.next(), Action::Read(direction));
    session.handle_end(direction);
    assert_eq!(session.next(), Action::Shutdown(direction));
    session.handle_shutdown(direction, 0);
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

// From the first pick to the host that accepts, or to none.

const FIRST: HostId = HostId(0);

#[test]
fn a_host_that_refuses_is_not_asked_again() {
    let mut session = connecting(TIMEOUTS, 0);
    session.handle_ready(Host, BROKEN, 0);
    assert_eq!(session.next(), check_connect(false));
    session.handle_connect_failed(FIRST, false, 10);
    assert_eq!(session.next(), Action::Pick);
    assert_eq!(session.tried(), [FIRST]);
    session.handle_no_host(10);
    assert_eq!(session.next(), Action::Close(EndReason::NoHost));
}

#[test]
fn what_was_seen_of_a_host_that_refused_does_not_hold_for_the_next() {
    let mut session = connecting(TIMEOUTS, 0);
    session.handle_ready(Host, BROKEN, 0);
    session.handle_connect_failed(FIRST, false, 10);
    session.handle_picked(10);
    session.handle_connected(b"", 20);
    assert_eq!(session.next(), Action::Wait, "it has said nothing");
    session.handle_ready(Host, READABLE, 0);
    pass(&mut session, ToClient, b"abc", 3, 30);
    assert_eq!(session.next(), Action::Wait, "it has announced no end");
}

#[test]
fn a_host_that_has_another_address_may_be_picked_again() {
    let mut session = connecting(TIMEOUTS, 0);
    session.handle_moved(true, 10);
    assert_eq!(session.next(), Action::Pick);
    assert_eq!((session.tried(), session.failed_attempts()), (&[][..], 1));
    session.handle_picked(10);
    session.handle_connect_failed(FIRST, false, 20);
    assert_eq!(
        (session.tried(), session.failed_attempts()),
        (&[FIRST][..], 2)
    );
}

/// A host that moves to a new address each time does not get around the limit.
#[test]
fn sixteen_addresses_are_tried_and_no_more() {
    let mut session = picking(TIMEOUTS);
    for number in 0..16 {
        assert_eq!(session.next(), Action::Pick, "{number}");
        session.handle_picked(0);
        match number % 2 {
            0 => session.handle_moved(false, 0),
            _ => session.handle_connect_failed(HostId(number), false, 0),
        }
    }
    assert_eq!(session.next(), Action::Close(EndReason::NoHost));
}

#[test]
fn sixteen_hosts_are_tried_and_no_more() {
    let mut session = picking(TIMEOUTS);
    for number in 0..16 {
        assert_eq!(session.next(), Action::Pick, "{number}");
        session.handle_picked(0);
        session.handle_connect_failed(HostId(number), false, 0);
    }
    assert_eq!(session.next(), Action::Close(EndReason::NoHost));
    assert_eq!(session.failed_attempts(), 16);
}

#[test]
fn three_connect_timeouts_are_all_that_a_client_waits() {
    let mut session = picking(TIMEOUTS);
    for number in 0..3 {
        let now_ms = u64::from(number) * TIMEOUTS.connect;
        assert_eq!(session.next(), Action::Pick);
        session.handle_picked(now_ms);
        let end_ms = now_ms + TIMEOUTS.connect;
        assert_eq!(session.deadline_ms(), Some(end_ms));
        session.handle_deadline(end_ms - 1);
        assert_eq!(session.next(), Action::Wait);
        session.handle_deadline(end_ms);
        assert_eq!(session.next(), check_connect(true));
        assert!(session.host_timed_out(end_ms));
        session.handle_connect_failed(HostId(number), true, end_ms);
    }
    assert_eq!(session.next(), Action::Close(EndReason::ConnectTimedOut));
}

#[test]
fn a_connect_cut_by_the_clients_timeout_is_not_blamed_on_the_host() {
    let mut session = picking(TIMEOUTS);
    session.handle_picked(0);
    session.handle_connect_failed(HostId(0), false, 14_000);
    session.handle_picked(14_000);
    assert_eq!(session.deadline_ms(), Some(15_000));
    session.handle_deadline(15_000);
    assert_eq!(session.next(), check_connect(true));
    assert!(!session.host_timed_out(15_000));
    session.handle_connect_failed(HostId(1), true, 15_000);
    assert_eq!(session.next(), Action::Close(EndReason::ConnectTimedOut));
}

#[test]
fn a_connect_that_is_there_just_in_time_counts() {
    let mut session = connecting(TIMEOUTS, 0);
    session.handle_deadline(5000);
    assert_eq!(session.next(), check_connect(true));
    session.handle_connected(b"", 5000);
    assert_eq!(session.next(), Action::Wait);
    assert_eq!(session.connected_ms(), Some(5000));
}

#[test]
fn without_a_connect_timeout_a_host_may_take_for_ever() {
    let timeouts = TimeoutsMs {
        connect: 0,
        ..TIMEOUTS
    };
    let mut session = connecting(timeouts, 0);
    assert_eq!(session.deadline_ms(), None);
    session.handle_deadline(u64::MAX);
    assert_eq!(session.next(), Action::Wait);
    session.handle_connect_failed(FIRST, true, 1_000_000);
    assert_eq!(session.next(), Action::Pick);
}

#[test]
fn a_spurious_wake_up_goes_on_waiting() {
    let mut session = connecting(TIMEOUTS, 0);
    session.handle_ready(Host, READABLE, 0);
    assert_eq!(session.next(), Action::Wait, "not even worth a look");
    session.handle_ready(Host, WRITABLE, 0);
    assert_eq!(session.next(), check_connect(false));
    session.handle_connect_pending();
    assert_eq!(session.next(), Action::Wait);
    assert_eq!(session.deadline_ms(), Some(5000));
}

#[test]
fn how_long_a_connect_takes_is_counted_from_its_own_start() {
    let session = connecting(TIMEOUTS, 4000);
    assert_eq!(session.connecting_ms(4030), 30);
    assert_eq!(relaying(TIMEOUTS).connecting_ms(4030), 0);
}

#[test]
fn a_client_that_is_gone_needs_no_host() {
    let mut paused = picking(TIMEOUTS);
    paused.handle_shortage(0);
    for mut session in [picking(TIMEOUTS), paused, connecting(TIMEOUTS, 0)] {
        session.handle_ready(Client, BROKEN, 0);
        assert_eq!(session.next(), Action::Close(EndReason::ClientGone));
    }
}

#[test]
fn a_connection_that_the_system_vouches_for_is_not_asked_about_and_the_next_one_is() {
    let connect_hint = Readiness {
        connected: true,
        ..WRITABLE
    };
    let mut session = connecting(TIMEOUTS, 0);
    session.handle_ready(Host, connect_hint, 0);
    let check_hinted = Action::CheckConnect {
        late: false,
        connect_hint: true,
    };
    assert_eq!(session.next(), check_hinted);
    session.handle_connect_failed(FIRST, false, 10);
    session.handle_picked(10);
    session.handle_ready(Host, WRITABLE, 0);
    assert_eq!(session.next(), check_connect(false));
}

#[test]
fn a_session_whose_hosts_lead_back_here_waits_for_a_second() {
    let mut session = picking(TIMEOUTS);
    session.handle_routing_loop(10);
    assert_eq!(session.next(), Action::Wait);
    assert_eq!(session.deadline_ms(), Some(1000));
    session.handle_deadline(1000);
    assert_eq!(session.next(), Action::Pick);
    session.handle_routing_loop(1000);
    assert_eq!(session.next(), Action::Close(EndReason::NoHost));
}

#[test]
fn without_a_descriptor_it_pauses_and_picks_again() {
    let mut session = picking(TIMEOUTS);
    session.handle_shortage(10);
    assert_eq!(session.next(), Action::Wait);
    let until_ms = session.deadline_ms().unwrap();
    assert!(until_ms > 10);
    session.handle_deadline(until_ms - 1);
    assert_eq!(session.next(), Action::Wait);
    session.handle_deadline(until_ms);
    assert_eq!(session.next(), Action::Pick);
    assert_eq!(session.tried(), []);
}

#[test]
fn it_is_borne_for_as_long_as_a_client_waits() {
    let ends = trouble_without_end(TIMEOUTS);
    assert_eq!(ends, (15_000, EndReason::LocalError));
    let without_timeout = TimeoutsMs {
        connect: 0,
        ..TIMEOUTS
    };
    let ends = trouble_without_end(without_timeout);
    assert_eq!(ends, (15_000, EndReason::LocalError));
}

#[test]
fn without_a_port_another_host_is_tried_and_then_all_again() {
    let mut session = picking(TIMEOUTS);
    session.handle_no_port(HostId(0), 50, 0);
    assert_eq!(session.next(), Action::Pick);
    assert_eq!(session.tried(), [HostId(0)]);
    session.handle_no_port(HostId(1), 50, 0);
    session.handle_no_host(0);
    assert_eq!(session.next(), Action::Wait, "they may be in reach later");
    session.handle_deadline(session.deadline_ms().unwrap());
    assert_eq!(session.next(), Action::Pick);
    assert_eq!(session.tried(), []);
    assert_eq!(session.failed_attempts(), 0);
}

#[test]
fn a_host_that_failed_stays_tried_when_those_out_of_reach_are_tried_again() {
    let mut session = picking(TIMEOUTS);
    session.handle_no_port(HostId(0), 50, 0);
    session.handle_picked(0);
    session.handle_connect_failed(HostId(1), false, 10);
    assert_eq!(session.tried(), [HostId(1), HostId(0)]);
    session.handle_no_host(10);
    session.handle_deadline(session.deadline_ms().unwrap());
    assert_eq!(session.next(), Action::Pick);
    assert_eq!(session.tried(), [HostId(1)]);
    session.handle_no_host(100);
    assert_eq!(session.next(), Action::Close(EndReason::NoHost));
}

#[test]
fn however_many_hosts_are_out_of_reach_sixteen_are_remembered() {
    let mut session = picking(TIMEOUTS);
    for number in 0..17 {
        assert_eq!(session.next(), Action::Pick, "{number}");
        session.handle_no_port(HostId(number), 50, 0);
        assert!(session.tried().len() <= 16);
    }
    assert_eq!(session.next(), Action::Wait);
    assert_eq!(session.tried(), []);
}

#[test]
fn a_failed_host_is_remembered_even_if_sixteen_are_out_of_reach() {
    let mut session = picking(TIMEOUTS);
    for number in 0..16 {
        session.handle_no_port(HostId(number), 50, 0);
    }
    session.handle_picked(0);
    session.handle_connect_failed(HostId(99), false, 0);
    assert_eq!(session.next(), Action::Pick);
    assert_eq!(session.tried()[0], HostId(99));
    assert!(session.tried().len() <= 16);
}
