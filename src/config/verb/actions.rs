//! Commands that do not change the configuration: actions, questions, and brackets of batches.

use std::time::Duration;

use super::HostKey;
use super::table::{
    self, CommandSchema, KeySchema, action, batch, force, host_keys, optional, question, required,
};
use super::values::Values;
use crate::config::ValueKind;
use crate::config::value::{Value, seconds_text};

/// An action that does not change the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Try a failed host again now.
    RetryHost {
        /// The host.
        host: HostKey,
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
    /// Open the log anew.
    ReopenLog,
    /// Stop.
    Shutdown {
        /// Time for open sessions; `None` is the same as for a SIGTERM.
        grace: Option<Duration>,
    },
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Question {
    /// The status.
    Status,
    /// The open sessions.
    Sessions,
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
            Action::SaveConfig { force } => Values::new(&SAVE_CONFIG).with("force", force),
            Action::Reload { force } => Values::new(&RELOAD).with("force", force),
            Action::ReopenLog => Values::new(&REOPEN_LOG),
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

pub(super) static REOPEN_LOG: CommandSchema =
    action("reopenLog", Vec::new, "reopen the log", |_| {
        Action::ReopenLog
    })
    .with_old("closeLog");

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
            Question::Status => Values::new(&STATUS),
            Question::Sessions => Values::new(&SESSIONS),
            Question::Ready { service } => Values::new(&READY).maybe("service", service.as_ref()),
            Question::Config { view } => Values::new(&CONFIG).with("view", view.as_str()),
            Question::Diff => Values::new(&DIFF),
            Question::Complete { line } => Values::new(&COMPLETE).with("line", line),
            Question::Help { verb } => Values::new(&HELP).maybe("verb", verb.map(|verb| verb.name)),
        }
    }
}

pub(super) static STATUS: CommandSchema =
    question("status", Vec::new, "show the status", |_| Question::Status);

pub(super) static SESSIONS: CommandSchema =
    question("sessions", Vec::new, "show the open sessions", |_| {
        Question::Sessions
    });

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
