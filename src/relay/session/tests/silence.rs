//! Timeouts, keepalive and the deadline.

use super::*;
use crate::os::sockets::Delivery;

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
    session.handle_keepalive();
    session.handle_ready(Host, READABLE);
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
    session.handle_keepalive();
    session.handle_ready(Host, READABLE);
    pass(&mut session, ToClient, b"hello", 5, 10);
    let action = after_silence(&mut session, 60_010, slow(1, 60_000));
    assert_eq!(action, Action::Close(EndReason::ClientSilent));
}

#[test]
fn a_peer_that_has_just_got_the_last_byte_has_its_time_to_speak() {
    let all = |acknowledged| Delivery {
        waits: false,
        ..slow(acknowledged, 5000)
    };
    let mut session = relaying(TIMEOUTS);
    session.handle_keepalive();
    session.handle_ready(Host, READABLE);
    pass(&mut session, ToClient, b"hello", 5, 10);
    assert_eq!(
        after_silence(&mut session, 60_010, slow(1, 0)),
        Action::Wait
    );
    assert_eq!(after_silence(&mut session, 120_010, all(5)), Action::Wait);
    assert_eq!(session.deadline_ms(), Some(175_010));
    // From then on it answers keepalives alone.
    let action = after_silence(&mut session, 175_010, all(6));
    assert_eq!(action, Action::Close(EndReason::ClientSilent));
}

#[test]
fn the_idle_timeout_counts_silence_not_age() {
    let mut session = relaying(TIMEOUTS);
    session.handle_keepalive();
    for now_ms in [50_000, 100_000, 150_000] {
        session.handle_deadline(now_ms);
        session.handle_ready(Client, READABLE);
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

#[test]
fn who_is_silent_is_who_was_to_speak_next() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Host, READABLE);
    pass(&mut session, ToClient, b"hello", 5, 10);
    session.handle_deadline(60_010);
    assert_eq!(
        undelivered(&mut session, 60_010),
        Action::Close(EndReason::ClientSilent)
    );
}

#[test]
fn bytes_that_go_out_late_are_no_silence() {
    let mut session = relaying(TIMEOUTS);
    session.handle_keepalive();
    session.handle_ready(Host, READABLE);
    pass(&mut session, ToClient, b"abc", 0, 10);
    session.handle_ready(Client, WRITABLE);
    session.handle_buffered_sent(ToClient, 1, 40_000);
    assert_eq!(session.deadline_ms(), Some(100_000));
    session.handle_ready(Client, WRITABLE);
    session.handle_buffered_sent(ToClient, 0, 50_000);
    assert_eq!(session.deadline_ms(), Some(100_000), "nothing went out");
}

/// The system reports room only when a third of the send buffer is free.
#[test]
fn a_reader_that_takes_little_at_a_time_is_not_silent() {
    let mut session = relaying(TIMEOUTS);
    session.handle_keepalive();
    session.handle_ready(Host, READABLE);
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
    session.handle_ready(Host, READABLE);
    pass(&mut session, ToClient, b"abc", 3, 5000);
    assert_eq!(session.deadline_ms(), Some(30_000), "keepalive");
    half_close(&mut session, ToHost);
    assert_eq!(session.deadline_ms(), Some(15_000));
    session.handle_ready(Host, READABLE);
    pass(&mut session, ToClient, b"abc", 3, 12_000);
    session.handle_deadline(21_999);
    assert_eq!(session.next(), Action::Wait);
    session.handle_deadline(22_000);
    assert_eq!(
        undelivered(&mut session, 22_000),
        Action::Close(EndReason::ClientSilent)
    );
}

#[test]
fn a_client_that_lets_a_broken_hosts_last_words_lie_is_cut_off() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Host, READABLE);
    pass(&mut session, ToClient, b"abc", 0, 1000);
    session.handle_ready(Host, BROKEN);
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
    session.handle_keepalive();
    half_close(&mut session, ToHost);
    assert_eq!(session.deadline_ms(), None);
    session.handle_deadline(u64::MAX);
    assert_eq!(session.next(), Action::Wait);
}

#[test]
fn keepalive_is_turned_on_once_when_a_session_is_30_seconds_old() {
    let mut session = relaying(TIMEOUTS);
    session.handle_deadline(29_999);
    assert_eq!(session.next(), Action::Wait);
    assert_eq!(session.deadline_ms(), Some(30_000));
    session.handle_deadline(30_000);
    assert_eq!(session.next(), Action::KeepAlive);
    session.handle_keepalive();
    assert_eq!(session.next(), Action::Wait);
    assert_eq!(session.deadline_ms(), Some(60_000), "the idle timeout");
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
    session.handle_ready(Host, READABLE);
    pass(&mut session, ToClient, b"abc", 3, 25_000);
    assert_eq!(session.deadline_ms(), Some(30_000), "keepalive");
}
