//! SSH session of one client: login by key or password, then one channel at a time for the
//! console, lines or a command.
//!
//! Forwarding, agents, subsystems and variables are refused.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::keys::{HashAlg, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, Error, Pty, Sig};
use tokio::time::Instant;

use super::channel::{ChannelRequest, ChannelSession, SessionContext, Terminal, run_channel};
use super::input::InputQueue;
use super::runtime::{is_accepted, methods};
use crate::admin::auth::{Credential, Login};
use crate::admin::console::Size;
use crate::admin::server::connection_limiter::{Activity, Stage};
use crate::control::Actor;
use crate::sync::lock;

/// Time until a client must be logged in.
pub(super) const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may be silent after that.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// The interface's name in the log.
const INTERFACE: &str = "ssh";

/// Size of a terminal that does not send it.
const DEFAULT_SIZE: Size = Size {
    columns: 80,
    rows: 24,
};

/// Ctrl-C.
const INTERRUPT: &[u8] = b"\x03";

/// How far a client is.
pub(super) struct ClientState {
    is_logged_in: AtomicBool,
    last_input: Mutex<Instant>,
    /// The input of its channel, if there is one.
    input: Mutex<Option<Arc<InputQueue>>>,
    activity: Arc<Activity>,
}

impl ClientState {
    pub(super) fn begin(activity: Arc<Activity>) -> ClientState {
        ClientState {
            is_logged_in: AtomicBool::new(false),
            last_input: Mutex::new(Instant::now()),
            input: Mutex::default(),
            activity,
        }
    }

    /// The client is logging in.
    pub(super) fn set_logging_in(&self) {
        self.activity.set_stage(Stage::LoggingIn);
    }

    /// The client has logged in.
    pub(super) fn set_logged_in(&self) {
        self.activity.set_stage(Stage::Served);
        self.record_input();
        self.is_logged_in.store(true, Ordering::Relaxed);
    }

    /// The client has sent something of its own accord.
    pub(super) fn record_input(&self) {
        *lock(&self.last_input) = Instant::now();
    }

    /// The client has a channel with this input.
    pub(super) fn set_input(&self, input: &Arc<InputQueue>) {
        *lock(&self.input) = Some(Arc::clone(input));
    }

    /// Ends the channel, if there is one, and waits for that.
    pub(super) async fn close_input(&self) {
        let input = lock(&self.input).clone();
        if let Some(input) = input {
            input.close_input().await;
        }
    }

    /// When the client is disconnected. Before the login, input does not extend it.
    pub(super) fn deadline(&self) -> Instant {
        let time_limit = if self.is_logged_in.load(Ordering::Relaxed) {
            IDLE_TIMEOUT
        } else {
            LOGIN_TIMEOUT
        };
        *lock(&self.last_input) + time_limit
    }
}

/// russh's handler for one client.
pub(super) struct SessionHandler {
    context: Arc<SessionContext>,
    peer: SocketAddr,
    state: Arc<ClientState>,
    /// Set by the login.
    credential: Option<Credential>,
    /// The user for whom keys were offered in vain.
    failed_key_user: Option<String>,
    channel: Option<OpenChannel>,
}

/// The open channel. There is one at a time.
struct OpenChannel {
    id: ChannelId,
    input: Arc<InputQueue>,
    terminal: Option<Terminal>,
    has_begun: bool,
}

impl SessionHandler {
    pub(super) fn new(
        context: Arc<SessionContext>,
        peer: SocketAddr,
        state: Arc<ClientState>,
    ) -> SessionHandler {
        SessionHandler {
            context,
            peer,
            state,
            credential: None,
            failed_key_user: None,
            channel: None,
        }
    }

    fn source(&self) -> IpAddr {
        self.peer.ip()
    }

    /// The credential for this user and key, if it is the user's.
    fn credential_by_key(&self, name: &str, key: &PublicKey) -> Option<Credential> {
        let bytes = key.to_bytes().ok()?;
        self.context.auth.credential_by_key(name, &bytes)
    }

    fn actor(&self, credential: &Credential) -> Actor {
        Actor::User {
            name: credential.name().to_owned(),
            from: self.peer,
            interface: INTERFACE,
        }
    }

    fn set_logged_in(&mut self, credential: Credential, how: &str) -> Auth {
        log::info!("{} has come in, by {how}", self.actor(&credential));
        self.credential = Some(credential);
        self.failed_key_user = None;
        self.state.set_logged_in();
        Auth::Accept
    }

    fn open(&mut self, id: ChannelId) -> Option<&mut OpenChannel> {
        self.state.record_input();
        self.channel.as_mut().filter(|open| open.id == id)
    }

    /// Starts what the channel was opened for, unless it has started.
    fn begin(
        &mut self,
        id: ChannelId,
        session: &mut Session,
        request: impl FnOnce(Option<Terminal>) -> ChannelRequest,
    ) -> Result<(), Error> {
        let Some(credential) = self.credential.clone() else {
            return session.channel_failure(id);
        };
        let actor = self.actor(&credential);
        let (context, state) = (Arc::clone(&self.context), Arc::clone(&self.state));
        let Some(open) = self.open(id).filter(|open| !open.has_begun) else {
            return session.channel_failure(id);
        };
        open.has_begun = true;
        state.set_input(&open.input);
        session.channel_success(id)?;
        let end = ChannelSession {
            context,
            credential,
            actor,
            handle: session.handle(),
            channel: id,
            input: Arc::clone(&open.input),
        };
        tokio::spawn(run_channel(end, request(open.terminal)));
        Ok(())
    }
}

impl Drop for SessionHandler {
    fn drop(&mut self) {
        if let Some(open) = &self.channel {
            open.input.end();
            open.input.close();
        }
        // All keys of a client together count as one failure.
        if let Some(name) = &self.failed_key_user {
            self.context
                .auth
                .record_failure(self.source(), name, INTERFACE);
        }
    }
}

impl Handler for SessionHandler {
    type Error = Error;

    /// The first request of clients: it asks for the methods.
    async fn auth_none(&mut self, _user: &str) -> Result<Auth, Error> {
        self.state.set_logging_in();
        Ok(reject())
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Error> {
        self.state.set_logging_in();
        let (auth, source) = (self.context.auth.clone(), self.source());
        let (name, password) = (user.to_owned(), password.to_owned());
        // This blocks, for seconds where others wait too.
        let checked = tokio::task::spawn_blocking(move || {
            let credential = auth.credential_by_password(&name);
            let login = auth.login(source, &name, &password, INTERFACE);
            credential.filter(|credential| {
                login == Login::Welcome(credential.access()) && auth.is_valid(credential)
            })
        });
        // A wrong password is logged already. The keys before it do not count again.
        self.failed_key_user = None;
        Ok(match checked.await.ok().flatten() {
            Some(credential) => self.set_logged_in(credential, "password"),
            None => reject(),
        })
    }

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Error> {
        self.state.set_logging_in();
        let is_accepted_kind = is_accepted(offer.algorithm);
        if is_accepted_kind && self.credential_by_key(user, offer.public_key).is_some() {
            return Ok(Auth::Accept);
        }
        if self.context.auth.may_try(self.source()).is_ok() {
            self.failed_key_user = Some(user.to_owned());
        }
        Ok(reject())
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Error> {
        let credential = is_accepted(key.algorithm)
            .then(|| self.credential_by_key(user, key.public_key))
            .flatten();
        let Some(credential) = credential else {
            return Ok(reject());
        };
        self.context.auth.record_success(self.source(), user);
        let key = key.public_key.fingerprint(HashAlg::Sha256);
        Ok(self.set_logged_in(credential, &format!("the key {key}")))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Error> {
        self.state.record_input();
        if self.channel.as_ref().is_some_and(|it| !it.input.is_over()) {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        self.channel = Some(OpenChannel {
            id: channel.id(),
            input: Arc::default(),
            terminal: None,
            has_begun: false,
        });
        reply.accept().await;
        Ok(())
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Error> {
        match self.open(id).filter(|open| !open.has_begun) {
            Some(open) => {
                open.terminal = Some(Terminal {
                    size: size(columns, rows),
                    colours: !matches!(term, "" | "dumb"),
                });
                session.channel_success(id)
            }
            None => session.channel_failure(id),
        }
    }

    async fn window_change_request(
        &mut self,
        id: ChannelId,
        columns: u32,
        rows: u32,
        _width: u32,
        _height: u32,
        session: &mut Session,
    ) -> Result<(), Error> {
        if let Some(open) = self.open(id) {
            let size = size(columns, rows);
            match &mut open.terminal {
                Some(terminal) if !open.has_begun => terminal.size = size,
                _ => open.input.resize(size),
            }
        }
        session.channel_success(id)
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Error> {
        self.begin(id, session, |terminal| match terminal {
            Some(terminal) => ChannelRequest::Console(terminal),
            None => ChannelRequest::Lines,
        })
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Error> {
        self.begin(id, session, |terminal| {
            ChannelRequest::Command(command.to_vec(), terminal)
        })
    }

    async fn data(
        &mut self,
        id: ChannelId,
        keys: &[u8],
        _session: &mut Session,
    ) -> Result<(), Error> {
        let Some(open) = self.open(id) else {
            return Ok(());
        };
        open.input.push(keys).await.map_err(|_| Error::Pending)
    }

    async fn signal(
        &mut self,
        id: ChannelId,
        signal: Sig,
        _session: &mut Session,
    ) -> Result<(), Error> {
        match self.open(id) {
            Some(open) if matches!(signal, Sig::INT) && open.terminal.is_some() => {
                open.input.push(INTERRUPT).await.map_err(|_| Error::Pending)
            }
            _ => Ok(()),
        }
    }

    async fn channel_eof(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), Error> {
        if let Some(open) = self.open(id) {
            open.input.end();
        }
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), Error> {
        if let Some(open) = self.open(id) {
            open.input.end();
            open.input.close();
        }
        Ok(())
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        _name: &str,
        _value: &str,
        session: &mut Session,
    ) -> Result<(), Error> {
        session.channel_failure(id)
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _name: &str,
        session: &mut Session,
    ) -> Result<(), Error> {
        session.channel_failure(id)
    }

    async fn x11_request(
        &mut self,
        id: ChannelId,
        _single_connection: bool,
        _protocol: &str,
        _cookie: &str,
        _screen: u32,
        session: &mut Session,
    ) -> Result<(), Error> {
        session.channel_failure(id)
    }
}

/// A rejection. After a wrong password russh removes passwords from the methods, unless they are
/// named again.
/// Test: `after_six_tries_it_is_over`.
fn reject() -> Auth {
    Auth::Reject {
        proceed_with_methods: Some(methods()),
        partial_success: false,
    }
}

/// A size from the client; 0 means unknown.
fn size(columns: u32, rows: u32) -> Size {
    let or = |number: u32, usual: u16| match u16::try_from(number) {
        Ok(0) => usual,
        Ok(number) => number,
        Err(_) => u16::MAX,
    };
    Size {
        columns: or(columns, DEFAULT_SIZE.columns),
        rows: or(rows, DEFAULT_SIZE.rows),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_some_size_whatever_the_client_sends() {
        for (asked, taken) in [
            ((100, 30), (100, 30)),
            ((0, 0), (80, 24)),
            ((u32::MAX, 1), (u16::MAX, 1)),
        ] {
            let size = size(asked.0, asked.1);
            assert_eq!((size.columns, size.rows), taken);
        }
    }
}
