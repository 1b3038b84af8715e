//! The web server: listeners, acceptor and reconfiguration.
//!
//! It serves the admin page, the API, metrics and other exports over HTTP/1.1 or
//! HTTPS. Each client has a thread and one request.

mod actions;
mod compression;
mod connection;
mod guard;
pub(super) mod request;
mod response;
mod routes;
mod state;

use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};

use self::response::Response;
use self::state::{Settings, WebState};
use super::auth::Auth;
use super::server::acceptor::{Acceptor, AcceptorWaker, spawn_for_client};
use super::server::connection_limiter::{ConnectionLimiter, SharedSocket};
use super::server::pending_clients::ConnectionCost;
use super::server::pending_clients::{AdmissionRules, PendingClient, PendingClients};
use super::server::reconfigure::{AdminListenError, Listeners};
use super::server::reconfigure::{ReconfigurableServer, ServerReconfigure, close_server};
use crate::config::{Config, Web};
use crate::control::{Handle, Liveness, Reconfigure};
use crate::os::handed_over::Shared;
use crate::sync::lock;

/// Its name in errors, and among what is handed over.
const SERVER: &str = "web";

/// Clients that are served at the same time; more wait.
const MAX_CLIENTS: usize = 32;

/// Clients of one source that are served at the same time; more are rejected.
const MAX_FROM_ONE_SOURCE: usize = 8;

/// How long a client may wait for a thread, and how long it may send nothing.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(10);

/// The web server of the admin page. It listens while the configuration enables it.
///
/// Dropping it closes the listeners and waits for responses that are being written.
pub struct WebServer(Arc<WebState>);

impl WebServer {
    /// Opens the listeners of `config`. `auth` checks passwords, `liveness` asks workers.
    ///
    /// # Errors
    /// A listener or the certificate cannot be opened.
    pub fn start(
        config: &Config,
        auth: Auth,
        liveness: Liveness,
    ) -> Result<WebServer, AdminListenError> {
        let state = Arc::new_cyclic(|state| {
            let state: Weak<WebState> = Weak::clone(state);
            let on_room = move || {
                let wakers = state.upgrade().map(|state| state.wakers());
                wakers.iter().flatten().for_each(AcceptorWaker::wake);
            };
            let limiter = ConnectionLimiter::new(MAX_CLIENTS, MAX_FROM_ONE_SOURCE, on_room);
            WebState::new(Arc::new(limiter), auth, liveness)
        });
        ServerReconfigure::start(&state, config)?;
        Ok(WebServer(state))
    }

    /// The part that follows changes of the configuration.
    pub fn reconfigurable(&self) -> Box<dyn Reconfigure> {
        Box::new(ServerReconfigure::new(&self.0))
    }

    /// Sets the controller's handle. Requests wait until it is set.
    pub fn set_handle(&self, handle: Handle) {
        let _ = self.0.handle.set(handle);
    }

    /// The addresses that it listens on, with the ports that the system chose for port 0.
    /// Empty while it is closed.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        lock(&self.0.open).addresses().collect()
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        close_server(&*self.0);
        self.0.in_flight.wait();
    }
}

impl ReconfigurableServer for WebState {
    type Endpoint = ActiveServer;
    const NAME: &'static str = "the admin page";

    fn prepare(
        self: &Arc<Self>,
        config: &Config,
        now: &ActiveServer,
        anew: bool,
    ) -> Result<ActiveServer, AdminListenError> {
        ActiveServer::prepare(config, now, anew, self)
    }

    fn needs_change(now: &Config, next: &Config) -> bool {
        web(now) != web(next)
    }

    fn activate(open: &ActiveServer, before: &ActiveServer) {
        open.begin(before);
    }

    fn endpoint(&self) -> &Mutex<ActiveServer> {
        &self.open
    }

    fn hand_over(open: &ActiveServer) -> Vec<(String, Shared)> {
        open.listeners.hand_over(SERVER)
    }
}

/// Accepts clients of one listener, and starts a thread for each.
struct ClientAcceptor {
    listener: Arc<TcpListener>,
    state: Arc<WebState>,
    pending: PendingClients,
}

impl ClientAcceptor {
    fn new(listener: Arc<TcpListener>, state: &Arc<WebState>) -> ClientAcceptor {
        let auth = state.auth.clone();
        let rules = AdmissionRules {
            client_speaks_first: true,
            max_wait: CLIENT_TIMEOUT,
            is_known_address: Box::new(move |ip| auth.is_known(ip)),
        };
        ClientAcceptor {
            listener,
            state: Arc::clone(state),
            pending: PendingClients::new(&state.limiter, rules),
        }
    }

    fn serve_client(&self, client: PendingClient) -> io::Result<()> {
        let (stream, peer) = (Arc::new(client.stream), client.peer);
        let socket: SharedSocket = Arc::<TcpStream>::clone(&stream);
        let Some(slot) = self
            .state
            .limiter
            .acquire(peer.ip(), client.is_known, socket)
        else {
            // Another listener took the last slot just now.
            log::debug!("web: {peer} is turned away: there is no room");
            return Ok(());
        };
        let state = Arc::clone(&self.state);
        spawn_for_client("web-client", stream, move |stream| {
            if let Err(error) = connection::serve(stream, peer, &slot.activity(), &state) {
                log::debug!("web: the connection of {peer} broke: {error}");
            }
        })
        .map_err(|(stream, error)| {
            self.reject(&stream);
            error
        })
    }

    /// Answers 503 where no thread can be started. Over TLS that would need the thread.
    fn reject(&self, client: &TcpStream) {
        if self.state.settings().tls.is_none() && client.set_nonblocking(true).is_ok() {
            let response = Response::text(503, "txlb has no thread or memory for this now\n");
            // Unread input would turn the close into a reset, which may overtake the response.
            let _ = (&mut &*client).read(&mut [0; 16 * 1024]);
            let _ = response.write(&mut &*client, false);
            let _ = client.shutdown(Shutdown::Write);
        }
    }
}

impl Acceptor for ClientAcceptor {
    fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    fn accept_next(&mut self) -> io::Result<()> {
        let (stream, peer) = self.listener.accept()?;
        for client in self.pending.add(stream, peer)? {
            log::debug!("web: {} is turned away: there is no room", client.peer);
        }
        Ok(())
    }

    fn poll_fds(&self) -> Vec<PollFd<'_>> {
        self.pending.poll_fds().collect()
    }

    fn serve_waiting(
        &mut self,
        events: &[PollFlags],
        is_last: bool,
    ) -> io::Result<Option<Duration>> {
        self.pending.update(events);
        let cost = match self.state.settings().tls {
            None => ConnectionCost::Plain,
            Some(_) => ConnectionCost::Handshake,
        };
        while let Some(client) = self.pending.next_ready(cost, is_last) {
            self.serve_client(client)?;
        }
        while let Some(client) = self.pending.pop_expired() {
            log::debug!(
                "web: {} is disconnected: it sent no request for too long",
                client.peer
            );
        }
        Ok(self.pending.make_capacity())
    }

    fn log_error(&mut self, error: &io::Error) {
        log::warn!("web: cannot let a client in: {error}");
    }
}

/// Listeners and settings of the configuration in force.
#[derive(Default, Clone)]
struct ActiveServer {
    listeners: Listeners,
    settings: Arc<Settings>,
}

impl ActiveServer {
    /// Opens the listeners and reads the certificate of `config`; listeners that are open
    /// `now` are kept.
    ///
    /// A certificate is read at the start, when its part of the configuration changes, and
    /// when the log is reopened. Connections keep the certificate that they began with.
    ///
    /// # Errors
    /// A new listener or the certificate cannot be opened.
    // Test: users_change_while_the_certificate_is_not_to_be_had.
    fn prepare(
        config: &Config,
        now: &ActiveServer,
        anew: bool,
        state: &Arc<WebState>,
    ) -> Result<ActiveServer, AdminListenError> {
        let Some(web) = web(config).filter(|web| web.enable) else {
            return Ok(ActiveServer::default());
        };
        let Some(listen) = &web.listen else {
            return Ok(ActiveServer::default());
        };
        let settings = Arc::new(Settings::new(web).map_err(AdminListenError::Other)?);
        let listeners = Listeners::open(SERVER, listen, &now.listeners, anew, |listener| {
            ClientAcceptor::new(listener, state)
        })?;
        Ok(ActiveServer {
            listeners,
            settings,
        })
    }

    /// Starts accepting, and logs the URLs and the fingerprint where they have changed.
    fn begin(&self, before: &ActiveServer) {
        self.listeners.start_accepting();
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

    /// The URLs of the page.
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

/// The part of the configuration that the web server depends on. Users are not in it:
/// they can change while the certificate cannot be read.
fn web(config: &Config) -> Option<&Web> {
    config.admin.as_ref()?.web.as_ref()
}
