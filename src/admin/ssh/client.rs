//! One SSH client: its socket, login and idle timeouts, and its end.
//!
//! The socket can be shut down here, whatever state russh is in.

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
use super::session::{ClientState, LOGIN_TIMEOUT, SessionHandler};
use crate::admin::server::connection_limiter::{Activity, ConnectionPermit};

/// Time for a console to restore the terminal. Less than what clients have when txlb ends.
const CONSOLE_END_TIMEOUT: Duration = Duration::from_millis(250);

/// Time for a client to take note of the end.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// A client that was accepted.
pub(super) struct Client {
    pub(super) context: Arc<SessionContext>,
    pub(super) peer: SocketAddr,
    pub(super) permit: ConnectionPermit,
}

/// Serves a client to its end.
pub(super) async fn serve(
    client: Client,
    stream: SharedStream,
    protocol: Arc<Config>,
    mut shutdown: watch::Receiver<bool>,
) {
    let peer = client.peer;
    let state = Arc::new(ClientState::begin(client.permit.activity()));
    let handler = SessionHandler::new(client.context, peer, Arc::clone(&state));
    let handshake = timeout(LOGIN_TIMEOUT, run_stream(protocol, stream.clone(), handler)).await;
    let Ok(Ok(session)) = handshake else {
        log::debug!("ssh: {peer} does not speak SSH");
        return;
    };
    let handle = session.handle();
    let mut session = pin!(session);
    loop {
        let deadline = state.deadline();
        tokio::select! {
            ended = &mut session => {
                if let Err(error) = ended {
                    log::debug!("ssh: the connection of {peer} broke: {error}");
                }
                break;
            }
            () = sleep_until(deadline) => {
                if Instant::now() < state.deadline() {
                    continue;
                }
                log::debug!("ssh: {peer} is disconnected: it sent nothing for too long");
                say_goodbye(&state, &handle, "no input for too long", &mut session).await;
                break;
            }
            () = wait_for_shutdown(&mut shutdown) => {
                say_goodbye(&state, &handle, "txlb ends", &mut session).await;
                break;
            }
        }
    }
    stream.shut_down();
    drop(client.permit);
}

/// Waits until the server shuts down.
async fn wait_for_shutdown(shutdown: &mut watch::Receiver<bool>) {
    // Without a sender it has shut down as well.
    let _ = shutdown.wait_for(|is_over| *is_over).await;
}

/// Ends the console, sends a disconnect message, and waits for the client to close.
async fn say_goodbye(state: &ClientState, handle: &Handle, why: &str, session: impl Future) {
    let reason = Disconnect::ByApplication;
    let goodbye = async {
        let _ = timeout(CONSOLE_END_TIMEOUT, state.close_input()).await;
        // russh's queue for messages stands still while the client's window is full, and during a
        // key exchange. So this may never be sent, and the socket is shut down afterwards. Tests:
        // `a_terminal_is_left_in_order_when_no_more_keys_come`,
        // `who_does_not_log_in_is_cut_off_whatever_they_are_doing`.
        let _ = handle
            .disconnect(reason, why.to_owned(), String::new())
            .await;
        session.await
    };
    let _ = timeout(GOODBYE_TIMEOUT, goodbye).await;
}

/// A client's socket, which can be shut down while russh reads and writes it. Clones share it: a
/// second descriptor would be taken from those for sessions.
#[derive(Clone)]
pub(super) struct SharedStream {
    stream: Arc<TcpStream>,
    /// Where input of the client is recorded.
    activity: Arc<Activity>,
}

impl SharedStream {
    pub(super) fn new(stream: Arc<TcpStream>, activity: Arc<Activity>) -> SharedStream {
        SharedStream { stream, activity }
    }

    /// Shuts the socket down: reads and writes end.
    pub(super) fn shut_down(&self) {
        // An error means that the client has gone.
        let _ = shutdown(&*self.stream, Shutdown::Both);
    }
}

impl AsyncRead for SharedStream {
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
                        self.activity.record_input();
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for SharedStream {
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
