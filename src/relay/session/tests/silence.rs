//! Silence, timeouts, dead peers and the deadline.

use super::*;
use crate::os::sockets::Delivery;
use crate::relay::timer_wheel::Stall;

/// What a silent session does if the system does not report what its peers have acknowledged.
fn undelivered(session: &mut Session, now_ms: u64) -> Action {
    assert_eq!(session.next(), Action::CheckDelivery);
    session.handle_delivery([None; 2], now_ms);
    session.next()
}

/// What a silent session does with this report about its client.
fn after_silence(session: &mut Session, now_ms: u64, to_client: Delivery) -> Action {
    session.handle_deadline(now_ms);
    assert_eq!(session.next(), Action::CheckDelivery);
    session.handle_delivery([None, Some(to_client)], now_ms);
    session.next()
}

/// A client that has acknowledged so many bytes, the last of them `progress_ms` ago.
fn slow(acknowledged: u64, progress_ms: u64) -> Delivery {
    Delivery {
        waits: true,
        acknowledged,
        progress_ms,
    }
}

#[test]
fn a_peer_that_acknowledges_what_was_written_is_not_silent() {
    let mut session = relaying(TIMEOUTS);
    session.handle_peers_watched();
    session.handle_ready(Host, READABLE, 0);
    pass(&mut session, ToClient, b"hello", 5, 10);
    let action = after_silence(&mut session, 60_010, slow(1, 1000));
    assert_eq!(
        (action, session.deadline_ms()),
        (Action::Wait, Some(119_010))
    );
    // It acknowledges again what it has acknowledged before.
    let action = after_silence(&mut session, 119_010, slow(1, 0));
    assert_eq!(action, Action::Close(EndReason::ClientSilent));
}

#[test]
fn a_peer_that_stopped_acknowledging_is_silent_at_once() {
    let mut session = relaying(TIMEOUTS);
    session.handle_peers_watched();
    session.handle_ready(Host, READABLE, 0);
    pass(&mut session, ToClient, b"hello", 5, 10);
    let action = after_silence(&mut session, 60_010, slow(1, 60_000));
    assert_eq!(action, Action::Close(EndReason::ClientSilent));
}

#[test]
fn a_peer_that_has_just_got_the_last_byte_has_its_time_to_speak() {
    let all = |progress_ms| Delivery {
        waits: false,
        ..slow(5, progress_ms)
    };
    let written_at_10 = || {
        let mut session = relaying(TIMEOUTS);
        session.handle_peers_watched();
        session.handle_ready(Host, READABLE, 0);
        pass(&mut session, ToClient, b"hello", 5, 10);
        session
    };
    let mut session = written_at_10();
    let action = after_silence(&mut session, 60_010, slow(1, 0));
    assert_eq!(action, Action::Wait);
    let action = after_silence(&mut session, 120_010, all(5000));
    assert_eq!(action, Action::Wait);
    assert_eq!(session.deadline_ms(), Some(175_010));
    let action = after_silence(&mut session, 175_010, all(60_000));
    assert_eq!(action, Action::Close(EndReason::ClientSilent));
    // Though nothing waits for it at the first look.
    let mut session = written_at_10();
    let action = after_silence(&mut session, 60_010, all(1000));
    assert_eq!(action, Action::Wait);
    assert_eq!(session.deadline_ms(), Some(119_010));
}

#[test]
fn the_idle_timeout_counts_silence_not_age() {
    let mut session = relaying(TIMEOUTS);
    session.handle_peers_watched();
    for now_ms in [50_000, 100_000, 150_000] {
        session.handle_deadline(now_ms);
        session.handle_ready(Client, READABLE, 0);
        pass(&mut session, ToHost, b"abc", 3, now_ms);
    }
    assert_eq!(session.deadline_ms(), Some(210_000));
    session.handle_deadline(209_999);
    assert_eq!(session.next(), Action::Wait);
    session.handle_deadline(210_000);
    assert_eq!(
        undelivered(&mut session, 210_000),
        Action::Close(EndReason::HostSilent)
    );
}

/// Time passes until it is cut.
fn fall_silent(session: &mut Session, deliveries: [Option<Delivery>; 2]) {
    for now_ms in [500_000, 1_000_000] {
        session.handle_deadline(now_ms);
        while let Action::Write(direction) = session.next() {
            session.handle_buffered_sent(direction, 0, now_ms);
        }
        if session.next() == Action::CheckDelivery {
            session.handle_delivery(deliveries, now_ms);
        }
    }
}

/// The source of a direction ends, which is passed on; nothing has room for more.
fn end_without_room(session: &mut Session, direction: Direction) {
    session.handle_ready(direction.source(), ready(true, false, true, false), 0);
    session.handle_end(direction);
    session.handle_shutdown(direction, 10);
}

/// As HAProxy has it: c is a client, s a server, that neither sends nor takes anything.
#[test]
fn whose_silence_it_is() {
    let waits = |waits| {
        Some(Delivery {
            waits,
            ..slow(5, 1_000_000)
        })
    };
    let none = [waits(false), waits(false)];
    // The last sender; bytes in txlb for host and client; which side has ended; what the system has.
    for (sender, kept, ended, deliveries, silent) in [
        // Idle: the other one was to answer.
        (Client, [0, 0], None, none, EndReason::HostSilent),
        (Host, [0, 0], None, none, EndReason::ClientSilent),
        // Bytes wait for a side, whichever sent last.
        (Client, [0, 1], None, none, EndReason::ClientSilent),
        (Host, [0, 1], None, none, EndReason::ClientSilent),
        (Client, [1, 0], None, none, EndReason::HostSilent),
        (Host, [1, 0], None, none, EndReason::HostSilent),
        (
            Client,
            [0, 0],
            None,
            [waits(false), waits(true)],
            EndReason::ClientSilent,
        ),
        (
            Host,
            [0, 0],
            None,
            [waits(true), waits(false)],
            EndReason::HostSilent,
        ),
        // Both take nothing.
        (Client, [1, 1], None, none, EndReason::HostSilent),
        (
            Host,
            [0, 0],
            None,
            [waits(true), waits(true)],
            EndReason::ClientSilent,
        ),
        // One has said all.
        (Client, [0, 0], Some(Host), none, EndReason::ClientSilent),
        (Host, [0, 0], Some(Client), none, EndReason::HostSilent),
        // It has, and does not take what is still for it.
        (Host, [0, 1], Some(Client), none, EndReason::ClientSilent),
        (
            Client,
            [0, 0],
            Some(Host),
            [waits(true), waits(false)],
            EndReason::HostSilent,
        ),
    ] {
        let mut session = relaying(TIMEOUTS);
        session.handle_peers_watched();
        for direction in [Direction::from(sender).opposite(), Direction::from(sender)] {
            session.handle_ready(direction.source(), READABLE, 0);
            let sent = 3 - kept[direction.index()];
            pass(&mut session, direction, b"abc", sent, 10);
        }
        if let Some(side) = ended {
            end_without_room(&mut session, Direction::from(side));
        }
        fall_silent(&mut session, deliveries);
        let case = (sender, kept, ended, deliveries);
        assert_eq!(session.next(), Action::Close(silent), "{case:?}");
    }
}

/// Whatever reports it: a read, a write, or an event alone.
#[test]
fn a_peer_that_tcp_gave_up_was_silent() {
    for (side, reason) in [
        (Client, EndReason::ClientSilent),
        (Host, EndReason::HostSilent),
    ] {
        let mut session = relaying(TIMEOUTS);
        session.handle_ready(side, BROKEN, 0);
        assert_eq!(session.unknown_break(), Some(side));
        session.handle_read_failed(Direction::from(side), Break::Silent, 0);
        assert_eq!(session.unknown_break(), None);
        assert_eq!(session.next(), Action::Close(reason));
        let mut session = relaying(TIMEOUTS);
        session.handle_broken(side, Break::Silent, 0);
        session.handle_read_failed(Direction::from(side), Break::Reset, 0);
        assert_eq!(session.next(), Action::Close(reason));
    }
}

#[test]
fn bytes_that_go_out_late_are_no_silence() {
    let mut session = relaying(TIMEOUTS);
    session.handle_peers_watched();
    session.handle_ready(Host, READABLE, 0);
    pass(&mut session, ToClient, b"abc", 0, 10);
    session.handle_ready(Client, WRITABLE, 0);
    session.handle_buffered_sent(ToClient, 1, 40_000);
    assert_eq!(session.deadline_ms(), Some(100_000));
    session.handle_ready(Client, WRITABLE, 0);
    session.handle_buffered_sent(ToClient, 0, 50_000);
    assert_eq!(session.deadline_ms(), Some(100_000), "nothing went out");
}

/// The system reports room only when a third of the send buffer is free.
#[test]
fn a_reader_that_takes_little_at_a_time_is_not_silent() {
    let mut session = relaying(TIMEOUTS);
    session.handle_peers_watched();
    session.handle_ready(Host, READABLE, 0);
    pass(&mut session, ToClient, b"abc", 0, 10);
    for now_ms in [60_010, 120_010] {
        session.handle_deadline(now_ms);
        assert_eq!(session.next(), Action::Write(ToClient));
        session.handle_buffered_sent(ToClient, 1, now_ms);
        assert_eq!(session.next(), Action::Wait);
    }
    session.handle_deadline(180_010);
    session.handle_buffered_sent(ToClient, 0, 180_010);
    session.handle_deadline(180_020);
    assert_eq!(
        undelivered(&mut session, 180_020),
        Action::Close(EndReason::ClientSilent)
    );
}

#[test]
fn the_half_closed_timeout_counts_once_one_direction_has_ended() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Host, READABLE, 0);
    pass(&mut session, ToClient, b"abc", 3, 5000);
    assert_eq!(session.deadline_ms(), Some(30_000), "keepalive");
    half_close(&mut session, ToHost);
    assert_eq!(session.deadline_ms(), Some(15_000));
    session.handle_ready(Host, READABLE, 0);
    pass(&mut session, ToClient, b"abc", 3, 12_000);
    session.handle_deadline(21_999);
    assert_eq!(session.next(), Action::Wait);
    session.handle_deadline(22_000);
    // The client has said all, so it is for the host to speak.
    assert_eq!(
        undelivered(&mut session, 22_000),
        Action::Close(EndReason::HostSilent)
    );
}

#[test]
fn after_a_late_half_close_the_other_side_has_its_time_to_answer() {
    let mut session = relaying(TimeoutsMs {
        idle: 0,
        ..TIMEOUTS
    });
    session.handle_peers_watched();
    session.handle_ready(Client, ENDING, 0);
    session.handle_end(ToHost);
    session.handle_shutdown(ToHost, 1_000_000);
    assert_eq!(session.deadline_ms(), Some(1_010_000));
}

#[test]
fn a_host_that_breaks_after_a_half_close_gives_no_new_time() {
    let mut session = relaying(TIMEOUTS);
    session.handle_peers_watched();
    session.handle_ready(Client, ENDING, 0);
    session.handle_end(ToHost);
    session.handle_shutdown(ToHost, 1000);
    session.handle_ready(Host, BROKEN, 5000);
    assert_eq!(session.deadline_ms(), Some(11_000));
}

#[test]
fn a_client_that_lets_a_broken_hosts_last_words_lie_is_cut_off() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Host, READABLE, 0);
    pass(&mut session, ToClient, b"abc", 0, 1000);
    session.handle_ready(Host, BROKEN, 0);
    session.handle_deadline(11_000);
    assert_eq!(session.next(), Action::Write(ToClient), "one more try");
    session.handle_buffered_sent(ToClient, 0, 11_000);
    session.handle_deadline(11_000);
    assert_eq!(
        undelivered(&mut session, 11_000),
        Action::Close(EndReason::ClientSilent)
    );
}

#[test]
fn no_timeouts_no_end() {
    let mut session = relaying(TimeoutsMs::default());
    session.handle_peers_watched();
    half_close(&mut session, ToHost);
    assert_eq!(session.deadline_ms(), None);
    session.handle_deadline(u64::MAX);
    assert_eq!(session.next(), Action::Wait);
}

#[test]
fn tcp_is_told_once_to_look_for_dead_peers() {
    for (keep_alive, unacked, due_ms) in [
        (60_000, 0, 30_000),
        (5000, 0, 5000),
        (0, 120_000, 30_000),
        (60_000, 20_000, 10_000),
    ] {
        let mut session = relaying(TimeoutsMs {
            keep_alive,
            unacked,
            ..TIMEOUTS
        });
        session.handle_deadline(due_ms - 1);
        assert_eq!(session.next(), Action::Wait);
        assert_eq!(session.deadline_ms(), Some(due_ms));
        session.handle_deadline(due_ms);
        assert!(matches!(session.next(), Action::WatchPeers(_)));
        session.handle_peers_watched();
        assert_eq!(session.next(), Action::Wait);
        assert_eq!(session.deadline_ms(), Some(60_000), "the idle timeout");
    }
    let session = relaying(TimeoutsMs {
        keep_alive: 0,
        ..TIMEOUTS
    });
    assert_eq!(session.deadline_ms(), Some(60_000), "nothing to tell");
}

#[test]
fn a_session_is_ended_at_its_greatest_age_whatever_passes_through_it() {
    let timeouts = TimeoutsMs {
        max_duration: 20_000,
        ..TIMEOUTS
    };
    let mut session = relaying(timeouts);
    session.handle_ready(Client, READABLE, 0);
    pass(&mut session, ToHost, b"abc", 3, 19_999);
    session.handle_deadline(19_999);
    assert_eq!((session.next(), session.is_quiet()), (Action::Wait, true));
    assert_eq!(session.deadline_ms(), Some(20_000));
    session.handle_deadline(20_000);
    assert_eq!(session.next(), Action::Close(EndReason::MaxDuration));
    // Before it has a host, too.
    let mut session = connecting(
        TimeoutsMs {
            max_duration: 2000,
            ..TIMEOUTS
        },
        0,
    );
    session.handle_deadline(2000);
    assert_eq!(session.next(), Action::Close(EndReason::MaxDuration));
    assert!(!session.is_quiet());
}

/// A pause of the process is no silence of a session, and no age.
#[test]
fn nobody_is_cut_because_the_machine_slept() {
    let timeouts = TimeoutsMs {
        max_duration: 90_000,
        ..TIMEOUTS
    };
    let stall = Stall::of_poll(1000, 2000, 1_000_000).unwrap();
    let mut session = relaying(timeouts);
    session.handle_peers_watched();
    session.correct_times(stall);
    session.handle_deadline(1_000_000);
    assert_eq!(session.next(), Action::Wait);
    assert_eq!(session.deadline_ms(), Some(999_000 + 60_000));
    let mut session = relaying(TimeoutsMs {
        idle: 0,
        ..timeouts
    });
    session.handle_peers_watched();
    session.correct_times(stall);
    assert_eq!(session.deadline_ms(), Some(999_000 + 90_000));
    let mut session = connecting(TIMEOUTS, 0);
    session.correct_times(stall);
    assert_eq!(session.deadline_ms(), Some(999_000 + 5000));
    assert!(Stall::of_poll(1000, 2000, 2999).is_none(), "a delay");
}

#[test]
fn the_deadline_is_the_earliest_of_all() {
    let mut session = relaying(TimeoutsMs {
        idle: 20_000,
        ..TIMEOUTS
    });
    assert_eq!(session.deadline_ms(), Some(20_000), "idle");
    half_close(&mut session, ToHost);
    assert_eq!(session.deadline_ms(), Some(10_000), "half-closed");
    session.handle_ready(Host, READABLE, 0);
    pass(&mut session, ToClient, b"abc", 3, 25_000);
    assert_eq!(session.deadline_ms(), Some(30_000), "keepalive");
}
