//! Servers that follow the configuration: new listeners are opened before a change, those that
//! are gone are closed after it.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, Weak};
use std::{fmt, io};

use super::acceptor::{Acceptor, AcceptorThread, AcceptorWaker};
use crate::config::{Config, ListenAddress, ListenHost};
use crate::control::{Commit, Reconfigure, resolve_places};
use crate::os::handed_over::{Shared, take_listeners};
use crate::os::listen::{BindAddress, ListenOptions, bind_all};
use crate::sync::lock;

/// A server that follows the configuration.
pub(in crate::admin) trait ReconfigurableServer:
    Send + Sync + Sized + 'static
{
    /// What depends on the configuration in force, such as listeners. The default is a closed
    /// server.
    type Endpoint: Default + Clone + Send + 'static;

    /// Its name, in words for an operator.
    const NAME: &'static str;

    /// The endpoint for `config`; listeners of `now` that are still wanted stay open. Names that
    /// are there `now` are resolved again only with `resolve_again`. Accepts no client yet.
    ///
    /// # Errors
    /// A new listener, or something else that is new, cannot be opened.
    fn prepare(
        self: &Arc<Self>,
        config: &Config,
        now: &Self::Endpoint,
        resolve_again: bool,
    ) -> Result<Self::Endpoint, AdminListenError>;

    /// Whether the server differs between two configurations.
    fn needs_change(now: &Config, next: &Config) -> bool;

    /// Starts to accept, and logs what has changed since `before`.
    fn activate(endpoint: &Self::Endpoint, before: &Self::Endpoint);

    /// The endpoint in force.
    fn endpoint(&self) -> &Mutex<Self::Endpoint>;

    /// The listeners of an endpoint, by name, for a process that takes over.
    fn hand_over(endpoint: &Self::Endpoint) -> Vec<(String, Shared)>;
}

/// A [`ReconfigurableServer`] for the controller, which does not keep it alive.
pub(in crate::admin) struct ServerReconfigure<S>(Weak<S>);

impl<S: ReconfigurableServer> ServerReconfigure<S> {
    /// Opens a new server.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(in crate::admin) fn start(
        server: &Arc<S>,
        config: &Config,
    ) -> Result<(), AdminListenError> {
        ServerReconfigure::prepare_commit(server, config, true).map(|commit| commit())
    }

    /// Follows the configuration as long as the server exists.
    pub(in crate::admin) fn new(server: &Arc<S>) -> ServerReconfigure<S> {
        ServerReconfigure(Arc::downgrade(server))
    }

    fn prepare_commit(
        server: &Arc<S>,
        next: &Config,
        resolve_again: bool,
    ) -> Result<Commit, AdminListenError> {
        let now = lock(server.endpoint()).clone();
        let endpoint = server.prepare(next, &now, resolve_again)?;
        let server = Arc::clone(server);
        Ok(Box::new(move || commit_endpoint(&*server, &endpoint)))
    }
}

impl<S: ReconfigurableServer> Reconfigure for ServerReconfigure<S> {
    fn prepare(&mut self, now: &Config, next: &Config) -> Result<Option<Commit>, String> {
        match self.0.upgrade() {
            Some(server) if S::needs_change(now, next) => {
                let commit = ServerReconfigure::prepare_commit(&server, next, false)
                    .map_err(|error| error.to_string())?;
                Ok(Some(commit))
            }
            _ => Ok(None),
        }
    }

    /// Files, such as a certificate, may have changed, and names may have new addresses.
    fn reopen(&mut self, now: &Config) -> Result<(), String> {
        if let Some(server) = self.0.upgrade() {
            let commit = ServerReconfigure::prepare_commit(&server, now, true)
                .map_err(|error| format!("{error}; {} stays as it was", S::NAME))?;
            commit();
        }
        Ok(())
    }

    fn hand_over(&mut self) -> Vec<(String, Shared)> {
        let server = self.0.upgrade();
        server.map_or_else(Vec::new, |server| S::hand_over(&lock(server.endpoint())))
    }

    /// Stops accepting; clients that are connected stay.
    fn release(&mut self) -> bool {
        if let Some(server) = self.0.upgrade() {
            close_server(&*server);
        }
        false
    }
}

/// Closes a server for good.
pub(in crate::admin) fn close_server<S: ReconfigurableServer>(server: &S) {
    drop(replace_endpoint(server, S::Endpoint::default()));
}

/// The new settings are in force before a new listener accepts. Otherwise its first client could
/// get the old ones, which may be without HTTPS.
fn commit_endpoint<S: ReconfigurableServer>(server: &S, endpoint: &S::Endpoint) {
    let before = replace_endpoint(server, endpoint.clone());
    S::activate(endpoint, &before);
    // Listeners that are gone are closed here, without the lock: closing joins their threads.
}

fn replace_endpoint<S: ReconfigurableServer>(server: &S, endpoint: S::Endpoint) -> S::Endpoint {
    std::mem::replace(&mut *lock(server.endpoint()), endpoint)
}

/// The listeners of a server; none if it is closed.
#[derive(Default, Clone)]
pub(in crate::admin) struct Listeners {
    /// The address that they were opened for.
    listen: Option<ListenAddress>,
    open: BTreeMap<BindAddress, Arc<OpenListener>>,
}

/// A listener and its accept thread.
struct OpenListener {
    address: SocketAddr,
    socket: Arc<TcpListener>,
    thread: AcceptorThread,
}

/// Why an admin server cannot be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum AdminListenError {
    /// It cannot listen there.
    Listen(io::Error),
    /// Something else is missing, such as the certificate.
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
    /// Opens what `server` needs to listen at `listen`. Listeners of `now` stay open; new ones
    /// accept no client before [`Listeners::start_accepting`]. A name is resolved here, one that
    /// is there `now` only with `resolve_again`.
    ///
    /// # Errors
    /// A new listener cannot be opened.
    pub(in crate::admin) fn open<P: Acceptor>(
        server: &'static str,
        listen: &ListenAddress,
        now: &Listeners,
        resolve_again: bool,
        make_acceptor: impl Fn(Arc<TcpListener>) -> P,
    ) -> Result<Listeners, AdminListenError> {
        if !resolve_again && now.listen.as_ref() == Some(listen) {
            return Ok(now.clone());
        }
        let wanted = resolve_places(listen)
            .map_err(|error| AdminListenError::Other(format!("the {server} interface: {error}")))?;
        let is_name = matches!(listen.host, ListenHost::Name(_));
        let mut listeners = BTreeMap::new();
        let mut absent = None;
        for address in wanted {
            let kept = now.open.get(&address).cloned();
            // `*:80` may replace `10.0.0.1:80`: both are open for a moment.
            let overlaps_own = now.overlap(address);
            let bind = || bind(server, address, overlaps_own, &make_acceptor).map(Arc::new);
            match kept.map_or_else(bind, Ok) {
                Ok(listener) => drop(listeners.insert(address, listener)),
                // A name may have addresses of a family that this machine lacks.
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
                open: listeners,
            }),
        }
    }

    fn overlap(&self, address: BindAddress) -> bool {
        let overlaps = |(own, it): (&BindAddress, &Arc<OpenListener>)| {
            // With port 0 only the address tells which.
            own.overlaps(address) || BindAddress::At(it.address).overlaps(address)
        };
        self.open.iter().any(overlaps)
    }

    /// Starts to accept.
    pub(in crate::admin) fn start_accepting(&self) {
        self.open
            .values()
            .for_each(|it| it.thread.start_accepting());
    }

    /// Local addresses of the listeners.
    pub(in crate::admin) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.open.values().map(|it| it.address)
    }

    /// All listeners by name, for a process that takes over.
    pub(in crate::admin) fn hand_over(&self, server: &str) -> Vec<(String, Shared)> {
        let all = self.open.iter();
        all.map(|(address, open)| {
            let socket: Shared = Arc::<TcpListener>::clone(&open.socket);
            (handed_over_name(server, *address), socket)
        })
        .collect()
    }

    /// For waking the accept threads when there is room again.
    pub(in crate::admin) fn wakers(&self) -> Vec<AcceptorWaker> {
        self.open.values().map(|it| it.thread.waker()).collect()
    }
}

/// The name by which a process hands over a listener of the interface `server`.
fn handed_over_name(server: &str, address: BindAddress) -> String {
    format!("{server} {address}")
}

fn bind<P: Acceptor>(
    server: &str,
    address: BindAddress,
    overlaps_own: bool,
    make_acceptor: impl Fn(Arc<TcpListener>) -> P,
) -> io::Result<OpenListener> {
    let bind = || {
        let mut sockets = take_listeners(&handed_over_name(server, address));
        if sockets.is_empty() {
            sockets = bind_all(address, &ListenOptions::default(), 1, overlaps_own)?;
        }
        let socket = Arc::new(sockets.pop().ok_or(io::ErrorKind::NotFound)?);
        let local = socket.local_addr()?;
        let thread = AcceptorThread::start(server, make_acceptor(Arc::clone(&socket)))?;
        Ok(OpenListener {
            address: local,
            socket,
            thread,
        })
    };
    bind().map_err(|error: io::Error| {
        let message = format!("the {server} interface cannot listen at {address}: {error}");
        io::Error::new(error.kind(), message)
    })
}
