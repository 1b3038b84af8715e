//! The control socket, and the socket for AMP alone: Unix sockets, with a thread for
//! each client.
//!
//! File permissions decide who may connect; peer credentials name the user in the log.
//! Clients of the control socket have full access. Clients of the AMP socket can only
//! ask which client a connection belongs to.

pub(super) mod amp;
mod client;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};

use self::client::{ClientContext, ConnectionLimit, MAX_AMP_CLIENTS};
use super::server::acceptor::{Acceptor, AcceptorThread, spawn_for_client};
use crate::config::Config;
use crate::control::{Actor, ClientLookup, Commit, Handle, Reconfigure};
use crate::os::handed_over::Shared;
use crate::os::socket_file::SocketFile;
use crate::os::sockets::{Peer, peer};
use crate::sync::lock;

/// Permissions of the control socket: read and write for its owner and group.
const MODE: u32 = 0o660;

/// The accept backlog.
const BACKLOG: i32 = 128;

/// The control socket, open while the configuration has one.
///
/// Dropping it closes it and removes its file. Connected clients stay connected.
pub struct ControlServer(Arc<ControlSocketState>);

impl ControlServer {
    /// Opens the sockets of `config`. `client_lookup` answers questions over AMP.
    ///
    /// # Errors
    /// `AddrInUse` if another process listens at the path, or a system error.
    pub fn start(config: &Config, client_lookup: ClientLookup) -> io::Result<ControlServer> {
        let state = Arc::new(ControlSocketState {
            open: Mutex::default(),
            limit: Arc::default(),
            clients: ClientContext::new(client_lookup),
        });
        if let Some(commit) = state.prepare(config)? {
            commit();
        }
        Ok(ControlServer(state))
    }

    /// The part that follows changes of the configuration.
    pub fn reconfigurable(&self) -> Box<dyn Reconfigure> {
        Box::new(ReconfigureSockets(Arc::downgrade(&self.0)))
    }

    /// Sets the controller's handle. Requests wait until it is set.
    pub fn set_handle(&self, handle: Handle) {
        self.0.clients.set_handle(handle);
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.0.close();
        self.0.clients.in_flight.wait();
    }
}

/// The sockets, and what the threads of their clients share.
struct ControlSocketState {
    open: Mutex<OpenSockets>,
    limit: Arc<ConnectionLimit>,
    clients: ClientContext,
}

impl ControlSocketState {
    /// Stops accepting, and removes the files.
    fn close(&self) {
        let sockets = std::mem::take(&mut *lock(&self.open));
        drop(sockets);
    }

    /// Opens those sockets of `config` that are not open yet. The commit starts accepting
    /// there, and closes the others.
    fn prepare(self: &Arc<ControlSocketState>, config: &Config) -> io::Result<Option<Commit>> {
        let control = config.control.as_ref();
        let wanted = control.map(|it| (it.socket.as_path(), MODE));
        let wanted_amp = control.and_then(|it| Some((it.amp_socket.as_deref()?, it.amp_mode)));
        let speaks_amp = control.is_none_or(|it| it.amp);
        let (control_stays, amp_stays) = {
            let open = lock(&self.open);
            let stays = |now: &Option<OpenSocket>, wanted: Wanted<'_>| match (now, wanted) {
                (Some(open), Some((path, _))) => open.file.is_at(path),
                (None, None) => true,
                _ => false,
            };
            (stays(&open.control, wanted), stays(&open.amp, wanted_amp))
        };
        let control = SocketChange::new(control_stays, wanted, Scope::All, self)?;
        let amp = SocketChange::new(amp_stays, wanted_amp, Scope::Amp, self)?;
        let state = Arc::clone(self);
        let amp_mode = wanted_amp.map(|(_, mode)| mode);
        Ok(Some(Box::new(move || {
            state
                .clients
                .speaks_amp
                .store(speaks_amp, Ordering::Relaxed);
            let mut open = lock(&state.open);
            let before = [
                control.put_in_force(&mut open.control, "the control socket"),
                amp.put_in_force(&mut open.amp, "the socket for AMP"),
            ];
            if let (Some(open), Some(mode)) = (&mut open.amp, amp_mode) {
                open.file.set_mode(mode);
            }
            // Closing waits for the acceptor, which may wait for this lock.
            drop(open);
            drop(before);
        })))
    }
}

/// The sockets in force.
#[derive(Default)]
struct OpenSockets {
    control: Option<OpenSocket>,
    amp: Option<OpenSocket>,
}

/// What clients of a socket may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    /// Ask over AMP which client a connection belongs to.
    Amp,
}

/// Path and permissions of a socket.
type Wanted<'a> = Option<(&'a Path, u32)>;

/// What a commit does with a socket.
enum SocketChange {
    Keep,
    Replace(Option<OpenSocket>),
}

impl SocketChange {
    fn new(
        stays: bool,
        wanted: Wanted<'_>,
        scope: Scope,
        state: &Arc<ControlSocketState>,
    ) -> io::Result<SocketChange> {
        if stays {
            return Ok(SocketChange::Keep);
        }
        let open = wanted.map(|(path, mode)| OpenSocket::at(path, mode, scope, state));
        open.transpose().map(SocketChange::Replace)
    }

    /// Returns the previous socket, for the caller to close.
    fn put_in_force(self, now: &mut Option<OpenSocket>, name: &str) -> Option<OpenSocket> {
        let SocketChange::Replace(next) = self else {
            return None;
        };
        match &next {
            Some(open) => open.begin(name),
            None => log::info!("{name} is closed"),
        }
        std::mem::replace(now, next)
    }
}

/// Opens and closes the sockets as the configuration changes.
struct ReconfigureSockets(Weak<ControlSocketState>);

impl Reconfigure for ReconfigureSockets {
    fn prepare(&mut self, _now: &Config, next: &Config) -> Result<Option<Commit>, String> {
        let Some(state) = self.0.upgrade() else {
            return Ok(None);
        };
        state.prepare(next).map_err(|error| error.to_string())
    }

    /// Opens a socket again whose file was removed: without it no operator could connect.
    fn reopen(&mut self, now: &Config) -> Result<(), String> {
        if let Some(commit) = self.prepare(now, now)? {
            commit();
        }
        Ok(())
    }

    fn hand_over(&mut self) -> Vec<(String, Shared)> {
        let Some(state) = self.0.upgrade() else {
            return Vec::new();
        };
        let open = lock(&state.open);
        let sockets = [&open.control, &open.amp].into_iter().flatten();
        // One whose file is gone is of no use.
        let sockets = sockets.filter(|socket| socket.file.is_at(socket.file.path()));
        sockets
            .map(|socket| {
                let listener: Shared = Arc::<UnixListener>::clone(&socket.listener);
                (SocketFile::handed_over_name(socket.file.path()), listener)
            })
            .collect()
    }

    fn disown(&mut self, unwanted: &[String]) {
        if let Some(state) = self.0.upgrade() {
            let mut open = lock(&state.open);
            let open = &mut *open;
            for socket in [&mut open.control, &mut open.amp].into_iter().flatten() {
                socket.file.disown(unwanted);
            }
        }
    }

    /// Stops accepting; connected clients stay.
    fn release(&mut self) -> bool {
        if let Some(state) = self.0.upgrade() {
            state.close();
        }
        false
    }
}

/// A listening socket, and the thread that accepts.
struct OpenSocket {
    // First, so that the file is removed before the socket is closed.
    file: SocketFile,
    listener: Arc<UnixListener>,
    thread: AcceptorThread,
}

impl OpenSocket {
    fn at(
        path: &Path,
        mode: u32,
        scope: Scope,
        state: &Arc<ControlSocketState>,
    ) -> io::Result<OpenSocket> {
        let open = || {
            let (listener, file) = SocketFile::listen(path, mode, BACKLOG)?;
            listener.set_nonblocking(true)?;
            let listener = Arc::new(listener);
            let acceptor = ClientAcceptor {
                listener: Arc::clone(&listener),
                scope,
                state: Arc::clone(state),
            };
            let thread = AcceptorThread::start("control", acceptor)?;
            Ok(OpenSocket {
                file,
                listener,
                thread,
            })
        };
        open().map_err(|error: io::Error| {
            let (kind, path) = (error.kind(), path.display());
            let message = match kind {
                io::ErrorKind::AddrInUse => "another txlb answers there".to_owned(),
                _ => error.to_string(),
            };
            io::Error::new(
                kind,
                format!("cannot open the control socket {path}: {message}"),
            )
        })
    }

    fn begin(&self, name: &str) {
        log::info!("{name} is {}", self.file.path().display());
        self.thread.start_accepting();
    }
}

/// Accepts clients. A client beyond the limit gets the error in one write.
struct ClientAcceptor {
    listener: Arc<UnixListener>,
    scope: Scope,
    state: Arc<ControlSocketState>,
}

impl Acceptor for ClientAcceptor {
    fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    fn accept_next(&mut self) -> io::Result<()> {
        let (stream, _) = self.listener.accept()?;
        match self.scope {
            Scope::All => self.state.accept_client(stream),
            Scope::Amp => self.state.accept_amp_client(stream),
        }
    }

    fn log_error(&mut self, error: &io::Error) {
        log::warn!("control: cannot let a client in: {error}");
    }
}

impl ControlSocketState {
    fn accept_client(self: &Arc<ControlSocketState>, stream: UnixStream) -> io::Result<()> {
        let (actor, uid) = identify(&stream)?;
        let stream = Arc::new(stream);
        let slot = match self.limit.take(&stream, is_own(uid)) {
            Ok((slot, None)) => slot,
            Ok((slot, Some(evicted))) => {
                log::warn!(
                    "control: a client that had sent nothing is disconnected for {actor}: all slots \
                     were taken"
                );
                // A short text fits into the socket's buffer, so this does not wait.
                let _ = client::write_error(&evicted, "no command came while others waited");
                client::disconnect(&evicted);
                slot
            }
            Err(max_clients) => {
                log::warn!(
                    "control: {actor} is turned away: {max_clients} clients are there already"
                );
                let why = format!("{max_clients} clients are there already: try again later");
                let _ = client::write_error(&stream, &why);
                return Ok(());
            }
        };
        log::debug!("control: {actor} has connected");
        let state = Arc::clone(self);
        spawn_for_client("control-client", stream, move |stream| {
            if let Err(error) = client::serve_client(&stream, &actor, &slot, &state.clients) {
                log::debug!("control: the connection of {actor} broke: {error}");
            }
        })
        .map_err(|(stream, error)| {
            let _ = client::write_error(&stream, &error.to_string());
            error
        })
    }

    fn accept_amp_client(self: &Arc<ControlSocketState>, stream: UnixStream) -> io::Result<()> {
        let (actor, _) = identify(&stream)?;
        let Some(slot) = self.clients.amp_clients.count_below(MAX_AMP_CLIENTS) else {
            log::warn!("amp: {actor} is turned away: {MAX_AMP_CLIENTS} clients are there already");
            return Ok(());
        };
        let state = Arc::clone(self);
        spawn_for_client("amp-client", stream, move |stream| {
            let _slot = slot;
            if let Err(error) = client::serve_amp_client(&stream, &actor, &state.clients) {
                log::debug!("amp: the connection of {actor} broke: {error}");
            }
        })
        .map_err(|(_, error)| error)
    }
}

/// The peer as an actor, and its user id; `u32::MAX` where the system does not know it.
fn identify(stream: &UnixStream) -> io::Result<(Actor, u32)> {
    let Peer { uid, pid } = peer(stream)?;
    let uid = uid.unwrap_or(u32::MAX);
    Ok((Actor::Control { uid, pid }, uid))
}

/// Whether slots are reserved for this user: root, or txlb's own. Where the user id is
/// unknown, the file's permissions must do, and all users have them.
fn is_own(uid: u32) -> bool {
    [0, rustix::process::geteuid().as_raw(), u32::MAX].contains(&uid)
}
