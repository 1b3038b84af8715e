//! A connection that breaks, on either side.

use super::*;

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
    session.handle_sent_kept(ToClient, 5, 20);
    assert_eq!(session.next(), Action::Read(ToClient));
    session.handle_read_failed(ToClient);
    assert_eq!(session.next(), Action::Close(EndReason::HostReset));
}

/// The system tells of a reset once: a failed write may have used that up,
/// and reading then finds an end that looks like any other.
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
