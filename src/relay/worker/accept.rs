//! How a worker lets clients in, and when it does not.
//!
//! What a listening socket says is `listener`'s business; what becomes of a
//! client, the session's.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mio::net::TcpStream;

use super::{Shared, Worker, enqueue};
use crate::os::listen::INHERITS;
use crate::relay::end::EndReason;
use crate::relay::failure::Shortage;
use crate::relay::link::Link;
use crate::relay::listener::Accepted;
use crate::relay::lobby::Newcomer;
use crate::relay::meters::Trouble;
use crate::relay::sockets::Sockets;

/// Clients accepted at one listener before the sessions get their turn.
const ACCEPTS_A_TURN: usize = 64;

/// How long accepting rests after the machine was short of something.
pub(super) const ACCEPT_PAUSE_MS: u64 = 100;

impl Worker {
    /// Lets in who waits, a share at each listener; closes those that are to be
    /// closed once nobody does.
    pub(super) fn accept_clients(&mut self) {
        let rests = self.now_ms < self.accept_after_ms;
        for place in 0..self.listeners.len() {
            if !rests {
                self.accept_at(place);
            }
            self.close_if_due(place);
        }
        self.answer();
    }

    fn close_if_due(&mut self, place: usize) {
        let listener = self.listeners[place].as_mut();
        if let Some(listener) = listener.filter(|it| it.is_to_close(self.now_ms)) {
            // Where all workers have the same socket, closing this descriptor
            // of it does not take it out of this queue of events.
            let _ = self.poll.registry().deregister(&mut listener.socket);
            self.listeners[place] = None;
        }
    }

    fn accept_at(&mut self, place: usize) {
        for _ in 0..ACCEPTS_A_TURN {
            let room = self.has_room();
            let Some(listener) = self.listeners[place].as_mut().filter(|it| it.waiting) else {
                return;
            };
            if !room {
                return self.pause_accepting(Trouble::Full, None);
            }
            match listener.accept() {
                Accepted::Client(socket, address) => self.welcome(place, socket, address),
                Accepted::Gone => {}
                Accepted::Nobody => listener.waiting = false,
                Accepted::Trouble(error) => {
                    let shortage = Shortage::of(&error);
                    let trouble = shortage.map_or(Trouble::Accept, Shortage::trouble);
                    return self.pause_accepting(trouble, Some(&error));
                }
            }
        }
    }

    fn welcome(&mut self, place: usize, socket: TcpStream, address: SocketAddr) {
        let Some(listener) = &self.listeners[place] else {
            return;
        };
        if !INHERITS {
            let _ = socket.set_nodelay(true);
            let _ = rustix::net::sockopt::set_socket_keepalive(&socket, true);
        }
        self.shared.open.fetch_add(1, Ordering::Relaxed);
        let newcomer = Newcomer {
            socket,
            address,
            service: Arc::clone(&listener.service),
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
                self.shared.open.fetch_sub(1, Ordering::Relaxed);
                self.shared.lobbies.exit(self.number);
            }
        }
    }

    fn take_in(&mut self, newcomer: Newcomer) {
        let Newcomer {
            socket,
            address,
            service,
        } = newcomer;
        self.sessions_so_far += 1;
        let id = (self.number as u64) << 48 | self.sessions_so_far;
        let (slot, generation) = self.links.insert(Link::new(
            id,
            Sockets::new(socket),
            address,
            service,
            self.now_ms,
        ));
        let Some(link) = self.links.at(slot) else {
            return;
        };
        link.generation = generation;
        link.service.tally.enter();
        let registered = link.register(self.poll.registry(), slot);
        if registered.is_err() {
            link.session.close(EndReason::LocalTrouble);
        }
        enqueue(link, slot, &mut self.ready);
        if let Err(error) = registered {
            self.pause_accepting(Trouble::NoDescriptors, Some(&error));
        }
    }

    fn pause_accepting(&mut self, trouble: Trouble, error: Option<&io::Error>) {
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

    /// Tells who waits for it that what was to be closed is closed.
    fn answer(&mut self) {
        let mut listeners = self.listeners.iter().flatten();
        if listeners.all(|listener| listener.close_by_ms.is_none()) {
            for done in self.unanswered.drain(..) {
                let _ = done.send(());
            }
        }
    }

    fn has_room(&self) -> bool {
        let Shared { open, capacity, .. } = &*self.shared;
        open.load(Ordering::Relaxed) < capacity.load(Ordering::Relaxed) && self.links.has_room()
    }

    /// Whether there may be somebody in a queue.
    pub(super) fn clients_are_waiting(&self) -> bool {
        self.listeners
            .iter()
            .flatten()
            .any(|listener| listener.waiting)
    }
}
