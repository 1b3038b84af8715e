//! One SSH client: its socket, login and idle timeouts, and its end. Also the message to a client
//! that is rejected.
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
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::channel::SessionContext;
use super::runtime::IDENTIFICATION;
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

/// Time for a client to take the message.
const REJECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of the client that are read meanwhile: its first messages are a few kilobytes.
const MAX_DISCARDED: u64 = 64 * 1024;

/// SSH_MSG_DISCONNECT, and SSH_DISCONNECT_TOO_MANY_CONNECTIONS (RFC 4253, 11.1).
const DISCONNECT: u8 = 1;
const TOO_MANY_CONNECTIONS: u32 = 12;

/// Rejects a client with a message that OpenSSH shows: an identification and one packet in the clear
/// (SSH_MSG_DISCONNECT), before any keys are exchanged. Errors do not matter: the client has gone.
pub(super) async fn reject(stream: TcpStream, why: &str) {
    let _ = timeout(REJECTION_TIMEOUT, send_rejection(stream, why)).await;
}

async fn send_rejection(mut stream: TcpStream, why: &str) -> io::Result<()> {
    stream.write_all(&disconnect_packet(why)).await?;
    stream.shutdown().await?;
    // close(2) with unread input sends a reset, which may overtake the message. Test:
    // `there_is_room_for_so_many_and_the_others_are_told`.
    let mut rest = stream.take(MAX_DISCARDED);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    Ok(())
}

/// The identification, then the packet (RFC 4253, 6).
fn disconnect_packet(why: &str) -> Vec<u8> {
    const BLOCK: usize = 8;
    const LEAST_PADDING: usize = 4;
    let mut payload = vec![DISCONNECT];
    payload.extend(TOO_MANY_CONNECTIONS.to_be_bytes());
    for text in [why, ""] {
        payload.extend(length(text.len()));
        payload.extend(text.as_bytes());
    }
    let unpadded = 4 + 1 + payload.len() + LEAST_PADDING;
    let padding = LEAST_PADDING + unpadded.next_multiple_of(BLOCK) - unpadded;
    let mut bytes = format!("{IDENTIFICATION}\r\n").into_bytes();
    bytes.extend(length(1 + payload.len() + padding));
    bytes.extend(length(padding)[3..].iter());
    bytes.extend(payload);
    bytes.resize(bytes.len() + padding, 0);
    bytes
}

/// A length as SSH encodes it.
fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_packet_behind_the_identification() {
        for why in ["", "x", "too many are there", "four", "12345678"] {
            let bytes = disconnect_packet(why);
            let packet = bytes.strip_prefix(b"SSH-2.0-txlb\r\n").unwrap();
            assert_eq!(packet.len() % 8, 0);
            let (length, rest) = packet.split_first_chunk().unwrap();
            assert_eq!(u32::from_be_bytes(*length) as usize, rest.len());
            let padding = usize::from(rest[0]);
            assert!((4..12).contains(&padding));
            let payload = &rest[1..rest.len() - padding];
            assert_eq!(payload[..5], [1, 0, 0, 0, 12]);
            assert_eq!(&payload[9..9 + why.len()], why.as_bytes());
            assert_eq!(payload.len(), 1 + 4 + 4 + why.len() + 4);
        }
    }
}
