//! From the first pick to the host that accepts, or to none.

use super::*;

const FIRST: HostId = HostId(0);

#[test]
fn a_host_that_refuses_is_not_asked_again() {
    let mut session = connecting(TIMEOUTS, 0);
    session.handle_ready(Host, BROKEN);
    assert_eq!(session.next(), settle(false));
    session.handle_connect_failed(FIRST, false, 10);
    assert_eq!(session.next(), Action::Pick);
    assert_eq!(session.tried(), [FIRST]);
    session.handle_nobody(10);
    assert_eq!(session.next(), Action::Close(EndReason::NoHost));
}

#[test]
fn what_was_seen_of_a_host_that_refused_does_not_hold_for_the_next() {
    let mut session = connecting(TIMEOUTS, 0);
    session.handle_ready(Host, BROKEN);
    session.handle_connect_failed(FIRST, false, 10);
    session.handle_picked(10);
    session.handle_connected(20);
    assert_eq!(session.next(), Action::Wait, "it has said nothing");
    session.handle_ready(Host, READABLE);
    pass(&mut session, ToClient, b"abc", 3, 30);
    assert_eq!(session.next(), Action::Wait, "it has announced no end");
}

#[test]
fn a_host_that_has_another_address_may_be_picked_again() {
    let mut session = connecting(TIMEOUTS, 0);
    session.handle_moved(true, 10);
    assert_eq!(session.next(), Action::Pick);
    assert_eq!((session.tried(), session.failed()), (&[][..], 1));
    session.handle_picked(10);
    session.handle_connect_failed(FIRST, false, 20);
    assert_eq!((session.tried(), session.failed()), (&[FIRST][..], 2));
}

/// Addresses that are there anew each time are no way around the limit.
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
    assert_eq!(session.failed(), 16);
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
        assert_eq!(session.next(), settle(true));
        assert!(session.host_was_slow(end_ms));
        session.handle_connect_failed(HostId(number), true, end_ms);
    }
    assert_eq!(session.next(), Action::Close(EndReason::ConnectTimedOut));
}

#[test]
fn a_connect_cut_by_the_clients_patience_is_not_blamed_on_the_host() {
    let mut session = picking(TIMEOUTS);
    session.handle_picked(0);
    session.handle_connect_failed(HostId(0), false, 14_000);
    session.handle_picked(14_000);
    assert_eq!(session.deadline_ms(), Some(15_000));
    session.handle_deadline(15_000);
    assert_eq!(session.next(), settle(true));
    assert!(!session.host_was_slow(15_000));
    session.handle_connect_failed(HostId(1), true, 15_000);
    assert_eq!(session.next(), Action::Close(EndReason::ConnectTimedOut));
}

#[test]
fn a_connect_that_is_there_just_in_time_counts() {
    let mut session = connecting(TIMEOUTS, 0);
    session.handle_deadline(5000);
    assert_eq!(session.next(), settle(true));
    session.handle_connected(5000);
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
    session.handle_ready(Host, READABLE);
    assert_eq!(session.next(), Action::Wait, "not even worth a look");
    session.handle_ready(Host, WRITABLE);
    assert_eq!(session.next(), settle(false));
    session.handle_connecting();
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
    paused.handle_local_trouble(0);
    for mut session in [picking(TIMEOUTS), paused, connecting(TIMEOUTS, 0)] {
        session.handle_ready(Client, BROKEN);
        assert_eq!(session.next(), Action::Close(EndReason::ClientGone));
    }
}

#[test]
fn a_connection_that_the_system_vouches_for_is_not_asked_about_and_the_next_one_is() {
    let vouched = Readiness {
        connected: true,
        ..WRITABLE
    };
    let mut session = connecting(TIMEOUTS, 0);
    session.handle_ready(Host, vouched);
    let settle_vouched = Action::Settle {
        late: false,
        vouched: true,
    };
    assert_eq!(session.next(), settle_vouched);
    session.handle_connect_failed(FIRST, false, 10);
    session.handle_picked(10);
    session.handle_ready(Host, WRITABLE);
    assert_eq!(session.next(), settle(false));
}

#[test]
fn a_session_whose_hosts_lead_back_here_waits_for_a_second() {
    let mut session = picking(TIMEOUTS);
    session.handle_circle(10);
    assert_eq!(session.next(), Action::Wait);
    assert_eq!(session.deadline_ms(), Some(1000));
    session.handle_deadline(1000);
    assert_eq!(session.next(), Action::Pick);
    session.handle_circle(1000);
    assert_eq!(session.next(), Action::Close(EndReason::NoHost));
}
