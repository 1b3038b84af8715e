//! The PROXY protocol, versions 1 and 2: the header by which a proxy says whose connection it
//! passes on. Bytes to addresses and back, without I/O.
//!
//! Its specification is HAProxy's proxy-protocol.txt.

pub(super) mod crc32c;
mod parse;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::ProxyVersion;

pub(crate) use self::parse::parse;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyHeader {
    /// The connection is this client's.
    Proxied {
        client: SocketAddr,
        /// The address that the client asked for.
        asked: SocketAddr,
    },
    /// The connection is the proxy's own (LOCAL), or of a kind without a TCP address (UNKNOWN, a
    /// unix socket): its own addresses count.
    Own,
}

/// The start of a header of version 1, a line.
const LINE_START: &[u8] = b"PROXY ";
/// The most bytes of that line, with its end.
const MAX_LINE_BYTES: usize = 107;

/// The start of a header of version 2, a block.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of a block before its addresses: signature, command, family and length.
const BLOCK_START_BYTES: usize = 16;
/// Version 2, in the upper half of the byte after the signature; the command is in the lower.
const VERSION_2: u8 = 0x20;
const COMMAND_LOCAL: u8 = 0;
const COMMAND_PROXY: u8 = 1;
/// Family (upper half) and protocol (lower half).
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// Types of the fields after the addresses (TLVs), as far as they are looked at.
const FIELD_CRC32C: u8 = 0x03;
const FIELD_UNIQUE_ID: u8 = 0x05;
const FIELD_SSL: u8 = 0x20;

/// The most bytes of a unique ID.
const MAX_UNIQUE_ID_BYTES: usize = 128;

/// Appends the header of a client's session, who asked for the second address. `None` is a client
/// without a TCP address: UNKNOWN in version 1, an unspecified family in version 2.
///
/// Version 2 has a checksum, and an ID unless that is empty. More than 128 bytes of an ID are cut
/// off.
pub(crate) fn write_header(
    version: ProxyVersion,
    addresses: Option<(SocketAddr, SocketAddr)>,
    unique_id: &[u8],
    out: &mut Vec<u8>,
) {
    match version {
        ProxyVersion::V1 => write_line(addresses, out),
        ProxyVersion::V2 => write_block(COMMAND_PROXY, addresses, unique_id, out),
    }
}

/// Appends the header of a connection of txlb's own, which is a check: LOCAL, or UNKNOWN in
/// version 1, which has no other word for it.
pub(crate) fn write_local(version: ProxyVersion, out: &mut Vec<u8>) {
    match version {
        ProxyVersion::V1 => write_line(None, out),
        ProxyVersion::V2 => write_block(COMMAND_LOCAL, None, &[], out),
    }
}

/// Two addresses of one family: a header has only one.
enum Pair {
    V4([Ipv4Addr; 2]),
    V6([Ipv6Addr; 2]),
}

impl Pair {
    /// A listener for both families has IPv4 clients within IPv6 (`::ffff:192.0.2.1`). Hosts get
    /// them as what they are. Only beside an IPv6 address IPv4 is put within IPv6.
    fn new(client: SocketAddr, asked: SocketAddr) -> Pair {
        match (client.ip().to_canonical(), asked.ip().to_canonical()) {
            (IpAddr::V4(client), IpAddr::V4(asked)) => Pair::V4([client, asked]),
            (client, asked) => Pair::V6([client, asked].map(within_ipv6)),
        }
    }
}

fn within_ipv6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

fn write_line(addresses: Option<(SocketAddr, SocketAddr)>, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = match addresses {
        None => write!(out, "PROXY UNKNOWN\r\n"),
        Some((client, asked)) => {
            let ports = [client.port(), asked.port()];
            match Pair::new(client, asked) {
                Pair::V4([client, asked]) => {
                    write!(
                        out,
                        "PROXY TCP4 {client} {asked} {} {}\r\n",
                        ports[0], ports[1]
                    )
                }
                Pair::V6([client, asked]) => {
                    write!(
                        out,
                        "PROXY TCP6 {client} {asked} {} {}\r\n",
                        ports[0], ports[1]
                    )
                }
            }
        }
    };
}

fn write_block(
    command: u8,
    addresses: Option<(SocketAddr, SocketAddr)>,
    unique_id: &[u8],
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.extend(SIGNATURE);
    out.push(VERSION_2 | command);
    match addresses {
        // The length, which follows the family, is known later.
        None => out.extend([UNSPECIFIED, 0, 0]),
        Some((client, asked)) => {
            match Pair::new(client, asked) {
                Pair::V4(pair) => {
                    out.extend([TCP_OVER_IPV4, 0, 0]);
                    pair.iter().for_each(|ip| out.extend(ip.octets()));
                }
                Pair::V6(pair) => {
                    out.extend([TCP_OVER_IPV6, 0, 0]);
                    pair.iter().for_each(|ip| out.extend(ip.octets()));
                }
            }
            out.extend(client.port().to_be_bytes());
            out.extend(asked.port().to_be_bytes());
        }
    }
    // In HAProxy's order.
    let checksum = write_field(FIELD_CRC32C, &[0; 4], out);
    if !unique_id.is_empty() {
        let length = unique_id.len().min(MAX_UNIQUE_ID_BYTES);
        write_field(FIELD_UNIQUE_ID, &unique_id[..length], out);
    }
    let length = length_bytes(out.len() - start - BLOCK_START_BYTES);
    out[start + BLOCK_START_BYTES - 2..start + BLOCK_START_BYTES].copy_from_slice(&length);
    let value = crc32c::crc32c(&[&out[start..]]);
    out[checksum..checksum + 4].copy_from_slice(&value.to_be_bytes());
}

/// Appends a field, and returns where its value begins.
fn write_field(kind: u8, value: &[u8], out: &mut Vec<u8>) -> usize {
    out.push(kind);
    out.extend(length_bytes(value.len()));
    out.extend(value);
    out.len() - value.len()
}

/// A length as two bytes: what is written here has at most 36 + 7 + 131.
fn length_bytes(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}
