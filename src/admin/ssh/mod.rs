//! The SSH door: the console for people, and single commands for scripts.
//!
//! Here is how clients come in, and how many. What is said to them is known elsewhere:
//! `visitor` lets them log in, `talk` is what they have come for.

mod channel;
mod client;
mod input;
mod reject;
mod runtime;
mod session;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use tokio::net::TcpStream;

use self::channel::SessionContext;
use self::client::Wire;
use self::runtime::{House, MAX_CLIENTS};
use super::auth::Auth;
use super::server::acceptor::{Bell, Porter, has_room};
use super::server::connection_limiter::{Seats, Socket};
use super::server::lock;
use super::server::pending_clients::{Client, Cost, Entrance, Rules};
use super::server::reconfigure::{AdminListenError, Door, Hinge, Listeners, shut};
use crate::config::{Config, Ssh};
use crate::control::{Handle, Reconfigure};

/// Those of them that may be from one source.
const MAX_FROM_ONE: usize = 4;

/// How long a client waits before it is told that there is no room.
const PATIENCE: Duration = Duration::from_secs(5);

/// Clients who are being told that there is no room. Beyond that nothing is said.
const MAX_TURNED_AWAY: usize = 16;

/// The SSH door, open while the configuration has one that is enabled. Dropping it
/// closes it, and tells those who are there.
pub struct SshServer(Arc<Hall>);

impl SshServer {
    /// The door as `config` wants it. `auth` knows the users.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn start(config: &Config, auth: Auth) -> Result<SshServer, AdminListenError> {
        let hall = Arc::new_cyclic(|hall| {
            let hall: Weak<Hall> = Weak::clone(hall);
            let on_room = move || {
                let bells = hall.upgrade().map(|hall| hall.bells());
                bells.iter().flatten().for_each(Bell::ring);
            };
            Hall {
                seats: Arc::new(Seats::new(MAX_CLIENTS, MAX_FROM_ONE, on_room)),
                turned_away: AtomicUsize::new(0),
                context: Arc::new(SessionContext::new(auth)),
                house: Mutex::default(),
                open: Mutex::default(),
            }
        });
        Hinge::start(&hall, config)?;
        Ok(SshServer(hall))
    }

    /// What opens and closes it as the configuration changes.
    pub fn fixture(&self) -> Box<dyn Reconfigure> {
        Box::new(Hinge::of(&self.0))
    }

    /// Who is asked on behalf of the clients, who wait until that is known.
    pub fn attend(&self, desk: Handle) {
        self.0.context.attend(desk);
    }

    /// Where it listens; with port 0, the one the system chose. None while it is closed.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        lock(&self.0.open).addresses().collect()
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        shut(&*self.0);
        let house = lock(&self.0.house).take();
        if let Some(house) = house {
            house.close();
        }
    }
}

/// What the clients of the door share.
struct Hall {
    seats: Arc<Seats>,
    turned_away: AtomicUsize,
    context: Arc<SessionContext>,
    /// Once the door has been open; it is kept when that is closed, for those who are
    /// there stay.
    house: Mutex<Option<Arc<House>>>,
    open: Mutex<Open>,
}

impl Hall {
    fn bells(&self) -> Vec<Bell> {
        lock(&self.open).listeners().bells()
    }

    fn house(&self) -> Result<Arc<House>, AdminListenError> {
        let mut house = lock(&self.house);
        if let Some(house) = &*house {
            return Ok(Arc::clone(house));
        }
        let new = Arc::new(House::start()?);
        *house = Some(Arc::clone(&new));
        Ok(new)
    }
}

impl Door for Hall {
    type Open = Open;
    const NAME: &'static str = "the console";

    fn prepare(
        self: &Arc<Self>,
        config: &Config,
        now: &Open,
        anew: bool,
    ) -> Result<Open, AdminListenError> {
        Open::prepare(config, now, anew, self)
    }

    fn differs(now: &Config, next: &Config) -> bool {
        let known = |config: &Config| (ssh(config).cloned(), config.users().is_empty());
        known(now) != known(next)
    }

    fn begin(open: &Open, before: &Open) {
        open.begin(before);
    }

    fn open(&self) -> &Mutex<Open> {
        &self.open
    }
}

/// Where clients come in.
struct Doorway {
    listener: TcpListener,
    hall: Arc<Hall>,
    house: Arc<House>,
    entrance: Entrance,
}

impl Doorway {
    fn new(listener: TcpListener, hall: &Arc<Hall>, house: &Arc<House>) -> Doorway {
        let auth = hall.context.auth.clone();
        let rules = Rules {
            // Some clients wait for the server's first words.
            client_speaks_first: false,
            patience: PATIENCE,
            knows: Box::new(move |ip| auth.knows(ip)),
        };
        Doorway {
            listener,
            hall: Arc::clone(hall),
            house: Arc::clone(house),
            entrance: Entrance::new(&hall.seats, rules),
        }
    }

    /// The socket as the runtime knows it.
    fn tokio(&self, stream: std::net::TcpStream) -> io::Result<TcpStream> {
        let _runtime = self.house.runtime().enter();
        TcpStream::from_std(stream)
    }

    fn seat(&self, client: Client) -> io::Result<()> {
        // Without it the client is cut, and the log says why.
        has_room()?;
        let peer = client.peer;
        client.stream.set_nodelay(true)?;
        let stream = Arc::new(self.tokio(client.stream)?);
        let socket: Socket = Arc::<TcpStream>::clone(&stream);
        let Some(seat) = self.hall.seats.take(peer.ip(), client.is_known, socket) else {
            // Another listener has given it away in this moment.
            log::debug!("ssh: {peer} is turned away: there is no room");
            return Ok(());
        };
        let wire = Wire::new(stream, seat.activity());
        let guest = client::Guest {
            context: Arc::clone(&self.hall.context),
            peer,
            seat,
        };
        let (protocol, closes) = (Arc::clone(&self.house.protocol), self.house.closes());
        self.house
            .spawn(client::serve(guest, wire, protocol, closes));
        Ok(())
    }

    fn turn_away(&self, client: Client) -> io::Result<()> {
        log::debug!("ssh: {} is turned away: there is no room", client.peer);
        let Some(place) = TurnedAway::take(&self.hall) else {
            return Ok(());
        };
        let stream = self.tokio(client.stream)?;
        self.house.spawn(async move {
            let why = format!(
                "there is no room: txlb has {MAX_CLIENTS} connections in all, and \
                 {MAX_FROM_ONE} from one address"
            );
            reject::turn_away(stream, &why).await;
            drop(place);
        });
        Ok(())
    }
}

impl Porter for Doorway {
    fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    fn let_in(&mut self) -> io::Result<()> {
        let (stream, peer) = self.listener.accept()?;
        let turned_away = self.entrance.admit(stream, peer)?;
        turned_away
            .into_iter()
            .try_for_each(|it| self.turn_away(it))
    }

    fn poll_fds(&self) -> Vec<PollFd<'_>> {
        self.entrance.poll_fds().collect()
    }

    fn look(&mut self, events: &[PollFlags], is_last: bool) -> io::Result<Option<Duration>> {
        self.entrance.note(events);
        while let Some(client) = self.entrance.next(Cost::Handshake, is_last) {
            self.seat(client)?;
        }
        while let Some(client) = self.entrance.expired() {
            self.turn_away(client)?;
        }
        Ok(self.entrance.press())
    }

    fn complain(&mut self, error: &io::Error) {
        log::warn!("ssh: cannot let a client in: {error}");
    }
}

/// A place among those who are told that there is no room.
struct TurnedAway(Arc<Hall>);

impl TurnedAway {
    fn take(hall: &Arc<Hall>) -> Option<TurnedAway> {
        let place = TurnedAway(Arc::clone(hall));
        let others = hall.turned_away.fetch_add(1, Ordering::Relaxed);
        (others < MAX_TURNED_AWAY).then_some(place)
    }
}

impl Drop for TurnedAway {
    fn drop(&mut self) {
        self.0.turned_away.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The door while a configuration is in force.
#[derive(Default, Clone)]
struct Open {
    listeners: Listeners,
    house: Option<Arc<House>>,
    has_users: bool,
}

impl Open {
    /// The door as `config` wants it; what is open `now` stays so if it may.
    ///
    /// # Errors
    /// Something that is new is not to be had.
    fn prepare(
        config: &Config,
        now: &Open,
        anew: bool,
        hall: &Arc<Hall>,
    ) -> Result<Open, AdminListenError> {
        let enabled = ssh(config).filter(|ssh| ssh.enable);
        let Some(listen) = enabled.and_then(|ssh| ssh.listen.as_ref()) else {
            return Ok(Open::default());
        };
        let house = hall.house()?;
        let listeners = Listeners::open("ssh", listen, &now.listeners, anew, |listener| {
            Doorway::new(listener, hall, &house)
        })?;
        Ok(Open {
            listeners,
            house: Some(house),
            has_users: !config.users().is_empty(),
        })
    }

    /// From now on clients are let in. Says what people should know of it, unless that
    /// is as it was `before`.
    fn begin(&self, before: &Open) {
        self.listeners.begin();
        let places = |open: &Open| open.addresses().map(|it| it.to_string()).collect();
        let (now, then): (Vec<_>, Vec<_>) = (places(self), places(before));
        match &self.house {
            Some(house) if now != then => {
                let (places, key) = (now.join(", "), &house.fingerprint);
                log::info!("the console is at {places} (ssh); its key is {key}");
            }
            None if !then.is_empty() => log::info!("the console is closed"),
            _ => {}
        }
        let is_mute = |open: &Open| open.house.is_some() && !open.has_users;
        if is_mute(self) && !is_mute(before) {
            log::warn!("the console lets nobody in: there is no <user> in the configuration");
        }
    }

    fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.addresses()
    }
}

/// What the configuration says of the door.
fn ssh(config: &Config) -> Option<&Ssh> {
    config.admin.as_ref()?.ssh.as_ref()
}
