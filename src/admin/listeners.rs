//! Where a door for people listens: what stays open from one configuration to the next,
//! and what is new.
//!
//! Who is let in is for the door's porters to know.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::{fmt, io};

use super::watch::{Bell, Porter, Watch};
use crate::config::{ListenAddress, ListenHost};
use crate::control::resolve_places;
use crate::os::listen::{Place, bind_all};

/// The listeners of a door; it is shut if there are none.
#[derive(Default, Clone)]
pub(super) struct Listeners {
    /// What they were opened for.
    listen: Option<ListenAddress>,
    places: BTreeMap<Place, Arc<Listener>>,
}

/// One listener, and the thread that lets clients in there.
struct Listener {
    address: SocketAddr,
    watch: Watch,
}

/// Why a door cannot be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum AdminListenError {
    /// It cannot listen there.
    Listen(io::Error),
    /// What it needs besides is not to be had: a certificate, say.
    Other(String),
}

impl fmt::Display for AdminListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdminListenError::Listen(error) => error.fmt(f),
            AdminListenError::Other(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AdminListenError {}

impl Listeners {
    /// What `door` needs to listen at `listen`. What is open according to `now` stays
    /// so; what is new lets nobody in before [`Listeners::begin`]. A name is resolved
    /// here and now, and one that is there `now` only where that is wanted `anew`.
    ///
    /// # Errors
    /// Something that is new is not to be had.
    pub(super) fn open<P: Porter>(
        door: &'static str,
        listen: &ListenAddress,
        now: &Listeners,
        anew: bool,
        porter: impl Fn(TcpListener) -> P,
    ) -> Result<Listeners, AdminListenError> {
        if !anew && now.listen.as_ref() == Some(listen) {
            return Ok(now.clone());
        }
        let places = resolve_places(listen)
            .map_err(|error| AdminListenError::Other(format!("the {door} door: {error}")))?;
        let is_name = matches!(listen.host, ListenHost::Name(_));
        let mut listeners = BTreeMap::new();
        let mut absent = None;
        for place in places {
            let kept = now.places.get(&place).cloned();
            // `*:80` in place of `10.0.0.1:80`, say: both are open for a moment.
            let overlaps_own = now.overlap(place);
            let bind = || bind(door, place, overlaps_own, &porter).map(Arc::new);
            match kept.map_or_else(bind, Ok) {
                Ok(listener) => drop(listeners.insert(place, listener)),
                // A name may have addresses of a family that this machine has not.
                Err(error) if is_name && error.kind() == io::ErrorKind::AddrNotAvailable => {
                    absent = Some(error);
                }
                Err(error) => return Err(AdminListenError::Listen(error)),
            }
        }
        match absent {
            Some(error) if listeners.is_empty() => Err(AdminListenError::Listen(error)),
            _ => Ok(Listeners {
                listen: Some(listen.clone()),
                places: listeners,
            }),
        }
    }

    fn overlap(&self, place: Place) -> bool {
        let overlaps = |(own, it): (&Place, &Arc<Listener>)| {
            // With port 0 only the address says which.
            own.overlaps(place) || Place::At(it.address).overlaps(place)
        };
        self.places.iter().any(overlaps)
    }

    /// From now on clients are let in.
    pub(super) fn begin(&self) {
        self.places.values().for_each(|it| it.watch.begin());
    }

    /// Where they are.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.places.values().map(|it| it.address)
    }

    /// To be rung when there is room again.
    pub(super) fn bells(&self) -> Vec<Bell> {
        self.places.values().map(|it| it.watch.bell()).collect()
    }
}

fn bind<P: Porter>(
    door: &str,
    place: Place,
    overlaps_own: bool,
    porter: impl Fn(TcpListener) -> P,
) -> io::Result<Listener> {
    let bind = || {
        let mut sockets = bind_all(place, 1, overlaps_own)?;
        let socket = sockets.pop().ok_or(io::ErrorKind::NotFound)?;
        let address = socket.local_addr()?;
        let watch = Watch::start(door, porter(socket))?;
        Ok(Listener { address, watch })
    };
    bind().map_err(|error: io::Error| {
        let message = format!("the {door} door cannot listen at {place}: {error}");
        io::Error::new(error.kind(), message)
    })
}
