//! HANDLE

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::line_protocol::Request;
use super::signals::Signal;
use super::status::{Sessions, Status, table};
use super::threads::Liveness;
use crate::config::verb::{Command, Verb};
use crate::json::{Json, Object};

/// What open sessions get after TERM, and after `shutdown` without `grace=`.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// Requests that may wait; who comes then waits at the interface.
pub(super) const CAPACITY: usize = 16;

/// A handle to the desk. Cheap to clone. Its methods wait until it is their turn and
/// what they ask for is done; only [`Handle::signal`] never does.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) requests: SyncSender<Message>,
    pub(super) signals: Arc<PendingSignals>,
    pub(super) workers: Liveness,
}

/// What the thread is asked, and where the answer goes.
#[derive(Debug)]
pub(super) enum Message {
    QueuedRequest(Box<QueuedRequest>, SyncSender<Response>),
    Status(SyncSender<Status>),
    Sessions(SyncSender<Sessions>),
    /// There may be signals.
    Look,
}

/// What is to be done or told, and on whose behalf.
#[derive(Debug)]
pub(super) struct QueuedRequest {
    pub(super) actor: Actor,
    pub(super) request: Request,
    /// The generation of the configuration that they looked at, if it must be in
    /// force still.
    pub(super) expected_generation: Option<u64>,
}

/// Signals that nobody has looked at yet: each counts once, however often it came.
#[derive(Debug, Default)]
pub(super) struct PendingSignals {
    bits: AtomicU8,
    /// When the first came that says to stop.
    pub(super) stop: OnceLock<Instant>,
}

/// Not a signal: the desk is to be closed.
pub(super) const CLOSE: u8 = 1 << 7;

impl PendingSignals {
    fn add(&self, bit: u8) {
        self.bits.fetch_or(bit, Ordering::AcqRel);
    }

    /// Whether there is one to stop that nobody has looked at yet.
    pub(super) fn has_stop(&self) -> bool {
        let stop = bit(Signal::Stop) | bit(Signal::Quit);
        self.bits.load(Ordering::Acquire) & stop != 0
    }

    pub(super) fn take(&self) -> u8 {
        self.bits.swap(0, Ordering::AcqRel)
    }
}

pub(super) fn bit(signal: Signal) -> u8 {
    1 << signal as u8
}

impl Handle {
    /// Has `command` done, on behalf of `actor`.
    pub fn execute(&self, actor: &Actor, command: Command) -> Response {
        self.order(actor, Request::Command(command), None)
    }

    /// As [`Handle::execute`], but only while the configuration is that of generation
    /// `expected_generation`: whoever has looked at an older one does not know what has changed.
    pub fn execute_if_current(
        &self,
        actor: &Actor,
        command: Command,
        expected_generation: u64,
    ) -> Response {
        self.order(actor, Request::Command(command), Some(expected_generation))
    }

    /// Has several changes made as one: all of them or none.
    pub fn change(&self, actor: &Actor, verbs: Vec<Verb>) -> Response {
        self.order(actor, Request::Change(verbs), None)
    }

    /// How everything is; once the desk is closed, there is nothing, and it is stopping.
    pub fn status(&self) -> Status {
        let over = || Status {
            stopping: true,
            ..Status::default()
        };
        self.ask(Message::Status).unwrap_or_else(over)
    }

    /// The open sessions, of which 10,000 at most are listed; none once the desk is
    /// closed.
    pub fn sessions(&self) -> Sessions {
        self.ask(Message::Sessions).unwrap_or_default()
    }

    /// Has done what a signal asks for, as soon as may be. A signal that comes while
    /// one of its kind waits is the same as that one.
    ///
    /// To stop does not wait for its turn: a name server or a disk that does not answer may
    /// keep the desk, but keeps nobody from ending.
    pub fn signal(&self, signal: Signal) {
        let grace = match signal {
            Signal::Stop => Some(Some(GRACE)),
            Signal::Quit => Some(None),
            _ => None,
        };
        if grace.is_some() {
            self.signals.stop.get_or_init(Instant::now);
        }
        self.send_signal(bit(signal));
        if let Some(grace) = grace {
            self.workers.stop(grace);
        }
    }

    fn order(&self, actor: &Actor, request: Request, expected_generation: Option<u64>) -> Response {
        let actor = actor.clone();
        let order = Box::new(QueuedRequest {
            actor,
            request,
            expected_generation,
        });
        self.ask(|reply| Message::QueuedRequest(order, reply))
            .unwrap_or_else(|| Response::new(Err("txlb has ended".to_owned()), 0))
    }

    fn ask<T>(&self, request: impl FnOnce(SyncSender<T>) -> Message) -> Option<T> {
        let (reply, answer) = sync_channel(1);
        self.requests.send(request(reply)).ok()?;
        answer.recv().ok()
    }

    pub(super) fn send_signal(&self, bit: u8) {
        self.signals.add(bit);
        match self.requests.try_send(Message::Look) {
            // Full: it looks before each request.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

/// On whose behalf something is done, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Actor {
    /// A signal, by its name, such as `HUP`.
    Signal(&'static str),
    /// Somebody on this machine, as the system vouches for them.
    Control {
        /// The user.
        uid: u32,
        /// The process, where the system tells.
        pid: Option<i32>,
    },
    /// Somebody who logged in.
    User {
        /// As configured.
        name: String,
        /// Where they are.
        from: SocketAddr,
        /// How they came in, such as `web`.
        interface: &'static str,
    },
    /// The program that txlb is part of.
    Program,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Signal(name) => write!(f, "SIG{name}"),
            Actor::Control { uid, pid: None } => write!(f, "uid {uid} (control)"),
            Actor::Control {
                uid,
                pid: Some(pid),
            } => write!(f, "uid {uid}, process {pid} (control)"),
            Actor::User {
                name,
                from,
                interface,
            } => {
                write!(f, "user {} from {from} ({interface})", name.escape_debug())
            }
            Actor::Program => f.write_str("the program"),
        }
    }
}

/// What came of something that was asked for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Response {
    /// What there is to be told.
    pub data: ResponseData,
    /// What was done, empty where that goes without saying; or why nothing was.
    pub outcome: Result<String, String>,
    /// Of the configuration in force then: counts those that were, from 1.
    pub generation: u64,
}

/// What there is to be told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ResponseData {
    /// Lines for people, or of exact text.
    Lines(Vec<String>),
    /// How everything is.
    Status(Box<Status>),
    /// The open sessions.
    Sessions(Sessions),
}

/// How an answer's data is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputFormat {
    /// As lines for people.
    #[default]
    Table,
    /// The same, so many columns wide where that shows more.
    Wide(u16),
    /// As JSON on one line.
    Json,
}

impl OutputFormat {
    /// Tables are so many columns wide at most where nothing else is said.
    pub const COLUMNS: u16 = table::COLUMNS;
}

impl Response {
    pub(super) fn new(outcome: Result<String, String>, generation: u64) -> Response {
        Response {
            data: ResponseData::Lines(Vec::new()),
            outcome,
            generation,
        }
    }

    pub(super) fn with(self, data: ResponseData) -> Response {
        Response { data, ..self }
    }

    /// The data as lines for people: tables of at most 78 columns, and exact text,
    /// such as verbs, as long as it is.
    pub fn lines(&self) -> Vec<String> {
        self.lines_for(OutputFormat::COLUMNS)
    }

    /// As [`Response::lines`], with tables of at most so many columns: names and addresses
    /// get what there is to spare.
    pub fn lines_for(&self, columns: u16) -> Vec<String> {
        let columns = usize::from(columns);
        match &self.data {
            ResponseData::Lines(lines) => lines.clone(),
            ResponseData::Status(status) => table::status(status, columns),
            ResponseData::Sessions(sessions) => table::sessions(sessions, columns),
        }
    }

    /// The data as JSON, on one line. What has no names of its own is `{"lines": …}`.
    pub fn json(&self) -> String {
        Json::from(self.data()).into_text()
    }

    /// All of it as JSON, on one line: `ok`, `generation`, `done` or `error`, and `data`
    /// as [`Response::json`] has it.
    pub fn whole_json(&self) -> String {
        let outcome = self.outcome.as_ref();
        let object = Object::new()
            .with("ok", outcome.is_ok())
            .with("generation", self.generation)
            .with("done", outcome.ok().map(String::as_str))
            .with("error", outcome.err().map(String::as_str))
            .with("data", self.data());
        Json::from(object).into_text()
    }

    fn data(&self) -> Object {
        match &self.data {
            ResponseData::Lines(lines) => {
                Object::new().with_list("lines", lines.iter().map(String::as_str))
            }
            ResponseData::Status(status) => status.to_object(),
            ResponseData::Sessions(sessions) => sessions.to_object(),
        }
    }

    /// All of it as lines of the control socket: the data indented by two spaces, then
    /// `ok generation N` or `error: …`. Each ends with a line feed.
    pub fn text(&self, format: OutputFormat) -> String {
        let mut text = String::new();
        for line in self.lines_in(format) {
            text.push_str("  ");
            push_clean(&line, &mut text);
            text.push('\n');
        }
        push_clean(&self.last_line(), &mut text);
        text.push('\n');
        text
    }

    /// The data as lines in this form.
    pub fn lines_in(&self, format: OutputFormat) -> Vec<String> {
        match format {
            OutputFormat::Table => self.lines(),
            OutputFormat::Wide(columns) => self.lines_for(columns),
            OutputFormat::Json => match &self.data {
                // An error has none, as a rule.
                ResponseData::Lines(lines) if lines.is_empty() && self.outcome.is_err() => {
                    Vec::new()
                }
                _ => vec![self.json()],
            },
        }
    }

    /// `ok generation N`, and what was done; or `error: ` and why nothing was.
    pub fn last_line(&self) -> String {
        match &self.outcome {
            Ok(done) if done.is_empty() => format!("ok generation {}", self.generation),
            Ok(done) => format!("ok generation {}: {done}", self.generation),
            Err(why) => format!("error: {why}"),
        }
    }
}

/// A line stays one, whatever is in it. A tab is left, or the lines of a file would not be its own.
pub(crate) fn push_clean(line: &str, out: &mut String) {
    for character in line.chars() {
        match character.is_control() && character != '\t' {
            true => out.extend(character.escape_default()),
            false => out.push(character),
        }
    }
}
