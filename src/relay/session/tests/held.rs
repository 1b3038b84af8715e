//! What is held: first bytes, a header with what follows it, and what is kept for another host.

use super::*;

/// A session that awaits its client's first bytes, for 3 s.
fn awaiting() -> Session {
    let mut session = Session::new(TIMEOUTS, 0);
    session.await_first_bytes(3000);
    assert_eq!(
        (session.next(), session.phase()),
        (Action::Wait, Phase::FirstBytes)
    );
    session
}

fn hold(session: &mut Session, bytes: &[u8], now_ms: u64) {
    session.handle_ready(Client, READABLE, now_ms);
    assert_eq!(session.next(), Action::Hold);
    session.handle_held(bytes, true, now_ms);
}

/// A session whose host gets all again that the first one did not answer, up to 8 bytes.
fn replaying() -> Session {
    let mut session = relaying(TIMEOUTS);
    session.keep_for_replay(8);
    session
}

fn connect(session: &mut Session, header: &[u8], now_ms: u64) {
    assert_eq!(session.next(), Action::Pick);
    session.handle_picked(now_ms);
    session.handle_connected(header, now_ms);
}

fn write_buffered(session: &mut Session, bytes: &[u8]) {
    assert_eq!(session.next(), Action::Write(ToHost));
    assert_eq!(session.half_stream(ToHost).buffered(), bytes);
    session.handle_buffered_sent(ToHost, bytes.len(), 100);
}

#[test]
fn what_is_held_is_the_first_that_the_host_gets() {
    let mut session = awaiting();
    hold(&mut session, b"head", 10);
    hold(&mut session, b"er+data", 20);
    session.half_stream_mut(ToHost).drop_held(7);
    session.handle_first_bytes(30);
    connect(&mut session, b"", 40);
    write_buffered(&mut session, b"data");
    assert_eq!(session.bytes(), (4, 0));
    assert_eq!(session.next(), Action::Wait);
    session.handle_ready(Client, READABLE, 50);
    pass(&mut session, ToHost, b"more", 4, 50);
}

#[test]
fn first_bytes_have_their_time_and_picking_has_its_own() {
    let mut session = awaiting();
    assert_eq!(session.deadline_ms(), Some(3000));
    hold(&mut session, b"x", 2000);
    session.handle_first_bytes(2000);
    // Three connect timeouts from now on.
    session.handle_shortage(16_000);
    assert_eq!(session.next(), Action::Wait);
    let mut session = awaiting();
    session.handle_deadline(2999);
    assert_eq!(session.next(), Action::Wait);
    session.handle_deadline(3000);
    assert_eq!(session.next(), Action::Close(EndReason::FirstBytesLate));
}

#[test]
fn an_end_behind_first_bytes_reaches_the_host_behind_them() {
    let mut session = awaiting();
    session.handle_ready(Client, ENDING, 0);
    assert_eq!(session.next(), Action::Hold);
    session.handle_held(b"all", true, 0);
    assert!(session.half_stream(ToHost).is_ending());
    session.handle_first_bytes(0);
    connect(&mut session, b"", 0);
    write_buffered(&mut session, b"all");
    assert_eq!(session.next(), Action::Shutdown(ToHost));
}

#[test]
fn a_client_that_resets_while_its_first_bytes_are_awaited_is_gone() {
    let mut session = awaiting();
    session.handle_ready(Client, BROKEN, 0);
    assert_eq!(session.next(), Action::Close(EndReason::ClientGone));
}

#[test]
fn a_header_goes_out_with_what_the_client_has_said_and_does_not_count() {
    let mut session = connecting(TIMEOUTS, 0);
    session.handle_ready(Client, READABLE, 0);
    session.handle_connected(b"PROXY", 0);
    assert_eq!(session.next(), Action::Hold);
    session.handle_held(b" hello", true, 0);
    assert_eq!(session.next(), Action::Write(ToHost));
    session.handle_buffered_sent(ToHost, 3, 10);
    assert_eq!(session.bytes(), (0, 0));
    session.handle_ready(Host, WRITABLE, 0);
    session.handle_buffered_sent(ToHost, 4, 20);
    assert_eq!(session.bytes(), (2, 0));
    session.handle_ready(Host, WRITABLE, 0);
    write_buffered(&mut session, b"ello");
    assert_eq!(session.bytes(), (6, 0));
}

#[test]
fn a_header_goes_out_alone_where_the_client_has_said_nothing() {
    let mut session = connecting(TIMEOUTS, 0);
    session.handle_connected(b"PROXY", 0);
    write_buffered(&mut session, b"PROXY");
    session.handle_ready(Client, READABLE, 0);
    pass(&mut session, ToHost, b"hello", 5, 10);
    assert_eq!(session.bytes(), (5, 0));
}

/// The host breaks before its first byte, or ends its stream.
fn host_goes(session: &mut Session, by_reset: bool) {
    session.handle_ready(Host, if by_reset { BROKEN } else { ENDING }, 50);
    assert_eq!(session.next(), Action::Read(ToClient));
    match by_reset {
        true => session.handle_read_failed(ToClient, Break::Reset, 50),
        false => session.handle_end(ToClient),
    }
}

#[test]
fn what_a_host_has_not_answered_goes_to_the_next() {
    for by_reset in [true, false] {
        let mut session = connecting(TIMEOUTS, 0);
        session.handle_connected(b"PROXY1", 0);
        session.keep_for_replay(8);
        write_buffered(&mut session, b"PROXY1");
        session.handle_ready(Client, READABLE, 0);
        pass(&mut session, ToHost, b"abcd", 4, 10);
        session.handle_ready(Client, READABLE, 0);
        // The second of them it did not even take whole.
        pass(&mut session, ToHost, b"efgh", 1, 20);
        host_goes(&mut session, by_reset);
        assert_eq!(session.next(), Action::Replay, "by reset: {by_reset}");
        session.handle_replay(FIRST, 60);
        assert_eq!(session.tried(), [FIRST]);
        connect(&mut session, b"PROXY2", 70);
        session.keep_for_replay(8);
        write_buffered(&mut session, b"PROXY2abcdefgh");
        session.handle_ready(Host, READABLE, 80);
        pass(&mut session, ToClient, b"answer", 6, 80);
        // Now it has answered: it is not replaced any more.
        host_goes(&mut session, by_reset);
        assert_ne!(session.next(), Action::Replay);
        assert_eq!(session.replays(), 1);
    }
}

#[test]
fn a_host_that_was_asked_nothing_is_not_replaced() {
    for by_reset in [true, false] {
        let mut session = replaying();
        host_goes(&mut session, by_reset);
        assert_ne!(session.next(), Action::Replay, "by reset: {by_reset}");
    }
}

#[test]
fn where_nobody_else_can_be_asked_a_session_ends_as_its_host_did() {
    for by_reset in [true, false] {
        let mut session = replaying();
        session.handle_ready(Client, READABLE, 0);
        pass(&mut session, ToHost, b"abc", 3, 10);
        host_goes(&mut session, by_reset);
        assert_eq!(session.next(), Action::Replay);
        session.handle_no_replay();
        let end = match by_reset {
            true => Action::Close(EndReason::HostReset),
            false => Action::Shutdown(ToClient),
        };
        assert_eq!(session.next(), end);
    }
}

#[test]
fn too_much_is_not_said_again() {
    let mut session = replaying();
    session.handle_ready(Client, READABLE, 0);
    pass(&mut session, ToHost, b"12345678", 8, 10);
    session.handle_ready(Client, READABLE, 0);
    pass(&mut session, ToHost, b"9", 1, 20);
    assert!(session.half_stream(ToHost).buffered().is_empty());
    host_goes(&mut session, true);
    assert_eq!(session.next(), Action::Close(EndReason::HostReset));
}

/// It may have taken all that it was sent.
#[test]
fn a_host_that_only_listens_is_not_asked_twice() {
    let mut session = replaying();
    session.handle_ready(Client, ENDING, 0);
    pass(&mut session, ToHost, b"all", 3, 10);
    assert_eq!(session.next(), Action::Shutdown(ToHost));
    session.handle_shutdown(ToHost, 10);
    host_goes(&mut session, false);
    assert_eq!(session.next(), Action::Close(EndReason::Finished));
}

#[test]
fn an_end_is_said_again_behind_what_came_before_it() {
    let mut session = replaying();
    session.handle_ready(Client, ENDING, 0);
    pass(&mut session, ToHost, b"all", 3, 10);
    session.handle_shutdown(ToHost, 10);
    host_goes(&mut session, true);
    session.handle_replay(FIRST, 60);
    connect(&mut session, b"", 70);
    write_buffered(&mut session, b"all");
    assert_eq!(session.next(), Action::Shutdown(ToHost));
}

#[test]
fn nothing_is_said_again_for_a_client_that_is_gone() {
    let mut session = replaying();
    session.handle_ready(Client, READABLE, 0);
    pass(&mut session, ToHost, b"abc", 3, 10);
    session.handle_broken(Client, Break::Reset, 20);
    session.handle_ready(Host, BROKEN, 20);
    assert_eq!(session.next(), Action::Close(EndReason::ClientReset));
}
