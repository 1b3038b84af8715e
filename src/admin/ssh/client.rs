//! One client's connection: how long it may take to log in, and how long it may be
//! silent after that.
//!
//! What is said on it is `visitor`'s business. Whatever state that is in, the socket can
//! be cut from here.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use russh::Disconnect;
use russh::server::{Config, Handle, run_stream};
use rustix::net::{Shutdown, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::channel::SessionContext;
use super::session::{GRACE, Visit, Visitor};
use crate::admin::server::connection_limiter::{Activity, Seat};

/// How long a console has to leave the terminal in order: less than what all clients
/// have when txlb ends.
const TIDYING: Duration = Duration::from_millis(250);

/// How long a client has to take note of the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Somebody who was let in.
pub(super) struct Guest {
    pub(super) context: Arc<SessionContext>,
    pub(super) peer: SocketAddr,
    pub(super) seat: Seat,
}

/// Serves a client to its end.
pub(super) async fn serve(
    guest: Guest,
    wire: Wire,
    protocol: Arc<Config>,
    mut closes: watch::Receiver<bool>,
) {
    let peer = guest.peer;
    let visit = Arc::new(Visit::begin(guest.seat.activity()));
    let visitor = Visitor::new(guest.context, peer, Arc::clone(&visit));
    let greeted = timeout(GRACE, run_stream(protocol, wire.clone(), visitor)).await;
    let Ok(Ok(session)) = greeted else {
        log::debug!("ssh: {peer} is no client of SSH");
        return;
    };
    let handle = session.handle();
    let mut session = pin!(session);
    loop {
        let deadline = visit.deadline();
        tokio::select! {
            ended = &mut session => {
                if let Err(error) = ended {
                    log::debug!("ssh: {peer} is lost: {error}");
                }
                break;
            }
            () = sleep_until(deadline) => {
                if Instant::now() < visit.deadline() {
                    continue;
                }
                log::debug!("ssh: {peer} is silent for too long");
                part(&visit, &handle, "nothing was said for too long", &mut session).await;
                break;
            }
            () = over(&mut closes) => {
                part(&visit, &handle, "txlb ends", &mut session).await;
                break;
            }
        }
    }
    wire.cut();
    drop(guest.seat);
}

/// Waits until the door is closed for good.
async fn over(closes: &mut watch::Receiver<bool>) {
    // Without a sender it is over as well.
    let _ = closes.wait_for(|is_over| *is_over).await;
}

/// Says goodbye, as long as there is somebody to hear it.
async fn part(visit: &Visit, handle: &Handle, why: &str, session: impl Future) {
    let reason = Disconnect::ByApplication;
    let farewell = async {
        let _ = timeout(TIDYING, visit.part()).await;
        // In the middle of a key exchange it is not said.
        let _ = handle
            .disconnect(reason, why.to_owned(), String::new())
            .await;
        session.await
    };
    let _ = timeout(FAREWELL, farewell).await;
}

/// The socket, or one more handle of it.
#[derive(Clone)]
pub(super) struct Wire {
    stream: Arc<TcpStream>,
    /// Where it is written down that the client has said something.
    activity: Arc<Activity>,
}

impl Wire {
    pub(super) fn new(stream: Arc<TcpStream>, activity: Arc<Activity>) -> Wire {
        Wire { stream, activity }
    }

    /// Whoever reads or writes it finds its end.
    pub(super) fn cut(&self) {
        // There is nothing to cut if the client has gone.
        let _ = shutdown(&*self.stream, Shutdown::Both);
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            match self.stream.try_read(buffer.initialize_unfilled()) {
                Ok(length) => {
                    buffer.advance(length);
                    if length > 0 {
                        self.activity.hear();
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            match self.stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shutdown(&*self.stream, Shutdown::Write).map_err(io::Error::from))
    }
}
