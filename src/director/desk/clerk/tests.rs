//! What is not seen from outside: lists with less room than there are sessions.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::*;
use crate::director::Options;

/// A director, and so many clients of its one host, with the host's ends of them.
fn scene(clients: usize) -> (Director, Vec<TcpStream>) {
    // Four descriptors each are more than a process has to begin with.
    crate::os::descriptors::raise_limit().unwrap();
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = host.local_addr().unwrap();
    let text = format!(
        "<config><service name='s'><listen ip='127.0.0.1:0'/><group name='g' enable='1'>\
         <host name='h' ip='{at}'/></group></service></config>"
    );
    let config = crate::config::read(text.as_bytes()).unwrap().config;
    let options = Options::new(2, |_| {});
    let director = Director::start(config, options).unwrap();
    let address = director.status().services[0].addresses[0];
    let client = |_| {
        let client = TcpStream::connect(address).unwrap();
        [client, host.accept().unwrap().0]
    };
    let ends = (0..clients).flat_map(client).collect();
    (director, ends)
}

#[test]
fn a_list_has_as_many_sessions_as_there_is_room_for_and_counts_the_others() {
    // More than two workers look at in a turn each.
    let (director, _ends) = scene(400);
    for (room, listed) in [(0, 0), (7, 7), (300, 300), (10_000, 400)] {
        let slices: Vec<_> = director.list_sessions(room).iter().collect();
        let mut ids: Vec<u64> = slices
            .iter()
            .flat_map(|slice| slice.sessions.iter().map(|it| it.id))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let more: usize = slices.iter().map(|slice| slice.more).sum();
        assert_eq!((ids.len(), ids.len() + more), (listed, 400));
    }
}

#[test]
fn a_saver_is_due_once_an_interval_and_never_when_it_is_off() {
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let chore = |interval_s, enable| crate::config::Chore {
        interval: Duration::from_secs(interval_s),
        enable,
    };
    let saver = Saver::new(chore(30, true), start);
    assert!(!saver.is_due(after(29)) && saver.is_due(after(30)));
    assert_eq!(saver.patience(after(10)), Some(Duration::from_secs(20)));
    assert_eq!(saver.patience(after(31)), Some(Duration::ZERO));
    for never in [chore(30, false), chore(u64::MAX, true)] {
        let saver = Saver::new(never, start);
        assert!(!saver.is_due(after(1_000_000)));
        assert_eq!(saver.patience(start), None);
    }
}
