//! A worker: one thread with its engine, an event queue of the system, and the clock.

use std::io;
use std::sync::Arc;

use mio::{Events, Poll, Token};

use super::connection::Connection;
use super::engine::{Engine, Limits, MAILBOX_TOKEN, Polled};
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
    //! Two workers on real sockets, of which one gets all the clients.

    use std::mem;
    use std::net::{TcpListener as StdListener, TcpStream};
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;
    use crate::os::listen::{BindAddress, bind_all};
    use crate::relay::clock::Clock;
    use crate::relay::mailbox::WorkerMessage;
    use crate::relay::plan::{ListenKey, Plan, Service};

    fn shared() -> Arc<Shared> {
        let shared = Shared::new(Clock::start(), 2, 0);
        shared.set_capacity(100);
        Arc::new(shared)
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
        assert_eq!((counts, shared.handoffs.open_sessions()), ([0, 0], 0));
    }
}
