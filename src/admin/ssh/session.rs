//! What a client asks for, from the login on, and what it gets: a console, lines without
//! a terminal, or one command.
//!
//! Everything else that SSH has (forwarding, agents, subsystems, variables) is refused.

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

use super::channel::{Errand, SessionContext, Talk, Terminal, talk};
use super::input::Intake;
use super::runtime::{is_accepted, methods};
use crate::admin::auth::{Login, Pass};
use crate::admin::console::Size;
use crate::admin::server::connection_limiter::{Activity, Stage};
use crate::admin::server::lock;
use crate::control::Actor;

/// How long a client may take until it is logged in.
pub(super) const GRACE: Duration = Duration::from_secs(30);

/// How long it may be silent then.
const IDLE: Duration = Duration::from_secs(600);

/// The door's name in the log.
const DOOR: &str = "ssh";

/// What a terminal is taken to be whose size is not said.
const USUAL: Size = Size {
    columns: 80,
    rows: 24,
};

/// What is typed to interrupt.
const INTERRUPT: &[u8] = b"\x03";

/// How far a client is.
pub(super) struct Visit {
    is_in: AtomicBool,
    heard: Mutex<Instant>,
    /// What they talk through, if they have come for anything yet.
    talk: Mutex<Option<Arc<Intake>>>,
    activity: Arc<Activity>,
}

impl Visit {
    pub(super) fn begin(activity: Arc<Activity>) -> Visit {
        Visit {
            is_in: AtomicBool::new(false),
            heard: Mutex::new(Instant::now()),
            talk: Mutex::default(),
            activity,
        }
    }

    /// The client tries to log in.
    pub(super) fn log_in(&self) {
        self.activity.reach(Stage::LoggingIn);
    }

    /// The client has logged in.
    pub(super) fn come_in(&self) {
        self.activity.reach(Stage::Served);
        self.hear();
        self.is_in.store(true, Ordering::Relaxed);
    }

    /// The client has said something of its own accord.
    pub(super) fn hear(&self) {
        *lock(&self.heard) = Instant::now();
    }

    /// The client talks, from now on through this.
    pub(super) fn talk(&self, intake: &Arc<Intake>) {
        *lock(&self.talk) = Some(Arc::clone(intake));
    }

    /// Has the talk end, if there is one.
    pub(super) async fn part(&self) {
        let talk = lock(&self.talk).clone();
        if let Some(talk) = talk {
            talk.part().await;
        }
    }

    /// When it is enough, if nothing changes. Before somebody is in, what they say
    /// makes it no later.
    pub(super) fn deadline(&self) -> Instant {
        let patience = if self.is_in.load(Ordering::Relaxed) {
            IDLE
        } else {
            GRACE
        };
        *lock(&self.heard) + patience
    }
}

/// One client.
pub(super) struct Visitor {
    context: Arc<SessionContext>,
    peer: SocketAddr,
    visit: Arc<Visit>,
    /// Once they are in.
    pass: Option<Pass>,
    /// Whom they have offered keys for in vain.
    knocked: Option<String>,
    channel: Option<Open>,
}

/// The channel that is open. There is one at a time.
struct Open {
    id: ChannelId,
    intake: Arc<Intake>,
    terminal: Option<Terminal>,
    has_begun: bool,
}

impl Visitor {
    pub(super) fn new(
        context: Arc<SessionContext>,
        peer: SocketAddr,
        visit: Arc<Visit>,
    ) -> Visitor {
        Visitor {
            context,
            peer,
            visit,
            pass: None,
            knocked: None,
            channel: None,
        }
    }

    fn source(&self) -> IpAddr {
        self.peer.ip()
    }

    /// Whether somebody has this key and is to be let in by it.
    fn pass_by_key(&self, name: &str, key: &PublicKey) -> Option<Pass> {
        let bytes = key.to_bytes().ok()?;
        self.context.auth.pass_by_key(name, &bytes)
    }

    fn by(&self, pass: &Pass) -> Actor {
        Actor::User {
            name: pass.name().to_owned(),
            from: self.peer,
            door: DOOR,
        }
    }

    fn come_in(&mut self, pass: Pass, how: &str) -> Auth {
        log::info!("{} has come in, by {how}", self.by(&pass));
        self.pass = Some(pass);
        self.knocked = None;
        self.visit.come_in();
        Auth::Accept
    }

    fn open(&mut self, id: ChannelId) -> Option<&mut Open> {
        self.visit.hear();
        self.channel.as_mut().filter(|open| open.id == id)
    }

    /// Begins what the channel was opened for, unless it has begun.
    fn begin(
        &mut self,
        id: ChannelId,
        session: &mut Session,
        errand: impl FnOnce(Option<Terminal>) -> Errand,
    ) -> Result<(), Error> {
        let Some(pass) = self.pass.clone() else {
            return session.channel_failure(id);
        };
        let by = self.by(&pass);
        let (context, visit) = (Arc::clone(&self.context), Arc::clone(&self.visit));
        let Some(open) = self.open(id).filter(|open| !open.has_begun) else {
            return session.channel_failure(id);
        };
        open.has_begun = true;
        visit.talk(&open.intake);
        session.channel_success(id)?;
        let end = Talk {
            context,
            pass,
            by,
            handle: session.handle(),
            channel: id,
            intake: Arc::clone(&open.intake),
        };
        tokio::spawn(talk(end, errand(open.terminal)));
        Ok(())
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        if let Some(open) = &self.channel {
            open.intake.end();
            open.intake.close();
        }
        // All their keys together are one try.
        if let Some(name) = &self.knocked {
            self.context.auth.failed(self.source(), name, DOOR);
        }
    }
}

impl Handler for Visitor {
    type Error = Error;

    /// How clients ask what is possible.
    async fn auth_none(&mut self, _user: &str) -> Result<Auth, Error> {
        self.visit.log_in();
        Ok(wrong())
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Error> {
        self.visit.log_in();
        let (auth, source) = (self.context.auth.clone(), self.source());
        let (name, password) = (user.to_owned(), password.to_owned());
        // It takes its time.
        let checked = tokio::task::spawn_blocking(move || {
            let pass = auth.pass_by_password(&name);
            let login = auth.login(source, &name, &password, DOOR);
            pass.filter(|pass| login == Login::Welcome(pass.access()) && auth.holds(pass))
        });
        // If it is wrong, that is in the log already, whatever was knocked at before.
        self.knocked = None;
        Ok(match checked.await.ok().flatten() {
            Some(pass) => self.come_in(pass, "password"),
            None => wrong(),
        })
    }

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Error> {
        self.visit.log_in();
        let is_possible = is_accepted(offer.algorithm);
        if is_possible && self.pass_by_key(user, offer.public_key).is_some() {
            return Ok(Auth::Accept);
        }
        if self.context.auth.may_try(self.source()).is_ok() {
            self.knocked = Some(user.to_owned());
        }
        Ok(wrong())
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Error> {
        let pass = is_accepted(key.algorithm)
            .then(|| self.pass_by_key(user, key.public_key))
            .flatten();
        let Some(pass) = pass else {
            return Ok(wrong());
        };
        self.context.auth.passed(self.source(), user);
        let key = key.public_key.fingerprint(HashAlg::Sha256);
        Ok(self.come_in(pass, &format!("the key {key}")))
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Error> {
        self.visit.hear();
        if self.channel.as_ref().is_some_and(|it| !it.intake.is_over()) {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        self.channel = Some(Open {
            id: channel.id(),
            intake: Arc::default(),
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
                _ => open.intake.resize(size),
            }
        }
        session.channel_success(id)
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Error> {
        self.begin(id, session, |terminal| match terminal {
            Some(terminal) => Errand::Console(terminal),
            None => Errand::Lines,
        })
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Error> {
        self.begin(id, session, |terminal| {
            Errand::Command(command.to_vec(), terminal)
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
        open.intake.push(keys).await.map_err(|_| Error::Pending)
    }

    async fn signal(
        &mut self,
        id: ChannelId,
        signal: Sig,
        _session: &mut Session,
    ) -> Result<(), Error> {
        match self.open(id) {
            Some(open) if matches!(signal, Sig::INT) && open.terminal.is_some() => open
                .intake
                .push(INTERRUPT)
                .await
                .map_err(|_| Error::Pending),
            _ => Ok(()),
        }
    }

    async fn channel_eof(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), Error> {
        if let Some(open) = self.open(id) {
            open.intake.end();
        }
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), Error> {
        if let Some(open) = self.open(id) {
            open.intake.end();
            open.intake.close();
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

/// Not this time; whatever it was, and whoever, the same may be tried again.
fn wrong() -> Auth {
    Auth::Reject {
        proceed_with_methods: Some(methods()),
        partial_success: false,
    }
}

/// A size as a client says it; 0 is for those who do not know.
fn size(columns: u32, rows: u32) -> Size {
    let or = |number: u32, usual: u16| match u16::try_from(number) {
        Ok(0) => usual,
        Ok(number) => number,
        Err(_) => u16::MAX,
    };
    Size {
        columns: or(columns, USUAL.columns),
        rows: or(rows, USUAL.rows),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_some_size_whatever_is_said() {
        for (said, taken) in [
            ((100, 30), (100, 30)),
            ((0, 0), (80, 24)),
            ((u32::MAX, 1), (u16::MAX, 1)),
        ] {
            let size = size(said.0, said.1);
            assert_eq!((size.columns, size.rows), taken);
        }
    }
}
