//! Bytes, back-pressure and ends, once there is a host.

use super::*;

#[test]
fn a_client_that_sends_and_closes_before_its_host_is_connected_loses_nothing() {
    let mut session = connecting(TIMEOUTS, 0);
    session.handle_ready(Client, ENDING, 0);
    assert_eq!(
        session.next(),
        Action::Wait,
        "not read before there is a host"
    );
    session.handle_ready(Host, WRITABLE, 0);
    assert_eq!(session.next(), check_connect(false));
    session.handle_connected(b"", 70);
    pass(&mut session, ToHost, b"request", 7, 70);
    assert_eq!(session.next(), Action::Shutdown(ToHost));
    session.handle_shutdown(ToHost, 0);
    session.handle_ready(Host, READABLE, 0);
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
        session.handle_ready(back.source(), READABLE, 0);
        pass(&mut session, back, b"long answer", 11, 20);
        assert_eq!(session.next(), Action::Wait);
    }
}

#[test]
fn what_is_kept_goes_out_before_a_half_close() {
    for direction in [ToHost, ToClient] {
        let mut session = relaying(TIMEOUTS);
        session.handle_ready(direction.source(), ENDING, 0);
        pass(&mut session, direction, b"abcdef", 4, 10);
        assert_eq!(session.next(), Action::Wait, "the rest comes first");
        session.handle_ready(direction.sink(), WRITABLE, 0);
        assert_eq!(session.next(), Action::Write(direction));
        session.handle_buffered_sent(direction, 1, 20);
        assert_eq!(session.half_stream(direction).buffered(), b"f");
        session.handle_ready(direction.sink(), WRITABLE, 0);
        session.handle_buffered_sent(direction, 1, 30);
        assert_eq!(session.next(), Action::Shutdown(direction));
    }
}

#[test]
fn a_side_is_not_read_while_something_of_it_is_kept() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Host, READABLE, 0);
    pass(&mut session, ToClient, b"abc", 0, 10);
    session.handle_ready(Host, READABLE, 0);
    assert_eq!(session.next(), Action::Wait);
    assert_eq!(session.half_stream(ToClient).buffered(), b"abc");
    session.handle_ready(Client, WRITABLE, 0);
    assert_eq!(session.next(), Action::Write(ToClient));
    session.handle_buffered_sent(ToClient, 3, 20);
    assert_eq!(session.half_stream(ToClient).buffered(), b"");
    assert_eq!(session.next(), Action::Read(ToClient));
}

#[test]
fn a_slow_reader_does_not_hold_up_the_other_direction() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Host, READABLE, 0);
    pass(&mut session, ToClient, b"abc", 0, 10);
    session.handle_ready(Client, READABLE, 0);
    pass(&mut session, ToHost, b"xyz", 3, 20);
    assert_eq!(session.bytes(), (3, 0));
}

#[test]
fn a_full_read_is_followed_by_another_and_a_short_one_is_not() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Client, READABLE, 0);
    session.handle_read(ToHost, false, 10);
    session.handle_sent(ToHost, b"abcd", 4);
    pass(&mut session, ToHost, b"abc", 3, 10);
    assert_eq!(session.next(), Action::Wait);
}

#[test]
fn behind_a_short_read_is_the_end_that_was_announced() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Client, READABLE, 0);
    session.handle_ready(Client, ready(false, false, true, false), 0);
    pass(&mut session, ToHost, b"abc", 3, 10);
    assert_eq!(session.next(), Action::Shutdown(ToHost));
}

#[test]
fn a_read_that_was_not_short_is_followed_by_another_whatever_was_announced() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Client, ENDING, 0);
    assert_eq!(session.next(), Action::Read(ToHost));
    session.handle_read(ToHost, false, 10);
    session.handle_sent(ToHost, b"abc", 3);
    assert_eq!(session.next(), Action::Read(ToHost));
}

#[test]
fn a_short_read_is_followed_by_another_where_the_connection_broke() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Client, BROKEN, 0);
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
    session.handle_ready(Client, urgent, 0);
    pass(&mut session, ToHost, b"up to the mark", 14, 10);
    assert_eq!(session.next(), Action::Read(ToHost));
    session.half_stream_mut(ToHost).handle_would_block();
    assert_eq!(session.next(), Action::Wait);
}

/// splice(2) would never get past the mark.
#[test]
fn what_comes_by_the_buffer_is_piped_until_a_byte_is_marked_urgent() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Client, READABLE, 0);
    while session.next() == Action::Read(ToHost) {
        session.handle_read(ToHost, false, 10);
        session.handle_sent(ToHost, b"abc", 3);
    }
    assert_eq!(session.next(), Action::Fill(ToHost));
    let urgent = Readiness {
        urgent: true,
        ..READABLE
    };
    session.handle_ready(Client, urgent, 0);
    assert_eq!(session.next(), Action::Read(ToHost));
}

/// Otherwise a system that reports an end too early would have it read forever.
#[test]
fn a_socket_that_would_block_is_empty_whatever_was_announced() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Client, ENDING, 0);
    assert_eq!(session.next(), Action::Read(ToHost));
    session.half_stream_mut(ToHost).handle_would_block();
    assert_eq!(session.next(), Action::Wait);
    session.handle_ready(Client, ENDING, 0);
    assert_eq!(session.next(), Action::Read(ToHost));
}

#[test]
fn the_second_end_closes_without_a_half_close() {
    for direction in [ToHost, ToClient] {
        let back = direction.opposite();
        let mut session = relaying(TIMEOUTS);
        half_close(&mut session, direction);
        session.handle_ready(back.source(), ENDING, 0);
        session.handle_end(back);
        assert_eq!(session.next(), Action::Close(EndReason::Finished));
    }
}

#[test]
fn two_ends_close_only_when_nothing_is_kept_any_more() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Host, ENDING, 0);
    pass(&mut session, ToClient, b"abc", 1, 10);
    session.handle_ready(Client, ready(true, false, true, false), 0);
    assert_eq!(session.next(), Action::Read(ToHost));
    session.handle_end(ToHost);
    assert_eq!(session.next(), Action::Shutdown(ToHost));
    session.handle_shutdown(ToHost, 0);
    session.handle_ready(Client, WRITABLE, 0);
    assert_eq!(session.next(), Action::Write(ToClient));
    session.handle_buffered_sent(ToClient, 2, 20);
    assert_eq!(session.next(), Action::Close(EndReason::Finished));
}

#[test]
fn the_first_reason_to_close_stays() {
    let mut session = relaying(TIMEOUTS);
    session.close(EndReason::Stopped);
    session.handle_ready(Client, BROKEN, 0);
    session.close(EndReason::NoHost);
    assert_eq!(session.next(), Action::Close(EndReason::Stopped));
    assert_eq!(session.deadline_ms(), None);
}

#[test]
fn the_last_words_of_a_host_that_resets_reach_the_client() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Host, BROKEN, 0);
    pass(&mut session, ToClient, b"error 500", 9, 10);
    assert_eq!(session.next(), Action::Read(ToClient));
    session.handle_read_failed(ToClient, Break::Reset, 0);
    assert_eq!(session.next(), Action::Close(EndReason::HostReset));
}

#[test]
fn the_last_words_of_a_host_wait_for_a_slow_client() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Host, READABLE, 0);
    pass(&mut session, ToClient, b"error 500", 4, 10);
    session.handle_ready(Host, BROKEN, 0);
    assert_eq!(session.next(), Action::Wait);
    session.handle_ready(Client, WRITABLE, 0);
    session.handle_buffered_sent(ToClient, 5, 20);
    assert_eq!(session.next(), Action::Read(ToClient));
    session.handle_read_failed(ToClient, Break::Reset, 0);
    assert_eq!(session.next(), Action::Close(EndReason::HostReset));
}

/// The system reports a reset once. After a failed write has reported it, a read returns what looks
/// like an orderly end.
#[test]
fn an_end_behind_a_failed_write_is_not_a_clean_one() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Client, READABLE, 0);
    session.handle_read(ToHost, true, 10);
    session.handle_broken(Host, Break::Reset, 0);
    session.handle_ready(Host, ready(true, true, true, false), 0);
    assert_eq!(session.next(), Action::Read(ToClient));
    session.handle_end(ToClient);
    assert_eq!(session.next(), Action::Close(EndReason::HostReset));
}

#[test]
fn a_host_that_resets_after_its_end_is_not_a_clean_end() {
    let mut session = relaying(TIMEOUTS);
    half_close(&mut session, ToClient);
    session.handle_ready(Host, BROKEN, 0);
    assert_eq!(session.next(), Action::Close(EndReason::HostReset));
}

#[test]
fn what_a_client_sent_before_its_reset_is_passed_on_while_that_goes_at_once() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Client, BROKEN, 0);
    pass(&mut session, ToHost, b"abc", 3, 10);
    assert_eq!(session.next(), Action::Read(ToHost));
    session.handle_read_failed(ToHost, Break::Reset, 0);
    assert_eq!(session.next(), Action::Close(EndReason::ClientReset));
}

#[test]
fn nobody_waits_for_a_host_on_behalf_of_a_client_that_reset() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Client, BROKEN, 0);
    pass(&mut session, ToHost, b"abc", 1, 10);
    assert_eq!(session.next(), Action::Close(EndReason::ClientReset));
}

#[test]
fn an_answer_to_a_client_that_is_gone_is_not_read() {
    let mut session = relaying(TIMEOUTS);
    session.handle_ready(Host, READABLE, 0);
    session.handle_read(ToClient, false, 10);
    session.handle_broken(Client, Break::Reset, 0);
    assert_eq!(session.next(), Action::Close(EndReason::ClientReset));
}
