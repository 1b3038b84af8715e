//! The control socket: lets programs on this machine in, each on a thread of its
//! own, to ask and to change what runs.
//!
//! Whoever may open the socket may do everything, and is known by what the system
//! says of them. What is said is `talk`'s business, the socket's file `socket`'s.

mod places;
mod socket;
mod talk;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use self::places::Places;
use self::socket::SocketFile;
use super::answers::Answers;
use super::watch::{Porter, Watch, spawn};
use crate::config::Config;
use crate::director::{By, Desk, Finish, Fixture, Origins};
use crate::os::peer::{Peer, peer};

/// Those of the clients that may speak AMP: hosts stay for ever, and whoever comes to
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
            places: Arc::default(),
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
    places: Arc<Places>,
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
        let stream = Arc::new(stream);
        let place = match self.places.take(&stream, is_own(uid)) {
            Ok((place, None)) => place,
            Ok((place, Some(left))) => {
                log::warn!("control: somebody who had said nothing made room for {by}");
                // It goes into the socket's buffer: there is nothing to wait for.
                let _ = talk::refuse(&left, "nothing was said while others waited");
                places::end(&left);
                place
            }
            Err(most) => {
                log::warn!("control: {by} is turned away: {most} clients are there already");
                let why = format!("{most} clients are there already: try again later");
                let _ = talk::refuse(&stream, &why);
                return Ok(());
            }
        };
        log::debug!("control: {by} comes");
        let hall = Arc::clone(self);
        spawn("control-client", move || {
            if let Err(error) = talk::talk(&stream, &by, &place, &hall) {
                log::debug!("control: {by} is lost: {error}");
            }
        })
    }
}

/// Whether a place is kept for this user: root, and whom txlb runs as. Where the system does
/// not tell who it is, the socket's mode has to do, and they are kept for all.
fn is_own(uid: u32) -> bool {
    [0, rustix::process::geteuid().as_raw(), u32::MAX].contains(&uid)
}

/// The place of a client that speaks AMP, for as long as it stays.
struct HostPlace(Arc<Hall>);

impl HostPlace {
    fn take(hall: &Arc<Hall>) -> Option<HostPlace> {
        let before = hall.hosts.fetch_add(1, Ordering::Relaxed);
        // Given back at once if there was none.
        let place = HostPlace(Arc::clone(hall));
        (before < MAX_HOSTS).then_some(place)
    }
}

impl Drop for HostPlace {
    fn drop(&mut self) {
        self.0.hosts.fetch_sub(1, Ordering::Relaxed);
    }
}
