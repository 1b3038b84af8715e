//! The control socket: lets programs on this machine in, each on a thread of its
//! own, to ask and to change what runs.
//!
//! Whoever may open the socket may do everything, and is known by what the system
//! says of them. What is said is `talk`'s business, the socket's file `socket`'s.

mod socket;
mod talk;

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use self::socket::SocketFile;
use crate::config::Config;
use crate::director::{By, Desk, Finish, Fixture, Origins};
use crate::os::peer::{Peer, peer};

/// Clients that are let in at the same time.
const MAX_CLIENTS: usize = 32;

/// Those among them that may speak AMP: hosts stay for ever, and whoever comes to
/// change something must find a place.
const MAX_HOSTS: usize = 24;

/// How long accepting rests after the system had no descriptor for a client.
const REST: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// How long the end waits for answers that are being given.
const LAST_WORDS: Duration = Duration::from_secs(1);

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
            answers: Mutex::default(),
            answered: Condvar::new(),
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
        self.0.wait_for_answers();
    }
}

/// What the threads of the door share.
struct Hall {
    origins: Origins,
    desk: OnceLock<Desk>,
    open: Mutex<Option<Open>>,
    clients: AtomicUsize,
    hosts: AtomicUsize,
    /// Answers that are being given.
    answers: Mutex<usize>,
    answered: Condvar,
}

impl Hall {
    fn desk(&self) -> &Desk {
        self.desk.wait()
    }

    fn replace(&self, open: Option<Open>) {
        let before = std::mem::replace(&mut *lock(&self.open), open);
        drop(before);
    }

    /// Until what is returned is dropped, an answer is being given.
    fn begin_answer(&self) -> impl Drop {
        *lock(&self.answers) += 1;
        Answering(self)
    }

    /// Whoever told the program to stop is to hear that it does.
    fn wait_for_answers(&self) {
        let answers = lock(&self.answers);
        let waits = self
            .answered
            .wait_timeout_while(answers, LAST_WORDS, |answers| *answers > 0);
        drop(waits);
    }
}

struct Answering<'a>(&'a Hall);

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        *lock(&self.0.answers) -= 1;
        self.0.answered.notify_all();
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

/// A socket that listens, and what its thread is told through: a byte to begin,
/// the end of the stream to end.
struct Open {
    // Removed before nobody answers at it any more.
    file: SocketFile,
    orders: UnixStream,
}

impl Open {
    fn at(path: &Path, hall: &Arc<Hall>) -> io::Result<Open> {
        let open = || {
            let (listener, file) = SocketFile::listen(path)?;
            listener.set_nonblocking(true)?;
            let (orders, heard) = UnixStream::pair()?;
            let hall = Arc::clone(hall);
            spawn("control", move || hall.watch(&listener, &heard))?;
            Ok(Open { file, orders })
        };
        open().map_err(|error: io::Error| {
            let path = path.display();
            let message = format!("cannot open the control socket {path}: {error}");
            io::Error::new(error.kind(), message)
        })
    }

    fn begin(&self) {
        log::info!("the control socket is {}", self.file.path().display());
        // Its thread is there: it waits for this.
        let _ = (&self.orders).write_all(b"!");
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(drop)
}

impl Hall {
    /// Lets clients in from the first order to the last.
    fn watch(self: &Arc<Hall>, listener: &UnixListener, mut orders: &UnixStream) {
        if orders.read_exact(&mut [0]).is_err() {
            return;
        }
        let mut ended = false;
        while !ended {
            let mut waits = [
                PollFd::new(listener, PollFlags::IN),
                PollFd::new(orders, PollFlags::IN),
            ];
            // An interruption is no news.
            let _ = poll(&mut waits, None);
            ended = !waits[1].revents().is_empty();
            if let Err(error) = self.let_in_all(listener) {
                log::warn!("control: cannot let a client in: {error}");
                let mut rest = [PollFd::new(orders, PollFlags::IN)];
                let _ = poll(&mut rest, Some(&REST));
            }
        }
    }

    /// Lets in who waits. At the end too: they came while the door was open.
    fn let_in_all(self: &Arc<Hall>, listener: &UnixListener) -> io::Result<()> {
        loop {
            match listener.accept() {
                Ok((stream, _)) => self.let_in(stream)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

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
