//! Compression of responses (gzip), where the client takes it.
//!
//! Only the page and its files are compressed. Exports are written without being held in memory,
//! and what verbs answer is short.
//!
//! One that sees the lengths of compressed responses and chooses a part of their text can find out
//! a secret beside it (BREACH). So a page has a token of its own each time, its live part has
//! none, and what another site asked for is not compressed at all.

use std::io::{self, Write};
use std::sync::OnceLock;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::request::Request;

/// Shorter texts are not compressed: the headers are longer.
const LEAST: usize = 1024;

/// Compresses well, in about 10 ms for a page of 300 hosts.
const LEVEL: u32 = 6;

/// A file that never changes, and its compressed form, which is made once.
#[derive(Debug)]
pub(super) struct StaticFile {
    text: &'static str,
    compressed: OnceLock<Option<Vec<u8>>>,
}

impl StaticFile {
    pub(super) const fn new(text: &'static str) -> StaticFile {
        StaticFile {
            text,
            compressed: OnceLock::new(),
        }
    }

    pub(super) fn text(&self) -> &'static str {
        self.text
    }

    /// As gzip; `None` if it would be no shorter.
    pub(super) fn compressed(&'static self) -> Option<&'static [u8]> {
        let compressed = self
            .compressed
            .get_or_init(|| compress(self.text.as_bytes()));
        compressed.as_deref()
    }
}

/// A text as gzip; `None` if it would be no shorter.
pub(super) fn compress(text: &[u8]) -> Option<Vec<u8>> {
    let gzip = || -> io::Result<Vec<u8>> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(LEVEL));
        encoder.write_all(text)?;
        encoder.finish()
    };
    let compressed = (text.len() >= LEAST).then(gzip)?.ok()?;
    (compressed.len() < text.len()).then_some(compressed)
}

/// Whether the response to a request may be compressed.
pub(super) fn is_wanted(request: &Request) -> bool {
    let is_own = request
        .fetch_site
        .as_deref()
        .is_none_or(|site| matches!(site, "same-origin" | "none"));
    is_own && request.accept_encoding.as_deref().is_some_and(takes_gzip)
}

/// Whether a client takes gzip, by its Accept-Encoding (RFC 9110, 12.5.3).
fn takes_gzip(accepted: &str) -> bool {
    let mut any = false;
    for coding in accepted.split(',') {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let quality = parameters.trim().strip_prefix("q=");
        let is_taken = quality.is_none_or(|it| it.parse().is_ok_and(|it: f32| it > 0.0));
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => return is_taken,
            "*" => any = is_taken,
            _ => {}
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;

    #[test]
    fn what_is_compressed_is_the_same_text() {
        let text = "a row of a table, ".repeat(1000);
        let compressed = compress(text.as_bytes()).unwrap();
        assert!(compressed.len() < text.len() / 20);
        let mut again = String::new();
        GzDecoder::new(&*compressed)
            .read_to_string(&mut again)
            .unwrap();
        assert_eq!(again, text);
        assert!(compress(b"short").is_none());
    }

    #[test]
    fn it_is_compressed_for_those_who_take_it() {
        for taken in [
            "gzip",
            "deflate, gzip;q=1.0, *;q=0.5",
            "br,GZIP",
            "*",
            "x-gzip;q=0.1",
        ] {
            assert!(takes_gzip(taken), "{taken}");
        }
        for refused in [
            "",
            "identity",
            "gzip;q=0",
            "*;q=0",
            "br, deflate",
            "gzip;q=0, *",
            "gzip;q=x",
        ] {
            assert!(!takes_gzip(refused), "{refused}");
        }
    }

    #[test]
    fn what_another_site_asks_for_is_not_compressed() {
        let is_wanted_from = |site: Option<&str>| {
            is_wanted(&Request {
                accept_encoding: Some("gzip".to_owned()),
                fetch_site: site.map(str::to_owned),
                ..Request::default()
            })
        };
        assert!(is_wanted_from(None) && is_wanted_from(Some("none")));
        assert!(is_wanted_from(Some("same-origin")));
        assert!(!is_wanted_from(Some("same-site")) && !is_wanted_from(Some("cross-site")));
        assert!(!is_wanted(&Request::default()));
    }
}
