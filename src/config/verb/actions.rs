//! Commands that do not change the configuration: actions, questions, and brackets of batches.

use std::time::Duration;

use super::HostKey;
use super::line::begins;
use super::table::{
    self, CommandSchema, KeySchema, action, batch, force, host_keys, optional, question, required,
    service_key,
};
use super::values::Values;
use crate::config::value::{Value, seconds_text};
use crate::config::{Error, Network, ValueKind};

/// An action that does not change the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Try a failed host again now.
    RetryHost {
        /// The host.
        host: HostKey,
    },
    /// End one session.
    EndSession {
        /// Its id.
        id: u64,
    },
    /// End sessions.
    EndSessions {
        /// Which.
        selection: SessionSelection,
        /// Sessions a second, at most; `None` is all at once.
        rate: Option<u32>,
        /// Even if nothing is selected, so that all sessions end.
        force: bool,
    },
    /// End sessions of hosts that have more than their share, gradually.
    Rebalance {
        /// The service.
        service: String,
        /// The group; by default the enabled one.
        group: Option<String>,
        /// Sessions a second, at most.
        rate: u32,
    },
    /// Take a change back.
    Undo {
        /// The generation that it made; the last change if `None`.
        change: Option<u64>,
        /// Even if a group with new sessions loses its last usable host.
        force: bool,
    },
    /// Write the running configuration to its file.
    SaveConfig {
        /// Even if the file has been changed meanwhile.
        force: bool,
    },
    /// Read the file again.
    Reload {
        /// Even if unsaved changes are lost.
        force: bool,
    },
    /// Say that nothing is ready, and serve on.
    Resign {
        /// How long to wait before it is answered; `None` is not at all.
        wait: Option<Duration>,
    },
    /// Take that back.
    Resume,
    /// Open the log anew.
    ReopenLog,
    /// Have the program at the same path take over.
    Upgrade,
    /// Stop.
    Shutdown {
        /// Time for open sessions; `None` is the same as for a SIGTERM.
        grace: Option<Duration>,
    },
}

/// Which sessions are listed or ended. What is not given selects all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SessionSelection {
    /// Those of this service.
    pub service: Option<String>,
    /// Those of groups of this name.
    pub group: Option<String>,
    /// Those on hosts of this name.
    pub host: Option<String>,
    /// Those of clients from there.
    pub client: Option<Network>,
    /// Those that have been silent for so long.
    pub idle: Option<Duration>,
}

impl SessionSelection {
    /// Whether it selects all sessions.
    pub fn is_empty(&self) -> bool {
        let names = [&self.service, &self.group, &self.host];
        names.iter().all(|name| name.is_none()) && self.client.is_none() && self.idle.is_none()
    }

    fn keys() -> Vec<KeySchema> {
        let others = [
            optional("client", ValueKind::Network),
            optional("idle", ValueKind::Seconds),
        ];
        part_keys().into_iter().chain(others).collect()
    }

    fn of(values: &Values) -> SessionSelection {
        let given = |key| values.text(key).map(str::to_owned);
        let detached = |key| Some(Value::detached(key, values.text(key)?));
        SessionSelection {
            service: given("service"),
            group: given("group"),
            host: given("host"),
            client: detached("client").and_then(|it| it.network().ok()),
            idle: detached("idle").and_then(|it| it.seconds().ok().flatten()),
        }
    }

    /// Adds its values to a command that has its keys.
    fn add_to(&self, values: Values) -> Values {
        values
            .maybe("service", self.service.as_ref())
            .maybe("group", self.group.as_ref())
            .maybe("host", self.host.as_ref())
            .maybe("client", self.client)
            .maybe("idle", self.idle.map(|idle| seconds_text(Some(idle))))
    }
}

/// The keys that select a part of what there is.
fn part_keys() -> Vec<KeySchema> {
    vec![
        optional("service", ValueKind::Service),
        optional("group", ValueKind::Group),
        optional("host", ValueKind::Host),
    ]
}

/// Which part of the status is shown. What is not given selects all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StatusFilter {
    /// This service.
    pub service: Option<String>,
    /// Groups of this name.
    pub group: Option<String>,
    /// Hosts of this name.
    pub host: Option<String>,
    /// Only hosts that get no sessions or are suspect, and groups without a usable host.
    pub problems: bool,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Question {
    /// The status.
    Status(StatusFilter),
    /// The open sessions, or those that are selected.
    Sessions(SessionSelection),
    /// Whether new sessions are served.
    Ready {
        /// By this service; by every one if `None`.
        service: Option<String>,
    },
    /// The running configuration, or the stored one.
    Config {
        /// Which view.
        view: View,
    },
    /// The verbs that make the running configuration from the stored one.
    Diff,
    /// The last changes.
    History,
    /// Completions of a line.
    Complete {
        /// The line up to the cursor.
        line: String,
    },
    /// The list of commands, or help on one.
    Help {
        /// The command.
        verb: Option<&'static CommandSchema>,
    },
}

/// A way to look at the configuration. Passwords are `***` in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum View {
    /// What is in effect, with every default written out.
    #[default]
    Effect,
    /// The file as it would be if it were saved now.
    Running,
    /// The file as it was last read or saved.
    Stored,
}

impl View {
    /// Every one.
    pub const ALL: [View; 3] = [View::Effect, View::Running, View::Stored];

    /// The word for it in verbs.
    pub fn as_str(self) -> &'static str {
        match self {
            View::Effect => "effect",
            View::Running => "running",
            View::Stored => "stored",
        }
    }
}

/// Brackets around several changes that become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batch {
    /// Keep the changes that follow.
    Begin,
    /// Make them, all or none.
    Commit,
    /// Forget them.
    Abort,
}

impl Action {
    /// The command that parses as this action.
    pub(super) fn values(&self) -> Values {
        match self {
            Action::RetryHost { host } => Values::new(&RETRY_HOST).with_host(host),
            Action::EndSession { id } => Values::new(&END_SESSION).with("id", format!("{id:x}")),
            Action::EndSessions {
                selection,
                rate,
                force,
            } => selection
                .add_to(Values::new(&END_SESSIONS))
                .maybe("rate", rate.as_ref())
                .with("force", force),
            Action::Rebalance {
                service,
                group,
                rate,
            } => Values::new(&REBALANCE)
                .with("service", service)
                .maybe("group", group.as_ref())
                .with("rate", rate),
            Action::Undo { change, force } => Values::new(&UNDO)
                .maybe("change", change.as_ref())
                .with("force", force),
            Action::SaveConfig { force } => Values::new(&SAVE_CONFIG).with("force", force),
            Action::Reload { force } => Values::new(&RELOAD).with("force", force),
            Action::Resign { wait } => {
                let wait = wait.map(|wait| seconds_text(Some(wait)));
                Values::new(&RESIGN).maybe("wait", wait)
            }
            Action::Resume => Values::new(&RESUME),
            Action::ReopenLog => Values::new(&REOPEN_LOG),
            Action::Upgrade => Values::new(&UPGRADE),
            Action::Shutdown { grace } => {
                let grace = grace.map(|grace| seconds_text(Some(grace)));
                Values::new(&SHUTDOWN).maybe("grace", grace)
            }
        }
    }
}

pub(super) static RETRY_HOST: CommandSchema = action(
    "retryHost",
    host_keys,
    "reset a failed host to untried: it gets new sessions",
    |values| Action::RetryHost {
        host: values.host(),
    },
);

pub(super) static END_SESSION: CommandSchema = action(
    "endSession",
    || vec![required("id", ValueKind::SessionId)],
    "end one session, by its id as sessions shows it",
    |values| Action::EndSession {
        id: values.get("id", Value::session_id).unwrap_or_default(),
    },
);

pub(super) static END_SESSIONS: CommandSchema = action(
    "endSessions",
    || {
        let others = [optional("rate", ValueKind::Rate), force()];
        SessionSelection::keys().into_iter().chain(others).collect()
    },
    "end the sessions that are selected, at once or so many a second",
    |values| {
        let rate = values.text("rate");
        Action::EndSessions {
            selection: SessionSelection::of(values),
            rate: rate.and_then(|text| Value::detached("rate", text).rate().ok()),
            force: values.is_forced(),
        }
    },
);

/// The default of `rebalance rate=`, in sessions a second.
const REBALANCE_RATE: u32 = 10;

pub(super) static REBALANCE: CommandSchema = action(
    "rebalance",
    || {
        let rate = KeySchema {
            default: Some(REBALANCE_RATE.to_string()),
            ..optional("rate", ValueKind::Rate)
        };
        vec![service_key(), optional("group", ValueKind::Group), rate]
    },
    "end sessions, gradually, of hosts that have more than their share",
    |values| Action::Rebalance {
        service: values.name("service"),
        group: values.text("group").map(str::to_owned),
        rate: values.get("rate", Value::rate).unwrap_or(REBALANCE_RATE),
    },
);

impl Value<'_> {
    /// The generation that a change made.
    pub(in crate::config) fn generation(&self) -> Result<u64, Error> {
        let expected = "the number of a change, as history shows it";
        self.whole_number(0..=u64::MAX, expected)
    }

    /// The word for what is wrong, in any case, or a beginning of it that is not too short: a service
    /// may be called `p`.
    pub(in crate::config) fn problems(&self) -> Result<&'static str, Error> {
        let is_meant = self.text.len() >= SHORTEST_PROBLEMS && begins(PROBLEMS, self.text);
        is_meant
            .then_some(PROBLEMS)
            .ok_or_else(|| self.bad_value(PROBLEMS))
    }
}

pub(super) static UNDO: CommandSchema = action(
    "undo",
    || {
        let change = KeySchema {
            bare: true,
            ..optional("change", ValueKind::Generation)
        };
        vec![change, force()]
    },
    "take back the last change, or the one of this number in history",
    |values| Action::Undo {
        change: values.get("change", Value::generation).ok(),
        force: values.is_forced(),
    },
);

pub(super) static SAVE_CONFIG: CommandSchema = action(
    "saveConfig",
    || vec![force()],
    "write the running configuration to the file",
    |values| Action::SaveConfig {
        force: values.is_forced(),
    },
);

pub(super) static RELOAD: CommandSchema = action(
    "reload",
    || vec![force()],
    "read the file again",
    |values| Action::Reload {
        force: values.is_forced(),
    },
);

pub(super) static RESIGN: CommandSchema = action(
    "resign",
    || vec![optional("wait", ValueKind::Grace)],
    "say that nothing is ready, so that clients are sent elsewhere; serve on",
    |values| {
        let given = values.text("wait");
        let wait = given.and_then(|text| Value::detached("wait", text).seconds().ok());
        Action::Resign {
            wait: wait.map(Option::unwrap_or_default),
        }
    },
);

pub(super) static RESUME: CommandSchema =
    action("resume", Vec::new, "take resign back", |_| Action::Resume);

pub(super) static REOPEN_LOG: CommandSchema =
    action("reopenLog", Vec::new, "reopen the log", |_| {
        Action::ReopenLog
    })
    .with_old("closeLog");

pub(super) static UPGRADE: CommandSchema = action(
    "upgrade",
    Vec::new,
    "have the program at the same path take over; this process drains",
    |_| Action::Upgrade,
);

pub(super) static SHUTDOWN: CommandSchema = action(
    "shutdown",
    || vec![optional("grace", ValueKind::Grace)],
    "stop; open sessions have so many seconds to end",
    |values| {
        let given = values.text("grace");
        let grace = given.and_then(|text| Value::detached("grace", text).seconds().ok());
        Action::Shutdown {
            grace: grace.map(Option::unwrap_or_default),
        }
    },
);

impl Question {
    /// The command that parses as this question.
    pub(super) fn values(&self) -> Values {
        match self {
            Question::Status(filter) => Values::new(&STATUS)
                .maybe("service", filter.service.as_ref())
                .maybe("group", filter.group.as_ref())
                .maybe("host", filter.host.as_ref())
                .maybe("only", filter.problems.then_some(PROBLEMS)),
            Question::Sessions(selection) => selection.add_to(Values::new(&SESSIONS)),
            Question::Ready { service } => Values::new(&READY).maybe("service", service.as_ref()),
            Question::Config { view } => Values::new(&CONFIG).with("view", view.as_str()),
            Question::Diff => Values::new(&DIFF),
            Question::History => Values::new(&HISTORY),
            Question::Complete { line } => Values::new(&COMPLETE).with("line", line),
            Question::Help { verb } => Values::new(&HELP).maybe("verb", verb.map(|verb| verb.name)),
        }
    }
}

/// The word for [`StatusFilter::problems`].
pub(in crate::config) const PROBLEMS: &str = "problems";

/// Letters of it that are enough.
const SHORTEST_PROBLEMS: usize = 4;

pub(super) static STATUS: CommandSchema = question(
    "status",
    || {
        let only = KeySchema {
            bare: true,
            ..optional("only", ValueKind::Problems)
        };
        part_keys().into_iter().chain([only]).collect()
    },
    "show the status, or a part of it: status web:main, status problems",
    |values| {
        let given = |key| values.text(key).map(str::to_owned);
        Question::Status(StatusFilter {
            service: given("service"),
            group: given("group"),
            host: given("host"),
            problems: values.text("only").is_some(),
        })
    },
);

pub(super) static SESSIONS: CommandSchema = question(
    "sessions",
    SessionSelection::keys,
    "show the open sessions, or some: sessions web:main/one",
    |values| Question::Sessions(SessionSelection::of(values)),
);

pub(super) static READY: CommandSchema = question(
    "ready",
    || vec![optional("service", ValueKind::Service)],
    "say whether services can take new sessions; an error if not",
    |values| Question::Ready {
        service: values.text("service").map(str::to_owned),
    },
);

pub(super) static CONFIG: CommandSchema = question(
    "config",
    || {
        let view = KeySchema {
            default: Some(View::default().as_str().to_owned()),
            ..optional("view", ValueKind::View)
        };
        vec![view]
    },
    "show the running configuration",
    |values| Question::Config {
        view: values.get("view", Value::view).unwrap_or_default(),
    },
);

pub(super) static DIFF: CommandSchema = question(
    "diff",
    Vec::new,
    "show the changes that are not in the file",
    |_| Question::Diff,
);

pub(super) static HISTORY: CommandSchema = question(
    "history",
    Vec::new,
    "show the last 100 changes, who made them and when",
    |_| Question::History,
);

pub(super) static COMPLETE: CommandSchema = question(
    "complete",
    || vec![required("line", ValueKind::Line)],
    "show completions of a line: choices for its last word",
    |values| Question::Complete {
        line: values.name("line"),
    },
);

pub(super) static HELP: CommandSchema = question(
    "help",
    || {
        let verb = KeySchema {
            bare: true,
            ..optional("verb", ValueKind::Command)
        };
        vec![verb]
    },
    "show the commands, or what one of them takes",
    |values| Question::Help {
        verb: values.text("verb").and_then(table::command),
    },
);

impl Batch {
    /// The command that parses as this bracket.
    pub(super) fn values(self) -> Values {
        Values::new(match self {
            Batch::Begin => &BEGIN,
            Batch::Commit => &COMMIT,
            Batch::Abort => &ABORT,
        })
    }
}

pub(super) static BEGIN: CommandSchema = batch(
    "begin",
    "start a batch: commit makes its changes together",
    Batch::Begin,
);

pub(super) static COMMIT: CommandSchema = batch(
    "commit",
    "make the changes since begin, all or none",
    Batch::Commit,
);

pub(super) static ABORT: CommandSchema =
    batch("abort", "drop the changes since begin", Batch::Abort);
