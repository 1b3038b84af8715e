//! When this machine has no descriptor or port for the host's end.

use super::*;

#[test]
fn without_a_descriptor_it_pauses_and_picks_again() {
    let mut session = picking(TIMEOUTS);
    session.handle_local_trouble(10);
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
    assert_eq!(ends, (15_000, EndReason::LocalTrouble));
    let without_timeout = TimeoutsMs {
        connect: 0,
        ..TIMEOUTS
    };
    let ends = trouble_without_end(without_timeout);
    assert_eq!(ends, (15_000, EndReason::LocalTrouble));
}

#[test]
fn without_a_port_another_host_is_tried_and_then_all_again() {
    let mut session = picking(TIMEOUTS);
    session.handle_no_port(HostId(0), 50, 0);
    assert_eq!(session.next(), Action::Pick);
    assert_eq!(session.tried(), [HostId(0)]);
    session.handle_no_port(HostId(1), 50, 0);
    session.handle_nobody(0);
    assert_eq!(session.next(), Action::Wait, "they may be in reach later");
    session.handle_deadline(session.deadline_ms().unwrap());
    assert_eq!(session.next(), Action::Pick);
    assert_eq!(session.tried(), []);
    assert_eq!(session.failed(), 0);
}

#[test]
fn a_host_that_failed_stays_tried_when_those_out_of_reach_are_tried_again() {
    let mut session = picking(TIMEOUTS);
    session.handle_no_port(HostId(0), 50, 0);
    session.handle_picked(0);
    session.handle_connect_failed(HostId(1), false, 10);
    assert_eq!(session.tried(), [HostId(1), HostId(0)]);
    session.handle_nobody(10);
    session.handle_deadline(session.deadline_ms().unwrap());
    assert_eq!(session.next(), Action::Pick);
    assert_eq!(session.tried(), [HostId(1)]);
    session.handle_nobody(100);
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
