//! How a door for people opens and closes as the configuration changes: what is new is
//! opened before, what is not wanted any more is closed after.
//!
//! What a door needs to be open, and what happens to those who come in, is the door's
//! business.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, Weak};
use std::{fmt, io};

use super::acceptor::{Bell, Porter, Watch};
use super::lock;
use crate::config::{Config, ListenAddress, ListenHost};
use crate::control::{Commit, Reconfigure, places};
use crate::os::listen::{Place, bind_all};

/// A door that follows the configuration.
pub(in crate::admin) trait Door: Send + Sync + Sized + 'static {
    /// The door while a configuration is in force; by default it is closed.
    type Open: Default + Clone + Send + 'static;

    /// Its name, in words for an operator.
    const NAME: &'static str;

    /// The door as `config` wants it; what is open `now` stays so if it may. Names are
    /// resolved `anew`, or only those that are new. Lets nobody in yet.
    ///
    /// # Errors
    /// Something that is new is not to be had.
    fn prepare(
        self: &Arc<Self>,
        config: &Config,
        now: &Self::Open,
        anew: bool,
    ) -> Result<Self::Open, AdminListenError>;

    /// Whether two configurations want it otherwise.
    fn differs(now: &Config, next: &Config) -> bool;

    /// From now on clients are let in. Says what people should know of it, unless that
    /// is as it was `before`.
    fn begin(open: &Self::Open, before: &Self::Open);

    /// As it is in force.
    fn open(&self) -> &Mutex<Self::Open>;
}

/// A door as the desk knows it.
pub(in crate::admin) struct Hinge<D>(Weak<D>);

impl<D: Door> Hinge<D> {
    /// Opens a door that has just been made, as `config` wants it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(in crate::admin) fn start(door: &Arc<D>, config: &Config) -> Result<(), AdminListenError> {
        Hinge::turn(door, config, true).map(|finish| finish())
    }

    /// What has it follow the configuration, for as long as it is there.
    pub(in crate::admin) fn of(door: &Arc<D>) -> Hinge<D> {
        Hinge(Arc::downgrade(door))
    }

    fn turn(door: &Arc<D>, next: &Config, anew: bool) -> Result<Commit, AdminListenError> {
        let now = lock(door.open()).clone();
        let open = door.prepare(next, &now, anew)?;
        let door = Arc::clone(door);
        Ok(Box::new(move || put_in_force(&*door, &open)))
    }
}

impl<D: Door> Reconfigure for Hinge<D> {
    fn prepare(&mut self, now: &Config, next: &Config) -> Result<Option<Commit>, String> {
        match self.0.upgrade() {
            Some(door) if D::differs(now, next) => {
                let finish = Hinge::turn(&door, next, false).map_err(|error| error.to_string())?;
                Ok(Some(finish))
            }
            _ => Ok(None),
        }
    }

    /// What it has from files may have been renewed.
    fn reopen(&mut self, now: &Config) -> Result<(), String> {
        if let Some(door) = self.0.upgrade() {
            let finish = Hinge::turn(&door, now, true)
                .map_err(|error| format!("{error}; {} stays as it was", D::NAME))?;
            finish();
        }
        Ok(())
    }

    /// Nobody else is let in; who is there stays.
    fn give_way(&mut self) -> bool {
        if let Some(door) = self.0.upgrade() {
            shut(&*door);
        }
        false
    }
}

/// Shuts a door for good: nobody else is let in.
pub(in crate::admin) fn shut<D: Door>(door: &D) {
    drop(replace(door, D::Open::default()));
}

/// Who comes in at a new place finds the new settings there, and never those of before,
/// which may be without HTTPS: so they come first.
fn put_in_force<D: Door>(door: &D, open: &D::Open) {
    let before = replace(door, open.clone());
    D::begin(open, &before);
    // What is not wanted any more is closed here, without the lock.
}

fn replace<D: Door>(door: &D, open: D::Open) -> D::Open {
    std::mem::replace(&mut *lock(door.open()), open)
}

/// The listeners of a door; it is shut if there are none.
#[derive(Default, Clone)]
pub(in crate::admin) struct Listeners {
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
    pub(in crate::admin) fn open<P: Porter>(
        door: &'static str,
        listen: &ListenAddress,
        now: &Listeners,
        anew: bool,
        porter: impl Fn(TcpListener) -> P,
    ) -> Result<Listeners, AdminListenError> {
        if !anew && now.listen.as_ref() == Some(listen) {
            return Ok(now.clone());
        }
        let places = places(listen)
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
    pub(in crate::admin) fn begin(&self) {
        self.places.values().for_each(|it| it.watch.begin());
    }

    /// Where they are.
    pub(in crate::admin) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.places.values().map(|it| it.address)
    }

    /// To be rung when there is room again.
    pub(in crate::admin) fn bells(&self) -> Vec<Bell> {
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
