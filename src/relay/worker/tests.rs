//! Two workers on real sockets, of which one gets all the clients.

use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::mpsc::channel;
use std::thread;

use super::*;
use crate::os::listen::{BindAddress, bind_all};
use crate::relay::client_lookup::ClientLookup;
use crate::relay::clock::Clock;
use crate::relay::events::RecentEvents;
use crate::relay::handoff::Handoffs;
use crate::relay::plan::Service;

fn shared() -> Arc<Shared> {
    Arc::new(Shared {
        clock: Clock::start(),
        capacity: AtomicUsize::new(100),
        open: AtomicUsize::new(0),
        log_shortage_after_ms: AtomicU64::new(0),
        pipes: 0,
        handoffs: Handoffs::new(2),
        recent_events: RecentEvents::new(Clock::start()),
        stats: vec![WorkerStats::default(), WorkerStats::default()],
        client_lookup: ClientLookup::new(2),
    })
}

#[test]
fn clients_that_all_come_to_one_worker_are_shared_with_the_other() {
    let host = StdListener::bind("127.0.0.1:0").unwrap();
    let place = BindAddress::At("127.0.0.1:0".parse().unwrap());
    let listener = bind_all(place, 1, false).unwrap().remove(0);
    let address = listener.local_addr().unwrap();
    let key = ListenKey {
        place,
        service: None,
    };
    let route = (key.clone(), Service::example(host.local_addr().unwrap()));
    let plan = Arc::new(Plan {
        routes: [route].into(),
        ..Plan::default()
    });
    let shared = shared();
    let (mut threads, mut mailboxes) = (Vec::new(), Vec::new());
    let mut listeners = vec![(key, listener)];
    for number in 0..2 {
        let (worker, mailbox) = Worker::new(number, Arc::clone(&shared), 1).unwrap();
        threads.push(thread::spawn(move || worker.run()));
        let (done, is_done) = channel();
        let message = WorkerMessage::Serve {
            plan: Arc::clone(&plan),
            opened: mem::take(&mut listeners),
            done,
        };
        mailbox.post(message).unwrap();
        is_done.recv().unwrap();
        mailboxes.push(mailbox);
    }
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push((TcpStream::connect(address).unwrap(), host.accept().unwrap()));
    }
    let counts = [0, 1].map(|number| shared.handoffs.sessions(number));
    assert_eq!(counts, [2, 2]);
    drop(sessions);
    for mailbox in &mailboxes {
        let (done, is_done) = channel();
        mailbox
            .post(WorkerMessage::Stop { grace: None, done })
            .unwrap();
        is_done.recv().unwrap();
    }
    assert!(TcpStream::connect(address).is_err());
    for thread in threads {
        thread.join().unwrap();
    }
    let counts = [0, 1].map(|number| shared.handoffs.sessions(number));
    assert_eq!((counts, shared.open.load(Ordering::Relaxed)), ([0, 0], 0));
}
