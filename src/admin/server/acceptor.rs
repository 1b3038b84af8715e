//! The thread at a door: waits for clients, and has them let in for as long as nobody has
//! closed the door.
//!
//! Who is let in, and what becomes of them, is for the door's porter to know.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
#[cfg(any(feature = "web", feature = "ssh"))]
use std::sync::Weak;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::os::memory;

/// How long accepting rests after the system had no descriptor for a client.
const REST: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// The stack of a thread that serves a client. It is address space, of which there may be
/// little; a login with the costliest hash, in a build without optimization, needs a third.
pub(in crate::admin) const STACK: usize = 512 * 1024;

/// That is said once in this time, however often it happens.
const QUIET: Duration = Duration::from_secs(1);

/// Clients that are let in, or turned away, before orders are looked at again. Without it,
/// those who come faster than they are turned away would keep the door open.
const MOST_AT_ONCE: usize = 64;

/// Somebody at a door, with a listening socket that does not block.
pub(in crate::admin) trait Porter: Send + 'static {
    /// What clients come to.
    fn listener(&self) -> BorrowedFd<'_>;

    /// Lets the next client in. `WouldBlock` says that none waits.
    fn let_in(&mut self) -> io::Result<()>;

    /// What else the system is to be asked: clients that were let in and wait for their turn.
    fn poll_fds(&self) -> Vec<PollFd<'_>> {
        Vec::new()
    }

    /// Does what there is to be done for those, after the system has said this of them, in
    /// the same order. The answer is when to look again at the latest. `is_last` says that it
    /// will not be.
    fn look(&mut self, _events: &[PollFlags], _is_last: bool) -> io::Result<Option<Duration>> {
        Ok(None)
    }

    /// A client could not be let in.
    fn complain(&mut self, error: &io::Error);
}

/// The thread, as seen from outside: a byte tells it to look again, the end of the
/// stream to end. Who waits then is let in before.
///
/// Dropping it ends the thread and waits for that, which does not take long: whoever opens
/// a door at the same place next finds it free.
pub(in crate::admin) struct Watch {
    orders: Arc<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

/// Tells a thread that there is room again, as long as its door is open.
#[cfg(any(feature = "web", feature = "ssh"))]
pub(in crate::admin) struct Bell(Weak<UnixStream>);

impl Watch {
    /// Starts the thread; nobody is let in before [`Watch::begin`].
    ///
    /// # Errors
    /// The system's, if it has no thread or socket for it.
    pub(in crate::admin) fn start(name: &str, porter: impl Porter) -> io::Result<Watch> {
        let (orders, heard) = UnixStream::pair()?;
        // A thread that has been told often enough looks anyway.
        orders.set_nonblocking(true)?;
        let thread = begin_thread(name, move || watch(porter, &heard))?;
        Ok(Watch {
            orders: Arc::new(orders),
            thread: Some(thread),
        })
    }

    /// From now on clients are let in.
    pub(in crate::admin) fn begin(&self) {
        ring(&self.orders);
    }

    /// To be rung where somebody left and there had been no room.
    #[cfg(any(feature = "web", feature = "ssh"))]
    pub(in crate::admin) fn bell(&self) -> Bell {
        Bell(Arc::downgrade(&self.orders))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Not left to the stream's own end: somebody may be ringing the bell.
        let _ = self.orders.shutdown(Shutdown::Both);
        let others = |thread: &JoinHandle<()>| thread.thread().id() != thread::current().id();
        if let Some(thread) = self.thread.take().filter(others) {
            // One that panicked has been heard of.
            let _ = thread.join();
        }
    }
}

#[cfg(any(feature = "web", feature = "ssh"))]
impl Bell {
    /// Rings it. Never waits.
    pub(in crate::admin) fn ring(&self) {
        if let Some(orders) = self.0.upgrade() {
            ring(&orders);
        }
    }
}

/// Starts a thread of a door.
///
/// # Errors
/// The system's, if it has none.
#[cfg(feature = "ssh")]
pub(in crate::admin) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    begin_thread(name, work).map(drop)
}

/// Starts a thread for a client.
///
/// # Errors
/// The system has no thread or no memory for it: then the client is given back, to be told.
/// Never `WouldBlock`, which says that no client waits.
pub(in crate::admin) fn serve<T: Send + 'static>(
    name: &str,
    client: T,
    work: impl FnOnce(T) + Send + 'static,
) -> Result<(), (T, io::Error)> {
    let (hand, handed) = sync_channel(1);
    let begun = has_room().and_then(|()| {
        begin_thread(name, move || {
            if let Ok(client) = handed.recv() {
                work(client);
            }
        })
    });
    match begun {
        Ok(_) => {
            // Its thread waits for it.
            let _ = hand.send(client);
            Ok(())
        }
        Err(error) => Err((client, error)),
    }
}

/// Whether there is memory for another client.
///
/// # Errors
/// There is not.
pub(in crate::admin) fn has_room() -> io::Result<()> {
    match memory::is_short() {
        true => Err(io::Error::other(
            "the address space is nearly used up (ulimit -v)",
        )),
        false => Ok(()),
    }
}

fn begin_thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let builder = thread::Builder::new().name(name.to_owned());
    let begun = builder.stack_size(STACK).spawn(work);
    begun.map_err(|error| io::Error::other(format!("the system has no thread for it: {error}")))
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
    let mut next = None;
    let mut complained: Option<Instant> = None;
    while !ended {
        let (called, events) = {
            let listener = porter.listener();
            let mut waits = vec![
                PollFd::new(orders, PollFlags::IN),
                PollFd::new(&listener, PollFlags::IN),
            ];
            waits.extend(porter.poll_fds());
            // An interruption is no news.
            let _ = poll(&mut waits, next.map(timespec).as_ref());
            let events: Vec<_> = waits[2..].iter().map(PollFd::revents).collect();
            (!waits[0].revents().is_empty(), events)
        };
        ended = called && !heard_more(orders);
        let let_in = let_in_those_who_wait(&mut porter);
        let looked = porter.look(&events, ended).map(|at| next = at);
        if let Err(error) = let_in.and(looked) {
            if complained.is_none_or(|at| at.elapsed() >= QUIET) {
                porter.complain(&error);
                complained = Some(Instant::now());
            }
            let mut rest = [PollFd::new(orders, PollFlags::IN)];
            let _ = poll(&mut rest, Some(&REST));
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec::try_from(duration).unwrap_or(REST)
}

/// Whether there was something to be heard, and not the end.
fn heard_more(mut orders: &UnixStream) -> bool {
    matches!(orders.read(&mut [0; 64]), Ok(1..))
}

/// Lets in who waits, so many at once. At the end too: they came while the door was open.
fn let_in_those_who_wait(porter: &mut impl Porter) -> io::Result<()> {
    for _ in 0..MOST_AT_ONCE {
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

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Does with each client the same, whoever it is, and says so when that fails.
    struct Doorman {
        listener: TcpListener,
        greet: fn(&TcpListener) -> io::Result<()>,
        complaints: Sender<ErrorKind>,
    }

    impl Porter for Doorman {
        fn listener(&self) -> BorrowedFd<'_> {
            self.listener.as_fd()
        }

        fn let_in(&mut self) -> io::Result<()> {
            (self.greet)(&self.listener)
        }

        fn complain(&mut self, error: &io::Error) {
            let _ = self.complaints.send(error.kind());
        }
    }

    fn anywhere() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 0).into()
    }

    /// A door that is open, with somebody in front of it.
    fn open(
        place: SocketAddr,
        greet: fn(&TcpListener) -> io::Result<()>,
    ) -> (Watch, TcpStream, Receiver<ErrorKind>) {
        let listener = TcpListener::bind(place).unwrap();
        listener.set_nonblocking(true).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (complaints, heard) = channel();
        let doorman = Doorman {
            listener,
            greet,
            complaints,
        };
        let watch = Watch::start("door", doorman).unwrap();
        watch.begin();
        (watch, client, heard)
    }

    #[test]
    fn a_door_that_was_closed_is_closed_and_who_waited_was_let_in() {
        let mut place = anywhere();
        for _ in 0..50 {
            let greet = |listener: &TcpListener| (&listener.accept()?.0).write_all(b"!");
            let (watch, mut client, _) = open(place, greet);
            place = client.peer_addr().unwrap();
            drop(watch);
            client.read_exact(&mut [0]).unwrap();
        }
    }

    #[test]
    fn a_crowd_keeps_no_door_open() {
        // There is always somebody else.
        let (watch, _client, _) = open(anywhere(), |_| Ok(()));
        drop(watch);
    }

    #[test]
    fn what_fails_again_and_again_is_said_once_a_second() {
        let (_watch, _client, heard) = open(anywhere(), |_| Err(ErrorKind::OutOfMemory.into()));
        let begun = Instant::now();
        for _ in 0..2 {
            let said = heard.recv_timeout(30 * QUIET).unwrap();
            assert_eq!(said, ErrorKind::OutOfMemory);
        }
        assert!(begun.elapsed() >= QUIET / 2);
    }
}
