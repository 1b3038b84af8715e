//! Somebody for whom there is no room: they are told so, in a way that clients show.
//!
//! SSH lets a server say goodbye before anything else. No key is exchanged for that,
//! and nothing that the client says is looked at.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::runtime::IDENTIFICATION;

/// How long a client has to take note of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is read of what it says meanwhile: its first words are a few kilobytes.
const MOST: u64 = 64 * 1024;

/// SSH_MSG_DISCONNECT, and its reason for too many connections (RFC 4253, 11.1).
const DISCONNECT: u8 = 1;
const TOO_MANY_CONNECTIONS: u32 = 12;

/// Says why, and closes. That a client is lost meanwhile is no news.
pub(super) async fn turn_away(stream: TcpStream, why: &str) {
    let _ = timeout(PATIENCE, say(stream, why)).await;
}

async fn say(mut stream: TcpStream, why: &str) -> std::io::Result<()> {
    stream.write_all(&farewell(why)).await?;
    stream.shutdown().await?;
    // Closing while there is something unread would be a reset, which may overtake it.
    let mut rest = stream.take(MOST);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    Ok(())
}

/// The identification, and then the one packet (RFC 4253, 6).
fn farewell(why: &str) -> Vec<u8> {
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

/// A length as SSH has it; what is written here is short.
fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_packet_behind_the_identification() {
        for why in ["", "x", "too many are there", "four", "12345678"] {
            let bytes = farewell(why);
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
