//! Checks for the fuzz targets: any bytes as AMP, an HTTP request or a password hash.
//!
//! Behind the feature `internals`: not part of the public interface. Each panics if it
//! does not hold.

use std::net::SocketAddr;

use super::control_socket::amp::Amp;

/// AMP questions get the same answers, in whatever pieces they arrive.
pub fn amp(bytes: &[u8]) {
    let Some((at, bytes)) = bytes.split_first() else {
        return;
    };
    let at = usize::from(*at).min(bytes.len());
    let client_of = |local: SocketAddr| (local.port() != 1).then_some(local);
    let answers = |pieces: &[&[u8]]| {
        let (mut amp, mut out) = (Amp::default(), Vec::new());
        let result = pieces
            .iter()
            .try_for_each(|piece| amp.receive(piece, client_of, &mut out));
        (result.is_ok(), out)
    };
    let (whole, pieces) = (answers(&[bytes]), answers(&[&bytes[..at], &bytes[at..]]));
    assert_eq!(whole, pieces);
}

#[cfg(feature = "web")]
pub use with_web::{hash, http};

#[cfg(feature = "web")]
mod with_web {
    use std::io::{self, Cursor, Read, Write};

    use crate::admin::auth;
    use crate::admin::http::request::{RequestError, fields, read};

    /// A client whose input is complete.
    struct SentOnce<'a>(Cursor<&'a [u8]>);

    impl Read for SentOnce<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for SentOnce<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A request has a path, and no line ends in it; an error has a status.
    pub fn http(bytes: &[u8]) {
        match read(&mut SentOnce(Cursor::new(bytes)), |_| {}) {
            Ok(request) => {
                assert!(request.path.starts_with('/'), "{request:?}");
                let values = [
                    Some(&request.path),
                    Some(&request.query),
                    request.host.as_ref(),
                    request.origin.as_ref(),
                    request.authorization.as_ref(),
                ];
                for value in values.into_iter().flatten() {
                    assert!(!value.contains(['\r', '\n', '\0']), "{request:?}");
                }
                drop((fields(request.query.as_bytes()), fields(&request.body)));
            }
            Err(RequestError::Rejected(status, _)) => assert!((400..600).contains(&status)),
            Err(RequestError::Disconnected(_)) => {}
        }
    }

    /// A hash, and in the next line a password: checking them does not panic.
    pub fn hash(bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let (hash, password) = text.split_once('\n').unwrap_or((&text, ""));
        auth::check_cheap(hash, password);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Target = fn(&[u8]);

    #[test]
    fn the_seeds_of_fuzzing_hold() {
        let targets: &[(&str, Target)] = &[
            ("amp", amp),
            #[cfg(feature = "web")]
            ("http", http),
            #[cfg(feature = "web")]
            ("hash", hash),
        ];
        for (name, target) in targets {
            let folder = format!("{}/fuzz/seeds/{name}", env!("CARGO_MANIFEST_DIR"));
            for seed in std::fs::read_dir(folder).unwrap() {
                target(&std::fs::read(seed.unwrap().path()).unwrap());
            }
        }
    }
}
