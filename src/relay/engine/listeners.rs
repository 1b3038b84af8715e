//! A worker's listeners: which may have waiting clients, which are paused, which must be closed.
//!
//! An iteration looks only at these lists, however many listeners the worker has.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;

use crate::os::address::Address;
use crate::relay::plan::{ListenKey, ListenerPlan, ServiceStats};
use crate::relay::transport::{ListenSocket, Transport};

/// How long a listener that must be closed goes on accepting.
// Closing one of several SO_REUSEPORT sockets resets the clients in its accept backlog, so the
// backlog is emptied first. The limit is for clients that come faster than they are accepted.
// Test: a_listener_is_closed_in_time_however_many_clients_come.
const CLOSE_WITHIN_MS: u64 = 1000;

/// How long the listeners of a service pause that has its share of the last sessions, unless one of
/// its sessions ends here. Limited, since a session may have ended at another worker.
// Test: one_service_leaves_the_last_sessions_to_the_other.
const PAUSE_MS: u64 = 100;

/// A listening socket that is registered for events.
pub(super) struct Listener<T: Transport> {
    pub(super) key: ListenKey,
    pub(super) socket: T::Listener,
    pub(super) plan: ListenerPlan,
    /// Its backlog may hold clients, and it is on the ready list or paused. An edge comes only for
    /// the first client, so this stays set until the backlog was seen empty.
    waiting: bool,
    /// It must be closed once its backlog is empty, and at this time at the latest.
    close_by_ms: Option<u64>,
}

/// What an accept returned.
pub(super) enum Accepted<T> {
    /// A client.
    Client(T, Address),
    /// The backlog is empty.
    WouldBlock,
    /// A client that has gone already. There may be others.
    Aborted,
    /// The machine lacks something. No edge will follow, so a timer must retry.
    Error(io::Error),
}

impl<T: Transport> Listener<T> {
    pub(super) fn new(key: ListenKey, socket: T::Listener, plan: ListenerPlan) -> Listener<T> {
        Listener {
            key,
            socket,
            plan,
            waiting: false,
            close_by_ms: None,
        }
    }

    /// Accepts one client.
    pub(super) fn accept(&self) -> Accepted<T> {
        match self.socket.accept() {
            Ok((transport, address)) => Accepted::Client(transport, address),
            Err(error) => classify(error),
        }
    }
}

/// Classifies an error of accept(2). No error ends accepting for good.
// Test: no_error_ends_accepting_and_only_harmless_ones_go_on_at_once.
fn classify<T>(error: io::Error) -> Accepted<T> {
    match error.kind() {
        ErrorKind::WouldBlock => Accepted::WouldBlock,
        ErrorKind::Interrupted | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset => {
            Accepted::Aborted
        }
        // Linux reports network errors of the connection that it was to return.
        _ if error
            .raw_os_error()
            .is_some_and(|code| NETWORK_ERRORS.contains(&code)) =>
        {
            Accepted::Aborted
        }
        _ => Accepted::Error(error),
    }
}

/// The network errors that accept(2) says to treat like EAGAIN, as far as all systems have them.
const NETWORK_ERRORS: [i32; 6] = [
    Errno::NETDOWN.raw_os_error(),
    Errno::PROTO.raw_os_error(),
    Errno::NOPROTOOPT.raw_os_error(),
    Errno::HOSTDOWN.raw_os_error(),
    Errno::HOSTUNREACH.raw_os_error(),
    Errno::NETUNREACH.raw_os_error(),
];

/// A worker's listeners by index, with lists of those that need something.
pub(super) struct ListenerSet<T: Transport> {
    slots: Vec<Option<Listener<T>>>,
    free: Vec<usize>,
    /// The ready list: their backlogs may hold clients. A listener is here or paused, only once.
    ready: VecDeque<usize>,
    /// By [`service_key`].
    paused: HashMap<usize, Vec<usize>>,
    /// When all paused listeners become ready again.
    resume_ms: u64,
    /// When each must be closed, in order of time. May contain listeners that are closed already.
    close_queue: VecDeque<(u64, usize)>,
    /// How many must be closed and are still open.
    closing: usize,
}

/// Identifies a service across configurations.
fn service_key(stats: &Arc<ServiceStats>) -> usize {
    Arc::as_ptr(stats) as usize
}

impl<T: Transport> Default for ListenerSet<T> {
    fn default() -> ListenerSet<T> {
        ListenerSet {
            slots: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            paused: HashMap::new(),
            resume_ms: 0,
            close_queue: VecDeque::new(),
            closing: 0,
        }
    }
}

impl<T: Transport> ListenerSet<T> {
    /// Reserves an index: [`ListenerSet::fill`] or [`ListenerSet::release`] it.
    pub(super) fn reserve(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        })
    }

    /// Puts a listener at a reserved index.
    pub(super) fn fill(&mut self, index: usize, listener: Listener<T>) {
        self.slots[index] = Some(listener);
    }

    /// Gives a reserved index back.
    pub(super) fn release(&mut self, index: usize) {
        self.free.push(index);
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Listener<T>> {
        self.slots.get_mut(index)?.as_mut()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Listener<T>> {
        self.slots.get(index)?.as_ref()
    }

    /// The indices of all listeners.
    pub(super) fn indices(&self) -> Vec<usize> {
        let open = |index: &usize| self.slots[*index].is_some();
        (0..self.slots.len()).filter(open).collect()
    }

    /// Second descriptors of all sockets.
    pub(super) fn duplicate(&self) -> Vec<(ListenKey, io::Result<OwnedFd>)> {
        let open = self.slots.iter().flatten();
        open.map(|it| (it.key.clone(), it.socket.duplicate()))
            .collect()
    }

    /// The number of slots, free ones included.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.len() == self.free.len()
    }

    /// Puts a listener on the ready list: an event came for it.
    pub(super) fn mark_ready(&mut self, index: usize) {
        if let Some(listener) = self.get_mut(index)
            && !std::mem::replace(&mut listener.waiting, true)
        {
            self.ready.push_back(index);
        }
    }

    /// The length of the ready list.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Takes the next listener off the ready list. Return it by [`ListenerSet::push_back`] or
    /// [`ListenerSet::pause`], unless its backlog is empty.
    pub(super) fn pop(&mut self) -> Option<usize> {
        self.ready.pop_front()
    }

    /// Puts a listener back on the ready list, after the others.
    pub(super) fn push_back(&mut self, index: usize) {
        self.ready.push_back(index);
    }

    /// Pauses a listener until a session of its service ends, or for a while.
    pub(super) fn pause(&mut self, index: usize, now_ms: u64) {
        let Some(key) = self
            .get_mut(index)
            .map(|it| service_key(&it.plan.service.stats))
        else {
            return;
        };
        if self.paused.is_empty() {
            self.resume_ms = now_ms + PAUSE_MS;
        }
        self.paused.entry(key).or_default().push(index);
    }

    /// Resumes one paused listener of a service, since a session of it has ended.
    pub(super) fn resume_one(&mut self, stats: &Arc<ServiceStats>) {
        if self.paused.is_empty() {
            return;
        }
        let key = service_key(stats);
        if let Some(indices) = self.paused.get_mut(&key) {
            self.ready.extend(indices.pop());
            if indices.is_empty() {
                self.paused.remove(&key);
            }
        }
    }

    /// Resumes all paused listeners if it is time.
    pub(super) fn resume_due(&mut self, now_ms: u64) {
        if self.next_resume_ms().is_some_and(|due_ms| due_ms <= now_ms) {
            self.ready.extend(self.paused.drain().flat_map(|it| it.1));
        }
    }

    /// When the paused listeners resume.
    pub(super) fn next_resume_ms(&self) -> Option<u64> {
        (!self.paused.is_empty()).then_some(self.resume_ms)
    }

    /// Has a listener closed once its backlog is empty, or after a second.
    pub(super) fn close_soon(&mut self, index: usize, now_ms: u64) {
        if let Some(listener) = self.get_mut(index).filter(|it| it.close_by_ms.is_none()) {
            let by_ms = now_ms + CLOSE_WITHIN_MS;
            listener.close_by_ms = Some(by_ms);
            self.close_queue.push_back((by_ms, index));
            self.closing += 1;
            self.mark_ready(index);
        }
    }

    /// How many must be closed and are still open.
    pub(super) fn closing(&self) -> usize {
        self.closing
    }

    /// When the next one must be closed, even with clients in its backlog.
    pub(super) fn next_close_ms(&self) -> Option<u64> {
        self.close_queue.front().map(|(by_ms, _)| *by_ms)
    }

    /// Removes a listener that must be closed by now.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Option<Listener<T>> {
        while let Some(&(by_ms, index)) = self.close_queue.front().filter(|due| due.0 <= now_ms) {
            self.close_queue.pop_front();
            // The index may belong to another listener by now.
            if self
                .get_mut(index)
                .is_some_and(|it| it.close_by_ms == Some(by_ms))
            {
                self.remove_from_lists(index);
                return self.take(index);
            }
        }
        None
    }

    /// Notes that a listener's backlog is empty. Removes the listener if it must be closed.
    pub(super) fn take_if_closing(&mut self, index: usize) -> Option<Listener<T>> {
        let listener = self.get_mut(index)?;
        listener.waiting = false;
        listener.close_by_ms?;
        self.take(index)
    }

    fn take(&mut self, index: usize) -> Option<Listener<T>> {
        let listener = self.slots.get_mut(index)?.take()?;
        self.closing -= usize::from(listener.close_by_ms.is_some());
        self.free.push(index);
        Some(listener)
    }

    /// Removes an index from the ready list and from the paused listeners.
    fn remove_from_lists(&mut self, index: usize) {
        self.ready.retain(|it| *it != index);
        self.paused.retain(|_, indices| {
            indices.retain(|it| *it != index);
            !indices.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::listen::{BindAddress, ListenOptions, StreamListener, bind_all};
    use crate::relay::plan::Service;
    use crate::relay::tcp_transport::TcpTransport;

    fn listener() -> Listener<TcpTransport> {
        let place = BindAddress::At("127.0.0.1:0".parse().unwrap());
        let socket = bind_all(place, &ListenOptions::default(), 1, false)
            .unwrap()
            .remove(0);
        let key = ListenKey::at(place);
        let service = Service::example("127.0.0.1:1".parse().unwrap());
        let socket = StreamListener::Tcp(socket).into();
        Listener::new(key, socket, ListenerPlan::new(service))
    }

    /// So many, each of a service of its own.
    fn listeners(count: usize) -> ListenerSet<TcpTransport> {
        let mut listeners = ListenerSet::default();
        for index in 0..count {
            assert_eq!(listeners.reserve(), index);
            listeners.fill(index, listener());
        }
        listeners
    }

    fn ready(listeners: &mut ListenerSet<TcpTransport>) -> Vec<usize> {
        std::iter::from_fn(|| listeners.pop()).collect()
    }

    #[test]
    fn only_those_that_were_woken_are_looked_at_and_once() {
        let mut listeners = listeners(4);
        assert_eq!(listeners.ready(), 0);
        for index in [2, 0, 2, 9] {
            listeners.mark_ready(index);
        }
        assert_eq!(ready(&mut listeners), [2, 0]);
        // Until its backlog was seen empty it is not woken a second time.
        listeners.mark_ready(2);
        assert!(listeners.take_if_closing(0).is_none());
        listeners.mark_ready(0);
        assert_eq!(ready(&mut listeners), [0]);
    }

    #[test]
    fn a_pause_is_its_services_alone_and_ends_by_itself() {
        let mut listeners = listeners(3);
        let stats = |listeners: &mut ListenerSet<TcpTransport>, index: usize| {
            Arc::clone(&listeners.get_mut(index).unwrap().plan.service.stats)
        };
        let (first, second) = (stats(&mut listeners, 0), stats(&mut listeners, 1));
        (0..3).for_each(|index| listeners.mark_ready(index));
        while let Some(index) = listeners.pop() {
            if index != 2 {
                listeners.pause(index, 1000);
            }
        }
        // What comes meanwhile does not end it.
        listeners.mark_ready(0);
        assert_eq!(listeners.ready(), 0);
        listeners.resume_one(&second);
        assert_eq!(ready(&mut listeners), [1]);
        listeners.resume_one(&second);
        listeners.resume_due(1000 + PAUSE_MS - 1);
        assert_eq!(listeners.ready(), 0);
        assert_eq!(listeners.next_resume_ms(), Some(1000 + PAUSE_MS));
        listeners.resume_due(1000 + PAUSE_MS);
        assert_eq!(ready(&mut listeners), [0]);
        assert_eq!(listeners.next_resume_ms(), None);
        listeners.resume_one(&first);
        assert_eq!(listeners.ready(), 0);
    }

    #[test]
    fn one_that_is_to_be_closed_goes_when_nobody_waits_or_it_is_time() {
        let mut listeners = listeners(3);
        (0..3).for_each(|index| listeners.close_soon(index, 5));
        listeners.close_soon(1, 700);
        assert_eq!((listeners.closing(), listeners.ready()), (3, 3));
        assert_eq!(listeners.pop(), Some(0));
        assert!(listeners.take_if_closing(0).is_some());
        // The next one there has nothing to do with it.
        assert_eq!(listeners.reserve(), 0);
        listeners.fill(0, listener());
        listeners.mark_ready(0);
        assert_eq!(listeners.pop(), Some(1));
        listeners.pause(1, 10);
        assert!(listeners.take_due(5 + CLOSE_WITHIN_MS - 1).is_none());
        let mut closed = 0;
        while listeners.take_due(5 + CLOSE_WITHIN_MS).is_some() {
            closed += 1;
        }
        assert_eq!((closed, listeners.closing()), (2, 0));
        assert_eq!(listeners.next_resume_ms(), None);
        assert_eq!(listeners.next_close_ms(), None);
        assert_eq!(ready(&mut listeners), [0]);
        assert_eq!(listeners.indices(), [0]);
    }
    use crate::relay::failure::Shortage;

    #[test]
    fn no_error_ends_accepting_and_only_harmless_ones_go_on_at_once() {
        for code in 1..200 {
            match classify::<TcpTransport>(io::Error::from_raw_os_error(code)) {
                Accepted::Aborted => {
                    let error = io::Error::from_raw_os_error(code);
                    assert_eq!(Shortage::of(&error), None);
                }
                Accepted::WouldBlock => assert_eq!(code, Errno::AGAIN.raw_os_error()),
                Accepted::Error(_) => {}
                Accepted::Client(..) => panic!("a client out of nothing"),
            }
        }
        for errno in [Errno::CONNABORTED, Errno::INTR, Errno::PROTO] {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert!(
                matches!(classify::<TcpTransport>(error), Accepted::Aborted),
                "{errno}"
            );
        }
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert!(Shortage::of(&error).is_some());
            assert!(
                matches!(classify::<TcpTransport>(error), Accepted::Error(_)),
                "{errno}"
            );
        }
    }
}
