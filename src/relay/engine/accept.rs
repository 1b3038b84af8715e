//! How an engine opens and closes listeners, accepts clients, and pauses.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::listeners::{Accepted, Listener};
use super::{ACCEPT_PAUSE_MS, Engine, FIRST_LISTENER, Socket, enqueue};
use crate::os::address::Address;
use crate::relay::connection::Connection;
use crate::relay::failure::{EndReason, ResourceError, Shortage};
use crate::relay::handoff::{Admission, PendingConnection};
use crate::relay::mailbox::Registered;
use crate::relay::plan::{ListenKey, Service};
use crate::relay::shared::{Capacity, check_capacity};
use crate::relay::slab::FIRST_SPECIAL;
use crate::relay::transport::{ListenSocket, Transport};

/// Clients accepted at one listener before connections run.
const MAX_ACCEPTS_PER_ITERATION: usize = 64;

/// A listener that is registered, and not in the plan yet.
pub(super) struct PreparedListener<T: Transport> {
    /// Reserved in the [`ListenerSet`](super::listeners::ListenerSet).
    index: usize,
    key: ListenKey,
    socket: T::Listener,
}

/// What is known of a listener's accept backlog.
enum Backlog {
    Empty,
    /// It may hold more clients.
    NotEmpty,
    /// Its clients wait until their service may have another session.
    Paused,
}

impl<T: Transport> Engine<T> {
    /// Registers new listening sockets. Nothing is accepted from them before
    /// [`Engine::open_prepared`].
    ///
    /// # Errors
    /// The system's, such as ENOSPC of epoll_ctl(2). None of the sockets is left then.
    // Test: a_listener_that_a_worker_cannot_register_is_refused_as_a_whole.
    pub(super) fn prepare_listeners(&mut self, opened: Vec<(ListenKey, Socket<T>)>) -> Registered {
        self.discard_prepared();
        for (key, socket) in opened {
            let index = self.listeners.reserve();
            let token = FIRST_SPECIAL + FIRST_LISTENER + index;
            let mut socket = T::Listener::new(socket);
            let registered = socket.register(&self.registry, token);
            let place = key.place.clone();
            self.prepared.push(PreparedListener { index, key, socket });
            if let Err(error) = registered {
                self.discard_prepared();
                return Err((place, error));
            }
        }
        Ok(())
    }

    /// Closes the prepared listeners.
    pub(super) fn discard_prepared(&mut self) {
        for mut prepared in std::mem::take(&mut self.prepared) {
            prepared.socket.deregister(&self.registry);
            self.listeners.release(prepared.index);
        }
    }

    /// Accepts from the prepared listeners from now on.
    pub(super) fn open_prepared(&mut self) {
        for PreparedListener { index, key, socket } in std::mem::take(&mut self.prepared) {
            match self.plan.listeners.get(&key) {
                Some(plan) => {
                    let listener = Listener::new(key, socket, plan.clone());
                    self.listeners.fill(index, listener);
                    // The event for its first client may have come before the plan.
                    self.listeners.mark_ready(index);
                }
                None => self.listeners.release(index),
            }
        }
    }

    /// Accepts waiting clients, some at each listener, and closes listeners whose time has come.
    pub(super) fn accept_clients(&mut self) {
        self.listeners.resume_due(self.now_ms);
        for _ in 0..self.listeners.ready() {
            // A shortage affects all listeners.
            if self.now_ms < self.accept_after_ms {
                break;
            }
            let Some(index) = self.listeners.pop() else {
                break;
            };
            match self.accept_at(index) {
                Backlog::Empty => {
                    let closing = self.listeners.take_if_closing(index);
                    closing.into_iter().for_each(|it| self.close_listener(it));
                }
                // Also after a shortage: no edge comes for a listener whose accept met EMFILE. It
                // stays on the ready list, and is tried again after the poll timeout.
                // Test: an_accept_without_a_descriptor_is_tried_again.
                Backlog::NotEmpty => self.listeners.push_back(index),
                Backlog::Paused => self.listeners.pause(index, self.now_ms),
            }
        }
        while let Some(listener) = self.listeners.take_due(self.now_ms) {
            self.close_listener(listener);
        }
    }

    fn close_listener(&self, mut listener: Listener<T>) {
        // If all workers share one socket, closing this descriptor does not remove it from this
        // worker's event queue.
        listener.socket.deregister(&self.registry);
    }

    fn accept_at(&mut self, index: usize) -> Backlog {
        for _ in 0..MAX_ACCEPTS_PER_ITERATION {
            let Some(listener) = self.listeners.get(index) else {
                return Backlog::Empty;
            };
            match self.capacity_for(&listener.plan.service) {
                Capacity::Free => {}
                Capacity::Full => {
                    self.pause_accepting(ResourceError::Full, None);
                    return Backlog::NotEmpty;
                }
                Capacity::Reserved => {
                    self.log_reserved(&listener.plan.service);
                    return Backlog::Paused;
                }
            }
            let error = match listener.accept() {
                Accepted::Client(transport, address) => {
                    let service = Arc::clone(&listener.plan.service);
                    let wants_header = listener.plan.wants_header(&address);
                    self.assign_client(service, transport, (address, wants_header));
                    continue;
                }
                Accepted::Aborted => continue,
                Accepted::WouldBlock => return Backlog::Empty,
                Accepted::Error(error) => error,
            };
            let kind = Shortage::of(&error).map_or(ResourceError::Accept, Shortage::resource_error);
            self.pause_accepting(kind, Some(&error));
            return Backlog::NotEmpty;
        }
        Backlog::NotEmpty
    }

    /// Counts an accepted client, and takes it or hands it off to a less busy worker.
    fn assign_client(
        &mut self,
        service: Arc<Service>,
        transport: T,
        (address, wants_header): (Address, bool),
    ) {
        let worker = self.shared.handoffs.choose(self.number);
        // Before another worker has the client: this worker checks the service's limit.
        let pending = PendingConnection {
            transport,
            address,
            wants_header,
            admission: Admission::new(service, &self.shared, self.number),
        };
        let stays = match worker == self.number {
            true => Some(pending),
            false => self.shared.handoffs.push(worker, pending),
        };
        if let Some(pending) = stays {
            self.add_connection(pending);
        }
    }

    /// Takes the clients that other workers have handed off to this one.
    pub(super) fn take_handoffs(&mut self) {
        for pending in self.shared.handoffs.take(self.number) {
            if self.connections.has_room() {
                self.add_connection(pending);
            }
        }
    }

    fn add_connection(&mut self, pending: PendingConnection<T>) {
        self.accepted_sessions += 1;
        let id = (self.number as u64) << 48 | self.accepted_sessions;
        let connection = Connection::new(id, pending, self.now_ms);
        let (slot, generation) = self.connections.insert(connection);
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        connection.generation = generation;
        let registered = connection.register(&self.registry, slot);
        if registered.is_err() {
            connection.session.close(EndReason::LocalError);
        }
        enqueue(connection, slot, &mut self.ready);
        if let Err(error) = registered {
            self.pause_accepting(ResourceError::NoDescriptors, Some(&error));
        }
    }

    fn pause_accepting(&mut self, kind: ResourceError, error: Option<&io::Error>) {
        self.stats().count_error(kind);
        self.accept_after_ms = self.now_ms + ACCEPT_PAUSE_MS;
        if !self.shared.may_log_shortage(self.now_ms) {
            return;
        }
        match error {
            Some(error) => match Shortage::of(error) {
                Some(shortage) => log::error!("cannot accept clients for the moment: {shortage}"),
                None => log::error!("cannot accept clients for the moment: {error}"),
            },
            None => log::error!(
                "as many sessions are open as there are descriptors for ({}): new clients wait; \
                 raise the limit (ulimit -n)",
                self.shared.capacity.load(Ordering::Relaxed)
            ),
        }
    }

    /// Logs that this machine cannot connect to a host, or not from a source address.
    pub(super) fn log_shortage(&self, shortage: Shortage, address: &Address) {
        if !self.shared.may_log_shortage(self.now_ms) {
            return;
        }
        if let Shortage::Source(ip) | Shortage::Route(ip) = shortage {
            log::error!("cannot connect to {address} from {ip}: {shortage}");
        } else {
            log::error!("cannot connect to {address} for the moment, clients wait: {shortage}");
        }
    }

    /// Counts and logs that a service has its share of the last sessions.
    fn log_reserved(&self, service: &Service) {
        self.stats().count_error(ResourceError::Full);
        if self.shared.may_log_shortage(self.now_ms) {
            log::error!(
                "service {} has its share of the sessions there are descriptors for ({}): its \
                 new clients wait, and what is left is for the other services; raise the limit \
                 (ulimit -n)",
                service.name,
                self.shared.capacity.load(Ordering::Relaxed)
            );
        }
    }

    /// Answers the controller once all listeners that are to be closed are closed.
    pub(super) fn acknowledge_closed(&mut self) {
        if self.listeners.closing() == 0 {
            for done in self.waiting_for_close.drain(..) {
                let _ = done.send(());
            }
        }
    }

    fn capacity_for(&self, service: &Service) -> Capacity {
        let open = self.shared.handoffs.open_sessions();
        let capacity = self.shared.capacity.load(Ordering::Relaxed);
        match self.connections.has_room() {
            true => check_capacity(open, capacity, self.plan.services, || service.stats.open()),
            false => Capacity::Full,
        }
    }
}
