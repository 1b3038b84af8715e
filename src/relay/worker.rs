//! A worker: one thread with its engine, an event queue of the system, and the clock.

use std::io;
use std::sync::Arc;

use mio::{Events, Poll, Token};

use super::connection::Connection;
use super::engine::{Engine, Limits, MAILBOX_TOKEN, Polled};
use super::first_bytes::MAX_FIRST_BYTES;
use super::mailbox::Mailbox;
use super::shared::Shared;
use super::tcp_transport::{TcpTransport, readiness};
use crate::os::pipes::Pipes;

pub(super) const LIMITS: Limits = Limits {
    buffer_bytes: 64 * 1024,
    // 16 buffers, 1 MiB. Enough to keep the kernel's buffers busy, too little to delay others
    // noticeably.
    // Test: an_endless_session_and_a_thousand_small_ones_all_get_on.
    max_reads: 16,
    first_bytes: MAX_FIRST_BYTES,
    max_events: 1024,
};

/// One thread's event loop and everything it owns.
pub(crate) struct Worker {
    number: usize,
    shared: Arc<Shared>,
    engine: Engine<TcpTransport>,
}

impl Worker {
    /// Worker `number` and its mailbox.
    ///
    /// # Errors
    /// The system's, if it cannot make an event queue.
    pub(crate) fn new(
        number: usize,
        shared: Arc<Shared>,
        seed: u64,
    ) -> io::Result<(Worker, Mailbox)> {
        let poll = Poll::new()?;
        let (mailbox, messages) = Mailbox::new(&poll, Token(MAILBOX_TOKEN))?;
        shared.handoffs.open(number, mailbox.waker());
        let system = (poll, Pipes::new(shared.pipes));
        let now_ms = shared.clock.now_ms();
        let own = Arc::clone(&shared);
        let engine = Engine::new(number, own, messages, system, LIMITS, seed, now_ms);
        let worker = Worker {
            number,
            shared,
            engine,
        };
        Ok((worker, mailbox))
    }

    /// Runs the event loop until the worker was stopped and its last session has ended.
    ///
    /// # Panics
    /// If the system's event queue fails: a worker can do nothing without it.
    pub(crate) fn run(mut self) {
        let Worker {
            number,
            shared,
            engine,
        } = &mut self;
        let mut events = Events::with_capacity(LIMITS.max_events);
        while !engine.is_done() {
            let timeout = engine.poll_timeout(|| shared.clock.now_ms());
            let polled = engine.registry.poll(&mut events, timeout);
            let interrupted = match polled {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    panic!("worker {number}: no more events: {error}")
                }
                polled => polled.is_err(),
            };
            engine.begin_iteration(shared.clock.now_ms());
            let mut dispatched = 0;
            for event in &events {
                engine.dispatch_event(event.token().0, readiness(event));
                dispatched += 1;
            }
            let full = dispatched == LIMITS.max_events;
            engine.run_iteration(Polled { interrupted, full }, Connection::run);
        }
    }
}

impl Drop for Worker {
    // Test: a_scheduler_that_panics_is_reported_and_ends_the_balancer.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.engine.reset_connections();
        }
    }
}

#[cfg(test)]
mod tests {
    //! Workers on real sockets.

    use std::fs::File;
    use std::io::Read;
    use std::mem;
    use std::net::{SocketAddr, TcpListener as StdListener, TcpStream};
    use std::os::fd::OwnedFd;
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;
    use crate::os::listen::{BindAddress, ListenOptions, StreamListener, bind_all};
    use crate::relay::clock::Clock;
    use crate::relay::mailbox::{Registered, WorkerMessage};
    use crate::relay::plan::{ListenKey, ListenerPlan, Plan, Service};

    fn shared() -> Arc<Shared> {
        let shared = Shared::new(Clock::start(), 2, 0);
        shared.set_capacity(100);
        Arc::new(shared)
    }

    fn prepare(mailbox: &Mailbox, opened: Vec<(ListenKey, StdListener)>) -> Registered {
        let of_tcp = |(key, listener)| (key, StreamListener::Tcp(listener));
        let opened = opened.into_iter().map(of_tcp).collect();
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
        let listener = bind_all(place, &ListenOptions::default(), 1, false)
            .unwrap()
            .remove(0);
        let address = listener.local_addr().unwrap();
        let key = ListenKey::at(place);
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
        // A prepared listener accepts no client before the plan, and resets them if it is discarded.
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
        let service = Service::example(host.local_addr().unwrap());
        let plan = Arc::new(Plan {
            listeners: [(key, ListenerPlan::new(service))].into(),
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
        let service = Service::example(host.local_addr().unwrap());
        let plan = Arc::new(Plan {
            listeners: [(key.clone(), ListenerPlan::new(service))].into(),
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
        assert_eq!((counts, shared.handoffs.open_sessions()), ([0, 0], 0));
    }
}
