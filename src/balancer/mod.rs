//! The public interface of a balancer within a program: its methods, which pass requests on to the
//! controller, its events and its errors.

mod admin_servers;
mod builder;

pub use admin_servers::{AdminInterface, AdminServerError, AdminServers};
pub use builder::Builder;

use std::fmt::{self, Display};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use crate::config;
use crate::config::verb::{Action, Command, ParseError, Verb};
use crate::control::{
    self, Actor, ControllerThread, Event, EventBus, FileError, Handle, Response, Sessions, Status,
    Subscription,
};
use crate::os::address::Address;
use crate::sync::lock;

/// How long sessions may take to be cut after their grace.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// Events that wait to be taken. Further ones are counted and dropped.
const MAX_WAITING_EVENTS: usize = 1024;

/// A running balancer.
///
/// Its methods may be called from any thread. Each waits until its request is in force on every
/// worker. So a scheduler of your own, or a logger, must not call them: it would wait for itself
/// forever.
///
/// Dropping the balancer stops it and cuts its sessions. [`Balancer::shutdown`] gives sessions
/// time. So does the verb `shutdown grace=5`, where several threads share it in an
/// [`Arc`](std::sync::Arc).
pub struct Balancer {
    // Dropped before the admin servers, so that no change opens one again.
    thread: ControllerThread,
    admin_servers: AdminServers,
    event_bus: EventBus,
    /// Gets a message at the end of the last session. A receiver is not `Sync`: the lock
    /// lets threads share the balancer by reference. Test: threads_share_one_by_reference.
    end: Mutex<Receiver<()>>,
}

/// What a request has done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// Number of the configuration in force then, from 1.
    pub generation: u64,
    /// What was done, in words; empty where that is obvious.
    pub message: String,
    /// Lines of the response, to a question such as `sessions`.
    pub lines: Vec<String>,
}

impl Balancer {
    /// A balancer without a configuration; the builder's steps make one.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A balancer by a configuration file, which is read at the start.
    pub fn from_file(path: impl Into<PathBuf>) -> Builder {
        Builder::of_file(path.into())
    }

    /// A balancer by a text in the format of the file.
    pub fn from_xml(text: impl Into<String>) -> Builder {
        Builder::of_text(text.into())
    }

    /// The status, as plain data. After a panic has ended the balancer, it has no services.
    pub fn status(&self) -> Status {
        self.handle().status()
    }

    /// The open sessions, 10,000 at most.
    pub fn sessions(&self) -> Sessions {
        self.handle().sessions()
    }

    /// Addresses of a service; for port 0, with the port that the system chose. Empty if there is
    /// no such service, or if it listens at Unix sockets alone: these are in [`Balancer::status`].
    pub fn addresses(&self, service: &str) -> Vec<SocketAddr> {
        let status = self.status();
        status.service(service).map_or_else(Vec::new, |service| {
            let addresses = service.addresses.iter();
            addresses.filter_map(Address::socket_address).collect()
        })
    }

    /// Addresses of the admin page or the console; for port 0, with the port that the system
    /// chose. Empty for the control socket, and if the interface is closed.
    pub fn admin_addresses(&self, interface: AdminInterface) -> Vec<SocketAddr> {
        self.admin_servers.addresses(interface)
    }

    /// A new subscription to events, from now on.
    pub fn events(&self) -> Events {
        Events(self.event_bus.subscribe(MAX_WAITING_EVENTS))
    }

    /// Executes a line, as at the control socket, such as `drainHost service=web group=main
    /// name=one`. The verbs are those of txlbctl(8). `help` lists them, `help setOption` lists the
    /// keys of one.
    ///
    /// # Errors
    /// It is not understood, or refused. Nothing has changed then.
    pub fn apply(&self, verb: &str) -> Result<Applied, ApplyError> {
        self.execute(verb.parse())
    }

    /// As [`Balancer::apply`], with a verb and pairs of keys and values. Values are taken as they
    /// are, without quotes.
    ///
    /// # Errors
    /// As of [`Balancer::apply`].
    pub fn apply_pairs(
        &self,
        verb: &str,
        pairs: &[(impl AsRef<str>, impl AsRef<str>)],
    ) -> Result<Applied, ApplyError> {
        self.execute(Command::from_pairs(verb, pairs))
    }

    /// Makes several changes as one: all of them, or none.
    ///
    /// # Errors
    /// One is wrong, is no change, or is refused. Nothing has changed then.
    pub fn apply_all(&self, verbs: &[impl AsRef<str>]) -> Result<Applied, ApplyError> {
        let verbs: Result<Vec<Verb>, ApplyError> =
            verbs.iter().map(|it| verb(it.as_ref())).collect();
        to_applied(self.handle().change(&Actor::Program, verbs?))
    }

    /// Adds a host to a group, behind the others.
    ///
    /// # Errors
    /// It is refused, for example if the name is taken.
    pub fn add_host(
        &self,
        service: &str,
        group: &str,
        name: &str,
        address: impl Display,
    ) -> Result<Applied, ApplyError> {
        let address = address.to_string();
        let host = [("service", service), ("group", group), ("name", name)];
        self.apply_pairs("addHost", &[&host[..], &[("ip", &address)]].concat())
    }

    /// Removes a host from its group. Its sessions go on.
    ///
    /// # Errors
    /// It is refused, for example if the enabled group would be empty.
    pub fn remove_host(
        &self,
        service: &str,
        group: &str,
        name: &str,
    ) -> Result<Applied, ApplyError> {
        self.host("delHost", service, group, name)
    }

    /// Drains a host: it gets no new sessions. Its sessions go on.
    ///
    /// # Errors
    /// There is no such host.
    pub fn drain_host(
        &self,
        service: &str,
        group: &str,
        name: &str,
    ) -> Result<Applied, ApplyError> {
        self.host("drainHost", service, group, name)
    }

    /// Sets a host to up: it gets sessions again.
    ///
    /// # Errors
    /// There is no such host.
    pub fn restore_host(
        &self,
        service: &str,
        group: &str,
        name: &str,
    ) -> Result<Applied, ApplyError> {
        self.host("hostAdminUp", service, group, name)
    }

    /// Enables a group: it gets the new sessions of its service.
    ///
    /// # Errors
    /// There is no such group.
    pub fn enable_group(&self, service: &str, group: &str) -> Result<Applied, ApplyError> {
        self.apply_pairs("enableGroup", &[("service", service), ("group", group)])
    }

    /// Replaces an address of a service by another address, or another port: `from` is an address
    /// as configured, or its port.
    /// Clients in the accept backlog of the old address are accepted first.
    ///
    /// # Errors
    /// It does not listen there, or the new address cannot be bound.
    pub fn switch_port(
        &self,
        service: &str,
        from: impl Display,
        to: impl Display,
    ) -> Result<Applied, ApplyError> {
        let (from, to) = (from.to_string(), to.to_string());
        let keys = [("service", service), ("from", &from), ("to", &to)];
        self.apply_pairs("switchPort", &keys)
    }

    /// Saves the running configuration into its file.
    ///
    /// # Errors
    /// There is no file, another program has changed it, or it cannot be written.
    pub fn save(&self) -> Result<Applied, ApplyError> {
        self.apply("saveConfig")
    }

    /// Reloads the file, as the program does at SIGHUP.
    ///
    /// # Errors
    /// There is no file, it is wrong, or unsaved changes would be lost.
    pub fn reload(&self) -> Result<Applied, ApplyError> {
        self.apply("reload")
    }

    /// Stops: no session begins any more, and open sessions are cut after `grace`. Returns when
    /// all is over. [`Duration::MAX`] is no limit.
    pub fn shutdown(self, grace: Duration) {
        let stop = Command::Action(Action::Shutdown { grace: Some(grace) });
        // The response only says how many sessions are open.
        let _ = self.handle().execute(&Actor::Program, stop);
        self.await_end(grace.checked_add(END_TIMEOUT));
    }

    /// Waits until the balancer was stopped, by an operator for example, and all is over.
    pub fn wait(self) {
        self.await_end(None);
    }

    fn await_end(&self, timeout: Option<Duration>) {
        let end = lock(&self.end);
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        // A timeout is as good as the end: the caller cuts the rest.
        let _ = match deadline {
            Some(deadline) => {
                let timeout = deadline.saturating_duration_since(Instant::now());
                end.recv_timeout(timeout).is_ok()
            }
            None => end.recv().is_ok(),
        };
    }

    fn host(
        &self,
        verb: &str,
        service: &str,
        group: &str,
        name: &str,
    ) -> Result<Applied, ApplyError> {
        let keys = [("service", service), ("group", group), ("name", name)];
        self.apply_pairs(verb, &keys)
    }

    fn execute(&self, command: Result<Command, ParseError>) -> Result<Applied, ApplyError> {
        let command = command.map_err(parse_error)?;
        to_applied(self.handle().execute(&Actor::Program, command))
    }

    fn handle(&self) -> Handle {
        self.thread.handle()
    }
}

impl fmt::Debug for Balancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balancer").finish_non_exhaustive()
    }
}

fn to_applied(answer: Response) -> Result<Applied, ApplyError> {
    let lines = answer.lines();
    let message = answer.outcome.map_err(ApplyError)?;
    Ok(Applied {
        generation: answer.generation,
        message,
        lines,
    })
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn parse_error(error: ParseError) -> ApplyError {
    ApplyError(error.to_string())
}

/// Parses a line that must be a change.
fn verb(line: &str) -> Result<Verb, ApplyError> {
    let command: Command = line.parse().map_err(parse_error)?;
    command.into_change().map_err(ApplyError)
}

/// The events of a balancer from now on.
///
/// An iterator: its `next` waits, and ends when the balancer has ended. Up to 1,024 events wait to
/// be taken; no session waits for that. Further ones are lost, and [`Event::Missed`] has their
/// number.
#[derive(Debug)]
pub struct Events(Subscription);

impl Events {
    /// The next event. `None` if none comes within `timeout`, or the balancer has ended.
    pub fn next_within(&self, timeout: Duration) -> Option<Event> {
        self.0.events.recv_timeout(timeout).ok()
    }

    /// The next event, if one waits.
    pub fn try_next(&self) -> Option<Event> {
        self.0.events.try_recv().ok()
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.0.events.recv().ok()
    }
}

/// Why a balancer cannot start, in words. Nothing runs then.
///
/// If the system refused, the source is the [`io::Error`].
#[derive(Debug)]
pub struct Error(Cause);

#[derive(Debug)]
enum Cause {
    /// The file cannot be read, or is wrong.
    File(FileError),
    /// The text is wrong.
    Text(config::Errors),
    /// A step of the builder is wrong.
    Invalid(String),
    /// The configuration cannot be put in force.
    Start(control::Error),
    /// An admin interface cannot be opened.
    AdminInterface(AdminServerError),
    /// The system refused.
    System(io::Error),
}

/// The kind of an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration is wrong: the file, the text, or a step of the builder.
    Configuration,
    /// The file cannot be read.
    File,
    /// A listener cannot be bound.
    Listen,
    /// An admin interface cannot be opened.
    AdminInterface,
    /// The system refuses a thread or an event queue.
    System,
}

impl Error {
    /// The kind of this error.
    pub fn kind(&self) -> ErrorKind {
        match &self.0 {
            Cause::File(FileError::Unreadable(..)) => ErrorKind::File,
            Cause::File(_) | Cause::Text(_) | Cause::Invalid(_) => ErrorKind::Configuration,
            Cause::Start(control::Error::Scheduler(_)) => ErrorKind::Configuration,
            Cause::Start(
                control::Error::System(_)
                | control::Error::Worker(_)
                | control::Error::ClientAddresses,
            ) => ErrorKind::System,
            Cause::Start(_) => ErrorKind::Listen,
            Cause::AdminInterface(_) => ErrorKind::AdminInterface,
            Cause::System(_) => ErrorKind::System,
        }
    }
}

impl From<Cause> for Error {
    fn from(cause: Cause) -> Error {
        Error(cause)
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::File(error) => error.fmt(f),
            Cause::Text(errors) => f.write_str(&errors.lines("line ").join("\n")),
            Cause::Invalid(why) => f.write_str(why),
            Cause::Start(error) => error.fmt(f),
            Cause::AdminInterface(error) => f.write_str(&error.text),
            Cause::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            // The text of the others has their sources in it.
            Cause::Start(error) => error.source(),
            Cause::File(FileError::Unreadable(_, error)) | Cause::System(error) => Some(error),
            Cause::File(_) | Cause::Text(_) | Cause::Invalid(_) | Cause::AdminInterface(_) => None,
        }
    }
}

/// Why a request was refused, in words for an operator. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyError(String);

impl Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ApplyError {}
