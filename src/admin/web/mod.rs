//! The web door: the admin page, its API, and what programs read of a running txlb.
//!
//! Each client has a thread of its own, for one request. How it is let in is known
//! here; what it may ask, and what it is answered, is `routes`'s business.

mod api;
mod client;
mod guard;
mod memo;
mod notices;
mod open;
mod press;
mod routes;
mod settings;
mod views;

use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use self::memo::Memo;
use self::notices::Notices;
use self::open::{Open, web};
use self::settings::Settings;
use super::auth::Auth;
use super::http::Answer;
use super::server::acceptor::{Acceptor, AcceptorWaker, spawn_for_client};
use super::server::connection_limiter::{ConnectionLimiter, SharedSocket};
use super::server::in_flight::InFlight;
use super::server::lock;
use super::server::pending_clients::ConnectionCost;
use super::server::pending_clients::{AdmissionRules, PendingClient, PendingClients};
use super::server::reconfigure::AdminListenError;
use super::server::reconfigure::{ReconfigurableServer, ServerReconfigure, close_server};
use crate::config::Config;
use crate::control::{Handle, Liveness, Reconfigure, Status};

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
                let wakers = hall.upgrade().map(|hall| hall.wakers());
                wakers.iter().flatten().for_each(AcceptorWaker::wake);
            };
            Hall {
                seats: Arc::new(ConnectionLimiter::new(MAX_CLIENTS, MAX_FROM_ONE, on_room)),
                auth,
                pulses,
                desk: OnceLock::new(),
                open: Mutex::default(),
                answers: InFlight::default(),
                notices: Notices::default(),
                snapshots: Mutex::default(),
                making_page: Mutex::default(),
                large: AtomicUsize::new(0),
                alive: Memo::default(),
                ready: Memo::default(),
            }
        });
        ServerReconfigure::start(&hall, config)?;
        Ok(WebServer(hall))
    }

    /// What opens and closes it as the configuration changes.
    pub fn fixture(&self) -> Box<dyn Reconfigure> {
        Box::new(ServerReconfigure::new(&self.0))
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
        close_server(&*self.0);
        self.0.answers.wait();
    }
}

/// What the threads of the door share.
struct Hall {
    seats: Arc<ConnectionLimiter>,
    auth: Auth,
    pulses: Liveness,
    desk: OnceLock<Handle>,
    open: Mutex<Open>,
    answers: InFlight,
    notices: Notices,
    /// Snapshots that are being read, and when each was taken; the last one last.
    snapshots: Mutex<Vec<(Instant, Weak<Status>)>>,
    /// One page is made at a time.
    making_page: Mutex<()>,
    /// Bytes of the answers that are on their way as a whole.
    large: AtomicUsize,
    /// Whether the workers go round.
    alive: Memo,
    /// Whether every service has a host.
    ready: Memo,
}

impl Hall {
    fn desk(&self) -> &Handle {
        self.desk.wait()
    }

    fn settings(&self) -> Arc<Settings> {
        lock(&self.open).settings()
    }

    fn wakers(&self) -> Vec<AcceptorWaker> {
        lock(&self.open).listeners().wakers()
    }
}

impl ReconfigurableServer for Hall {
    type Endpoint = Open;
    const NAME: &'static str = "the admin page";

    fn prepare(
        self: &Arc<Self>,
        config: &Config,
        now: &Open,
        anew: bool,
    ) -> Result<Open, AdminListenError> {
        Open::prepare(config, now, anew, self)
    }

    fn needs_change(now: &Config, next: &Config) -> bool {
        web(now) != web(next)
    }

    fn activate(open: &Open, before: &Open) {
        open.begin(before);
    }

    fn endpoint(&self) -> &Mutex<Open> {
        &self.open
    }
}

/// Where clients come in.
struct Doorway {
    listener: TcpListener,
    hall: Arc<Hall>,
    entrance: PendingClients,
}

impl Doorway {
    fn new(listener: TcpListener, hall: &Arc<Hall>) -> Doorway {
        let auth = hall.auth.clone();
        let rules = AdmissionRules {
            client_speaks_first: true,
            max_wait: PATIENCE,
            is_known_address: Box::new(move |ip| auth.is_known(ip)),
        };
        Doorway {
            listener,
            hall: Arc::clone(hall),
            entrance: PendingClients::new(&hall.seats, rules),
        }
    }

    fn seat(&self, client: PendingClient) -> io::Result<()> {
        let (stream, peer) = (Arc::new(client.stream), client.peer);
        let socket: SharedSocket = Arc::<TcpStream>::clone(&stream);
        let Some(seat) = self.hall.seats.acquire(peer.ip(), client.is_known, socket) else {
            // Another listener has given it away in this moment.
            log::debug!("web: {peer} is turned away: there is no room");
            return Ok(());
        };
        let hall = Arc::clone(&self.hall);
        spawn_for_client("web-client", stream, move |stream| {
            if let Err(error) = client::serve(stream, peer, &seat.activity(), &hall) {
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

impl Acceptor for Doorway {
    fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    fn accept_next(&mut self) -> io::Result<()> {
        let (stream, peer) = self.listener.accept()?;
        for client in self.entrance.add(stream, peer)? {
            log::debug!("web: {} is turned away: there is no room", client.peer);
        }
        Ok(())
    }

    fn poll_fds(&self) -> Vec<PollFd<'_>> {
        self.entrance.poll_fds().collect()
    }

    fn serve_waiting(
        &mut self,
        events: &[PollFlags],
        is_last: bool,
    ) -> io::Result<Option<Duration>> {
        self.entrance.update(events);
        let cost = match self.hall.settings().tls {
            None => ConnectionCost::Plain,
            Some(_) => ConnectionCost::Handshake,
        };
        while let Some(client) = self.entrance.next_ready(cost, is_last) {
            self.seat(client)?;
        }
        while let Some(client) = self.entrance.pop_expired() {
            log::debug!("web: {} has waited for too long", client.peer);
        }
        Ok(self.entrance.make_capacity())
    }

    fn log_error(&mut self, error: &io::Error) {
        log::warn!("web: cannot let a client in: {error}");
    }
}
