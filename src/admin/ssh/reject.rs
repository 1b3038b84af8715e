//! Rejects an SSH client with a message that OpenSSH shows: an identification and one packet in
//! the clear (SSH_MSG_DISCONNECT), before any keys are exchanged.
//! Test: `it_is_one_packet_behind_the_identification`.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::runtime::IDENTIFICATION;

/// Time for a client to take the message.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of the client that are read meanwhile: its first messages are a few kilobytes.
const MAX_DISCARDED: u64 = 64 * 1024;

/// SSH_MSG_DISCONNECT, and SSH_DISCONNECT_TOO_MANY_CONNECTIONS (RFC 4253, 11.1).
const DISCONNECT: u8 = 1;
const TOO_MANY_CONNECTIONS: u32 = 12;

/// Sends the reason and closes. Errors do not matter: the client has gone.
pub(super) async fn reject(stream: TcpStream, why: &str) {
    let _ = timeout(TIMEOUT, send_reason(stream, why)).await;
}

async fn send_reason(mut stream: TcpStream, why: &str) -> std::io::Result<()> {
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
