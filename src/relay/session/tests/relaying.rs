//! Bytes, back-pressure and ends, once there is a host; and silence, timeouts and keepalive.

use super::*;
use crate::os::sockets::Delivery;

#[test]
fn a_client_that_sends_and_closes_before_its_host_is_connected_loses_nothing() {
    let mut session = connecting(TIMEOUTS, 0);
    session.handle_ready(Client, ENDING);
    assert_eq!(
        session.next(),
        Action::Wait,
        "not read before there is a host"
    );
    session.handle_ready(Host, WRITABLE);
    assert_eq!(session.next(), check_connect(false));
    session.handle_connected(70);
    pass(&mut session, ToHost, b"request", 7, 70);
    assert_eq!(session.next(), Action::Shutdown(ToHost));
    session.handle_shutdown(ToHost);
    session.handle_ready(Host, READABLE);
    pass(&mut session, ToClient, b"answer", 6, 90);
    assert_eq!(session.next(), Action::Wait);
    assert_eq!(session.bytes(), (7, 6));
}

#[test]
fn a_half_close_lives_on() {
    for direction in [ToHost, ToClient] {
        let back = direction.opposite();
        let mut session = relaying(TIMEOUTS);
        half_close(&mut session, direction);
        assert_eq!(session.next(), Action::Wait);
        session.handle_ready(back.source(), READABLE);
        pass(&mut session, back, b"long answer", 11, 20);
        assert_eq!(session.next(), Action::Wait);
    }
}

#[test]
fn what_is_kept_goes_out_before_a_half_close() {
    for direction in [ToHost, ToClient] {
        let mut session = relaying(TIMEOUTS);
        session.handle_ready(direction.source(), ENDING);
        pass(&mut session, direction, b"abcdef", 4, 10);
        assert_eq!(session.next(), Action::Wait, "the rest comes first");
        session.handle_ready(direction.sink(), WRITABLE);
        assert_eq!(session.next(), Action::Write(direction));
        session.handle_buffered_sent(direction, 1, 20);
        assert_eq!(session.half_stream(direction).buffered(), b"f");
        session.handle_ready(direction.sink(), WRITABLE);
        session.handle_buffered_sent(direction, 1, 30);
        assert_eq!(session.next(), Action::Shutdown(direction));
    }
}

#[test]
fn a_side_is_not_read_while_something_of_it_is_kept() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Host, READABLE);
    pass(&mut session, ToClient, b"abc", 0, 10);
    session.handle_ready(Host, READABLE);
    assert_eq!(session.next(), Action::Wait);
    assert_eq!(session.half_stream(ToClient).buffered(), b"abc");
    session.handle_ready(Client, WRITABLE);
    assert_eq!(session.next(), Action::Write(ToClient));
    session.handle_buffered_sent(ToClient, 3, 20);
    assert_eq!(session.half_stream(ToClient).buffered(), b"");
    assert_eq!(session.next(), Action::Read(ToClient));
}

#[test]
fn a_slow_reader_does_not_hold_up_the_other_direction() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Host, READABLE);
    pass(&mut session, ToClient, b"abc", 0, 10);
    session.handle_ready(Client, READABLE);
    pass(&mut session, ToHost, b"xyz", 3, 20);
    assert_eq!(session.bytes(), (3, 0));
}

#[test]
fn a_full_read_is_followed_by_another_and_a_short_one_is_not() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Client, READABLE);
    session.handle_read(ToHost, false, 10);
    session.handle_sent(ToHost, 4, b"");
    pass(&mut session, ToHost, b"abc", 3, 10);
    assert_eq!(session.next(), Action::Wait);
}

#[test]
fn behind_a_short_read_is_the_end_that_was_announced() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Client, READABLE);
    session.handle_ready(Client, ready(false, false, true, false));
    pass(&mut session, ToHost, b"abc", 3, 10);
    assert_eq!(session.next(), Action::Shutdown(ToHost));
}

#[test]
fn a_read_that_was_not_short_is_followed_by_another_whatever_was_announced() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Client, ENDING);
    assert_eq!(session.next(), Action::Read(ToHost));
    session.handle_read(ToHost, false, 10);
    session.handle_sent(ToHost, 3, b"");
    assert_eq!(session.next(), Action::Read(ToHost));
}

#[test]
fn a_short_read_is_followed_by_another_where_the_connection_broke() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Client, BROKEN);
    pass(&mut session, ToHost, b"last words", 10, 10);
    assert_eq!(session.next(), Action::Read(ToHost));
}

#[test]
fn a_short_read_is_followed_by_another_where_a_byte_was_marked_urgent() {
    let mut session = relaying(TIMEOUTS);
    let urgent = Readiness {
        urgent: true,
        ..READABLE
    };
    session.handle_ready(Client, urgent);
    pass(&mut session, ToHost, b"up to the mark", 14, 10);
    assert_eq!(session.next(), Action::Read(ToHost));
    session.half_stream_mut(ToHost).handle_would_block();
    assert_eq!(session.next(), Action::Wait);
}

/// splice(2) would never get past the mark.
#[test]
fn what_comes_by_the_buffer_is_piped_until_a_byte_is_marked_urgent() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Client, READABLE);
    while session.next() == Action::Read(ToHost) {
        session.handle_read(ToHost, false, 10);
        session.handle_sent(ToHost, 3, b"");
    }
    assert_eq!(session.next(), Action::Fill(ToHost));
    let urgent = Readiness {
        urgent: true,
        ..READABLE
    };
    session.handle_ready(Client, urgent);
    assert_eq!(session.next(), Action::Read(ToHost));
}

/// Otherwise a system that reports an end too early would have it read forever.
#[test]
fn a_socket_that_would_block_is_empty_whatever_was_announced() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Client, ENDING);
    assert_eq!(session.next(), Action::Read(ToHost));
    session.half_stream_mut(ToHost).handle_would_block();
    assert_eq!(session.next(), Action::Wait);
    session.handle_ready(Client, ENDING);
    assert_eq!(session.next(), Action::Read(ToHost));
}

#[test]
fn the_second_end_closes_without_a_half_close() {
    for direction in [ToHost, ToClient] {
        let back = direction.opposite();
        let mut session = relaying(TIMEOUTS);
        half_close(&mut session, direction);
        session.handle_ready(back.source(), ENDING);
        session.handle_end(back);
        assert_eq!(session.next(), Action::Close(EndReason::Finished));
    }
}

#[test]
fn two_ends_close_only_when_nothing_is_kept_any_more() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Host, ENDING);
    pass(&mut session, ToClient, b"abc", 1, 10);
    session.handle_ready(Client, ready(true, false, true, false));
    assert_eq!(session.next(), Action::Read(ToHost));
    session.handle_end(ToHost);
    assert_eq!(session.next(), Action::Shutdown(ToHost));
    session.handle_shutdown(ToHost);
    session.handle_ready(Client, WRITABLE);
    assert_eq!(session.next(), Action::Write(ToClient));
    session.handle_buffered_sent(ToClient, 2, 20);
    assert_eq!(session.next(), Action::Close(EndReason::Finished));
}

#[test]
fn the_first_reason_to_close_stays() {
    let mut session = relaying(TIMEOUTS);
    session.close(EndReason::Stopped);
    session.handle_ready(Client, BROKEN);
    session.close(EndReason::NoHost);
    assert_eq!(session.next(), Action::Close(EndReason::Stopped));
    assert_eq!(session.deadline_ms(), None);
}

#[test]
fn the_last_words_of_a_host_that_resets_reach_the_client() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Host, BROKEN);
    pass(&mut session, ToClient, b"error 500", 9, 10);
    assert_eq!(session.next(), Action::Read(ToClient));
    session.handle_read_failed(ToClient);
    assert_eq!(session.next(), Action::Close(EndReason::HostReset));
}

#[test]
fn the_last_words_of_a_host_wait_for_a_slow_client() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Host, READABLE);
    pass(&mut session, ToClient, b"error 500", 4, 10);
    session.handle_ready(Host, BROKEN);
    assert_eq!(session.next(), Action::Wait);
    session.handle_ready(Client, WRITABLE);
    session.handle_buffered_sent(ToClient, 5, 20);
    assert_eq!(session.next(), Action::Read(ToClient));
    session.handle_read_failed(ToClient);
    assert_eq!(session.next(), Action::Close(EndReason::HostReset));
}

/// The system reports a reset once. After a failed write has reported it, a read returns what looks
/// like an orderly end.
#[test]
fn an_end_behind_a_failed_write_is_not_a_clean_one() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Client, READABLE);
    session.handle_read(ToHost, true, 10);
    session.handle_broken(Host);
    session.handle_ready(Host, ready(true, true, true, false));
    assert_eq!(session.next(), Action::Read(ToClient));
    session.handle_end(ToClient);
    assert_eq!(session.next(), Action::Close(EndReason::HostReset));
}

#[test]
fn a_host_that_resets_after_its_end_is_not_a_clean_end() {
    let mut session = relaying(TIMEOUTS);
    half_close(&mut session, ToClient);
    session.handle_ready(Host, BROKEN);
    assert_eq!(session.next(), Action::Close(EndReason::HostReset));
}

#[test]
fn what_a_client_sent_before_its_reset_is_passed_on_while_that_goes_at_once() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Client, BROKEN);
    pass(&mut session, ToHost, b"abc", 3, 10);
    assert_eq!(session.next(), Action::Read(ToHost));
    session.handle_read_failed(ToHost);
    assert_eq!(session.next(), Action::Close(EndReason::ClientReset));
}

#[test]
fn nobody_waits_for_a_host_on_behalf_of_a_client_that_reset() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Client, BROKEN);
    pass(&mut session, ToHost, b"abc", 1, 10);
    assert_eq!(session.next(), Action::Close(EndReason::ClientReset));
}

#[test]
fn an_answer_to_a_client_that_is_gone_is_not_read() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Host, READABLE);
    session.handle_read(ToClient, false, 10);
    session.handle_broken(Client);
    assert_eq!(session.next(), Action::Close(EndReason::ClientReset));
}

// Timeouts, keepalive and the deadline.

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
