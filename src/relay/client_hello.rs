//! Reads from a TLS client's first bytes which server name and which protocols (SNI and ALPN) it
//! asks for. Nothing is decrypted: a ClientHello is in plain text. Without I/O.
//!
//! RFC 8446, section 4.1.2, is the specification; RFC 6066 of names, and RFC 7301 of protocols.

use std::borrow::Cow;
use std::mem;

use super::byte_reader::ByteReader;

/// What a TLS client asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ClientHello {
    /// In lower case, without a dot at its end. With an encrypted ClientHello (ECH) it is the outer
    /// name. `None` also for a name that no host can have: longer than 255 bytes, or with a
    /// character that is not printable ASCII. Hosts refuse such a client in their own way.
    pub(crate) server_name: Option<String>,
    /// In the client's order, 64 at most.
    pub(crate) alpn: Vec<Vec<u8>>,
}

/// The bytes are not those of a TLS client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotTls;

/// A record of the kind that has a handshake.
const HANDSHAKE_RECORD: u8 = 22;
const RECORD_START_BYTES: usize = 5;
const MAX_RECORD_BYTES: u16 = 1 << 14;
/// From SSL 3.0 to TLS 1.3. Clients of TLS 1.3 say an older version here.
const MAJOR_VERSION: u8 = 3;
const MAX_MINOR_VERSION: u8 = 4;

/// A message of a handshake: its kind, a length of three bytes, and so many bytes.
const MESSAGE_START_BYTES: usize = 4;
const CLIENT_HELLO: u8 = 1;

const SERVER_NAME_EXTENSION: u16 = 0;
const ALPN_EXTENSION: u16 = 16;
/// The kind of a server name that is a host's.
const HOST_NAME: u8 = 0;

const MAX_SESSION_ID_BYTES: usize = 32;
const MAX_NAME_BYTES: usize = 255;
/// Browsers send two or three. This limits the memory that a client can make txlb allocate.
const MAX_PROTOCOLS: usize = 64;

/// The ClientHello at the start of `bytes`, which may be in several records. `None`: more bytes are
/// needed. A call allocates nothing but its result, and, once a hello in several records is
/// complete, one copy of it.
///
/// # Errors
///
/// The bytes cannot become a ClientHello, such as those of another protocol, of SSL 2.0, or with
/// lengths that contradict each other. Kinds of records and messages are refused at once, the rest
/// when the message is complete.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<ClientHello>, NotTls> {
    match complete_message(bytes)? {
        None => Ok(None),
        Some(message) => read_hello(&message).map(Some).ok_or(NotTls),
    }
}

/// The contents of records, each as far as it has come.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<&'a [u8], NotTls>;

    fn next(&mut self) -> Option<Self::Item> {
        let is_valid = |(index, byte): (usize, &u8)| match index {
            0 => *byte == HANDSHAKE_RECORD,
            1 => *byte == MAJOR_VERSION,
            2 => *byte <= MAX_MINOR_VERSION,
            _ => true,
        };
        let start = self.0.iter().take(RECORD_START_BYTES);
        if !start.enumerate().all(is_valid) {
            return Some(Err(NotTls));
        }
        let mut rest = ByteReader::new(self.0);
        rest.array::<3>()?;
        let length = rest.u16()?;
        // A record of a handshake is never empty.
        if !(1..=MAX_RECORD_BYTES).contains(&length) {
            return Some(Err(NotTls));
        }
        let content = rest.bytes(rest.len().min(length.into()))?;
        self.0 = &self.0[RECORD_START_BYTES + content.len()..];
        Some(Ok(content))
    }
}

/// The first message without its start, once all of it has come.
fn complete_message(bytes: &[u8]) -> Result<Option<Cow<'_, [u8]>>, NotTls> {
    let (mut start, mut length) = ([0; MESSAGE_START_BYTES], 0);
    for content in Records(bytes) {
        let content = content?;
        let missing = start.iter_mut().skip(length);
        missing.zip(content).for_each(|(to, from)| *to = *from);
        let is_first = length == 0;
        length += content.len();
        let [kind, message_length @ ..] = start;
        if length > 0 && kind != CLIENT_HELLO {
            return Err(NotTls);
        }
        let end = MESSAGE_START_BYTES + length_of(message_length);
        if length >= MESSAGE_START_BYTES && length >= end {
            return Ok(Some(match is_first {
                true => Cow::Borrowed(&content[MESSAGE_START_BYTES..end]),
                false => Cow::Owned(joined(bytes, end)),
            }));
        }
    }
    Ok(None)
}

fn length_of([high, middle, low]: [u8; 3]) -> usize {
    usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)
}

/// The message that ends after so many bytes of what is in the records, without its start.
fn joined(bytes: &[u8], end: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(end);
    for content in Records(bytes).map_while(Result::ok) {
        let missing = end - message.len();
        message.extend(&content[..content.len().min(missing)]);
        if message.len() == end {
            break;
        }
    }
    message.drain(..MESSAGE_START_BYTES);
    message
}

/// `None` if it cannot be a ClientHello.
fn read_hello(message: &[u8]) -> Option<ClientHello> {
    let mut rest = ByteReader::new(message);
    let [major, _minor] = rest.array()?;
    let _random = rest.array::<32>()?;
    let session_id = rest.field8()?;
    let cipher_suites = rest.field16()?;
    let compressions = rest.field8()?;
    let is_valid = major == MAJOR_VERSION
        && session_id.len() <= MAX_SESSION_ID_BYTES
        && !cipher_suites.is_empty()
        && cipher_suites.len().is_multiple_of(2)
        && !compressions.is_empty();
    if !is_valid {
        return None;
    }
    // The oldest clients have no extensions, not even an empty list of them.
    if rest.is_empty() {
        return Some(ClientHello::default());
    }
    let extensions = rest.field16()?;
    if !rest.is_empty() {
        return None;
    }
    read_extensions(ByteReader::new(extensions))
}

fn read_extensions(mut extensions: ByteReader<'_>) -> Option<ClientHello> {
    let mut hello = ClientHello::default();
    let (mut has_names, mut has_protocols) = (false, false);
    while !extensions.is_empty() {
        let (kind, value) = (extensions.u16()?, extensions.field16()?);
        // A second one is forbidden. Which of them the host would take is not known here, and a
        // client must not get past a route by that.
        match kind {
            SERVER_NAME_EXTENSION if !mem::replace(&mut has_names, true) => {
                hello.server_name = usable_name(read_names(value)?);
            }
            ALPN_EXTENSION if !mem::replace(&mut has_protocols, true) => {
                hello.alpn = read_protocols(value)?;
            }
            SERVER_NAME_EXTENSION | ALPN_EXTENSION => return None,
            _ => {}
        }
    }
    Some(hello)
}

/// The list that all of an extension is. It is never empty.
fn list_of(extension: &[u8]) -> Option<ByteReader<'_>> {
    let mut extension = ByteReader::new(extension);
    let list = ByteReader::new(extension.field16()?);
    (extension.is_empty() && !list.is_empty()).then_some(list)
}

/// The name of a host among the names; empty if there is none. A second one is forbidden.
fn read_names(extension: &[u8]) -> Option<&[u8]> {
    let (mut names, mut host_name) = (list_of(extension)?, None);
    while !names.is_empty() {
        // RFC 6066 has a length before names of any kind that there may be.
        let (kind, name) = (names.u8()?, names.field16()?);
        if kind == HOST_NAME && host_name.replace(name).is_some() {
            return None;
        }
    }
    Some(host_name.unwrap_or_default())
}

fn usable_name(name: &[u8]) -> Option<String> {
    let is_usable = name.len() <= MAX_NAME_BYTES && name.iter().all(u8::is_ascii_graphic);
    let name = str::from_utf8(name).ok().filter(|_| is_usable)?;
    let name = name.strip_suffix('.').unwrap_or(name);
    (!name.is_empty()).then(|| name.to_ascii_lowercase())
}

fn read_protocols(extension: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut list, mut protocols) = (list_of(extension)?, Vec::new());
    while !list.is_empty() {
        let protocol = list.field8().filter(|protocol| !protocol.is_empty())?;
        if protocols.len() < MAX_PROTOCOLS {
            protocols.push(protocol.to_vec());
        }
    }
    Some(protocols)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_length8(bytes: &[u8]) -> Vec<u8> {
        [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn with_length16(bytes: &[u8]) -> Vec<u8> {
        let length = u16::try_from(bytes.len()).unwrap();
        [&length.to_be_bytes(), bytes].concat()
    }

    fn extension(kind: u16, value: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &with_length16(value)].concat()
    }

    fn host_name(name: &[u8]) -> Vec<u8> {
        [&[0], &with_length16(name)[..]].concat()
    }

    fn server_name(name: &[u8]) -> Vec<u8> {
        extension(0, &with_length16(&host_name(name)))
    }

    fn alpn(protocols: &[&[u8]]) -> Vec<u8> {
        let list: Vec<_> = protocols.iter().map(|it| with_length8(it)).collect();
        extension(16, &with_length16(&list.concat()))
    }

    /// What is before the extensions.
    fn hello_start() -> Vec<u8> {
        let ciphers = with_length16(&[0x0A, 0x0A, 0x13, 0x01]);
        let parts = [&[3, 3][..], &[7; 32], &with_length8(&[9; 32]), &ciphers];
        [&parts.concat()[..], &with_length8(&[0])].concat()
    }

    fn message(body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[1], &length[1..], body].concat()
    }

    fn with_extensions(extensions: &[Vec<u8>]) -> Vec<u8> {
        let extensions = with_length16(&extensions.concat());
        message(&[hello_start(), extensions].concat())
    }

    fn record(content: &[u8]) -> Vec<u8> {
        [&[22, 3, 1][..], &with_length16(content)].concat()
    }

    /// Grease (RFC 8701) as an extension and as a protocol, and an encrypted hello, as browsers
    /// have them.
    fn of_browser() -> Vec<u8> {
        with_extensions(&[
            extension(0x1A1A, &[]),
            server_name(b"Www.Example.ORG"),
            extension(23, &[]),
            alpn(&[&[0xBA, 0xBA], b"h2", b"http/1.1"]),
            extension(0xFE0D, &[0; 200]),
            extension(0xCACA, &[0]),
        ])
    }

    fn read(message: &[u8]) -> Result<Option<ClientHello>, NotTls> {
        parse(&record(message))
    }

    fn hello(name: Option<&str>, protocols: &[&[u8]]) -> ClientHello {
        ClientHello {
            server_name: name.map(str::to_owned),
            alpn: protocols.iter().map(|it| it.to_vec()).collect(),
        }
    }

    fn browsers() -> ClientHello {
        hello(
            Some("www.example.org"),
            &[&[0xBA, 0xBA], b"h2", b"http/1.1"],
        )
    }

    #[test]
    fn a_hello_says_name_and_protocols() {
        let [name, protocols] = [server_name(b"a.example"), alpn(&[b"acme-tls/1"])];
        for (message, expected) in [
            (of_browser(), browsers()),
            (with_extensions(&[]), hello(None, &[])),
            (message(&hello_start()), hello(None, &[])),
            (
                with_extensions(std::slice::from_ref(&name)),
                hello(Some("a.example"), &[]),
            ),
            (
                with_extensions(&[protocols.clone(), name]),
                hello(Some("a.example"), &[b"acme-tls/1"]),
            ),
            (with_extensions(&[protocols]), hello(None, &[b"acme-tls/1"])),
        ] {
            assert_eq!(read(&message), Ok(Some(expected)), "{message:?}");
        }
    }

    /// The same message in records of all sizes.
    fn in_records(message: &[u8]) -> Vec<Vec<u8>> {
        let sizes = [1, 2, 3, 4, 5, 7, 100, message.len() - 1, message.len()];
        let cut = |size| {
            message
                .chunks(size)
                .map(record)
                .collect::<Vec<_>>()
                .concat()
        };
        let mut cut: Vec<_> = sizes.map(cut).into();
        // The end of the last record belongs to something else.
        let more = [message, &[20, 0, 0, 1]].concat();
        cut.push(record(&more));
        cut.push([record(&more[..9]), record(&more[9..])].concat());
        cut
    }

    #[test]
    fn a_hello_in_pieces_is_the_same_hello() {
        for bytes in in_records(&of_browser()) {
            let complete = (0..=bytes.len()).find(|it| parse(&bytes[..*it]) != Ok(None));
            let complete = complete.unwrap();
            assert!(complete > bytes.len() - 5, "{complete} of {}", bytes.len());
            for length in complete..=bytes.len() {
                assert_eq!(parse(&bytes[..length]), Ok(Some(browsers())));
            }
            for more in [&[0x17][..], b"GET / ", &[22, 3, 3, 0, 0]] {
                let bytes = [&bytes, more].concat();
                assert_eq!(parse(&bytes), Ok(Some(browsers())));
            }
        }
    }

    #[test]
    fn another_protocol_is_known_by_its_first_bytes() {
        let start = [22, 3, 1, 0, 200, 1, 0, 0, 196];
        assert_eq!(parse(&start), Ok(None));
        let table: [(&[u8], usize); 15] = [
            (b"GET / HTTP/1.1\r\n\r\n", 1),
            (b"SSH-2.0-OpenSSH_9.2\r\n", 1),
            (b"\r\n\r\n\0\r\nQUIT\n", 1),
            // An alert, and data.
            (&[21, 3, 1, 0, 2, 2, 40], 1),
            (&[23, 3, 3, 0, 1, 0], 1),
            // A hello of SSL 2.0, which may ask for TLS.
            (&[0x80, 0x2E, 0x01, 0x03, 0x01], 1),
            (&[22, 2, 0, 0, 200, 1], 2),
            (&[22, 3, 5, 0, 200, 1], 3),
            (&[22, 3, 1, 0, 0, 1], 5),
            (&[22, 3, 1, 0x40, 1, 1], 5),
            // ServerHello, and HelloRequest.
            (&[22, 3, 1, 0, 200, 2, 0], 6),
            (&[22, 3, 1, 0, 200, 0, 0], 6),
            // The second record is of another kind, of another version, and empty.
            (&[22, 3, 1, 0, 1, 1, 21, 3, 1, 0, 2], 7),
            (&[22, 3, 1, 0, 1, 1, 22, 3, 9, 0, 2], 9),
            (&[22, 3, 1, 0, 1, 1, 22, 3, 1, 0, 0], 11),
        ];
        for (bytes, certain) in table {
            for length in 0..certain {
                assert_eq!(parse(&bytes[..length]), Ok(None), "{length} of {bytes:?}");
            }
            for length in certain..=bytes.len() {
                assert_eq!(
                    parse(&bytes[..length]),
                    Err(NotTls),
                    "{length} of {bytes:?}"
                );
            }
        }
    }

    #[test]
    fn records_have_any_version_from_ssl_3_to_tls_1_3() {
        let mut bytes = record(&of_browser());
        for minor in 0..=4 {
            bytes[2] = minor;
            assert_eq!(parse(&bytes), Ok(Some(browsers())));
        }
    }

    #[test]
    fn a_name_is_lower_case_ascii_without_a_dot_at_its_end() {
        let longest = ["a".repeat(127), "b".repeat(127)].join(".");
        let too_long = format!("{longest}c");
        for (name, expected) in [
            (&b"EXAMPLE.org"[..], Some("example.org")),
            (b"example.org.", Some("example.org")),
            (b"example.org..", Some("example.org.")),
            (b"xn--bcher-KVA.example", Some("xn--bcher-kva.example")),
            (b"_a-b.example", Some("_a-b.example")),
            (b"192.0.2.1", Some("192.0.2.1")),
            (b"2001:DB8::1", Some("2001:db8::1")),
            (longest.as_bytes(), Some(&longest)),
            (too_long.as_bytes(), None),
            ("b\u{fc}cher.example".as_bytes(), None),
            (b"\xFF\xFE", None),
            (b"a.example\0.evil.example", None),
            (b"a b", None),
            (b"a\n", None),
            (b"\x7F", None),
            (b".", None),
            (b"", None),
        ] {
            let message = with_extensions(&[server_name(name), alpn(&[b"h2"])]);
            let expected = hello(expected, &[b"h2"]);
            assert_eq!(read(&message), Ok(Some(expected)), "{name:?}");
        }
    }

    #[test]
    fn names_of_other_kinds_are_skipped() {
        let other = [&[7], &with_length16(b"other")[..]].concat();
        let host = host_name(b"a.example");
        let names = |list: &[&[u8]]| {
            let value = with_length16(&list.concat());
            read(&with_extensions(&[extension(0, &value)]))
        };
        let expected = Ok(Some(hello(Some("a.example"), &[])));
        assert_eq!(names(&[&other, &host]), expected);
        assert_eq!(names(&[&host, &other]), expected);
        assert_eq!(names(&[&other]), Ok(Some(hello(None, &[]))));
        assert_eq!(names(&[&host, &host]), Err(NotTls));
    }

    #[test]
    fn protocols_beyond_the_64th_are_not_kept() {
        let names: Vec<_> = (0..100).map(|index| vec![b'p', index]).collect();
        let names: Vec<_> = names.iter().map(Vec::as_slice).collect();
        let expected = hello(None, &names[..64]);
        assert_eq!(read(&with_extensions(&[alpn(&names)])), Ok(Some(expected)));
    }

    #[test]
    fn what_contradicts_itself_is_not_tls() {
        let start = hello_start();
        let changed = |at: usize, value: u8| {
            let mut body = start.clone();
            body[at] = value;
            message(&body)
        };
        let extended = |bytes: &[u8]| message(&[&start, bytes].concat());
        let (name, protocols) = (server_name(b"a.example"), alpn(&[b"h2"]));
        let table = [
            // The version, and lengths of session ID, cipher suites and compressions.
            changed(0, 2),
            changed(34, 33),
            changed(68, 0),
            changed(68, 3),
            changed(68, 5),
            changed(73, 0),
            changed(73, 2),
            message(&[]),
            message(&start[..34]),
            message(&start[..start.len() - 1]),
            // The length of all extensions, and of one.
            extended(&[0]),
            extended(&[0, 1]),
            extended(&[0, 0, 0]),
            extended(&with_length16(&[0])),
            extended(&with_length16(&[0, 99, 0])),
            extended(&with_length16(&[0, 99, 0, 1])),
            extended(&with_length16(&[0, 0, 0, 9, 0, 0])),
            // Two of a kind.
            with_extensions(&[name.clone(), name]),
            with_extensions(&[protocols.clone(), protocols]),
            // Lists that are empty, too short or too long.
            with_extensions(&[extension(0, &[])]),
            with_extensions(&[extension(0, &[0, 0])]),
            with_extensions(&[extension(0, &[0, 4, 0, 0, 2, b'a'])]),
            with_extensions(&[extension(0, &[0, 4, 0, 0, 0, b'a'])]),
            with_extensions(&[extension(0, &[0, 4, 0, 0, 1, b'a', 0])]),
            with_extensions(&[extension(16, &[])]),
            with_extensions(&[extension(16, &[0, 0])]),
            with_extensions(&[extension(16, &[0, 1, 0])]),
            with_extensions(&[extension(16, &[0, 2, 2, b'h'])]),
            with_extensions(&[extension(16, &[0, 2, 1, b'h', 0])]),
        ];
        for message in table {
            assert_eq!(read(&message), Err(NotTls), "{message:?}");
            let in_two = message.chunks(message.len() / 2 + 1).map(record);
            assert_eq!(parse(&in_two.collect::<Vec<_>>().concat()), Err(NotTls));
        }
    }
}
