//! Reads a header of the PROXY protocol, as far as it has come.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str;

use super::crc32c::crc32c;
use super::{
    BLOCK_START_BYTES, COMMAND_LOCAL, COMMAND_PROXY, FIELD_CRC32C, FIELD_SSL, FIELD_UNIQUE_ID,
    LINE_START, MAX_LINE_BYTES, MAX_UNIQUE_ID_BYTES, ProxyHeader, SIGNATURE, VERSION_2,
};
use crate::relay::byte_reader::ByteReader;

/// What is wrong with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyHeaderError {
    NoHeader,
    LineTooLong,
    LineEnd,
    LineProtocol,
    /// Which of the four fields of a line.
    LineField(&'static str),
    LineFields,
    Version(u8),
    Command(u8),
    /// Family and protocol.
    Protocol(u8),
    /// The length that the block says it has after its first 16 bytes.
    TooShort(u16),
    Field,
    Checksum,
}

impl fmt::Display for ProxyHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader => f.write_str("the first bytes are not a PROXY protocol header"),
            Self::LineTooLong => write!(
                f,
                "the PROXY line does not end within {MAX_LINE_BYTES} bytes"
            ),
            Self::LineEnd => f.write_str("the PROXY line has a CR or LF before its end"),
            Self::LineProtocol => {
                f.write_str("the PROXY line has a protocol other than TCP4, TCP6 and UNKNOWN")
            }
            Self::LineField(name) => write!(f, "the {name} in the PROXY line is malformed"),
            Self::LineFields => {
                f.write_str("the PROXY line has more or less than two addresses and two ports")
            }
            Self::Version(version) => {
                write!(f, "the PROXY header has the unknown version {version}")
            }
            Self::Command(command) => {
                write!(f, "the PROXY header has the unknown command {command}")
            }
            Self::Protocol(protocol) => write!(
                f,
                "the PROXY header is for the protocol {protocol:#04x}, which is not TCP"
            ),
            Self::TooShort(length) => write!(
                f,
                "the PROXY header has the length {length}, too short for its addresses"
            ),
            Self::Field => f.write_str("a field of the PROXY header has a wrong length"),
            Self::Checksum => f.write_str("the PROXY header does not match its checksum"),
        }
    }
}

/// A header and its length in bytes; `None` while more bytes are needed.
type Parsed = Result<Option<(ProxyHeader, usize)>, ProxyHeaderError>;

/// The header at the start of `bytes`, and its length in bytes. `None`: more bytes are needed, 107
/// in all at most for version 1, and 16 more than 65,535 for version 2.
///
/// # Errors
///
/// The bytes are not the start of a header. That is found at the first byte that is wrong, but for
/// the fields of version 2: they are looked at when they are complete. So a call costs little
/// however many pieces the bytes arrive in.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    match bytes.first() {
        None => Ok(None),
        Some(first) if *first == LINE_START[0] => parse_line(bytes),
        Some(first) if *first == SIGNATURE[0] => parse_block(bytes),
        Some(_) => Err(ProxyHeaderError::NoHeader),
    }
}

/// Whether `bytes` are the start of `expected`, or begin with it.
fn agrees(bytes: &[u8], expected: &[u8]) -> bool {
    bytes.iter().zip(expected).all(|(byte, it)| byte == it)
}

/// The protocols that a line may have, with the blank after them.
const TCP4: &[u8] = b"TCP4 ";
const TCP6: &[u8] = b"TCP6 ";
const UNKNOWN: &[u8] = b"UNKNOWN";

fn parse_line(bytes: &[u8]) -> Parsed {
    let line = &bytes[..bytes.len().min(MAX_LINE_BYTES)];
    if !agrees(line, LINE_START) {
        return Err(ProxyHeaderError::NoHeader);
    }
    let rest = line.get(LINE_START.len()..).unwrap_or_default();
    if let Some(fields) = rest.strip_prefix(TCP4) {
        parse_fields(line, fields, IpVersion::V4)
    } else if let Some(fields) = rest.strip_prefix(TCP6) {
        parse_fields(line, fields, IpVersion::V6)
    } else if let Some(rest) = rest.strip_prefix(UNKNOWN) {
        skip_unknown(line, rest)
    } else if [TCP4, TCP6, UNKNOWN].iter().any(|it| agrees(rest, it)) {
        Ok(None)
    } else {
        Err(ProxyHeaderError::LineProtocol)
    }
}

/// Skips whatever is between UNKNOWN and the end of the line.
fn skip_unknown(line: &[u8], rest: &[u8]) -> Parsed {
    if !matches!(rest.first(), None | Some(b' ' | b'\r')) {
        return Err(ProxyHeaderError::LineProtocol);
    }
    match line.windows(2).position(|pair| pair == b"\r\n") {
        Some(end) => Ok(Some((ProxyHeader::Own, end + 2))),
        None => unfinished(line),
    }
}

fn unfinished(line: &[u8]) -> Parsed {
    match line.len() < MAX_LINE_BYTES {
        true => Ok(None),
        false => Err(ProxyHeaderError::LineTooLong),
    }
}

/// The fields after the protocol.
const LINE_FIELDS: [&str; 4] = [
    "source address",
    "destination address",
    "source port",
    "destination port",
];

/// Reads the fields of a line, as far as it has come.
fn parse_fields(line: &[u8], rest: &[u8], version: IpVersion) -> Parsed {
    let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    let Some(end) = end else {
        check_start(rest, version)?;
        return unfinished(line);
    };
    let (fields, line_end) = rest.split_at(end);
    let mut fields = fields.split(|byte| *byte == b' ');
    let fields = [(); LINE_FIELDS.len() + 1].map(|()| fields.next());
    let [
        Some(client),
        Some(asked),
        Some(client_port),
        Some(asked_port),
        None,
    ] = fields
    else {
        return Err(ProxyHeaderError::LineFields);
    };
    let ip = |index, field| version.parse(field).ok_or(malformed(index));
    let port = |index, field| parse_port(field).ok_or(malformed(index));
    let (client, asked) = (ip(0, client)?, ip(1, asked)?);
    let (client_port, asked_port) = (port(2, client_port)?, port(3, asked_port)?);
    if !agrees(line_end, b"\r\n") {
        return Err(ProxyHeaderError::LineEnd);
    }
    if line_end.len() < 2 {
        return unfinished(line);
    }
    let header = ProxyHeader::Proxied {
        client: SocketAddr::new(client, client_port),
        asked: SocketAddr::new(asked, asked_port),
    };
    let length = line.len() - line_end.len() + 2;
    Ok(Some((header, length)))
}

/// Checks fields of which the last may go on.
fn check_start(fields: &[u8], version: IpVersion) -> Result<(), ProxyHeaderError> {
    let mut fields = fields.split(|byte| *byte == b' ').enumerate().peekable();
    while let Some((index, field)) = fields.next() {
        let is_whole = fields.peek().is_some();
        let is_valid = match index {
            0 | 1 if is_whole => version.parse(field).is_some(),
            0 | 1 => version.may_begin(field),
            // The start of a port is a port.
            2 | 3 => parse_port(field).is_some() || (field.is_empty() && !is_whole),
            _ => return Err(ProxyHeaderError::LineFields),
        };
        if !is_valid {
            return Err(malformed(index));
        }
    }
    Ok(())
}

fn malformed(index: usize) -> ProxyHeaderError {
    ProxyHeaderError::LineField(LINE_FIELDS[index])
}

#[derive(Clone, Copy)]
enum IpVersion {
    V4,
    V6,
}

impl IpVersion {
    /// The standard library takes what the specification does: no zeros before a number of IPv4,
    /// no scope, an IPv4 address at the end of an IPv6 one.
    fn parse(self, field: &[u8]) -> Option<IpAddr> {
        let text = str::from_utf8(field).ok()?;
        match self {
            IpVersion::V4 => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            IpVersion::V6 => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        }
    }

    /// Whether an address may begin so, by its length and characters.
    fn may_begin(self, field: &[u8]) -> bool {
        let is_part = |byte: &u8| match self {
            IpVersion::V4 => byte.is_ascii_digit() || *byte == b'.',
            IpVersion::V6 => byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'),
        };
        let longest = match self {
            IpVersion::V4 => "255.255.255.255".len(),
            IpVersion::V6 => "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".len(),
        };
        field.len() <= longest && field.iter().all(is_part)
    }
}

/// A port has digits alone, and no zeros before them.
fn parse_port(field: &[u8]) -> Option<u16> {
    let is_number = field.iter().all(u8::is_ascii_digit);
    let has_zeros = field.len() > 1 && field.starts_with(b"0");
    let text = str::from_utf8(field).ok()?;
    text.parse().ok().filter(|_| is_number && !has_zeros)
}

/// What the addresses of a block are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// None that is known. There may be bytes in their place.
    Unspecified,
    V4,
    V6,
    Unix,
}

impl Family {
    /// Of the byte after the command. A connection of TCP carries no datagrams, so that a header
    /// for those is a mistake of its sender.
    fn of(byte: u8) -> Result<Family, ProxyHeaderError> {
        match (byte >> 4, byte & 0x0F) {
            (0, 0..=2) | (1..=3, 0) => Ok(Family::Unspecified),
            (1, 1) => Ok(Family::V4),
            (2, 1) => Ok(Family::V6),
            (3, 1) => Ok(Family::Unix),
            _ => Err(ProxyHeaderError::Protocol(byte)),
        }
    }

    /// Bytes of both addresses, with their ports.
    fn address_bytes(self) -> usize {
        match self {
            Family::Unspecified => 0,
            Family::V4 => 2 * (4 + 2),
            Family::V6 => 2 * (16 + 2),
            Family::Unix => 2 * 108,
        }
    }
}

fn parse_block(bytes: &[u8]) -> Parsed {
    if !agrees(bytes, &SIGNATURE) {
        return Err(ProxyHeaderError::NoHeader);
    }
    let mut start = ByteReader::new(bytes.get(SIGNATURE.len()..).unwrap_or_default());
    let Some(version_and_command) = start.u8() else {
        return Ok(None);
    };
    let command = version_and_command & 0x0F;
    if version_and_command & 0xF0 != VERSION_2 {
        return Err(ProxyHeaderError::Version(version_and_command >> 4));
    }
    if !matches!(command, COMMAND_LOCAL | COMMAND_PROXY) {
        return Err(ProxyHeaderError::Command(command));
    }
    let Some(family) = start.u8() else {
        return Ok(None);
    };
    // What a proxy says of its own connection is skipped, whatever it is.
    let family = match command {
        COMMAND_LOCAL => None,
        _ => Some(Family::of(family)?),
    };
    let Some(rest) = start.u16() else {
        return Ok(None);
    };
    let length = BLOCK_START_BYTES + usize::from(rest);
    if family.is_some_and(|family| family.address_bytes() > rest.into()) {
        return Err(ProxyHeaderError::TooShort(rest));
    }
    let Some(block) = bytes.get(..length) else {
        return Ok(None);
    };
    let header = match family {
        None => ProxyHeader::Own,
        Some(family) => parse_rest(block, family)?,
    };
    Ok(Some((header, length)))
}

/// Reads addresses and fields of a whole block.
fn parse_rest(block: &[u8], family: Family) -> Result<ProxyHeader, ProxyHeaderError> {
    let (start, _) = block.split_at(BLOCK_START_BYTES + family.address_bytes());
    match (family, check_fields(block, start.len())) {
        // A sender may have put addresses of an unknown form there.
        (Family::Unspecified, Err(ProxyHeaderError::Field)) => {}
        (_, result) => result?,
    }
    let mut addresses = ByteReader::new(&start[BLOCK_START_BYTES..]);
    let header = match family {
        Family::Unspecified | Family::Unix => Some(ProxyHeader::Own),
        Family::V4 => parse_addresses(&mut addresses, |it| it.array::<4>().map(IpAddr::from)),
        Family::V6 => parse_addresses(&mut addresses, |it| it.array::<16>().map(IpAddr::from)),
    };
    header.ok_or(ProxyHeaderError::Field)
}

fn parse_addresses(
    bytes: &mut ByteReader<'_>,
    ip: impl Fn(&mut ByteReader<'_>) -> Option<IpAddr>,
) -> Option<ProxyHeader> {
    let (client, asked) = (ip(bytes)?, ip(bytes)?);
    Some(ProxyHeader::Proxied {
        client: SocketAddr::new(client, bytes.u16()?),
        asked: SocketAddr::new(asked, bytes.u16()?),
    })
}

/// Checks the fields of a block, which begin at `start`: their lengths and the checksum.
fn check_fields(block: &[u8], start: usize) -> Result<(), ProxyHeaderError> {
    let mut checksum = None;
    let mut fields = ByteReader::new(&block[start..]);
    while !fields.is_empty() {
        let (kind, value) = next_field(&mut fields)?;
        let is_valid = match kind {
            FIELD_CRC32C => {
                let at = block.len() - fields.len() - value.len();
                // With two of them, neither could be computed.
                value.len() == 4 && checksum.replace(at).is_none()
            }
            FIELD_UNIQUE_ID => value.len() <= MAX_UNIQUE_ID_BYTES,
            FIELD_SSL => holds_fields(value),
            _ => true,
        };
        if !is_valid {
            return Err(ProxyHeaderError::Field);
        }
    }
    match checksum {
        Some(at) => check_checksum(block, at),
        None => Ok(()),
    }
}

fn next_field<'a>(fields: &mut ByteReader<'a>) -> Result<(u8, &'a [u8]), ProxyHeaderError> {
    let kind = fields.u8();
    let field = kind.and_then(|kind| Some((kind, fields.field16()?)));
    field.ok_or(ProxyHeaderError::Field)
}

/// Whether the field for TLS is a byte of flags, four of a result, and fields.
fn holds_fields(value: &[u8]) -> bool {
    let mut fields = ByteReader::new(value);
    if fields.array::<5>().is_none() {
        return false;
    }
    while !fields.is_empty() {
        if next_field(&mut fields).is_err() {
            return false;
        }
    }
    true
}

/// The checksum is of all of the block, with zeros in its own place.
fn check_checksum(block: &[u8], at: usize) -> Result<(), ProxyHeaderError> {
    let (before, after) = block.split_at(at);
    let (checksum, after) = after.split_at(4);
    match crc32c(&[before, &[0; 4], after]).to_be_bytes() == *checksum {
        true => Ok(()),
        false => Err(ProxyHeaderError::Checksum),
    }
}
