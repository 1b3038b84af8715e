//! A balancer within a program: what whoever embeds txlb sees of it.
//!
//! A thin front of the director's desk and the doors: what is done, and how, is theirs.

mod admin_servers;
mod builder;
mod error;
mod events;

pub use admin_servers::{AdminInterface, AdminServerError, AdminServers};
pub use builder::Builder;
pub use error::{ApplyError, Error, ErrorKind};
pub use events::Events;

use std::fmt;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::verb::{Action, Command, ParseError, Verb};
use crate::control::{Actor, ControllerThread, EventBus, Handle, Response, Sessions, Status};

/// How long the last sessions may take to be cut off, once their time is over.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// A balancer that runs.
///
/// Its methods may be called from any thread; each waits until it is its turn and what it
/// asks for is in force on every worker. So a scheduler of its own, or a logger while it
/// logs, must not call them: it would wait for itself, for ever. Dropping the balancer
/// stops it: whoever is served then is cut off. [`Balancer::shutdown`] gives them time, and
/// so does the verb `shutdown grace=5` where several threads hold it in an
/// [`Arc`](std::sync::Arc).
pub struct Balancer {
    // Goes before the doors, so that no change opens one again.
    thread: ControllerThread,
    admin_servers: AdminServers,
    news: EventBus,
    /// Told when the last session is over after a stop.
    end: Mutex<Receiver<()>>,
}

/// What was done because it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// Of the configuration in force then: counts those that were, from 1.
    pub generation: u64,
    /// What was done, in words; empty where that goes without saying.
    pub message: String,
    /// What there is to be told, for a question such as `sessions`.
    pub lines: Vec<String>,
}

impl Balancer {
    /// One that is to be said step by step.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// One that balances what a file says, to be read at the start.
    pub fn from_file(path: impl Into<PathBuf>) -> Builder {
        Builder::of_file(path.into())
    }

    /// One that balances what a text says that could be in such a file.
    pub fn from_xml(text: impl Into<String>) -> Builder {
        Builder::of_text(text.into())
    }

    /// How everything is. Once all is over because a scheduler panicked, there are no
    /// services in it.
    pub fn status(&self) -> Status {
        self.handle().status()
    }

    /// The open sessions, of which 10,000 at most are listed.
    pub fn sessions(&self) -> Sessions {
        self.handle().sessions()
    }

    /// Where a service is reached: with port 0, the one the system chose. Nowhere, if
    /// there is no such service.
    pub fn addresses(&self, service: &str) -> Vec<SocketAddr> {
        let status = self.status();
        status
            .service(service)
            .map_or_else(Vec::new, |service| service.addresses.clone())
    }

    /// Where the page or the console is reached: with port 0, the one the system chose.
    /// Nowhere, if it is shut; and the control socket is a file.
    pub fn admin_addresses(&self, interface: AdminInterface) -> Vec<SocketAddr> {
        self.admin_servers.addresses(interface)
    }

    /// What happens from now on, for this listener: there may be several.
    pub fn events(&self) -> Events {
        Events(self.news.listen(events::ROOM))
    }

    /// Does what a line asks for that could be said at the control socket, such as
    /// `drainHost service=web group=main name=one`: the verbs are those of txlbctl(8). The
    /// lines of `help` list them, those of `help setOption` say what one takes.
    ///
    /// # Errors
    /// It is not understood, or refused. Nothing has changed then.
    pub fn apply(&self, verb: &str) -> Result<Applied, ApplyError> {
        self.execute(verb.parse())
    }

    /// As [`Balancer::apply`], of a verb and its keys with their values. These are taken
    /// as they are: nothing need be quoted.
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
    /// One is not understood, is no change, or is refused. Nothing has changed then.
    pub fn apply_all(&self, verbs: &[impl AsRef<str>]) -> Result<Applied, ApplyError> {
        let verbs: Result<Vec<Verb>, ApplyError> =
            verbs.iter().map(|it| verb(it.as_ref())).collect();
        to_applied(self.handle().change(&Actor::Program, verbs?))
    }

    /// A new host in a group, behind the others.
    ///
    /// # Errors
    /// It is refused, as there is one of that name say.
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

    /// A host leaves its group. Its sessions go on.
    ///
    /// # Errors
    /// It is refused: the enabled group would be empty, say.
    pub fn remove_host(
        &self,
        service: &str,
        group: &str,
        name: &str,
    ) -> Result<Applied, ApplyError> {
        self.host("delHost", service, group, name)
    }

    /// A host gets no new sessions. Those that it has go on.
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

    /// A host gets sessions again.
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

    /// A group gets the new sessions of its service.
    ///
    /// # Errors
    /// There is no such group.
    pub fn enable_group(&self, service: &str, group: &str) -> Result<Applied, ApplyError> {
        self.apply_pairs("enableGroup", &[("service", service), ("group", group)])
    }

    /// A service listens at another port, or address, instead of one where it listens:
    /// `from` is as it was configured, or the port of that.
    /// Clients that are in the queue of the old one are let in first.
    ///
    /// # Errors
    /// It does not listen there, or cannot at the new place.
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

    /// Writes what is in force to the file it came from.
    ///
    /// # Errors
    /// There is none, somebody has changed it meanwhile, or it cannot be written.
    pub fn save(&self) -> Result<Applied, ApplyError> {
        self.apply("saveConfig")
    }

    /// Reads the file again, as SIGHUP has the program do.
    ///
    /// # Errors
    /// There is none, it is wrong, or changes would be lost that are not in it.
    pub fn reload(&self) -> Result<Applied, ApplyError> {
        self.apply("reload")
    }

    /// Stops: no session begins any more, and those that are open have so much time until
    /// they are cut off. Returns when all is over. [`Duration::MAX`] gives them as long as
    /// they want.
    pub fn shutdown(self, grace: Duration) {
        let stop = Command::Action(Action::Shutdown { grace: Some(grace) });
        // What it says is how many sessions there are.
        let _ = self.handle().execute(&Actor::Program, stop);
        self.await_end(grace.checked_add(END_TIMEOUT));
    }

    /// Waits until somebody has stopped it, at a door say, and all is over.
    pub fn wait(self) {
        self.await_end(None);
    }

    fn await_end(&self, timeout: Option<Duration>) {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        // An error says that it is over too, or that it takes too long: then it is cut.
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

/// A line that is a change.
fn verb(line: &str) -> Result<Verb, ApplyError> {
    let command: Command = line.parse().map_err(parse_error)?;
    command.into_change().map_err(ApplyError)
}
