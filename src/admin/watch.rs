//! The thread at a door: waits for clients, and has them let in for as long as there
//! is room and nobody has closed the door.
//!
//! Who is let in, and what becomes of them, is for the door's porter to know.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
#[cfg(feature = "web")]
use std::sync::Weak;
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long accepting rests after the system had no descriptor for a client.
const REST: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// Somebody at a door, with a listening socket that does not block.
pub(super) trait Porter: Send + 'static {
    /// What clients come to.
    fn listener(&self) -> BorrowedFd<'_>;

    /// Whether there is room for another client. Without it they wait in the system's
    /// queue until the bell is rung.
    fn has_room(&self) -> bool;

    /// Lets the next client in. `WouldBlock` says that none waits.
    fn let_in(&mut self) -> io::Result<()>;

    /// A client could not be let in.
    fn complain(&mut self, error: &io::Error);
}

/// The thread, as seen from outside: a byte tells it to look again, the end of the
/// stream to end. Who waits then is let in before.
pub(super) struct Watch(Arc<UnixStream>);

/// Tells a thread that there is room again, as long as its door is open.
#[cfg(feature = "web")]
pub(super) struct Bell(Weak<UnixStream>);

impl Watch {
    /// Starts the thread; nobody is let in before [`Watch::begin`].
    ///
    /// # Errors
    /// The system's, if it has no thread or socket for it.
    pub(super) fn start(name: &str, porter: impl Porter) -> io::Result<Watch> {
        let (orders, heard) = UnixStream::pair()?;
        // A thread that has been told often enough looks anyway.
        orders.set_nonblocking(true)?;
        spawn(name, move || watch(porter, &heard))?;
        Ok(Watch(Arc::new(orders)))
    }

    /// From now on clients are let in.
    pub(super) fn begin(&self) {
        ring(&self.0);
    }

    #[cfg(feature = "web")]
    /// To be rung where somebody left and there had been no room.
    pub(super) fn bell(&self) -> Bell {
        Bell(Arc::downgrade(&self.0))
    }
}

#[cfg(feature = "web")]
impl Bell {
    /// Rings it. Never waits.
    pub(super) fn ring(&self) {
        if let Some(orders) = self.0.upgrade() {
            ring(&orders);
        }
    }
}

/// Starts a thread of a door.
///
/// # Errors
/// The system's, if it has none.
pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(drop)
}

fn ring(mut orders: &UnixStream) {
    // A full buffer has bytes in it, and without its reader the door is closed.
    let _ = orders.write(b"!");
}

/// Lets clients in from the first order to the last.
fn watch(mut porter: impl Porter, mut orders: &UnixStream) {
    if orders.read_exact(&mut [0]).is_err() {
        return;
    }
    let mut ended = false;
    while !ended {
        let called = {
            let listener = porter.listener();
            let mut waits = [
                PollFd::new(orders, PollFlags::IN),
                PollFd::new(&listener, PollFlags::IN),
            ];
            let watched = if porter.has_room() { 2 } else { 1 };
            // An interruption is no news.
            let _ = poll(&mut waits[..watched], None);
            !waits[0].revents().is_empty()
        };
        ended = called && !heard_more(orders);
        if let Err(error) = let_in_all(&mut porter) {
            porter.complain(&error);
            let mut rest = [PollFd::new(orders, PollFlags::IN)];
            let _ = poll(&mut rest, Some(&REST));
        }
    }
}

/// Whether there was something to be heard, and not the end.
fn heard_more(mut orders: &UnixStream) -> bool {
    matches!(orders.read(&mut [0; 64]), Ok(1..))
}

/// Lets in who waits. At the end too: they came while the door was open.
fn let_in_all(porter: &mut impl Porter) -> io::Result<()> {
    while porter.has_room() {
        match porter.let_in() {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            // The client has left again, or a signal came.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
