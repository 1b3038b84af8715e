//! Two workers on real sockets, of which one gets all the clients.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::mpsc::channel;
use std::thread;

use super::*;
use crate::balance::Tracker;
use crate::config;
use crate::os::listen::{Place, bind_all};
use crate::relay::clock::Clock;
use crate::relay::journal::Journal;
use crate::relay::lobby::{Lobbies, Newcomer};
use crate::relay::origins::Origins;
use crate::relay::plan::{Group, Service};

/// The only service of a configuration, with one host.
pub(super) fn service(host: SocketAddr) -> Arc<Service> {
    let text = format!(
        r#"<config><service name="s"><listen ip="127.0.0.1:0"/>
        <group name="g" enable="true"><host ip="{host}"/></group></service></config>"#
    );
    let config = config::read(text.as_bytes()).unwrap().config;
    let service = &config.services[0];
    let tracker = Tracker::new(&service.groups[0], 2, 0);
    Arc::new(Service {
        name: service.name.clone(),
        timeouts: service.timeouts.into(),
        group: Arc::new(Group::new("s", "g", tracker)),
        tally: Arc::default(),
    })
}

fn shared() -> Arc<Shared> {
    Arc::new(Shared {
        clock: Clock::start(),
        capacity: AtomicUsize::new(100),
        open: AtomicUsize::new(0),
        complain_after_ms: AtomicU64::new(0),
        pipes: 0,
        lobbies: Lobbies::new(2),
        journal: Journal::new(Clock::start()),
        meters: vec![Meters::default(), Meters::default()],
        origins: Origins::new(2),
    })
}

#[test]
fn clients_that_all_come_to_one_worker_are_shared_with_the_other() {
    let host = StdListener::bind("127.0.0.1:0").unwrap();
    let place = Place::At("127.0.0.1:0".parse().unwrap());
    let listener = bind_all(place, 1, false).unwrap().remove(0);
    let address = listener.local_addr().unwrap();
    let key = ListenKey {
        place,
        service: None,
    };
    let door = (key.clone(), service(host.local_addr().unwrap()));
    let plan = Arc::new(Plan {
        doors: [door].into(),
        ..Plan::default()
    });
    let shared = shared();
    let (mut threads, mut mailboxes) = (Vec::new(), Vec::new());
    let mut listeners = vec![(key, listener)];
    for number in 0..2 {
        let (worker, mailbox) = Worker::new(number, Arc::clone(&shared), 1).unwrap();
        threads.push(thread::spawn(move || worker.run()));
        let (done, is_done) = channel();
        let order = Order::Serve {
            plan: Arc::clone(&plan),
            opened: std::mem::take(&mut listeners),
            done,
        };
        mailbox.post(order).unwrap();
        is_done.recv().unwrap();
        mailboxes.push(mailbox);
    }
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push((TcpStream::connect(address).unwrap(), host.accept().unwrap()));
    }
    let counts = [0, 1].map(|number| shared.lobbies.sessions(number));
    assert_eq!(counts, [2, 2]);
    drop(sessions);
    for mailbox in &mailboxes {
        let (done, is_done) = channel();
        mailbox.post(Order::Stop { grace: None, done }).unwrap();
        is_done.recv().unwrap();
    }
    assert!(TcpStream::connect(address).is_err());
    for thread in threads {
        thread.join().unwrap();
    }
    let counts = [0, 1].map(|number| shared.lobbies.sessions(number));
    assert_eq!((counts, shared.open.load(Ordering::Relaxed)), ([0, 0], 0));
}

fn newcomer(service: &Arc<Service>) -> Newcomer {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    Newcomer {
        address: socket.local_addr().unwrap(),
        socket: mio::net::TcpStream::from_std(socket),
        service: Arc::clone(service),
    }
}

/// The lobbies of two workers, which are woken by nobody who listens.
fn lobbies(poll: &Poll) -> Lobbies {
    let lobbies = Lobbies::new(2);
    let waker = Arc::new(mio::Waker::new(poll.registry(), Token(0)).unwrap());
    for worker in 0..2 {
        lobbies.open(worker, Arc::clone(&waker));
    }
    lobbies
}

#[test]
fn a_lobby_is_not_shut_while_somebody_waits_in_it() {
    let (poll, service) = (
        Poll::new().unwrap(),
        service("127.0.0.1:1".parse().unwrap()),
    );
    let lobbies = lobbies(&poll);
    assert!(lobbies.enter(0, newcomer(&service)).is_some());
    assert!(
        lobbies.enter(0, newcomer(&service)).is_none(),
        "the other has fewer"
    );
    assert!(!lobbies.shut(1));
    assert_eq!(lobbies.take(1).len(), 1);
    assert!(lobbies.shut(1));
}

#[test]
fn who_finds_the_other_lobby_shut_stays_and_is_counted_here() {
    let (poll, service) = (
        Poll::new().unwrap(),
        service("127.0.0.1:1".parse().unwrap()),
    );
    let lobbies = lobbies(&poll);
    assert!(lobbies.shut(1));
    for sessions in 1..=3 {
        assert!(lobbies.enter(0, newcomer(&service)).is_some());
        assert_eq!([0, 1].map(|it| lobbies.sessions(it)), [sessions, 0]);
    }
    lobbies.exit(0);
    assert_eq!(lobbies.sessions(0), 2);
}
