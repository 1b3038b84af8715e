//! Which services the sockets serve that this process was given.
//!
//! The one at a listener's address is that listener. One whose address is nobody's, but
//! whose name is a service's, is one more listener of it. Those that whoever made them
//! has too are kept in any case: nobody else could ever bind their places.

use std::io;
use std::net::TcpListener;

use super::{Door, Wanted};
use crate::config::Config;
use crate::os::inherited::InheritedSocket;
use crate::os::listen::BindAddress;
use crate::relay::ListenKey;

/// The sockets, for as long as the process lives.
#[derive(Debug, Default)]
pub(in crate::control) struct Inheritance(Vec<InheritedSocket>);

impl Inheritance {
    pub(in crate::control) fn new(sockets: Vec<InheritedSocket>) -> Inheritance {
        Inheritance(sockets)
    }

    /// Adds to what is `wanted` where sockets are that only their names give to a
    /// service.
    pub(in crate::control) fn add_named(&self, config: &Config, wanted: &mut Wanted) {
        for InheritedSocket {
            name,
            address: place,
            ..
        } in &self.0
        {
            if config.services.iter().any(|service| service.name == *name) {
                let door = Door {
                    service: name.clone(),
                    name: None,
                };
                wanted.entry(key(*place)).or_insert(door);
            }
        }
    }

    /// The socket at `place`, if there is one, for each of so many workers: all have the
    /// same one. A sibling would have to be made by the same user.
    pub(super) fn sockets(
        &self,
        place: BindAddress,
        workers: usize,
    ) -> Option<io::Result<Vec<TcpListener>>> {
        let found = self.0.iter().find(|socket| socket.address == place)?;
        Some((0..workers).map(|_| found.listener.try_clone()).collect())
    }

    /// Lets go of those that nobody else has: who serves them has them now.
    pub(super) fn let_go(&mut self) {
        self.0.retain(|socket| socket.is_shared);
    }

    /// Says what of it is not as whoever made the sockets will have meant it.
    pub(in crate::control) fn warn(&self, wanted: &Wanted) {
        for InheritedSocket {
            name,
            address: place,
            ..
        } in &self.0
        {
            let called = name.escape_debug();
            match wanted.get(&key(*place)) {
                None => log::warn!(
                    "the inherited socket \"{called}\" at {place} serves nothing: nothing \
                     listens at exactly this address, and no service has this name"
                ),
                Some(door)
                    if door.service != *name
                        && wanted.values().any(|other| other.service == *name) =>
                {
                    log::warn!(
                        "the inherited socket \"{called}\" at {place} serves {}, which listens \
                         there",
                        door.service.escape_debug()
                    );
                }
                Some(_) => {}
            }
        }
    }
}

fn key(place: BindAddress) -> ListenKey {
    ListenKey {
        place,
        service: None,
    }
}
