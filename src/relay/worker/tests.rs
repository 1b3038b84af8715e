//! Two workers on real sockets, of which one gets all the clients.

use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::mpsc::channel;
use std::thread;

use super::*;
use crate::os::listen::{BindAddress, bind_all};
use crate::relay::client_lookup::ClientLookup;
use crate::relay::clock::Clock;
use crate::relay::events::RecentEvents;
use crate::relay::handoff::Handoffs;
use crate::relay::mailbox::Registered;
use crate::relay::plan::{ListenKey, Service};

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

fn prepare(mailbox: &Mailbox, opened: Vec<(ListenKey, StdListener)>) -> Registered {
    let (done, result) = channel();
    mailbox
        .post(WorkerMessage::Prepare { opened, done })
        .unwrap();
    result.recv().unwrap()
}

fn serve(mailbox: &Mailbox, plan: &Arc<Plan>) {
    let (done, is_done) = channel();
    let plan = Arc::clone(plan);
    mailbox.post(WorkerMessage::Serve { plan, done }).unwrap();
    is_done.recv().unwrap();
}

/// A listener at a free port, its key and its address.
fn listener() -> (ListenKey, StdListener, SocketAddr) {
    let place = BindAddress::At("127.0.0.1:0".parse().unwrap());
    let listener = bind_all(place, 1, false).unwrap().remove(0);
    let address = listener.local_addr().unwrap();
    let key = ListenKey {
        place,
        service: None,
    };
    (key, listener, address)
}

/// epoll_ctl(2) refuses regular files: they stand for a listener that cannot be registered.
#[test]
fn a_listener_that_a_worker_cannot_register_is_refused_as_a_whole() {
    let file = || StdListener::from(OwnedFd::from(File::open("Cargo.toml").unwrap()));
    let host = StdListener::bind("127.0.0.1:0").unwrap();
    let (worker, mailbox) = Worker::new(0, shared(), 1).unwrap();
    let thread = thread::spawn(move || worker.run());
    let (key, good, address) = listener();
    let wrong = [(key.clone(), good), (key.clone(), file())];
    let (place, refused) = prepare(&mailbox, wrong.into()).unwrap_err();
    assert_eq!(place, key.place);
    assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    assert!(
        TcpStream::connect(address).is_err(),
        "the other one is open"
    );
    // What is prepared serves nobody before the plan, and nobody at all if it is discarded.
    let (_, discarded, address) = listener();
    prepare(&mailbox, vec![(key.clone(), discarded)]).unwrap();
    let client = TcpStream::connect(address).unwrap();
    mailbox.post(WorkerMessage::Discard).unwrap();
    assert!(
        matches!((&client).read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::ConnectionReset)
    );
    // A client that came before the plan is accepted with it.
    let (_, good, address) = listener();
    prepare(&mailbox, vec![(key.clone(), good)]).unwrap();
    let _client = TcpStream::connect(address).unwrap();
    let route = (key, Service::example(host.local_addr().unwrap()));
    let plan = Arc::new(Plan {
        routes: [route].into(),
        ..Plan::default()
    });
    serve(&mailbox, &plan);
    host.accept().unwrap();
    drop(mailbox);
    thread.join().unwrap();
}

#[test]
fn clients_that_all_come_to_one_worker_are_shared_with_the_other() {
    let host = StdListener::bind("127.0.0.1:0").unwrap();
    let (key, listener, address) = listener();
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
        prepare(&mailbox, mem::take(&mut listeners)).unwrap();
        serve(&mailbox, &plan);
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
