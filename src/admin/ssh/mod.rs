//! SSH server: the console for people, and single commands for scripts.
//!
//! `client` has a client's socket and timeouts, `session` its login, `channel` what it asked for.

mod channel;
mod client;
mod input;
mod runtime;
mod session;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use tokio::net::TcpStream;

use self::channel::SessionContext;
use self::client::SharedStream;
use self::runtime::{MAX_CLIENTS, SshRuntime};
use super::auth::Auth;
use super::server::acceptor::{Acceptor, AcceptorWaker, check_memory};
use super::server::connection_limiter::{ConnectionLimiter, SharedSocket};
use super::server::pending_clients::{
    AdmissionRules, ConnectionCost, PendingClient, PendingClients,
};
use super::server::reconfigure::{
    AdminListenError, Listeners, ReconfigurableServer, ServerReconfigure, close_server,
};
use crate::config::{Config, Ssh};
use crate::control::{Handle, Reconfigure};
use crate::os::handed_over::Shared;
use crate::sync::{Counter, lock};

/// Its name in errors, and among what is handed over.
const SERVER: &str = "ssh";

/// Clients from one subnet.
const MAX_PER_SUBNET: usize = 4;

/// How long a client waits before it is rejected.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Clients that get the error for "no room" at the same time. Others are closed without a word.
const MAX_REJECTING: usize = 16;

/// The SSH server, open while the configuration enables it. Dropping it closes it and
/// disconnects its clients.
pub struct SshServer(Arc<ServerState>);

impl SshServer {
    /// Opens it as `config` says.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn start(config: &Config, auth: Auth) -> Result<SshServer, AdminListenError> {
        let state = Arc::new_cyclic(|state| {
            let state: Weak<ServerState> = Weak::clone(state);
            let on_capacity = move || {
                let wakers = state.upgrade().map(|state| state.wakers());
                wakers.iter().flatten().for_each(AcceptorWaker::wake);
            };
            ServerState {
                limiter: Arc::new(ConnectionLimiter::new(
                    MAX_CLIENTS,
                    MAX_PER_SUBNET,
                    on_capacity,
                )),
                rejecting: Counter::default(),
                context: Arc::new(SessionContext::new(auth)),
                runtime: Mutex::default(),
                endpoint: Mutex::default(),
            }
        });
        ServerReconfigure::start(&state, config)?;
        Ok(SshServer(state))
    }

    /// Makes it follow the configuration.
    pub fn reconfigurable(&self) -> Box<dyn Reconfigure> {
        Box::new(ServerReconfigure::new(&self.0))
    }

    /// Sets the handle of the controller, for which clients wait.
    pub fn set_handle(&self, handle: Handle) {
        self.0.context.set_handle(handle);
    }

    /// Where it listens, with the port that the system chose for 0. Empty while it is closed.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        lock(&self.0.endpoint).addresses().collect()
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        close_server(&*self.0);
        let runtime = lock(&self.0.runtime).take();
        if let Some(runtime) = runtime {
            runtime.shut_down();
        }
    }
}

/// What lasts from one configuration to the next.
struct ServerState {
    limiter: Arc<ConnectionLimiter>,
    rejecting: Counter,
    context: Arc<SessionContext>,
    /// Made when the server is first opened. It is kept when that is closed, as clients stay.
    runtime: Mutex<Option<Arc<SshRuntime>>>,
    endpoint: Mutex<Endpoint>,
}

impl ServerState {
    fn wakers(&self) -> Vec<AcceptorWaker> {
        lock(&self.endpoint).listeners().wakers()
    }

    fn runtime(&self) -> Result<Arc<SshRuntime>, AdminListenError> {
        let mut runtime = lock(&self.runtime);
        if let Some(runtime) = &*runtime {
            return Ok(Arc::clone(runtime));
        }
        let new = Arc::new(SshRuntime::start()?);
        *runtime = Some(Arc::clone(&new));
        Ok(new)
    }
}

impl ReconfigurableServer for ServerState {
    type Endpoint = Endpoint;
    const NAME: &'static str = "the console";

    fn prepare(
        self: &Arc<Self>,
        config: &Config,
        now: &Endpoint,
        resolve_again: bool,
    ) -> Result<Endpoint, AdminListenError> {
        Endpoint::prepare(config, now, resolve_again, self)
    }

    fn needs_change(now: &Config, next: &Config) -> bool {
        let settings = |config: &Config| (ssh(config).cloned(), config.users().is_empty());
        settings(now) != settings(next)
    }

    fn activate(endpoint: &Endpoint, before: &Endpoint) {
        endpoint.activate(before);
    }

    fn endpoint(&self) -> &Mutex<Endpoint> {
        &self.endpoint
    }

    fn hand_over(endpoint: &Endpoint) -> Vec<(String, Shared)> {
        endpoint.listeners().hand_over(SERVER)
    }
}

/// Accepts clients at one listener.
struct SshAcceptor {
    listener: Arc<TcpListener>,
    state: Arc<ServerState>,
    runtime: Arc<SshRuntime>,
    pending: PendingClients,
}

impl SshAcceptor {
    fn new(
        listener: Arc<TcpListener>,
        state: &Arc<ServerState>,
        runtime: &Arc<SshRuntime>,
    ) -> SshAcceptor {
        let auth = state.context.auth.clone();
        let rules = AdmissionRules {
            // Some clients wait for the server's identification.
            client_speaks_first: false,
            max_wait: MAX_WAIT,
            is_known_address: Box::new(move |ip| auth.is_known(ip)),
        };
        SshAcceptor {
            listener,
            state: Arc::clone(state),
            runtime: Arc::clone(runtime),
            pending: PendingClients::new(&state.limiter, rules),
        }
    }

    /// Registers the socket with the runtime.
    fn tokio(&self, stream: std::net::TcpStream) -> io::Result<TcpStream> {
        let _runtime = self.runtime.tokio_handle().enter();
        TcpStream::from_std(stream)
    }

    fn serve(&self, client: PendingClient) -> io::Result<()> {
        // On an error the client is closed, and the log says why.
        check_memory()?;
        let peer = client.peer;
        client.stream.set_nodelay(true)?;
        let stream = Arc::new(self.tokio(client.stream)?);
        let socket: SharedSocket = Arc::<TcpStream>::clone(&stream);
        let Some(permit) = self
            .state
            .limiter
            .acquire(peer.ip(), client.is_known, socket)
        else {
            // Another listener has just taken the place.
            log::debug!("ssh: {peer} is turned away: there is no room");
            return Ok(());
        };
        let shared = SharedStream::new(stream, permit.activity());
        let client = client::Client {
            context: Arc::clone(&self.state.context),
            peer,
            permit,
        };
        let (protocol, shutdown) = (Arc::clone(&self.runtime.protocol), self.runtime.shutdown());
        self.runtime
            .spawn(client::serve(client, shared, protocol, shutdown));
        Ok(())
    }

    fn reject(&self, client: PendingClient) -> io::Result<()> {
        log::debug!("ssh: {} is turned away: there is no room", client.peer);
        let Some(permit) = self.state.rejecting.count_below(MAX_REJECTING) else {
            return Ok(());
        };
        let stream = self.tokio(client.stream)?;
        self.runtime.spawn(async move {
            let why = format!(
                "there is no room: txlb has {MAX_CLIENTS} connections in all, and \
                 {MAX_PER_SUBNET} from one address"
            );
            client::reject(stream, &why).await;
            drop(permit);
        });
        Ok(())
    }
}

impl Acceptor for SshAcceptor {
    fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    fn accept_next(&mut self) -> io::Result<()> {
        let (stream, peer) = self.listener.accept()?;
        let rejected = self.pending.add(stream, peer)?;
        rejected.into_iter().try_for_each(|it| self.reject(it))
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
        while let Some(client) = self.pending.next_ready(ConnectionCost::Handshake, is_last) {
            self.serve(client)?;
        }
        while let Some(client) = self.pending.pop_expired() {
            self.reject(client)?;
        }
        Ok(self.pending.make_capacity())
    }

    fn log_error(&mut self, error: &io::Error) {
        log::warn!("ssh: cannot let a client in: {error}");
    }
}

/// The server for one configuration.
#[derive(Default, Clone)]
struct Endpoint {
    listeners: Listeners,
    runtime: Option<Arc<SshRuntime>>,
    has_users: bool,
}

impl Endpoint {
    /// The endpoint for `config`; what is open `now` stays open if it may.
    ///
    /// # Errors
    /// Something that is new cannot be opened.
    fn prepare(
        config: &Config,
        now: &Endpoint,
        resolve_again: bool,
        state: &Arc<ServerState>,
    ) -> Result<Endpoint, AdminListenError> {
        let enabled = ssh(config).filter(|ssh| ssh.enable);
        let Some(listen) = enabled.and_then(|ssh| ssh.listen.as_ref()) else {
            return Ok(Endpoint::default());
        };
        let runtime = state.runtime()?;
        let listeners =
            Listeners::open(SERVER, listen, &now.listeners, resolve_again, |listener| {
                SshAcceptor::new(listener, state, &runtime)
            })?;
        Ok(Endpoint {
            listeners,
            runtime: Some(runtime),
            has_users: !config.users().is_empty(),
        })
    }

    /// Starts to accept, and logs what has changed since `before`.
    fn activate(&self, before: &Endpoint) {
        self.listeners.start_accepting();
        let addresses =
            |endpoint: &Endpoint| endpoint.addresses().map(|it| it.to_string()).collect();
        let (now, then): (Vec<_>, Vec<_>) = (addresses(self), addresses(before));
        match &self.runtime {
            Some(runtime) if now != then => {
                let (addresses, key) = (now.join(", "), &runtime.fingerprint);
                log::info!("the console is at {addresses} (ssh); its key is {key}");
            }
            None if !then.is_empty() => log::info!("the console is closed"),
            _ => {}
        }
        let rejects_all = |endpoint: &Endpoint| endpoint.runtime.is_some() && !endpoint.has_users;
        if rejects_all(self) && !rejects_all(before) {
            log::warn!("the console rejects all logins: there is no <user> in the configuration");
        }
    }

    fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.addresses()
    }
}

/// The server's part of the configuration.
fn ssh(config: &Config) -> Option<&Ssh> {
    config.admin.as_ref()?.ssh.as_ref()
}
