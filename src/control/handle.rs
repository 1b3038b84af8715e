//! The handle to the controller: requests, signals, on whose behalf they come, and responses.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use super::signals::{PendingSignals, Signal, bit};
use super::status::{Sessions, Status, table};
use super::threads::Liveness;
use super::upgrade::Successor;
use crate::config::verb::{Command, Question, SessionSelection, StatusFilter, Verb};
use crate::json::{Json, Object};

/// Grace for open sessions after TERM, and after `shutdown` without `grace=`.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// Requests that may wait in the controller's queue. Then senders block.
pub(super) const CAPACITY: usize = 16;

/// A handle to the controller. Cheap to clone. Its methods wait until the controller has done the
/// request; only [`Handle::signal`] never waits.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) requests: SyncSender<Message>,
    pub(super) signals: Arc<PendingSignals>,
    pub(super) workers: Liveness,
}

/// A request for the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// [`Handle::execute`].
    Command(Command),
    /// [`Handle::change`].
    Change(Vec<Verb>),
}

/// What comes into the controller's queue.
#[derive(Debug)]
pub(super) enum Message {
    /// A request.
    Execute(Box<QueuedRequest>),
    /// Wakes the controller: there may be signals.
    Look,
    /// Answer what is known, for the process that takes over.
    History(SyncSender<String>),
    /// Answer how many sessions are open.
    Open(SyncSender<usize>),
    /// The upgrade is over: this process serves now, or none does.
    UpgradeEnded(Result<Successor, String>, SyncSender<bool>),
}

/// A request, on whose behalf it comes, and where its response goes.
#[derive(Debug)]
pub(super) struct QueuedRequest {
    pub(super) actor: Actor,
    pub(super) request: Request,
    /// If given, the request is refused unless this generation is in force.
    pub(super) expected_generation: Option<u64>,
    pub(super) response: SyncSender<Response>,
}

impl Handle {
    /// Executes `command` on behalf of `actor`.
    pub fn execute(&self, actor: &Actor, command: Command) -> Response {
        self.send(actor, Request::Command(command), None)
    }

    /// As [`Handle::execute`], but only while generation `expected_generation` is in force: a
    /// client that looked at an older one does not know what has changed.
    pub fn execute_if_current(
        &self,
        actor: &Actor,
        command: Command,
        expected_generation: u64,
    ) -> Response {
        self.send(actor, Request::Command(command), Some(expected_generation))
    }

    /// Makes several changes as one: all of them or none.
    pub fn change(&self, actor: &Actor, verbs: Vec<Verb>) -> Response {
        self.send(actor, Request::Change(verbs), None)
    }

    /// As [`Handle::change`], but only while generation `expected_generation` is in force.
    pub fn change_if_current(
        &self,
        actor: &Actor,
        verbs: Vec<Verb>,
        expected_generation: u64,
    ) -> Response {
        self.send(actor, Request::Change(verbs), Some(expected_generation))
    }

    /// The status. After the controller's end it is empty, and `stopping`.
    pub fn status(&self) -> Status {
        match self.ask(Question::Status(StatusFilter::default())) {
            ResponseData::Status(status) => *status,
            _ => Status {
                stopping: true,
                ..Status::default()
            },
        }
    }

    /// The open sessions, 10,000 at most. None after the controller's end.
    pub fn sessions(&self) -> Sessions {
        match self.ask(Question::Sessions(SessionSelection::default())) {
            ResponseData::Sessions(sessions) => sessions,
            _ => Sessions::default(),
        }
    }

    /// Handles a signal soon, without waiting. A second signal of a kind that already waits is
    /// dropped.
    ///
    /// A signal to stop also goes to the workers directly. A name server or a disk that keeps the
    /// controller does not delay it.
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

    /// What is known, for a process that takes over. Empty after the controller's end.
    pub fn history(&self) -> String {
        self.answer_to(Message::History).unwrap_or_default()
    }

    /// How many sessions are open: cheaper than the whole status. None after the controller's end.
    pub fn open(&self) -> usize {
        self.answer_to(Message::Open).unwrap_or_default()
    }

    /// Ends an upgrade that an [`Upgrader`](super::Upgrader) was asked for: the process `outcome`
    /// serves, or the reason why none does. Returns once this process listens nowhere any more, or
    /// goes on: whether the file is to be read again.
    pub fn upgrade_ended(&self, outcome: Result<Successor, String>) -> bool {
        self.answer_to(|done| Message::UpgradeEnded(outcome, done))
            .unwrap_or_default()
    }

    fn ask(&self, question: Question) -> ResponseData {
        self.execute(&Actor::Program, Command::Question(question))
            .data
    }

    fn send(&self, actor: &Actor, request: Request, expected_generation: Option<u64>) -> Response {
        let queued = |response| {
            Message::Execute(Box::new(QueuedRequest {
                actor: actor.clone(),
                request,
                expected_generation,
                response,
            }))
        };
        self.answer_to(queued)
            .unwrap_or_else(|| Response::new(Err("txlb has ended".to_owned()), 0))
    }

    /// Waits for the answer to a message; `None` if the controller has ended.
    fn answer_to<T>(&self, message: impl FnOnce(SyncSender<T>) -> Message) -> Option<T> {
        let (answer, answered) = sync_channel(1);
        self.requests.send(message(answer)).ok()?;
        answered.recv().ok()
    }

    pub(super) fn send_signal(&self, bit: u8) {
        self.signals.add(bit);
        match self.requests.try_send(Message::Look) {
            // Full: the controller looks for signals before each request.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

/// On whose behalf something is done, and from where. The log shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Actor {
    /// A signal, by its name, such as `HUP`.
    Signal(&'static str),
    /// A process on this machine, as the system identifies it.
    Control {
        /// Its user.
        uid: u32,
        /// Its process id, where the system tells.
        pid: Option<i32>,
    },
    /// A user who logged in.
    User {
        /// The user's name, as configured.
        name: String,
        /// The client's address.
        from: SocketAddr,
        /// The admin interface, such as `web`.
        interface: &'static str,
    },
    /// The watch on the configuration file (`<config watch>`).
    FileWatch,
    /// The program that embeds txlb.
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
            Actor::FileWatch => f.write_str("the watch on the file"),
            Actor::Program => f.write_str("the program"),
        }
    }
}

/// The response to a request. Data stays data until it is written as a table or as JSON.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Response {
    /// The data that was asked for.
    pub data: ResponseData,
    /// What was done, empty where that is obvious; or why nothing was done.
    pub outcome: Result<String, String>,
    /// The number of the configuration in force then, from 1.
    pub generation: u64,
}

/// Data of a response.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ResponseData {
    /// Lines for people, or exact text.
    Lines(Vec<String>),
    /// The status.
    Status(Box<Status>),
    /// The open sessions.
    Sessions(Sessions),
}

/// The format of a response's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputFormat {
    /// Lines for people.
    #[default]
    Table,
    /// Lines for people, up to this many columns wide.
    Wide(u16),
    /// JSON on one line.
    Json,
}

impl OutputFormat {
    /// Width of tables, in columns, by default.
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

    /// With what was done as data, too: scripts get nothing else of `txlb ctl`.
    pub(super) fn with_message(self) -> Response {
        let lines = self.outcome.iter().cloned().collect();
        self.with(ResponseData::Lines(lines))
    }

    pub(super) fn with(self, data: ResponseData) -> Response {
        Response { data, ..self }
    }

    /// The data as lines for people: tables of at most 78 columns, and exact text, such as verbs,
    /// uncut.
    pub fn lines(&self) -> Vec<String> {
        self.lines_for(OutputFormat::COLUMNS)
    }

    /// As [`Response::lines`], with tables of at most `columns` columns. Names and addresses get
    /// the spare width.
    pub fn lines_for(&self, columns: u16) -> Vec<String> {
        let columns = usize::from(columns);
        match &self.data {
            ResponseData::Lines(lines) => lines.clone(),
            ResponseData::Status(status) => table::status(status, columns),
            ResponseData::Sessions(sessions) => table::sessions(sessions, columns),
        }
    }

    /// The data as JSON, on one line. Plain lines become `{"lines": …}`.
    pub fn json(&self) -> String {
        Json::from(self.data()).into_text()
    }

    /// The whole response as JSON, on one line: `ok`, `generation`, `done` or `error`, and `data`
    /// as in [`Response::json`].
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

    /// The whole response as lines of the control socket: data indented by two spaces, then `ok
    /// generation N` or `error: …`. Each line ends with a line feed.
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

    /// The data as lines in this format.
    pub fn lines_in(&self, format: OutputFormat) -> Vec<String> {
        match format {
            OutputFormat::Table => self.lines(),
            OutputFormat::Wide(columns) => self.lines_for(columns),
            OutputFormat::Json => match &self.data {
                // Errors mostly have no data.
                ResponseData::Lines(lines) if lines.is_empty() && self.outcome.is_err() => {
                    Vec::new()
                }
                _ => vec![self.json()],
            },
        }
    }

    /// `ok generation N`, and what was done, unless the data says it; or `error: ` and the reason.
    // Test: what_was_done_is_said_once.
    pub fn last_line(&self) -> String {
        let is_said = |done: &String| match &self.data {
            ResponseData::Lines(lines) => lines == std::slice::from_ref(done),
            _ => false,
        };
        match &self.outcome {
            Ok(done) if done.is_empty() || is_said(done) => {
                format!("ok generation {}", self.generation)
            }
            Ok(done) => format!("ok generation {}: {done}", self.generation),
            Err(why) => format!("error: {why}"),
        }
    }
}

/// Appends a line with its control characters escaped, so that it stays one line. Tabs stay, since
/// lines of files have them.
pub(crate) fn push_clean(line: &str, out: &mut String) {
    for character in line.chars() {
        match character.is_control() && character != '\t' {
            true => out.extend(character.escape_default()),
            false => out.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_said_once() {
        let plain = Response::new(Ok("1 session is ended".to_owned()), 3);
        assert_eq!(plain.last_line(), "ok generation 3: 1 session is ended");
        let with_data = plain.with_message();
        let text = with_data.text(OutputFormat::Table);
        assert_eq!(text, "  1 session is ended\nok generation 3\n");
        let json = with_data.whole_json();
        assert_eq!(json.matches("1 session is ended").count(), 2, "{json}");
    }
}
