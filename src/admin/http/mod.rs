//! The web door: the admin page, its API, and what programs read of a running txlb.
//!
//! Each client has a thread of its own, for one request. How it is let in is known
//! here; what it may ask, and what it is answered, is `routes`'s business.

mod actions;
mod connection;
mod guard;
pub(super) mod request;
mod response;
mod routes;
mod state;
mod views;

use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};

use self::response::Answer;
use self::state::{Hall, Open, Settings};
use super::auth::Auth;
use super::entrance::{Client, Entrance, Rules};
use super::handshakes::Cost;
use super::hinge::{Door, Hinge, lock, shut};
use super::listeners::{AdminListenError, Listeners};
use super::seats::{Seats, Socket};
use super::watch::{Bell, Porter, serve};
use crate::config::{Config, Web};
use crate::control::{Handle, Liveness, Reconfigure};

/// Clients that are served at the same time; others wait.
const MAX_CLIENTS: usize = 32;

/// Those of them that may be from one source; others are turned away.
const MAX_FROM_ONE: usize = 8;

/// How long a client may wait for its turn, or to say anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// The web door, open while the configuration has one that is enabled. Dropping it
/// closes it; who is let in already is still answered, and waited for if that is
/// happening.
pub struct WebServer(Arc<Hall>);

impl WebServer {
    /// The door as `config` wants it. `auth` knows the users, `pulses` are those of the
    /// director.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn start(
        config: &Config,
        auth: Auth,
        pulses: Liveness,
    ) -> Result<WebServer, AdminListenError> {
        let hall = Arc::new_cyclic(|hall| {
            let hall: Weak<Hall> = Weak::clone(hall);
            let on_room = move || {
                let bells = hall.upgrade().map(|hall| hall.bells());
                bells.iter().flatten().for_each(Bell::ring);
            };
            let seats = Seats::new(MAX_CLIENTS, MAX_FROM_ONE, on_room);
            Hall::new(Arc::new(seats), auth, pulses)
        });
        Hinge::start(&hall, config)?;
        Ok(WebServer(hall))
    }

    /// What opens and closes it as the configuration changes.
    pub fn fixture(&self) -> Box<dyn Reconfigure> {
        Box::new(Hinge::of(&self.0))
    }

    /// Who is asked on behalf of the clients, who wait until that is known.
    pub fn attend(&self, desk: Handle) {
        let _ = self.0.desk.set(desk);
    }

    /// Where it listens; with port 0, the one the system chose. None while it is closed.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        lock(&self.0.open).addresses().collect()
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        shut(&*self.0);
        self.0.answers.wait();
    }
}

impl Door for Hall {
    type Open = Open;
    const NAME: &'static str = "the admin page";

    fn prepare(
        self: &Arc<Self>,
        config: &Config,
        now: &Open,
        anew: bool,
    ) -> Result<Open, AdminListenError> {
        Open::prepare(config, now, anew, self)
    }

    fn differs(now: &Config, next: &Config) -> bool {
        web(now) != web(next)
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
    entrance: Entrance,
}

impl Doorway {
    fn new(listener: TcpListener, hall: &Arc<Hall>) -> Doorway {
        let auth = hall.auth.clone();
        let rules = Rules {
            client_speaks_first: true,
            patience: PATIENCE,
            knows: Box::new(move |ip| auth.knows(ip)),
        };
        Doorway {
            listener,
            hall: Arc::clone(hall),
            entrance: Entrance::new(&hall.seats, rules),
        }
    }

    fn seat(&self, client: Client) -> io::Result<()> {
        let (stream, peer) = (Arc::new(client.stream), client.peer);
        let socket: Socket = Arc::<TcpStream>::clone(&stream);
        let Some(seat) = self.hall.seats.take(peer.ip(), client.is_known, socket) else {
            // Another listener has given it away in this moment.
            log::debug!("web: {peer} is turned away: there is no room");
            return Ok(());
        };
        let hall = Arc::clone(&self.hall);
        serve("web-client", stream, move |stream| {
            if let Err(error) = connection::serve(stream, peer, &seat.activity(), &hall) {
                log::debug!("web: {peer} is lost: {error}");
            }
        })
        .map_err(|(stream, error)| {
            self.reject(&stream);
            error
        })
    }

    /// Says that there is no thread for a client. Over TLS nothing can be said without one.
    fn reject(&self, client: &TcpStream) {
        if self.hall.settings().tls.is_none() && client.set_nonblocking(true).is_ok() {
            let answer = Answer::text(503, "txlb has no thread or memory for this now\n");
            // What was asked is read, so that closing does not reset the answer.
            let _ = (&mut &*client).read(&mut [0; 16 * 1024]);
            let _ = answer.write(&mut &*client, false);
            let _ = client.shutdown(Shutdown::Write);
        }
    }
}

impl Porter for Doorway {
    fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    fn let_in(&mut self) -> io::Result<()> {
        let (stream, peer) = self.listener.accept()?;
        for client in self.entrance.admit(stream, peer)? {
            log::debug!("web: {} is turned away: there is no room", client.peer);
        }
        Ok(())
    }

    fn poll_fds(&self) -> Vec<PollFd<'_>> {
        self.entrance.poll_fds().collect()
    }

    fn look(&mut self, events: &[PollFlags], is_last: bool) -> io::Result<Option<Duration>> {
        self.entrance.note(events);
        let cost = match self.hall.settings().tls {
            None => Cost::Plain,
            Some(_) => Cost::Handshake,
        };
        while let Some(client) = self.entrance.next(cost, is_last) {
            self.seat(client)?;
        }
        while let Some(client) = self.entrance.expired() {
            log::debug!("web: {} has waited for too long", client.peer);
        }
        Ok(self.entrance.press())
    }

    fn complain(&mut self, error: &io::Error) {
        log::warn!("web: cannot let a client in: {error}");
    }
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
        let Some(web) = web(config).filter(|web| web.enable) else {
            return Ok(Open::default());
        };
        let Some(listen) = &web.listen else {
            return Ok(Open::default());
        };
        let settings = Arc::new(Settings::new(web).map_err(AdminListenError::Other)?);
        let listeners = Listeners::open("web", listen, &now.listeners, anew, |listener| {
            Doorway::new(listener, hall)
        })?;
        Ok(Open {
            listeners,
            settings,
        })
    }

    /// From now on clients are let in. Says what people should know of it, unless that
    /// is as it was `before`.
    fn begin(&self, before: &Open) {
        self.listeners.begin();
        let is_open = self.addresses().next().is_some();
        let (urls, urls_before) = (self.urls(), before.urls());
        if urls != urls_before && is_open {
            log::info!("the admin page is at {}", urls.join(", "));
            self.warn_of_listeners();
        } else if urls != urls_before {
            log::info!("the admin page is closed");
        }
        let fingerprint = self.settings.fingerprint();
        if fingerprint != before.settings.fingerprint()
            && let Some(fingerprint) = fingerprint
        {
            log::info!("the admin page's certificate has the SHA-256 fingerprint {fingerprint}");
        }
    }

    /// Where people find it.
    fn urls(&self) -> Vec<String> {
        let scheme = self.settings.scheme();
        let url = |address| format!("{scheme}://{address}/");
        self.addresses().map(url).collect()
    }

    fn warn_of_listeners(&self) {
        let is_public = self.addresses().any(|address| !address.ip().is_loopback());
        if self.settings.tls.is_none() && is_public {
            log::warn!(
                "the admin page can be reached from other machines without HTTPS: passwords \
                 can be read on the way (secure=\"true\" changes that)"
            );
        }
    }

    fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.addresses()
    }
}

/// What the door depends on. Users are not part of it: they change even while the
/// certificate is not to be had.
fn web(config: &Config) -> Option<&Web> {
    config.admin.as_ref()?.web.as_ref()
}
