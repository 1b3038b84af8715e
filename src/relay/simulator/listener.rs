//! A simulated listening socket: its accept backlog, as edge-triggered epoll shows it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use rustix::io::Errno;

use super::super::transport::ListenSocket;
use super::transport::{Network, SimulatedTransport};
use crate::balance::Random;
use crate::os::address::Address;

/// How long a listener that must be closed may go on accepting.
pub(super) const CLOSE_WITHIN_MS: u64 = 1000;

/// A listening socket as the network sees it.
#[derive(Debug, Clone)]
pub(super) struct Listener(Rc<RefCell<Backlog>>);

/// The same socket as its worker has it. Dropped, it is closed.
#[derive(Debug)]
pub(super) struct SimulatedListener(Rc<RefCell<Backlog>>);

#[derive(Debug)]
struct Backlog {
    service: usize,
    clients: VecDeque<(SimulatedTransport, Address)>,
    network: Rc<Network>,
    random: Random,
    /// `None` before it is registered.
    token: Option<usize>,
    /// An edge that was not reported yet.
    event: bool,
    /// Since when it must be closed, and from when on whatever it holds.
    closing_since_ms: Option<u64>,
    cut_off_ms: Option<u64>,
    closed: bool,
}

impl Listener {
    /// The socket of a worker for a service, and the network's end of it.
    pub(super) fn open(
        network: &Rc<Network>,
        service: usize,
        random: Random,
    ) -> (Listener, SimulatedListener) {
        let backlog = Rc::new(RefCell::new(Backlog {
            service,
            clients: VecDeque::new(),
            network: Rc::clone(network),
            random,
            token: None,
            event: false,
            closing_since_ms: None,
            cut_off_ms: None,
            closed: false,
        }));
        (Listener(Rc::clone(&backlog)), SimulatedListener(backlog))
    }

    /// The number of its service.
    pub(super) fn service(&self) -> usize {
        self.0.borrow().service
    }

    /// A client connects. No edge comes while another one waits.
    pub(super) fn arrive(&self, client: SimulatedTransport, address: Address) {
        let mut backlog = self.0.borrow_mut();
        backlog.event |= backlog.clients.is_empty();
        backlog.clients.push_back((client, address));
    }

    /// The token of the event that there is, if any.
    pub(super) fn poll(&self) -> Option<usize> {
        let mut backlog = self.0.borrow_mut();
        let token = backlog.token.filter(|_| backlog.event && !backlog.closed)?;
        backlog.event = false;
        Some(token)
    }

    pub(super) fn has_event(&self) -> bool {
        let backlog = self.0.borrow();
        backlog.event && !backlog.closed && backlog.token.is_some()
    }

    /// From now on it must be closed; from `cut_off_ms` on with all the clients that wait.
    pub(super) fn must_close(&self, cut_off_ms: Option<u64>) {
        let mut backlog = self.0.borrow_mut();
        let now_ms = backlog.network.now_ms.get();
        backlog.closing_since_ms.get_or_insert(now_ms);
        backlog.cut_off_ms = cut_off_ms.or(backlog.cut_off_ms);
    }

    /// Since when it must be closed.
    pub(super) fn closing_since_ms(&self) -> Option<u64> {
        self.0.borrow().closing_since_ms
    }

    pub(super) fn is_open(&self) -> bool {
        !self.0.borrow().closed
    }

    /// How many clients wait.
    pub(super) fn waiting(&self) -> usize {
        self.0.borrow().clients.len()
    }

    /// Does something with each client that waits.
    pub(super) fn each_client(&self, act: impl FnMut(&mut SimulatedTransport)) {
        let mut backlog = self.0.borrow_mut();
        backlog.clients.iter_mut().map(|it| &mut it.0).for_each(act);
    }
}

impl ListenSocket<SimulatedTransport> for SimulatedListener {
    type Socket = SimulatedListener;

    fn new(socket: SimulatedListener) -> SimulatedListener {
        socket
    }

    fn register(&mut self, _: &Rc<Network>, token: usize) -> io::Result<()> {
        self.0.borrow_mut().token = Some(token);
        Ok(())
    }

    fn deregister(&mut self, _: &Rc<Network>) {
        assert!(self.0.borrow().closing_since_ms.is_some(), "is in use");
    }

    fn accept(&self) -> io::Result<(SimulatedTransport, Address)> {
        let mut backlog = self.0.borrow_mut();
        if backlog.random.below(16) == 0 {
            let error = [Errno::CONNABORTED, Errno::INTR, Errno::PROTO][backlog.random.index(3)];
            return Err(error.into());
        }
        let network = Rc::clone(&backlog.network);
        if network.lacks_descriptors() {
            network.shortages.update(|count| count + 1);
            return Err(Errno::MFILE.into());
        }
        let client = backlog.clients.pop_front();
        let client = client.ok_or(io::ErrorKind::WouldBlock)?;
        network.accepted.update(|count| count + 1);
        Ok(client)
    }
}

impl Drop for SimulatedListener {
    fn drop(&mut self) {
        let mut backlog = self.0.borrow_mut();
        backlog.closed = true;
        let now_ms = backlog.network.loop_ms.get();
        let since_ms = backlog.closing_since_ms;
        let is_late = since_ms.is_some_and(|since_ms| now_ms >= since_ms + CLOSE_WITHIN_MS)
            || backlog.cut_off_ms.is_some_and(|at_ms| now_ms >= at_ms);
        if !std::thread::panicking() {
            assert!(is_late || backlog.clients.is_empty(), "resets clients");
        }
        backlog.clients.clear();
    }
}
