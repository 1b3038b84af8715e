//! The table of commands with their keys. Parsing, `help`, completion, web forms and the manual
//! page share it.
//!
//! Each command is declared once, with its effect: `groups`, `checks`, `services`, `routes`, `users`
//! and `actions`.

use std::sync::LazyLock;

use super::actions::{self, Action, Batch, Question};
use super::line::begins;
use super::values::Values;
use super::{CommandError, PROBLEMS, ParseError, checks, groups, routes, services, users};
use crate::config::attributes::{Attribute, ElementTable, Presence, Verbs};
use crate::config::{Config, ValueKind};

/// One command.
#[derive(Debug)]
#[non_exhaustive]
pub struct CommandSchema {
    /// Its name.
    pub name: &'static str,
    /// An old name, still accepted.
    pub old: Option<&'static str>,
    keys: LazyLock<Vec<KeySchema>>,
    /// What it does, in one line.
    pub summary: &'static str,
    pub(super) effect: Effect,
}

impl PartialEq for CommandSchema {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for CommandSchema {}

impl CommandSchema {
    /// With an old name.
    pub(super) const fn with_old(mut self, old: &'static str) -> Self {
        self.old = Some(old);
        self
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self.effect {
            Effect::Change { .. } => Kind::Change,
            Effect::Action(_) => Kind::Action,
            Effect::Question(_) => Kind::Question,
            Effect::Batch(_) => Kind::Batch,
        }
    }

    /// Whether it only reads, so that read-only users may use it.
    pub fn only_reads(&self) -> bool {
        self.kind() == Kind::Question
    }

    /// Its keys, in the order of encoding.
    pub fn keys(&self) -> &[KeySchema] {
        &self.keys
    }

    /// The key of that name, or of that old name.
    pub fn key(&'static self, name: &str) -> Option<&'static KeySchema> {
        self.keys
            .iter()
            .find(|key| key.name == name || key.old == Some(name))
    }

    /// Its keys, as in `service= [force=]`.
    pub fn synopsis(&self) -> String {
        let keys: Vec<_> = self.keys.iter().map(KeySchema::synopsis).collect();
        keys.join(" ")
    }
}

/// What a command does.
#[derive(Debug)]
pub(super) enum Effect {
    /// It changes the configuration.
    Change {
        /// Changes it in place; after an error it must be dropped.
        apply: fn(&Values, &mut Config) -> Result<(), CommandError>,
        previous: fn(&Values, &Config) -> PreviousValues,
    },
    Action(fn(&Values) -> Action),
    Question(fn(&Values) -> Question),
    Batch(Batch),
}

/// The values that a change replaces, for the log; `None` if it only adds, or they are secret.
pub(super) type PreviousValues = Option<Vec<(&'static str, String)>>;

/// Kind of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It changes the configuration.
    Change,
    /// It does something else.
    Action,
    /// It only reads.
    Question,
    /// It is a bracket of a batch.
    Batch,
}

/// A key of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeySchema {
    /// Its name.
    pub name: &'static str,
    /// An old name, still accepted.
    pub old: Option<&'static str>,
    /// Whether it is required.
    pub required: bool,
    /// The required key that it may replace.
    pub instead_of: Option<&'static str>,
    /// Whether it may occur more than once.
    pub repeats: bool,
    /// Whether a word without `key=` is its value.
    pub bare: bool,
    /// Whether an empty value is one: last of all, or none.
    pub may_be_empty: bool,
    /// Kind of its value.
    pub value_kind: ValueKind,
    /// A value that means the same as none.
    pub default: Option<String>,
}

impl KeySchema {
    fn synopsis(&self) -> String {
        let name = match (self.bare, self.value_kind) {
            (true, ValueKind::Problems) => PROBLEMS.to_owned(),
            (true, _) => self.name.to_uppercase(),
            (false, _) => format!("{}=", self.name),
        };
        let more = if self.repeats { " ..." } else { "" };
        match self.required {
            true => format!("{name}{more}"),
            false => format!("[{name}{more}]"),
        }
    }
}

/// All commands, related ones together. One that is not listed here is unused code.
pub fn commands() -> &'static [&'static CommandSchema] {
    COMMANDS
}

/// The command of that name, or of that old name.
pub fn command(name: &str) -> Option<&'static CommandSchema> {
    let mut commands = COMMANDS.iter().copied();
    commands.find(|command| command.name == name || command.old == Some(name))
}

/// The command that a name means: in any case, or the only one that begins so.
///
/// # Errors
/// None does, or several do.
pub fn find(name: &str) -> Result<&'static CommandSchema, ParseError> {
    let is_whole = |known: &str| known.eq_ignore_ascii_case(name);
    let mut commands = COMMANDS.iter().copied();
    let whole = commands.find(|it| is_whole(it.name) || it.old.is_some_and(is_whole));
    if let Some(command) = whole {
        return Ok(command);
    }
    let is_meant = |it: &&CommandSchema| !name.is_empty() && begins(it.name, name);
    let meant: Vec<_> = COMMANDS.iter().copied().filter(is_meant).collect();
    match meant[..] {
        [] => Err(ParseError::unknown_verb(name)),
        [command] => Ok(command),
        _ => Err(ParseError::AmbiguousVerb {
            found: name.to_owned(),
            candidates: meant.iter().map(|command| command.name).collect(),
        }),
    }
}

static COMMANDS: &[&CommandSchema] = &[
    &groups::ADD_HOST,
    &groups::DEL_HOST,
    &groups::DEL_ALL_HOSTS,
    &groups::SET_HOST,
    &groups::SET_WEIGHT,
    &groups::DRAIN_HOST,
    &groups::HOST_ADMIN_DOWN,
    &groups::HOST_ADMIN_UP,
    &groups::NEW_GROUP,
    &groups::DEL_GROUP,
    &groups::ENABLE_GROUP,
    &groups::SET_GROUP,
    &groups::CHANGE_SCHEDULER,
    &checks::ADD_CHECK,
    &checks::SET_CHECK,
    &checks::DEL_CHECK,
    &services::NEW_SERVICE,
    &services::DEL_SERVICE,
    &services::SET_SERVICE,
    &services::ADD_LISTEN,
    &services::SET_LISTEN,
    &services::DEL_LISTEN,
    &services::SWITCH_PORT,
    &routes::ADD_ROUTE,
    &routes::SET_ROUTE,
    &routes::DEL_ROUTE,
    &users::ADD_USER,
    &users::SET_USER,
    &users::DEL_USER,
    &users::SET_OPTION,
    &actions::BEGIN,
    &actions::COMMIT,
    &actions::ABORT,
    &actions::RETRY_HOST,
    &actions::END_SESSION,
    &actions::END_SESSIONS,
    &actions::REBALANCE,
    &actions::UNDO,
    &actions::SAVE_CONFIG,
    &actions::RELOAD,
    &actions::RESIGN,
    &actions::RESUME,
    &actions::REOPEN_LOG,
    &actions::UPGRADE,
    &actions::SHUTDOWN,
    &actions::STATUS,
    &actions::SESSIONS,
    &actions::READY,
    &actions::CONFIG,
    &actions::DIFF,
    &actions::HISTORY,
    &actions::COMPLETE,
    &actions::HELP,
];

type Keys = fn() -> Vec<KeySchema>;

/// Declares a verb that replaces values: `previous` tells which, for the log.
pub(super) const fn replaces(
    name: &'static str,
    keys: Keys,
    summary: &'static str,
    apply: fn(&Values, &mut Config) -> Result<(), CommandError>,
    previous: fn(&Values, &Config) -> PreviousValues,
) -> CommandSchema {
    declare(name, keys, summary, Effect::Change { apply, previous })
}

/// Declares a verb that only adds, or removes what the log need not keep.
pub(super) const fn adds(
    name: &'static str,
    keys: Keys,
    summary: &'static str,
    apply: fn(&Values, &mut Config) -> Result<(), CommandError>,
) -> CommandSchema {
    replaces(name, keys, summary, apply, |_, _| None)
}

pub(super) const fn action(
    name: &'static str,
    keys: Keys,
    summary: &'static str,
    make: fn(&Values) -> Action,
) -> CommandSchema {
    declare(name, keys, summary, Effect::Action(make))
}

pub(super) const fn question(
    name: &'static str,
    keys: Keys,
    summary: &'static str,
    make: fn(&Values) -> Question,
) -> CommandSchema {
    declare(name, keys, summary, Effect::Question(make))
}

pub(super) const fn batch(
    name: &'static str,
    summary: &'static str,
    batch: Batch,
) -> CommandSchema {
    declare(name, Vec::new, summary, Effect::Batch(batch))
}

const fn declare(
    name: &'static str,
    keys: Keys,
    summary: &'static str,
    effect: Effect,
) -> CommandSchema {
    CommandSchema {
        name,
        old: None,
        keys: LazyLock::new(keys),
        summary,
        effect,
    }
}

pub(super) fn required(name: &'static str, value_kind: ValueKind) -> KeySchema {
    KeySchema {
        name,
        old: None,
        required: true,
        instead_of: None,
        repeats: false,
        bare: false,
        may_be_empty: false,
        value_kind,
        default: None,
    }
}

pub(super) fn optional(name: &'static str, value_kind: ValueKind) -> KeySchema {
    KeySchema {
        required: false,
        ..required(name, value_kind)
    }
}

/// `before=`, with an item of this kind; empty for the last place.
pub(super) fn before(value_kind: ValueKind) -> KeySchema {
    KeySchema {
        may_be_empty: true,
        ..optional("before", value_kind)
    }
}

pub(super) fn force() -> KeySchema {
    KeySchema {
        default: Some(false.to_string()),
        ..optional("force", ValueKind::Flag)
    }
}

pub(super) fn service_key() -> KeySchema {
    required("service", ValueKind::Service)
}

pub(super) fn group_keys() -> Vec<KeySchema> {
    vec![service_key(), required("group", ValueKind::Group)]
}

pub(super) fn host_keys() -> Vec<KeySchema> {
    let name = KeySchema {
        old: Some("host"),
        ..required("name", ValueKind::Host)
    };
    [group_keys(), vec![name]].concat()
}

impl<T> ElementTable<T> {
    /// The keys of a verb that adds such an element, besides its name.
    pub(super) fn keys_to_add(&self) -> Vec<KeySchema> {
        let new = (self.new)();
        let key = |it: &Attribute<T>| KeySchema {
            required: it.presence != Presence::Optional,
            default: (it.presence == Presence::Optional)
                .then(|| (it.get)(&new).unwrap_or_default()),
            ..required(it.name, it.kind)
        };
        let attributes = self.attributes.iter();
        let with_key = attributes.filter(|it| it.verbs != Verbs::Nothing);
        with_key.map(key).collect()
    }

    /// The keys of a verb that changes such an element.
    pub(super) fn keys_to_set(&self) -> Vec<KeySchema> {
        let attributes = self.attributes.iter();
        let with_key = attributes.filter(|it| it.verbs == Verbs::AddAndSet);
        with_key.map(|it| optional(it.name, it.kind)).collect()
    }
}
