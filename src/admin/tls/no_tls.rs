//! Stub of the module `tls` for a build without HTTPS: same names, and every use is an error.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::server::deadline::DeadlineStream;

const MISSING: &str = "secure=\"true\": this txlb was built without HTTPS";

#[derive(Debug, Clone)]
pub(super) struct Tls(Infallible);

/// Cannot exist.
#[derive(Debug)]
pub(super) struct TlsStream(Infallible);

impl Tls {
    pub(super) fn from_files(_: &Path, _: &Path) -> Result<Tls, String> {
        Err(MISSING.to_owned())
    }

    pub(super) fn self_signed(_: &Path, _: &[String]) -> Result<Tls, String> {
        Err(MISSING.to_owned())
    }

    pub(super) fn fingerprint(&self) -> String {
        match self.0 {}
    }

    pub(super) fn accept(&self, _: DeadlineStream) -> io::Result<TlsStream> {
        match self.0 {}
    }
}

impl TlsStream {
    pub(super) fn set_deadline(&mut self, _: Instant) {
        match self.0 {}
    }

    pub(super) fn socket(&self) -> &Arc<TcpStream> {
        match self.0 {}
    }
}

impl Read for TlsStream {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }
}

impl Write for TlsStream {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0 {}
    }
}
