//! Accept loop of the admin servers: one thread for each listener, which accepts clients until it
//! is told to stop. Also threads for clients, and the wait for responses that are being sent.
//!
//! The trait [`Acceptor`] is what a server does with a client.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
#[cfg(any(feature = "web", feature = "ssh"))]
use std::sync::Weak;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::os::resources;
use crate::sync::lock;

/// Pause before the next accept after one failed, for example for lack of a descriptor.
const RETRY_DELAY: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// Stack of a thread that serves a client, in bytes. Address space may be short (`ulimit -v`).
/// The costliest hash, in a build without optimization, needs a third of it.
pub(in crate::admin) const STACK_BYTES: usize = 512 * 1024;

/// An error that goes on is logged once in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Clients that are accepted before the wake-up stream is looked at again. Without this limit, clients that
/// come faster than they are rejected would keep a closed listener open.
const MAX_ACCEPTS: usize = 64;

/// A server's part of the accept loop, with a listening socket that does not block.
pub(in crate::admin) trait Acceptor: Send + 'static {
    /// The listening socket.
    fn listener(&self) -> BorrowedFd<'_>;

    /// Accepts one client. `WouldBlock`: none waits.
    fn accept_next(&mut self) -> io::Result<()>;

    /// Other sockets to poll: accepted clients that wait to be served.
    fn poll_fds(&self) -> Vec<PollFd<'_>> {
        Vec::new()
    }

    /// Serves the clients that wait. `events` has what poll(2) said of each of
    /// [`Acceptor::poll_fds`], in the same order. Returns when to call again at the latest. After
    /// a call with `is_last` there is no other.
    fn serve_waiting(
        &mut self,
        _events: &[PollFlags],
        _is_last: bool,
    ) -> io::Result<Option<Duration>> {
        Ok(None)
    }

    /// Logs that a client could not be accepted.
    fn log_error(&mut self, error: &io::Error);
}

/// Handle of an accept thread. A byte to the thread wakes it; the end of the stream ends it,
/// after it has accepted the clients that wait.
///
/// Dropping it ends the thread and joins it, so that the address is free afterwards.
pub(in crate::admin) struct AcceptorThread {
    waker: Arc<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

/// Wakes an accept thread when there is room for another client, as long as the thread runs.
#[cfg(any(feature = "web", feature = "ssh"))]
pub(in crate::admin) struct AcceptorWaker(Weak<UnixStream>);

impl AcceptorThread {
    /// Starts the thread, which accepts no client before [`AcceptorThread::start_accepting`].
    ///
    /// # Errors
    /// The system has no thread or socket for it.
    pub(in crate::admin) fn start(
        name: &str,
        acceptor: impl Acceptor,
    ) -> io::Result<AcceptorThread> {
        let (waker, wake_stream) = UnixStream::pair()?;
        // A full buffer wakes the thread as well: the writer need not wait.
        waker.set_nonblocking(true)?;
        let thread = start_thread(name, move || run(acceptor, &wake_stream))?;
        Ok(AcceptorThread {
            waker: Arc::new(waker),
            thread: Some(thread),
        })
    }

    /// Starts to accept.
    pub(in crate::admin) fn start_accepting(&self) {
        wake(&self.waker);
    }

    /// Wakes the thread. For those who free a place when all were taken.
    #[cfg(any(feature = "web", feature = "ssh"))]
    pub(in crate::admin) fn waker(&self) -> AcceptorWaker {
        AcceptorWaker(Arc::downgrade(&self.waker))
    }
}

impl Drop for AcceptorThread {
    fn drop(&mut self) {
        // The stream is shut down, not dropped: an [`AcceptorWaker`] may hold it for a moment.
        let _ = self.waker.shutdown(Shutdown::Both);
        let is_other = |thread: &JoinHandle<()>| thread.thread().id() != thread::current().id();
        if let Some(thread) = self.thread.take().filter(is_other) {
            // A panic of that thread is reported by the panic guard.
            let _ = thread.join();
        }
    }
}

#[cfg(any(feature = "web", feature = "ssh"))]
impl AcceptorWaker {
    /// Wakes the thread. Never blocks.
    pub(in crate::admin) fn wake(&self) {
        if let Some(waker) = self.0.upgrade() {
            wake(&waker);
        }
    }
}

/// Starts a thread of a server.
///
/// # Errors
/// The system has none.
#[cfg(feature = "ssh")]
pub(in crate::admin) fn spawn_thread(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    start_thread(name, work).map(drop)
}

/// Starts a thread for a client.
///
/// # Errors
/// There is no thread or memory for it. The client is given back, so that it can be told. Never
/// `WouldBlock`, which would mean that no client waits.
pub(in crate::admin) fn spawn_for_client<T: Send + 'static>(
    name: &str,
    client: T,
    work: impl FnOnce(T) + Send + 'static,
) -> Result<(), (T, io::Error)> {
    let (sender, receiver) = sync_channel(1);
    let started = check_memory().and_then(|()| {
        start_thread(name, move || {
            if let Ok(client) = receiver.recv() {
                work(client);
            }
        })
    });
    match started {
        Ok(_) => {
            // The thread waits in `recv`, so there is room for one.
            let _ = sender.send(client);
            Ok(())
        }
        Err(error) => Err((client, error)),
    }
}

/// Checks whether there is memory for another client.
///
/// # Errors
/// The address space is nearly used up.
pub(in crate::admin) fn check_memory() -> io::Result<()> {
    match resources::is_address_space_short() {
        true => Err(io::Error::other(
            "the address space is nearly used up (ulimit -v)",
        )),
        false => Ok(()),
    }
}

fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let builder = thread::Builder::new().name(name.to_owned());
    let started = builder.stack_size(STACK_BYTES).spawn(work);
    started.map_err(|error| io::Error::other(format!("the system has no thread for it: {error}")))
}

fn wake(mut waker: &UnixStream) {
    // A full buffer has a byte to wake it; without a reader the thread has ended.
    let _ = waker.write(b"!");
}

/// The accept loop, from the first wake-up to the end of the stream.
fn run(mut acceptor: impl Acceptor, mut wake_stream: &UnixStream) {
    if wake_stream.read_exact(&mut [0]).is_err() {
        return;
    }
    let mut is_ended = false;
    let mut next = None;
    let mut logged_at: Option<Instant> = None;
    while !is_ended {
        let (is_readable, events) = {
            let listener = acceptor.listener();
            let mut waits = vec![
                PollFd::new(wake_stream, PollFlags::IN),
                PollFd::new(&listener, PollFlags::IN),
            ];
            waits.extend(acceptor.poll_fds());
            // EINTR: the sockets are looked at anyway.
            let _ = poll(&mut waits, next.map(timespec).as_ref());
            let events: Vec<_> = waits[2..].iter().map(PollFd::revents).collect();
            (!waits[0].revents().is_empty(), events)
        };
        is_ended = is_readable && !was_woken(wake_stream);
        let accept_next = accept_waiting(&mut acceptor);
        let served = acceptor
            .serve_waiting(&events, is_ended)
            .map(|at| next = at);
        if let Err(error) = accept_next.and(served) {
            if logged_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
                acceptor.log_error(&error);
                logged_at = Some(Instant::now());
            }
            let mut pause = [PollFd::new(wake_stream, PollFlags::IN)];
            let _ = poll(&mut pause, Some(&RETRY_DELAY));
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec::try_from(duration).unwrap_or(RETRY_DELAY)
}

/// Whether the thread was woken, and not at the end of the stream.
fn was_woken(mut wake_stream: &UnixStream) -> bool {
    matches!(wake_stream.read(&mut [0; 64]), Ok(1..))
}

/// Accepts the clients that wait, [`MAX_ACCEPTS`] at most. At the end too: they came while the
/// listener was open.
fn accept_waiting(acceptor: &mut impl Acceptor) -> io::Result<()> {
    for _ in 0..MAX_ACCEPTS {
        match acceptor.accept_next() {
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

/// How long the end of a server waits for responses that are being sent.
const MAX_END_WAIT: Duration = Duration::from_secs(1);

/// Counts the responses that a server is sending, so that a client that ends txlb still gets its
/// answer.
#[derive(Default)]
pub(in crate::admin) struct InFlight {
    count: Mutex<usize>,
    ended: Condvar,
}

/// One response, until it is dropped.
pub(in crate::admin) struct InFlightGuard<'a>(&'a InFlight);

impl InFlight {
    /// Counts one.
    pub(in crate::admin) fn begin(&self) -> InFlightGuard<'_> {
        *self.lock() += 1;
        InFlightGuard(self)
    }

    /// Waits until none is left, for a second at most.
    pub(in crate::admin) fn wait(&self) {
        let waits = self
            .ended
            .wait_timeout_while(self.lock(), MAX_END_WAIT, |count| *count > 0);
        drop(waits);
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        lock(&self.count)
    }
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        *self.0.lock() -= 1;
        self.0.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Does the same with each client, and passes errors on.
    struct TestAcceptor {
        listener: TcpListener,
        accept: fn(&TcpListener) -> io::Result<()>,
        errors: Sender<ErrorKind>,
    }

    impl Acceptor for TestAcceptor {
        fn listener(&self) -> BorrowedFd<'_> {
            self.listener.as_fd()
        }

        fn accept_next(&mut self) -> io::Result<()> {
            (self.accept)(&self.listener)
        }

        fn log_error(&mut self, error: &io::Error) {
            let _ = self.errors.send(error.kind());
        }
    }

    fn anywhere() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 0).into()
    }

    /// An accept thread that runs, with a client that waits.
    fn open(
        address: SocketAddr,
        accept: fn(&TcpListener) -> io::Result<()>,
    ) -> (AcceptorThread, TcpStream, Receiver<ErrorKind>) {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (errors, logged) = channel();
        let acceptor = TestAcceptor {
            listener,
            accept,
            errors,
        };
        let thread = AcceptorThread::start("test", acceptor).unwrap();
        thread.start_accepting();
        (thread, client, logged)
    }

    #[test]
    fn a_closed_listener_is_closed_and_waiting_clients_were_accepted() {
        let mut address = anywhere();
        for _ in 0..50 {
            let accept = |listener: &TcpListener| (&listener.accept()?.0).write_all(b"!");
            let (thread, mut client, _) = open(address, accept);
            address = client.peer_addr().unwrap();
            drop(thread);
            client.read_exact(&mut [0]).unwrap();
        }
    }

    #[test]
    fn many_clients_keep_no_listener_open() {
        // A client always waits.
        let (thread, _client, _) = open(anywhere(), |_| Ok(()));
        drop(thread);
    }

    #[test]
    fn an_error_that_goes_on_is_logged_once_a_second() {
        let (_thread, _client, logged) = open(anywhere(), |_| Err(ErrorKind::OutOfMemory.into()));
        let started = Instant::now();
        for _ in 0..2 {
            let kind = logged.recv_timeout(30 * LOG_INTERVAL).unwrap();
            assert_eq!(kind, ErrorKind::OutOfMemory);
        }
        assert!(started.elapsed() >= LOG_INTERVAL / 2);
    }

    #[test]
    fn the_end_waits_for_answers_but_not_for_ever() {
        let (in_flight, count) = (InFlight::default(), AtomicBool::new(false));
        in_flight.wait();
        let guard = in_flight.begin();
        let begun = Instant::now();
        in_flight.wait();
        assert!(begun.elapsed() >= MAX_END_WAIT);
        thread::scope(|scope| {
            scope.spawn(|| {
                count.store(true, Ordering::Release);
                drop(guard);
            });
            in_flight.wait();
            assert!(count.load(Ordering::Acquire));
        });
    }
}
