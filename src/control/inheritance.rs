//! Sockets that this process inherited: they are bound already, and become listeners of services.

use std::io;

use super::wanted::{WantedListener, WantedListeners};
use crate::config::{Config, Listener};
use crate::os::handed_over::Shared;
use crate::os::inherited::InheritedSocket;
use crate::os::listen::{ListenPlace, StreamListener};
use crate::relay::ListenKey;
use std::sync::Arc;

/// Inherited sockets. Shared ones are kept for the life of the process: their maker holds them
/// too, so their addresses could never be bound again. Test:
/// a_socket_is_the_listener_at_its_address_whatever_its_name.
#[derive(Debug, Default)]
pub(super) struct Inheritance(Vec<InheritedSocket>);

impl Inheritance {
    pub(super) fn new(sockets: Vec<InheritedSocket>) -> Inheritance {
        Inheritance(sockets)
    }

    /// Adds to `wanted` the sockets that belong to a service only by their name.
    pub(super) fn add_named(&self, config: &Config, wanted: &mut WantedListeners) {
        for InheritedSocket { name, place, .. } in &self.0 {
            if config.services.iter().any(|service| service.name == *name) {
                let listener = WantedListener {
                    service: name.clone(),
                    proxy_from: None,
                    name: None,
                    mode: Listener::MODE,
                };
                if listener_at(wanted, place).is_none() {
                    wanted.insert(ListenKey::at(place.clone()), listener);
                }
            }
        }
    }

    /// The inherited socket at `place`, once for each worker. All get the same socket: only its
    /// maker's user could bind another beside it.
    pub(super) fn sockets(
        &self,
        place: &ListenPlace,
        workers: usize,
    ) -> Option<io::Result<Vec<StreamListener>>> {
        let found = self.0.iter().find(|socket| socket.place == *place)?;
        Some((0..workers).map(|_| found.listener.try_clone()).collect())
    }

    /// The shared sockets, for a process that takes over: their maker knows them by name.
    pub(super) fn hand_over(&self) -> Vec<(String, Shared)> {
        let shared = self.0.iter().filter(|socket| socket.is_shared);
        shared
            .filter_map(|socket| {
                // Their maker has them, too: without one of them, the other process binds its own.
                let listener: Shared = Arc::new(socket.listener.try_clone().ok()?);
                Some((InheritedSocket::handed_over_name(&socket.name), listener))
            })
            .collect()
    }

    /// Drops the sockets that no other process holds. Workers have them now.
    pub(super) fn release_unshared(&mut self) {
        self.0.retain(|socket| socket.is_shared);
    }

    /// Warns of sockets that serve nothing, or another service than their name says.
    pub(super) fn warn(&self, wanted: &WantedListeners) {
        for InheritedSocket { name, place, .. } in &self.0 {
            let called = name.escape_debug();
            match listener_at(wanted, place) {
                None => log::warn!(
                    "the inherited socket \"{called}\" at {place} serves nothing: nothing \
                     listens at exactly this address, and no service has this name"
                ),
                Some(listener)
                    if listener.service != *name
                        && wanted.values().any(|other| other.service == *name) =>
                {
                    log::warn!(
                        "the inherited socket \"{called}\" at {place} serves {}, which listens \
                         there",
                        listener.service.escape_debug()
                    );
                }
                Some(_) => {}
            }
        }
    }
}

/// The listener at a place, whatever is special about it.
fn listener_at<'a>(wanted: &'a WantedListeners, place: &ListenPlace) -> Option<&'a WantedListener> {
    let at_place = wanted.iter().find(|(key, _)| key.place == *place);
    at_place.map(|(_, listener)| listener)
}
