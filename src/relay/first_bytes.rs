//! What a client says first, and what txlb says first to its host: PROXY protocol headers, a TLS
//! ClientHello, and what is said again to another host.
//!
//! [`FirstBytes::look`], which is pure, is asked again whenever more has come.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;

use super::client_hello::{self, ClientHello};
use super::connection::{Connection, Context};
use super::failure::EndReason;
use super::plan::Service;
use super::proxy_protocol::{self, ProxyHeader};
use super::session::{Break, Direction, Side};
use super::shared::Shared;
use super::transport::Transport;
use crate::balance::Picked;
use crate::os::address::Address;

/// How many bytes of a client are looked at before its host is picked.
pub(crate) const MAX_FIRST_BYTES: usize = 16 << 10;

/// What is to be found in a client's first bytes, and what was found. Only sessions of services
/// that ask for it have one.
#[derive(Debug)]
pub(crate) struct FirstBytes {
    wants_header: bool,
    wants_hello: bool,
    /// The client's service as it is now: its host is picked by that.
    service: Arc<Service>,
    /// Bytes of the header, which are not for the host.
    header_bytes: usize,
    /// What was wrong with the header.
    wrong: Option<String>,
    /// Where the connection itself comes from, if a header named another address as the client's.
    pub(crate) via: Option<Address>,
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
    pub(crate) fn new(wants_header: bool, service: &Arc<Service>) -> Option<Box<FirstBytes>> {
        let wants_hello = service.routes.is_some();
        (wants_header || wants_hello).then(|| {
            Box::new(FirstBytes {
                wants_header,
                wants_hello,
                service: Arc::clone(service),
                header_bytes: 0,
                wrong: None,
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
        if !mem::take(&mut self.wants_hello) {
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
                self.header_bytes = length;
                Look::Header(header, length)
            }
            // Monitors connect and close.
            Ok(None) if ended && bytes.is_empty() => Look::Refuse(EndReason::ClientGone),
            Ok(None) if !ended => Look::More,
            Ok(None) => Look::Refuse(EndReason::BadProxyHeader),
            Err(error) => {
                self.wrong = Some(error.to_string());
                Look::Refuse(EndReason::BadProxyHeader)
            }
        }
    }
}

/// Logs a client that sent no PROXY protocol header where one must come, for some of many.
pub(super) fn log_bad_header<T: Transport>(
    connection: &Connection<T>,
    shared: &Shared<T>,
    now_ms: u64,
) {
    let wrong = connection.first_bytes.as_ref();
    let wrong = wrong.and_then(|it| it.wrong.as_deref());
    if shared.may_log_header(now_ms) {
        log::warn!(
            "service {}: {} sends no PROXY protocol header, which its listener requires \
             (proxy, proxyFrom): {}",
            connection.admission.service.name.escape_debug(),
            connection.client_address,
            wrong.unwrap_or("it has ended before")
        );
    }
}

impl<T: Transport> Connection<T> {
    /// Has a client whose first bytes are awaited get its host by the present services.
    // Test: a_client_gets_the_group_that_is_enabled_when_its_first_bytes_are_there.
    pub(super) fn follow(&mut self, services: &HashMap<&str, &Arc<Service>>) {
        let awaited = self.session.awaits_first_bytes();
        if let Some(first_bytes) = self.first_bytes.as_mut().filter(|_| awaited)
            && let Some(service) = services.get(first_bytes.service.name.as_str())
        {
            first_bytes.service = Arc::clone(service);
            self.group = Arc::clone(&service.group);
        }
    }

    /// Reads from the client what is not to be written yet.
    pub(super) fn hold(&mut self, context: &mut Context<'_, T>) {
        let awaited = self.session.awaits_first_bytes();
        let held = self.session.half_stream(Direction::ToHost).buffered().len();
        let header_bytes = self.first_bytes.as_ref().map_or(0, |it| it.header_bytes);
        let room = match awaited {
            true => context.max_first_bytes.saturating_sub(held + header_bytes),
            false => context.buffer.len(),
        };
        let room = room.min(context.buffer.len());
        let buffer = &mut context.buffer[..room];
        match self.transport.read(Side::Client, buffer) {
            Ok(0) => self.session.handle_held_end(),
            Ok(length) => {
                self.session
                    .handle_held(&buffer[..length], length < room, context.now_ms);
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => self
                    .session
                    .half_stream_mut(Direction::ToHost)
                    .handle_would_block(),
                ErrorKind::Interrupted => return,
                _ => self
                    .session
                    .handle_held_failed(Break::of(&error), context.now_ms),
            },
        }
        if awaited {
            self.look_at_first_bytes(context);
        }
    }

    /// Looks for what is to be known before a host is picked.
    fn look_at_first_bytes(&mut self, context: &Context<'_, T>) {
        while let Some(first_bytes) = &mut self.first_bytes {
            let held = self.session.half_stream(Direction::ToHost);
            let length = held.buffered().len() + first_bytes.header_bytes;
            match first_bytes.look(held.buffered(), held.is_ending()) {
                Look::More if length >= context.max_first_bytes => {
                    return self.session.close(EndReason::FirstBytesTooLong);
                }
                Look::More => return,
                Look::Refuse(reason) => return self.session.close(reason),
                Look::Header(header, length) => {
                    if let ProxyHeader::Proxied { client, asked } = header {
                        let own = mem::replace(&mut self.client_address, client.into());
                        first_bytes.via = Some(own);
                        first_bytes.asked = Some(asked);
                    }
                    self.session
                        .half_stream_mut(Direction::ToHost)
                        .drop_held(length);
                }
                Look::Hello(hello) => {
                    let routes = first_bytes.service.routes.as_ref();
                    let group = routes.and_then(|routes| routes.choose(hello.as_ref()));
                    self.group = group.map_or_else(|| Arc::clone(&self.group), Arc::clone);
                    first_bytes.server_name = hello.and_then(|hello| hello.server_name);
                }
                Look::Done => return self.session.handle_first_bytes(context.now_ms),
            }
        }
    }

    /// The PROXY protocol header that a host gets first; empty if its group wants none.
    pub(super) fn header_for(&self, picked: &Picked) -> Vec<u8> {
        let mut header = Vec::new();
        if let Some(version) = picked.send_proxy {
            let asked = self.first_bytes.as_ref().and_then(|it| it.asked);
            let asked = asked.or_else(|| self.transport.asked_address());
            // A client of a Unix socket has no address, unless a header has told one.
            let addresses = self.client_address.socket_address().zip(asked);
            let id = format!("{:x}", self.id);
            proxy_protocol::write_header(version, addresses, id.as_bytes(), &mut header);
        }
        header
    }

    /// The host is gone before it said anything: gives it up, if another one can be asked.
    // Test: where_no_other_host_is_left_a_session_ends_as_its_host_did.
    pub(super) fn replay(&mut self, now_ms: u64) {
        let host = self.picked.as_ref().map(|picked| picked.id);
        let tried = self.session.tried();
        let has_another = host.is_some_and(|host| self.group.pool().has_another(tried, host));
        if !has_another || !self.session.may_try_another() {
            return self.session.handle_no_replay();
        }
        let (_, end) = self.host_news(true, now_ms);
        let Some(picked) = self.drop_host() else {
            return self.session.handle_no_replay();
        };
        let mut pool = self.group.pool();
        let changes = pool.host_reported(picked.id, &picked.address, (false, end), now_ms);
        pool.session_ended(picked.id, self.client_address.ip(), now_ms);
        drop(pool);
        self.host_ended = false;
        self.session.handle_replay(picked.id, now_ms);
        self.log_health_changes(&picked, changes.into_iter().flatten(), now_ms);
        self.log_emptied();
    }
}
