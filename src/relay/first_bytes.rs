//! What a client says before its host is picked: a PROXY protocol header, a TLS ClientHello. Pure.
//!
//! [`FirstBytes::look`] is asked again whenever more of it has come.

use std::net::SocketAddr;

use super::client_hello::{self, ClientHello};
use super::failure::EndReason;
use super::proxy_protocol::{self, ProxyHeader};

/// How many bytes of a client are looked at before its host is picked.
pub(crate) const MAX_FIRST_BYTES: usize = 16 << 10;

/// What is to be found in a client's first bytes, and what was found. Only sessions of services
/// that ask for it have one.
#[derive(Debug)]
pub(crate) struct FirstBytes {
    wants_header: bool,
    wants_hello: bool,
    /// Where the connection itself comes from, if a header named another address as the client's.
    pub(crate) via: Option<SocketAddr>,
    /// The address that the client asked for, by its header.
    pub(crate) asked: Option<SocketAddr>,
    /// The name that its ClientHello asks for.
    pub(crate) server_name: Option<String>,
}

/// What the bytes are so far.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// More are needed.
    More,
    /// They begin with a header of this length.
    Header(ProxyHeader, usize),
    /// They begin with a ClientHello, or with anything else; both stays with them.
    Hello(Option<ClientHello>),
    /// Nothing more is to be found.
    Done,
    /// They are not what was to come.
    Refuse(EndReason),
}

impl FirstBytes {
    /// `None` if nothing is to be found.
    pub(crate) fn new(wants_header: bool, wants_hello: bool) -> Option<Box<FirstBytes>> {
        (wants_header || wants_hello).then(|| {
            Box::new(FirstBytes {
                wants_header,
                wants_hello,
                via: None,
                asked: None,
                server_name: None,
            })
        })
    }

    /// Looks at what has come and was not taken yet. `ended`: no more will come.
    pub(crate) fn look(&mut self, bytes: &[u8], ended: bool) -> Look {
        if self.wants_header {
            return self.look_for_header(bytes, ended);
        }
        if !std::mem::take(&mut self.wants_hello) {
            return Look::Done;
        }
        match client_hello::parse(bytes) {
            Ok(None) if !ended => {
                self.wants_hello = true;
                Look::More
            }
            Ok(hello) => Look::Hello(hello),
            Err(_) => Look::Hello(None),
        }
    }

    fn look_for_header(&mut self, bytes: &[u8], ended: bool) -> Look {
        match proxy_protocol::parse(bytes) {
            Ok(Some((header, length))) => {
                self.wants_header = false;
                Look::Header(header, length)
            }
            // Monitors connect and close.
            Ok(None) if ended && bytes.is_empty() => Look::Refuse(EndReason::ClientGone),
            Ok(None) if !ended => Look::More,
            Ok(None) => Look::Refuse(EndReason::BadProxyHeader),
            Err(error) => {
                log::debug!("no PROXY protocol header: {error}");
                Look::Refuse(EndReason::BadProxyHeader)
            }
        }
    }
}
