//! Checks for the fuzz targets: any bytes as a header of the PROXY protocol or as a ClientHello.
//!
//! Behind the feature `internals`, not part of the public interface. Each check panics on failure.

use std::fmt::Debug;
use std::net::SocketAddr;

use super::client_hello;
use super::proxy_protocol::{ProxyHeader, parse, write_header, write_local};
use crate::config::ProxyVersion;

/// A header is the same in pieces, ends where it was complete, and is read as it is written.
pub fn proxy(bytes: &[u8]) {
    let Some((complete, result)) = first_result(bytes, parse) else {
        return;
    };
    let Ok((header, length)) = result else { return };
    assert_eq!(length, complete);
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let mut out = Vec::new();
        let expected = match header {
            ProxyHeader::Proxied { client, asked } => {
                write_header(version, Some((client, asked)), &bytes[..length], &mut out);
                addresses(client, asked)
            }
            ProxyHeader::Own => {
                write_local(version, &mut out);
                None
            }
        };
        let Ok(Some((written, length))) = parse(&out) else {
            panic!("{header:?} is written as {out:?}");
        };
        let written = match written {
            ProxyHeader::Proxied { client, asked } => addresses(client, asked),
            ProxyHeader::Own => None,
        };
        assert_eq!((written, length), (expected, out.len()));
    }
}

/// The addresses with IPv4 as what it is, wherever it stood.
fn addresses(client: SocketAddr, asked: SocketAddr) -> Option<[SocketAddr; 2]> {
    Some([client, asked].map(|it| (it.ip().to_canonical(), it.port()).into()))
}

/// A ClientHello is the same in pieces, and has only names that may be logged.
pub fn hello(bytes: &[u8]) {
    let Some((_, Ok(hello))) = first_result(bytes, client_hello::parse) else {
        return;
    };
    if let Some(name) = &hello.server_name {
        let is_usable = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
        assert!((1..=255).contains(&name.len()) && name.bytes().all(is_usable));
    }
    assert!(hello.alpn.len() <= 64 && !hello.alpn.iter().any(Vec::is_empty));
}

/// The first result other than that more bytes are needed, as they come one by one, and how many
/// that took. Further bytes change nothing about it.
fn first_result<T: PartialEq + Debug, E: Debug>(
    bytes: &[u8],
    parse: fn(&[u8]) -> Result<Option<T>, E>,
) -> Option<(usize, Result<T, E>)> {
    let found = (0..=bytes.len()).find_map(|length| {
        let result = parse(&bytes[..length]).transpose()?;
        Some((length, result))
    });
    let whole = parse(bytes).transpose();
    match (&found, &whole) {
        (None, None) | (Some((_, Err(_))), Some(Err(_))) => {}
        (Some((_, Ok(found))), Some(Ok(whole))) => assert_eq!(found, whole),
        _ => panic!("{found:?} in pieces, {whole:?} as a whole"),
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeds(name: &str) -> Vec<(String, Vec<u8>)> {
        let folder = format!("{}/fuzz/seeds/{name}", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
        let read = |file: std::fs::DirEntry| {
            let name = file.file_name().into_string().unwrap();
            (name, std::fs::read(file.path()).unwrap())
        };
        files.map(read).collect()
    }

    #[test]
    fn the_seeds_of_fuzzing_hold() {
        for (name, bytes) in seeds("proxy") {
            proxy(&bytes);
            let header = proxy_protocol::parse(&bytes);
            assert!(matches!(header, Ok(Some(_))), "{name}: {header:?}");
        }
        for (_, bytes) in seeds("hello") {
            hello(&bytes);
        }
    }

    /// The seeds are what these programs sent to `www.example.org`.
    #[test]
    fn the_hellos_of_real_clients_are_understood() {
        let expected: [(&str, &[&str]); 6] = [
            ("chromium", &["h2", "http/1.1"]),
            ("curl", &["h2", "http/1.1"]),
            ("java", &[]),
            ("openssl", &[]),
            ("openssl-alpn", &["imap", "h2"]),
            ("records", &["imap", "h2"]),
        ];
        let mut seeds = seeds("hello");
        seeds.sort();
        assert_eq!(seeds.len(), expected.len());
        for ((seed, bytes), (name, protocols)) in seeds.into_iter().zip(expected) {
            let hello = client_hello::parse(&bytes).unwrap().unwrap();
            assert_eq!(seed, name);
            assert_eq!(
                hello.server_name.as_deref(),
                Some("www.example.org"),
                "{name}"
            );
            // Browsers put meaningless ones between them.
            let protocols = protocols.iter().map(|it| it.as_bytes().to_vec());
            let known: Vec<_> = protocols.collect();
            let found = hello.alpn.iter().filter(|it| known.contains(it));
            assert!(found.eq(&known), "{name}: {:?}", hello.alpn);
        }
    }
}
