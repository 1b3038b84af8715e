//! The control socket: lets programs on this machine in, each on a thread of its
//! own, to ask and to change what runs.
//!
//! Whoever may open the socket may do everything, and is known by what the system
//! says of them. What is said is `talk`'s business, the socket's file `socket`'s.

mod socket;
mod talk;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use self::socket::SocketFile;
use super::answers::Answers;
use super::watch::{Porter, Watch, spawn};
use crate::config::Config;
use crate::director::{By, Desk, Finish, Fixture, Origins};
use crate::os::peer::{Peer, peer};

/// Clients that are let in at the same time.
const MAX_CLIENTS: usize = 32;

/// Those among them that may speak AMP: hosts stay for ever, and whoever comes to
/// change something must find a place.
const MAX_HOSTS: usize = 24;

/// The control socket, open while the configuration has one. Dropping it closes it
/// and removes its file; who is let in already may stay for as long as the process.
pub struct ControlDoor(Arc<Hall>);

impl ControlDoor {
    /// The door as `config` wants it. `origins` are those of the director.
    ///
    /// # Errors
    /// `AddrInUse` if another process answers at the socket, or the system's.
    pub fn start(config: &Config, origins: Origins) -> io::Result<ControlDoor> {
        let hall = Arc::new(Hall {
            origins,
            desk: OnceLock::new(),
            open: Mutex::default(),
            clients: AtomicUsize::new(0),
            hosts: AtomicUsize::new(0),
            answers: Answers::default(),
        });
        if let Some(control) = &config.control {
            let open = Open::at(&control.socket, &hall)?;
            open.begin();
            hall.replace(Some(open));
        }
        Ok(ControlDoor(hall))
    }

    /// What opens and closes it as the configuration changes.
    pub fn fixture(&self) -> Box<dyn Fixture> {
        Box::new(Hinge(Arc::downgrade(&self.0)))
    }

    /// Who is asked on behalf of the clients, who wait until that is known.
    pub fn attend(&self, desk: Desk) {
        let _ = self.0.desk.set(desk);
    }
}

impl Drop for ControlDoor {
    fn drop(&mut self) {
        self.0.replace(None);
        self.0.answers.wait();
    }
}

/// What the threads of the door share.
struct Hall {
    origins: Origins,
    desk: OnceLock<Desk>,
    open: Mutex<Option<Open>>,
    clients: AtomicUsize,
    hosts: AtomicUsize,
    answers: Answers,
}

impl Hall {
    fn desk(&self) -> &Desk {
        self.desk.wait()
    }

    fn replace(&self, open: Option<Open>) {
        let before = std::mem::replace(&mut *lock(&self.open), open);
        drop(before);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The door as the desk knows it.
struct Hinge(Weak<Hall>);

impl Fixture for Hinge {
    fn prepare(&mut self, _now: &Config, next: &Config) -> Result<Option<Finish>, String> {
        let Some(hall) = self.0.upgrade() else {
            return Ok(None);
        };
        let path = next
            .control
            .as_ref()
            .map(|control| control.socket.as_path());
        let stays = match (&*lock(&hall.open), path) {
            (Some(open), Some(path)) => open.file.is_at(path),
            (None, None) => true,
            _ => false,
        };
        if stays {
            return Ok(None);
        }
        let open = path
            .map(|path| Open::at(path, &hall))
            .transpose()
            .map_err(|error| error.to_string())?;
        Ok(Some(Box::new(move || {
            match &open {
                Some(open) => open.begin(),
                None => log::info!("the control socket is closed"),
            }
            hall.replace(open);
        })))
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
            hall.replace(None);
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
    fn at(path: &Path, hall: &Arc<Hall>) -> io::Result<Open> {
        let open = || {
            let (listener, file) = SocketFile::listen(path)?;
            listener.set_nonblocking(true)?;
            let hall = Arc::clone(hall);
            let watch = Watch::start("control", Doorway { listener, hall })?;
            Ok(Open { file, watch })
        };
        open().map_err(|error: io::Error| {
            let path = path.display();
            let message = format!("cannot open the control socket {path}: {error}");
            io::Error::new(error.kind(), message)
        })
    }

    fn begin(&self) {
        log::info!("the control socket is {}", self.file.path().display());
        self.watch.begin();
    }
}

/// Where clients come in. There is always room to tell them that there is none.
struct Doorway {
    listener: UnixListener,
    hall: Arc<Hall>,
}

impl Porter for Doorway {
    fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    fn let_in(&mut self) -> io::Result<()> {
        let (stream, _) = self.listener.accept()?;
        self.hall.let_in(stream)
    }

    fn complain(&mut self, error: &io::Error) {
        log::warn!("control: cannot let a client in: {error}");
    }
}

impl Hall {
    fn let_in(self: &Arc<Hall>, stream: UnixStream) -> io::Result<()> {
        let Peer { uid, pid } = peer(&stream)?;
        // Where it is not known, it is the number that stands for nobody.
        let uid = uid.unwrap_or(u32::MAX);
        let by = By::Control { uid, pid };
        let Some(place) = Place::take(self, MAX_CLIENTS, |hall| &hall.clients) else {
            log::warn!("control: {by} is turned away: {MAX_CLIENTS} clients are there already");
            // It goes into the socket's buffer: there is nothing to wait for.
            let _ = talk::refuse(
                &stream,
                &format!("{MAX_CLIENTS} clients are there already: try again later"),
            );
            return Ok(());
        };
        log::debug!("control: {by} comes");
        spawn("control-client", move || {
            if let Err(error) = talk::talk(&stream, &by, &place.hall) {
                log::debug!("control: {by} is lost: {error}");
            }
        })
    }
}

/// A client's place, for as long as it stays.
struct Place {
    hall: Arc<Hall>,
    taken: fn(&Hall) -> &AtomicUsize,
}

impl Place {
    /// One of `most`, of which so many are `taken`.
    fn take(hall: &Arc<Hall>, most: usize, taken: fn(&Hall) -> &AtomicUsize) -> Option<Place> {
        let before = taken(hall).fetch_add(1, Ordering::Relaxed);
        // Given back at once if there was none.
        let hall = Arc::clone(hall);
        let place = Place { hall, taken };
        (before < most).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        (self.taken)(&self.hall).fetch_sub(1, Ordering::Relaxed);
    }
}
