//! The control socket: lets programs on this machine in, each on a thread of its
//! own, to ask and to change what runs.
//!
//! Whoever may open the control socket may do everything, and is known by what the
//! system says of them. A second socket may be there for AMP alone: whoever may open
//! that can ask whose a connection is, and nothing else. What is said is `talk`'s
//! business, a socket's file `socket`'s.

pub(super) mod amp;
mod client;
mod limit;
mod socket_file;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use self::limit::Places;
use self::socket_file::SocketFile;
use super::answers::Answers;
use super::watch::{Porter, Watch, serve};
use crate::config::Config;
use crate::control::{Actor, ClientLookup, Commit, Handle, Reconfigure};
use crate::os::peer::{Peer, peer};

/// Those of the clients that may speak AMP: hosts stay for ever, and whoever comes to
/// change something must find a place.
const MAX_HOSTS: usize = 24;

/// The permission bits of the control socket: its owner and its group, and nobody else.
const MODE: u32 = 0o660;

/// The control socket, open while the configuration has one. Dropping it closes it
/// and removes its file; who is let in already may stay for as long as the process.
pub struct ControlServer(Arc<Hall>);

impl ControlServer {
    /// The door as `config` wants it. `origins` are those of the director.
    ///
    /// # Errors
    /// `AddrInUse` if another process answers at the socket, or the system's.
    pub fn start(config: &Config, origins: ClientLookup) -> io::Result<ControlServer> {
        let hall = Arc::new(Hall {
            origins,
            desk: OnceLock::new(),
            open: Mutex::default(),
            places: Arc::default(),
            speaks_amp: AtomicBool::new(true),
            hosts: AtomicUsize::new(0),
            amp_clients: AtomicUsize::new(0),
            answers: Answers::default(),
        });
        if let Some(finish) = hall.prepare(config)? {
            finish();
        }
        Ok(ControlServer(hall))
    }

    /// What opens and closes it as the configuration changes.
    pub fn fixture(&self) -> Box<dyn Reconfigure> {
        Box::new(Hinge(Arc::downgrade(&self.0)))
    }

    /// Who is asked on behalf of the clients, who wait until that is known.
    pub fn attend(&self, desk: Handle) {
        let _ = self.0.desk.set(desk);
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.0.close();
        self.0.answers.wait();
    }
}

/// What the threads of the door share.
struct Hall {
    origins: ClientLookup,
    desk: OnceLock<Handle>,
    open: Mutex<Sockets>,
    places: Arc<Places>,
    /// Whether AMP is spoken at the control socket, too.
    speaks_amp: AtomicBool,
    /// Clients that speak AMP there.
    hosts: AtomicUsize,
    /// Clients of the socket for AMP alone.
    amp_clients: AtomicUsize,
    answers: Answers,
}

impl Hall {
    fn desk(&self) -> &Handle {
        self.desk.wait()
    }

    /// Nobody is let in any more.
    fn close(&self) {
        let sockets = std::mem::take(&mut *lock(&self.open));
        drop(sockets);
    }

    /// Opens the sockets that `config` has and that are not open yet. What is returned
    /// lets clients in there, and closes the others.
    fn prepare(self: &Arc<Hall>, config: &Config) -> io::Result<Option<Commit>> {
        let control = config.control.as_ref();
        let wanted = control.map(|it| (it.socket.as_path(), MODE));
        let wanted_amp = control.and_then(|it| Some((it.amp_socket.as_deref()?, it.amp_mode)));
        let speaks_amp = control.is_none_or(|it| it.amp);
        let (control_stays, amp_stays) = {
            let open = lock(&self.open);
            let stays = |now: &Option<Open>, wanted: Wanted<'_>| match (now, wanted) {
                (Some(open), Some((path, _))) => open.file.is_at(path),
                (None, None) => true,
                _ => false,
            };
            (stays(&open.control, wanted), stays(&open.amp, wanted_amp))
        };
        let control = Next::new(control_stays, wanted, Scope::All, self)?;
        let amp = Next::new(amp_stays, wanted_amp, Scope::Amp, self)?;
        let hall = Arc::clone(self);
        let amp_mode = wanted_amp.map(|(_, mode)| mode);
        Ok(Some(Box::new(move || {
            hall.speaks_amp.store(speaks_amp, Ordering::Relaxed);
            let mut open = lock(&hall.open);
            let before = [
                control.put_in_force(&mut open.control, "the control socket"),
                amp.put_in_force(&mut open.amp, "the socket for AMP"),
            ];
            if let (Some(open), Some(mode)) = (&mut open.amp, amp_mode) {
                open.file.set_mode(mode);
            }
            // Whoever is just let in there may need the lock.
            drop(open);
            drop(before);
        })))
    }
}

/// The sockets that listen.
#[derive(Default)]
struct Sockets {
    control: Option<Open>,
    amp: Option<Open>,
}

/// What can be asked at a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    /// Over AMP, whose a connection is.
    Amp,
}

/// Where a socket is to be, and the bits that say who may open it.
type Wanted<'a> = Option<(&'a Path, u32)>;

/// What becomes of a socket when a configuration is put in force.
enum Next {
    Stays,
    Becomes(Option<Open>),
}

impl Next {
    fn new(stays: bool, wanted: Wanted<'_>, scope: Scope, hall: &Arc<Hall>) -> io::Result<Next> {
        if stays {
            return Ok(Next::Stays);
        }
        let open = wanted.map(|(path, mode)| Open::at(path, mode, scope, hall));
        open.transpose().map(Next::Becomes)
    }

    /// Returns the one before, which is to be closed.
    fn put_in_force(self, now: &mut Option<Open>, name: &str) -> Option<Open> {
        let Next::Becomes(next) = self else {
            return None;
        };
        match &next {
            Some(open) => open.begin(name),
            None => log::info!("{name} is closed"),
        }
        std::mem::replace(now, next)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The door as the desk knows it.
struct Hinge(Weak<Hall>);

impl Reconfigure for Hinge {
    fn prepare(&mut self, _now: &Config, next: &Config) -> Result<Option<Commit>, String> {
        let Some(hall) = self.0.upgrade() else {
            return Ok(None);
        };
        hall.prepare(next).map_err(|error| error.to_string())
    }

    /// Without its file, nobody could so much as ask for another one.
    fn reopen(&mut self, now: &Config) -> Result<(), String> {
        if let Some(finish) = self.prepare(now, now)? {
            finish();
        }
        Ok(())
    }

    /// Nobody else is let in; who is there stays.
    fn give_way(&mut self) -> bool {
        if let Some(hall) = self.0.upgrade() {
            hall.close();
        }
        false
    }
}

/// A socket that listens, and the thread that lets in who comes.
struct Open {
    // Removed before nobody answers at it any more.
    file: SocketFile,
    watch: Watch,
}

impl Open {
    fn at(path: &Path, mode: u32, scope: Scope, hall: &Arc<Hall>) -> io::Result<Open> {
        let open = || {
            let (listener, file) = SocketFile::listen(path, mode)?;
            listener.set_nonblocking(true)?;
            let doorway = Doorway {
                listener,
                scope,
                hall: Arc::clone(hall),
            };
            let watch = Watch::start("control", doorway)?;
            Ok(Open { file, watch })
        };
        open().map_err(|error: io::Error| {
            let path = path.display();
            let message = format!("cannot open the control socket {path}: {error}");
            io::Error::new(error.kind(), message)
        })
    }

    fn begin(&self, name: &str) {
        log::info!("{name} is {}", self.file.path().display());
        self.watch.begin();
    }
}

/// Where clients come in. There is always room to tell them that there is none.
struct Doorway {
    listener: UnixListener,
    scope: Scope,
    hall: Arc<Hall>,
}

impl Porter for Doorway {
    fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    fn let_in(&mut self) -> io::Result<()> {
        let (stream, _) = self.listener.accept()?;
        match self.scope {
            Scope::All => self.hall.let_in(stream),
            Scope::Amp => self.hall.let_in_to_amp(stream),
        }
    }

    fn complain(&mut self, error: &io::Error) {
        log::warn!("control: cannot let a client in: {error}");
    }
}

impl Hall {
    fn let_in(self: &Arc<Hall>, stream: UnixStream) -> io::Result<()> {
        let (by, uid) = identify(&stream)?;
        let stream = Arc::new(stream);
        let place = match self.places.take(&stream, is_own(uid)) {
            Ok((place, None)) => place,
            Ok((place, Some(left))) => {
                log::warn!("control: somebody who had said nothing made room for {by}");
                // It goes into the socket's buffer: there is nothing to wait for.
                let _ = client::refuse(&left, "nothing was said while others waited");
                limit::end(&left);
                place
            }
            Err(most) => {
                log::warn!("control: {by} is turned away: {most} clients are there already");
                let why = format!("{most} clients are there already: try again later");
                let _ = client::refuse(&stream, &why);
                return Ok(());
            }
        };
        log::debug!("control: {by} comes");
        let hall = Arc::clone(self);
        serve("control-client", stream, move |stream| {
            if let Err(error) = client::talk(&stream, &by, &place, &hall) {
                log::debug!("control: {by} is lost: {error}");
            }
        })
        .map_err(|(stream, error)| {
            let _ = client::refuse(&stream, &error.to_string());
            error
        })
    }

    fn let_in_to_amp(self: &Arc<Hall>, stream: UnixStream) -> io::Result<()> {
        let (by, _) = identify(&stream)?;
        let Some(place) = HostPlace::take(self, |hall| &hall.amp_clients) else {
            log::warn!("amp: {by} is turned away: {MAX_HOSTS} clients are there already");
            return Ok(());
        };
        let hall = Arc::clone(self);
        serve("amp-client", stream, move |stream| {
            let _place = place;
            if let Err(error) = client::talk_amp(&stream, &by, &hall) {
                log::debug!("amp: {by} is lost: {error}");
            }
        })
        .map_err(|(_, error)| error)
    }
}

/// Who has connected, and the number of their user. Where that is not known, it is the one
/// that stands for nobody.
fn identify(stream: &UnixStream) -> io::Result<(Actor, u32)> {
    let Peer { uid, pid } = peer(stream)?;
    let uid = uid.unwrap_or(u32::MAX);
    Ok((Actor::Control { uid, pid }, uid))
}

/// Whether a place is kept for this user: root, and whom txlb runs as. Where the system does
/// not tell who it is, the socket's mode has to do, and they are kept for all.
fn is_own(uid: u32) -> bool {
    [0, rustix::process::geteuid().as_raw(), u32::MAX].contains(&uid)
}

/// The place of a client that speaks AMP, for as long as it stays.
struct HostPlace {
    hall: Arc<Hall>,
    taken: fn(&Hall) -> &AtomicUsize,
}

impl HostPlace {
    /// One of those of which so many are `taken`.
    fn take(hall: &Arc<Hall>, taken: fn(&Hall) -> &AtomicUsize) -> Option<HostPlace> {
        let before = taken(hall).fetch_add(1, Ordering::Relaxed);
        // Given back at once if there was none.
        let hall = Arc::clone(hall);
        let place = HostPlace { hall, taken };
        (before < MAX_HOSTS).then_some(place)
    }
}

impl Drop for HostPlace {
    fn drop(&mut self) {
        (self.taken)(&self.hall).fetch_sub(1, Ordering::Relaxed);
    }
}
