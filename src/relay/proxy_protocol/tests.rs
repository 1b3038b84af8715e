//! Headers as proxies send them, and as none should, whole and in pieces.

use std::net::SocketAddr;

use super::*;

fn proxied(client: &str, asked: &str) -> ProxyHeader {
    ProxyHeader::Proxied {
        client: client.parse().unwrap(),
        asked: asked.parse().unwrap(),
    }
}

/// A block of version 2.
fn block(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, rest].concat()
}

fn field(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind], &length[..], value].concat()
}

const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x10, 0x01, 0, 80];

fn v4() -> ProxyHeader {
    proxied("192.0.2.1:4097", "198.51.100.2:80")
}

/// A block for TCP over IPv4 with these fields.
fn with_fields(fields: &[Vec<u8>]) -> Vec<u8> {
    block(0x21, 0x11, &[&V4[..], &fields.concat()].concat())
}

/// The same with its checksum filled in, of which this is the place.
fn with_checksum(mut block: Vec<u8>, at: usize) -> Vec<u8> {
    let value = crc32c::crc32c(&[&block]).to_be_bytes();
    block[at..at + 4].copy_from_slice(&value);
    block
}

fn v6_block(fields: &[u8]) -> Vec<u8> {
    let ips = ["2001:db8::1", "2001:db8::2"].map(|ip| ip.parse::<Ipv6Addr>().unwrap().octets());
    let ports = [0xFF, 0xFF, 0x01, 0xBB];
    block(0x21, 0x21, &[&ips.concat()[..], &ports, fields].concat())
}

/// What an AWS network load balancer sends to an endpoint service: a checksum, the name of the
/// endpoint in a field of its own (0xEA), and padding.
fn of_aws() -> Vec<u8> {
    let rest = [
        &[172, 31, 7, 113, 172, 31, 10, 31, 0xC8, 0xF2, 0, 80][..],
        &field(0x03, &[0xE8, 0xD6, 0x89, 0x2D]),
        &field(0xEA, b"\x01vpce-08d2bf15fac5001c9"),
        &field(0x04, &[0; 36]),
    ];
    block(0x21, 0x11, &rest.concat())
}

/// The field for TLS, with these fields within.
fn tls_field(fields: &[u8]) -> Vec<u8> {
    field(0x20, &[&[0x01, 0, 0, 0, 0], fields].concat())
}

fn lines() -> Vec<(Vec<u8>, ProxyHeader)> {
    let line = |text: &str| text.as_bytes().to_vec();
    let rubbish = b"PROXY UNKNOWN \n\r \0\xFF\r\r\n".to_vec();
    let mut longest = vec![b'x'; MAX_LINE_BYTES];
    longest[..14].copy_from_slice(b"PROXY UNKNOWN ");
    longest[MAX_LINE_BYTES - 2..].copy_from_slice(b"\r\n");
    let full = "2001:0DB8:0000:0000:0000:0000:0000:00aA";
    vec![
        (line("PROXY TCP4 192.0.2.1 198.51.100.2 4097 80\r\n"), v4()),
        (
            line("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n"),
            proxied("0.0.0.0:0", "255.255.255.255:65535"),
        ),
        (
            line("PROXY TCP6 2001:db8::1 :: 65535 443\r\n"),
            proxied("[2001:db8::1]:65535", "[::]:443"),
        ),
        (
            line(&format!("PROXY TCP6 {full} {full} 65535 65535\r\n")),
            proxied("[2001:db8::aa]:65535", "[2001:db8::aa]:65535"),
        ),
        (
            line("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"),
            proxied("[::ffff:192.0.2.1]:1", "[::1]:2"),
        ),
        (line("PROXY UNKNOWN\r\n"), ProxyHeader::Own),
        (
            line("PROXY UNKNOWN 192.0.2.1 198.51.100.2 4097 80\r\n"),
            ProxyHeader::Own,
        ),
        (rubbish, ProxyHeader::Own),
        (longest, ProxyHeader::Own),
    ]
}

fn blocks() -> Vec<(Vec<u8>, ProxyHeader)> {
    let v6 = proxied("[2001:db8::1]:65535", "[2001:db8::2]:443");
    let versions = [field(0x21, b"TLSv1.3"), field(0x22, b"example.com")];
    let checked = with_checksum(with_fields(&[field(0x03, &[0; 4])]), 16 + 12 + 3);
    let most: usize = u16::MAX.into();
    vec![
        (block(0x21, 0x11, &V4), v4()),
        (v6_block(&[]), v6),
        (v6_block(&field(0x04, &[])), v6),
        (of_aws(), proxied("172.31.7.113:51442", "172.31.10.31:80")),
        (checked, v4()),
        (with_fields(&[tls_field(&versions.concat())]), v4()),
        (with_fields(&[tls_field(&[])]), v4()),
        (
            with_fields(&[field(0x01, b"h2"), field(0x05, &[9; 128])]),
            v4(),
        ),
        (with_fields(&[field(0xFF, &vec![7; most - 12 - 3])]), v4()),
        // The proxy's own, whatever it says further.
        (block(0x20, 0x00, &[]), ProxyHeader::Own),
        (block(0x20, 0x11, &V4), ProxyHeader::Own),
        (block(0x20, 0xFF, &[0xFF; 300]), ProxyHeader::Own),
        (
            block(0x20, 0x21, &[0x03, 0, 4, 1, 2, 3, 4]),
            ProxyHeader::Own,
        ),
        // Without an address that is known.
        (block(0x21, 0x00, &[]), ProxyHeader::Own),
        (block(0x21, 0x00, &field(0x04, &[0; 9])), ProxyHeader::Own),
        (block(0x21, 0x01, &[0xFF; 20]), ProxyHeader::Own),
        (block(0x21, 0x02, &[0xFF; 2]), ProxyHeader::Own),
        (block(0x21, 0x10, &V4), ProxyHeader::Own),
        (block(0x21, 0x31, &[b'/'; 216]), ProxyHeader::Own),
    ]
}

#[test]
fn headers_say_whose_the_connection_is() {
    for (bytes, expected) in [lines(), blocks()].concat() {
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(parse(&bytes), Ok(Some((expected, bytes.len()))), "{text}");
    }
}

#[test]
fn a_header_in_pieces_is_the_same_header() {
    for (bytes, expected) in [lines(), blocks()].concat() {
        let text = String::from_utf8_lossy(&bytes);
        for length in 0..bytes.len() {
            assert_eq!(parse(&bytes[..length]), Ok(None), "{length} of {text}");
        }
        for more in [&b"\0"[..], b"\r\n", b"PROXY TCP4 ", &[0xFF; 200]] {
            let all = [&bytes, more].concat();
            assert_eq!(parse(&all), Ok(Some((expected, bytes.len()))), "{text}");
        }
    }
}

/// Bytes that are no header, the number of them by which that is certain, and the error.
fn wrong_lines() -> Vec<(&'static [u8], usize, ProxyHeaderError)> {
    use ProxyHeaderError::*;
    let source = LineField("source address");
    let destination = LineField("destination address");
    let (from, to) = (LineField("source port"), LineField("destination port"));
    vec![
        (b"GET / HTTP/1.1\r\n", 1, NoHeader),
        (b"\x16\x03\x01\x02\x00\x01", 1, NoHeader),
        (b"proxy TCP4 ", 1, NoHeader),
        (b" PROXY TCP4 ", 1, NoHeader),
        (b"POST / HTTP/1.1\r\n", 2, NoHeader),
        (b"PROXY\tTCP4 ", 6, NoHeader),
        (b"PROXY  TCP4 ", 7, LineProtocol),
        (b"PROXY tcp4 ", 7, LineProtocol),
        (b"PROXY TCP\r\n", 10, LineProtocol),
        (b"PROXY TCP5 ", 10, LineProtocol),
        (b"PROXY TCP44", 11, LineProtocol),
        (b"PROXY TCP4\r\n", 11, LineProtocol),
        (b"PROXY UDP4 ", 8, LineProtocol),
        (b"PROXY UNKNOWN\n", 14, LineProtocol),
        (b"PROXY UNKNOWNS \r\n", 14, LineProtocol),
        (b"PROXY TCP4 \r\n", 12, LineFields),
        (b"PROXY TCP4  192.0.2.1 ", 12, source),
        (b"PROXY TCP4 x", 12, source),
        (b"PROXY TCP4 2001:db8::1 ", 16, source),
        (b"PROXY TCP4 192.0.2.12345678", 27, source),
        (b"PROXY TCP4 192.0.2.01 ", 22, source),
        (b"PROXY TCP4 192.0.2.256 ", 23, source),
        (b"PROXY TCP4 192.0.2 ", 19, source),
        (b"PROXY TCP6 192.0.2.1 ", 21, source),
        (b"PROXY TCP6 fe80::1%lo ", 19, source),
        (b"PROXY TCP6 1:2:3:4:5:6:7 ", 25, source),
        (b"PROXY TCP6 12345:: ", 19, source),
        (b"PROXY TCP6 1::2::3 ", 19, source),
        (b"PROXY TCP4 192.0.2.1  198.51.100.2 ", 22, destination),
        (b"PROXY TCP4 192.0.2.1\t198.51.100.2 ", 21, source),
        (b"PROXY TCP4 192.0.2.1 ::1 ", 22, destination),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2  1", 35, from),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 01", 36, from),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 +1", 35, from),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 65536", 39, from),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 x", 37, to),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 \r\n", 37, to),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 00\r\n", 38, to),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n", 36, LineFields),
        (
            b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n",
            38,
            LineFields,
        ),
        (
            b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n",
            38,
            LineFields,
        ),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n", 38, LineEnd),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r2", 39, LineEnd),
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\r\n", 39, LineEnd),
    ]
}

fn wrong_blocks() -> Vec<(Vec<u8>, usize, ProxyHeaderError)> {
    use ProxyHeaderError::*;
    let wrong_checksum = {
        let mut block = of_aws();
        block[20] ^= 1;
        block
    };
    let two_checksums = with_fields(&[field(0x03, &[0; 4]), field(0x03, &[0; 4])]);
    let all = |bytes: Vec<u8>, error| (bytes.clone(), bytes.len(), error);
    vec![
        (b"\r\n\r\n\r\n".to_vec(), 5, NoHeader),
        (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), 12, NoHeader),
        (block(0x11, 0x11, &V4), 13, Version(1)),
        (block(0x31, 0x11, &V4), 13, Version(3)),
        (block(0x22, 0x11, &V4), 13, Command(2)),
        (block(0x2F, 0x00, &[]), 13, Command(15)),
        (block(0x21, 0x12, &V4), 14, Protocol(0x12)),
        (block(0x21, 0x22, &[0; 36]), 14, Protocol(0x22)),
        (block(0x21, 0x32, &[0; 216]), 14, Protocol(0x32)),
        (block(0x21, 0x13, &V4), 14, Protocol(0x13)),
        (block(0x21, 0x03, &[]), 14, Protocol(0x03)),
        (block(0x21, 0x41, &[0; 216]), 14, Protocol(0x41)),
        (block(0x21, 0x11, &V4[..11]), 16, TooShort(11)),
        (block(0x21, 0x21, &[0; 35]), 16, TooShort(35)),
        (block(0x21, 0x31, &[0; 215]), 16, TooShort(215)),
        // Fields that are longer than the header, or cut.
        all(with_fields(&[vec![0x04, 0, 1]]), Field),
        all(with_fields(&[vec![0x04, 0xFF, 0xFF, 0]]), Field),
        all(with_fields(&[vec![0x04, 0]]), Field),
        all(with_fields(&[vec![0x04]]), Field),
        all(with_fields(&[field(0x05, &[0; 129])]), Field),
        all(with_fields(&[field(0x20, &[1, 0, 0, 0])]), Field),
        all(with_fields(&[tls_field(&[0x21])]), Field),
        all(with_fields(&[tls_field(&[0x21, 0, 9, b'T'])]), Field),
        all(with_fields(&[field(0x03, &[0; 3])]), Field),
        all(two_checksums, Field),
        all(with_fields(&[field(0x03, &[0; 4])]), Checksum),
        all(wrong_checksum, Checksum),
        all(block(0x21, 0x00, &field(0x03, &[0; 4])), Checksum),
    ]
}

#[test]
fn what_is_no_header_is_refused_as_early_as_that_is_certain() {
    let lines = wrong_lines().into_iter();
    let lines = lines.map(|(bytes, certain, error)| (bytes.to_vec(), certain, error));
    for (bytes, certain, error) in lines.chain(wrong_blocks()) {
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(parse(&bytes), Err(error), "{text}");
        for length in 0..certain {
            assert_eq!(parse(&bytes[..length]), Ok(None), "{length} of {text}");
        }
        for length in certain..bytes.len() {
            assert!(parse(&bytes[..length]).is_err(), "{length} of {text}");
        }
        let more = [&bytes[..], b"\r\n"].concat();
        assert!(parse(&more).is_err(), "more than {text}");
    }
}

#[test]
fn a_line_has_107_bytes_at_most() {
    for end in ["", "\r"] {
        let mut line = format!("PROXY UNKNOWN {:0<93}", "");
        line.truncate(MAX_LINE_BYTES - end.len());
        line += end;
        let (last, rest) = (line.as_bytes(), &line.as_bytes()[..MAX_LINE_BYTES - 1]);
        assert_eq!(parse(rest), Ok(None));
        assert_eq!(parse(last), Err(ProxyHeaderError::LineTooLong));
        let ended = [last, b"\n"].concat();
        assert_eq!(parse(&ended), Err(ProxyHeaderError::LineTooLong));
    }
    // Addresses with IPv4 at their end could be longer.
    let ip = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255";
    let line = format!("PROXY TCP6 {ip} {ip} 65535 65535\r\n");
    assert_eq!(parse(line.as_bytes()), Err(ProxyHeaderError::LineTooLong));
}

#[test]
fn an_error_says_what_is_wrong() {
    for (bytes, expected) in [
        (
            &b"GET "[..],
            "the first bytes are not a PROXY protocol header",
        ),
        (
            b"PROXY TCP4 1.2.3 ",
            "the source address in the PROXY line is malformed",
        ),
        (
            &block(0x21, 0x12, &[]),
            "the PROXY header is for the protocol 0x12, which is not TCP",
        ),
    ] {
        assert_eq!(parse(bytes).unwrap_err().to_string(), expected);
    }
}

fn written(version: ProxyVersion, client: &str, asked: &str, id: &[u8]) -> Vec<u8> {
    let addresses = [client, asked].map(|it| it.parse::<SocketAddr>().unwrap());
    let mut out = b"before".to_vec();
    write_header(version, Some(addresses.into()), id, &mut out);
    assert!(out.starts_with(b"before"));
    out.split_off(6)
}

#[test]
fn a_line_is_written_in_the_family_of_both_addresses() {
    let line = |client: &str, asked: &str| {
        let line = written(ProxyVersion::V1, client, asked, b"no place for it");
        String::from_utf8(line).unwrap()
    };
    assert_eq!(
        line("192.0.2.1:4097", "198.51.100.2:80"),
        "PROXY TCP4 192.0.2.1 198.51.100.2 4097 80\r\n"
    );
    assert_eq!(
        line("[2001:db8::1]:1", "[::1]:65535"),
        "PROXY TCP6 2001:db8::1 ::1 1 65535\r\n"
    );
    assert_eq!(
        line("[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:2"),
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
    );
    assert_eq!(
        line("192.0.2.1:1", "[::1]:2"),
        "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"
    );
    let scoped = "PROXY TCP6 fe80::1 fe80::2 1 2\r\n";
    assert_eq!(line("[fe80::1%3]:1", "[fe80::2%3]:2"), scoped);
}

#[test]
fn a_block_has_a_checksum_and_the_id_in_haproxys_order() {
    let bytes = written(
        ProxyVersion::V2,
        "192.0.2.1:4097",
        "198.51.100.2:80",
        b"id-1",
    );
    let fields = [field(0x03, &[0; 4]), field(0x05, b"id-1")];
    let place = 16 + 12 + 3;
    assert_eq!(bytes, with_checksum(with_fields(&fields), place));

    let bytes = written(ProxyVersion::V2, "192.0.2.1:1", "[::1]:2", b"");
    assert_eq!(
        bytes[..16],
        *block(0x21, 0x21, &[0; 43]).first_chunk::<16>().unwrap()
    );
    assert_eq!(
        parse(&bytes).unwrap().unwrap().0,
        proxied("[::ffff:192.0.2.1]:1", "[::1]:2")
    );
    // An ID that is too long is cut, so that receivers take the header.
    let bytes = written(ProxyVersion::V2, "[::1]:1", "[::1]:2", &[1; 999]);
    let length = 16 + 36 + 7 + 3 + MAX_UNIQUE_ID_BYTES;
    let header = proxied("[::1]:1", "[::1]:2");
    assert_eq!(parse(&bytes), Ok(Some((header, length))));
}

#[test]
fn a_connection_without_a_client_has_no_address() {
    let header = |version, is_local: bool| {
        let mut out = Vec::new();
        match is_local {
            true => write_local(version, &mut out),
            false => write_header(version, None, b"id", &mut out),
        }
        assert_eq!(parse(&out), Ok(Some((ProxyHeader::Own, out.len()))));
        out
    };
    for is_local in [true, false] {
        assert_eq!(header(ProxyVersion::V1, is_local), b"PROXY UNKNOWN\r\n");
    }
    let checksum = field(0x03, &[0; 4]);
    let local = block(0x20, 0x00, &checksum);
    assert_eq!(header(ProxyVersion::V2, true), with_checksum(local, 19));
    let fields = [checksum, field(0x05, b"id")].concat();
    let unknown = with_checksum(block(0x21, 0x00, &fields), 19);
    assert_eq!(header(ProxyVersion::V2, false), unknown);
}
