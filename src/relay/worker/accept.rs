//! How a worker lets clients in, and when it does not.
//!
//! What a listening socket says is `listener`'s business; what becomes of a
//! client, the session's.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mio::net::TcpStream;

use super::{Listener, Shared, Worker, enqueue};
use crate::os::listen::ACCEPTED_INHERIT_OPTIONS;
use crate::relay::connection::Connection;
use crate::relay::end::EndReason;
use crate::relay::failure::Shortage;
use crate::relay::handoff::PendingConnection;
use crate::relay::listener::Accepted;
use crate::relay::plan::Service;
use crate::relay::shared::{Room, room};
use crate::relay::tcp_transport::TcpTransport;
use crate::relay::worker_stats::ResourceError;

/// Clients accepted at one listener before the sessions get their turn.
const ACCEPTS_A_TURN: usize = 64;

/// How long accepting rests after the machine was short of something.
pub(super) const ACCEPT_PAUSE_MS: u64 = 100;

/// What a listener's backlog is like after its turn.
enum Backlog {
    Empty,
    /// There may be more clients in it.
    Waits,
    /// They wait until their service may have another session.
    Paused,
}

impl Worker {
    /// Lets in who waits, a share at each listener; closes those that are to be
    /// closed once nobody does.
    pub(super) fn accept_clients(&mut self) {
        self.listeners.resume_due(self.now_ms);
        for _ in 0..self.listeners.ready() {
            // A shortage is everybody's.
            if self.now_ms < self.accept_after_ms {
                break;
            }
            let Some(place) = self.listeners.pop() else {
                break;
            };
            match self.accept_at(place) {
                Backlog::Empty => {
                    let closed = self.listeners.take_if_closing(place);
                    closed.into_iter().for_each(|it| self.close(it));
                }
                Backlog::Waits => self.listeners.push_back(place),
                Backlog::Paused => self.listeners.pause(place, self.now_ms),
            }
        }
        while let Some(listener) = self.listeners.take_due(self.now_ms) {
            self.close(listener);
        }
        self.answer();
    }

    fn close(&self, mut listener: Listener) {
        // Where all workers have the same socket, closing this descriptor
        // of it does not take it out of this queue of events.
        let _ = self.poll.registry().deregister(&mut listener.socket);
    }

    fn accept_at(&mut self, place: usize) -> Backlog {
        for _ in 0..ACCEPTS_A_TURN {
            let Some(listener) = self.listeners.get(place) else {
                return Backlog::Empty;
            };
            match self.room(&listener.service) {
                Room::Free => {}
                Room::Full => {
                    self.pause_accepting(ResourceError::Full, None);
                    return Backlog::Waits;
                }
                Room::Reserved => {
                    self.pause_service(&listener.service);
                    return Backlog::Paused;
                }
            }
            let trouble = match listener.accept() {
                Accepted::Client(socket, address) => {
                    let service = Arc::clone(&listener.service);
                    self.welcome(service, socket, address);
                    continue;
                }
                Accepted::Gone => continue,
                Accepted::Nobody => return Backlog::Empty,
                Accepted::ResourceError(error) => error,
            };
            let kind = Shortage::of(&trouble).map_or(ResourceError::Accept, Shortage::trouble);
            self.pause_accepting(kind, Some(&trouble));
            return Backlog::Waits;
        }
        Backlog::Waits
    }

    fn welcome(&mut self, service: Arc<Service>, socket: TcpStream, address: SocketAddr) {
        if !ACCEPTED_INHERIT_OPTIONS {
            let _ = socket.set_nodelay(true);
            let _ = rustix::net::sockopt::set_socket_keepalive(&socket, true);
        }
        self.shared.open.fetch_add(1, Ordering::Relaxed);
        // Before another worker has it: what a service may have is counted where it accepts.
        service.tally.enter();
        let newcomer = PendingConnection {
            socket,
            address,
            service,
        };
        if let Some(newcomer) = self.shared.lobbies.enter(self.number, newcomer) {
            self.take_in(newcomer);
        }
    }

    /// Takes in whom others have left to this worker.
    pub(super) fn take_in_newcomers(&mut self) {
        for newcomer in self.shared.lobbies.take(self.number) {
            if self.links.has_room() {
                self.take_in(newcomer);
            } else {
                newcomer.service.tally.leave();
                self.shared.open.fetch_sub(1, Ordering::Relaxed);
                self.shared.lobbies.exit(self.number);
            }
        }
    }

    fn take_in(&mut self, newcomer: PendingConnection) {
        let PendingConnection {
            socket,
            address,
            service,
        } = newcomer;
        self.sessions_so_far += 1;
        let id = (self.number as u64) << 48 | self.sessions_so_far;
        let (slot, generation) = self.links.insert(Connection::new(
            id,
            TcpTransport::new(socket),
            address,
            service,
            self.now_ms,
        ));
        let Some(link) = self.links.at(slot) else {
            return;
        };
        link.generation = generation;
        let registered = link.register(self.poll.registry(), slot);
        if registered.is_err() {
            link.session.close(EndReason::LocalTrouble);
        }
        enqueue(link, slot, &mut self.ready);
        if let Err(error) = registered {
            self.pause_accepting(ResourceError::NoDescriptors, Some(&error));
        }
    }

    fn pause_accepting(&mut self, trouble: ResourceError, error: Option<&io::Error>) {
        self.meters().count_trouble(trouble);
        self.accept_after_ms = self.now_ms + ACCEPT_PAUSE_MS;
        if !self.shared.may_complain(self.now_ms) {
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

    /// Says that sessions wait because this machine cannot connect to a host.
    pub(super) fn complain(&self, shortage: Shortage, address: SocketAddr) {
        if self.shared.may_complain(self.now_ms) {
            log::error!("cannot connect to {address} for the moment, clients wait: {shortage}");
        }
    }

    /// Says that a service has its share of the last sessions there are.
    fn pause_service(&self, service: &Service) {
        self.meters().count_trouble(ResourceError::Full);
        if self.shared.may_complain(self.now_ms) {
            log::error!(
                "service {} has its share of the sessions there are descriptors for ({}): its \
                 new clients wait, and what is left is for the other services; raise the limit \
                 (ulimit -n)",
                service.name,
                self.shared.capacity.load(Ordering::Relaxed)
            );
        }
    }

    /// Tells who waits for it that what was to be closed is closed.
    fn answer(&mut self) {
        if self.listeners.unclosed() == 0 {
            for done in self.unanswered.drain(..) {
                let _ = done.send(());
            }
        }
    }

    fn room(&self, service: &Service) -> Room {
        let Shared { open, capacity, .. } = &*self.shared;
        let (open, capacity) = (
            open.load(Ordering::Relaxed),
            capacity.load(Ordering::Relaxed),
        );
        match self.links.has_room() {
            true => room(open, capacity, self.plan.services, || service.tally.open()),
            false => Room::Full,
        }
    }
}
