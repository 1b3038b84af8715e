//! The table of commands with their keys. Parsing, `help`, completion, web forms and the manual
//! page share it.
//!
//! The enums in `mod` have the details of what each does.

use crate::config::ValueKind;

/// One command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommandSchema {
    /// Its name.
    pub name: &'static str,
    /// An old name, still accepted.
    pub old: Option<&'static str>,
    /// Its kind.
    pub kind: Kind,
    /// Its keys, in the order of encoding.
    pub keys: &'static [KeySchema],
    /// What it does, in one line.
    pub summary: &'static str,
}

impl CommandSchema {
    /// Whether it only reads, so that read-only users may use it.
    pub fn only_reads(&self) -> bool {
        self.kind == Kind::Question
    }

    /// The key of that name, or of that old name.
    pub fn key(&self, name: &str) -> Option<&'static KeySchema> {
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Kind of its value.
    pub value_kind: ValueKind,
}

impl KeySchema {
    fn synopsis(&self) -> String {
        let name = match self.bare {
            true => self.name.to_uppercase(),
            false => format!("{}=", self.name),
        };
        let more = if self.repeats { " ..." } else { "" };
        match self.required {
            true => format!("{name}{more}"),
            false => format!("[{name}{more}]"),
        }
    }
}

/// All commands, related ones together.
pub fn commands() -> &'static [CommandSchema] {
    COMMANDS
}

/// The command of that name, or of that old name.
pub fn command(name: &str) -> Option<&'static CommandSchema> {
    COMMANDS
        .iter()
        .find(|command| command.name == name || command.old == Some(name))
}

const fn required(name: &'static str, value_kind: ValueKind) -> KeySchema {
    KeySchema {
        name,
        old: None,
        required: true,
        instead_of: None,
        repeats: false,
        bare: false,
        value_kind,
    }
}

const fn optional(name: &'static str, value_kind: ValueKind) -> KeySchema {
    KeySchema {
        required: false,
        ..required(name, value_kind)
    }
}

const fn change(
    name: &'static str,
    keys: &'static [KeySchema],
    summary: &'static str,
) -> CommandSchema {
    CommandSchema {
        name,
        old: None,
        kind: Kind::Change,
        keys,
        summary,
    }
}

const fn action(
    name: &'static str,
    keys: &'static [KeySchema],
    summary: &'static str,
) -> CommandSchema {
    CommandSchema {
        kind: Kind::Action,
        ..change(name, keys, summary)
    }
}

const fn question(
    name: &'static str,
    keys: &'static [KeySchema],
    summary: &'static str,
) -> CommandSchema {
    CommandSchema {
        kind: Kind::Question,
        ..change(name, keys, summary)
    }
}

const fn batch(name: &'static str, summary: &'static str) -> CommandSchema {
    CommandSchema {
        kind: Kind::Batch,
        ..change(name, &[], summary)
    }
}

const SERVICE: KeySchema = required("service", ValueKind::Service);
const GROUP: KeySchema = required("group", ValueKind::Group);
const HOST: KeySchema = KeySchema {
    old: Some("host"),
    ..required("name", ValueKind::Host)
};
const NEW_HOST: KeySchema = KeySchema {
    value_kind: ValueKind::NewName,
    ..HOST
};
/// The host's address instead of its name, as in the ancestors.
const HOST_AT: KeySchema = KeySchema {
    instead_of: Some("name"),
    ..optional("ip", ValueKind::HostAddress)
};
const FORCE: KeySchema = optional("force", ValueKind::Flag);
const KEYS: KeySchema = KeySchema {
    repeats: true,
    ..optional("key", ValueKind::PublicKey)
};

const IN_GROUP: &[KeySchema] = &[SERVICE, GROUP];
const ONE_HOST: &[KeySchema] = &[SERVICE, GROUP, HOST];

const COMMANDS: &[CommandSchema] = &[
    change(
        "addHost",
        &[
            SERVICE,
            GROUP,
            NEW_HOST,
            required("ip", ValueKind::HostAddress),
            optional("weight", ValueKind::Weight),
            optional("state", ValueKind::State),
            optional("before", ValueKind::Host),
        ],
        "add a host to a group",
    ),
    change(
        "delHost",
        &[SERVICE, GROUP, HOST, HOST_AT, FORCE],
        "remove a host from its group; its sessions live on",
    ),
    change(
        "delAllHosts",
        &[SERVICE, GROUP, FORCE],
        "remove all hosts from a group; their sessions live on",
    ),
    change(
        "setHost",
        &[
            SERVICE,
            GROUP,
            HOST,
            optional("ip", ValueKind::HostAddress),
            optional("weight", ValueKind::Weight),
            optional("before", ValueKind::Host),
            optional("rename", ValueKind::NewName),
        ],
        "change a host's address, weight, place or name",
    ),
    change(
        "setWeight",
        &[SERVICE, GROUP, HOST, required("weight", ValueKind::Weight)],
        "change a host's weight",
    ),
    change(
        "drainHost",
        ONE_HOST,
        "set a host to drain: no new sessions",
    ),
    change(
        "hostAdminDown",
        ONE_HOST,
        "set a host to down: no new sessions",
    ),
    change(
        "hostAdminUp",
        ONE_HOST,
        "set a host to up: it gets new sessions",
    ),
    change(
        "newGroup",
        &[
            SERVICE,
            required("group", ValueKind::NewName),
            required("scheduler", ValueKind::Scheduler),
            optional("stickyPrefix", ValueKind::Prefix),
            optional("before", ValueKind::Group),
        ],
        "add an empty group, not enabled, to a service",
    ),
    change(
        "delGroup",
        &[SERVICE, GROUP, FORCE],
        "remove a group with its hosts; forced on the enabled one, the next is enabled",
    ),
    change("enableGroup", IN_GROUP, "give new sessions to this group"),
    change(
        "changeScheduler",
        &[
            SERVICE,
            GROUP,
            required("scheduler", ValueKind::Scheduler),
            optional("stickyPrefix", ValueKind::Prefix),
            optional("before", ValueKind::Group),
        ],
        "change how a group picks hosts, and where it stands",
    ),
    change(
        "newService",
        &[
            required("service", ValueKind::NewName),
            required("listen", ValueKind::ListenAddress),
            optional("before", ValueKind::Service),
        ],
        "add a service with the empty, enabled group main",
    ),
    change(
        "delService",
        &[SERVICE],
        "remove a service with all its groups; its sessions live on",
    ),
    change(
        "setService",
        &[
            SERVICE,
            optional("connectTimeout", ValueKind::Seconds),
            optional("idleTimeout", ValueKind::Seconds),
            optional("halfClosedTimeout", ValueKind::Seconds),
            optional("before", ValueKind::Service),
        ],
        "change a service's timeouts or place",
    ),
    change(
        "addListen",
        &[
            SERVICE,
            required("ip", ValueKind::ListenAddress),
            optional("before", ValueKind::ListenAddress),
        ],
        "add a listener to a service",
    ),
    change(
        "delListen",
        &[SERVICE, required("ip", ValueKind::ListenAddress)],
        "remove a listener from a service",
    ),
    change(
        "switchPort",
        &[
            SERVICE,
            required("from", ValueKind::ListenAddressOrPort),
            required("to", ValueKind::ListenAddressOrPort),
        ],
        "move a listener to another port or address",
    ),
    change(
        "addUser",
        &[
            required("name", ValueKind::NewName),
            optional("password", ValueKind::Secret),
            required("access", ValueKind::Access),
            KEYS,
            optional("before", ValueKind::User),
        ],
        "add a user",
    ),
    change(
        "setUser",
        &[
            required("name", ValueKind::User),
            optional("password", ValueKind::Secret),
            optional("access", ValueKind::Access),
            KEYS,
            optional("before", ValueKind::User),
        ],
        "change a user's password, access, keys or place",
    ),
    change(
        "delUser",
        &[required("name", ValueKind::User)],
        "remove a user",
    ),
    change(
        "setOption",
        &[
            required("name", ValueKind::OptionName),
            required("value", ValueKind::OptionValue),
        ],
        "change anything else in the file; an empty value removes it",
    ),
    batch("begin", "start a batch: commit makes its changes together"),
    batch("commit", "make the changes since begin, all or none"),
    batch("abort", "drop the changes since begin"),
    action(
        "retryHost",
        ONE_HOST,
        "reset a failed host to untried: it gets new sessions",
    ),
    action(
        "saveConfig",
        &[FORCE],
        "write the running configuration to the file",
    ),
    action("reload", &[FORCE], "read the file again"),
    CommandSchema {
        old: Some("closeLog"),
        ..action("reopenLog", &[], "reopen the log")
    },
    action(
        "shutdown",
        &[optional("grace", ValueKind::Grace)],
        "stop; open sessions have so many seconds to end",
    ),
    question("status", &[], "show the status"),
    question("sessions", &[], "show the open sessions"),
    question(
        "config",
        &[optional("view", ValueKind::View)],
        "show the running configuration",
    ),
    question("diff", &[], "show the changes that are not in the file"),
    question(
        "complete",
        &[required("line", ValueKind::Line)],
        "show completions of a line: choices for its last word",
    ),
    question(
        "help",
        &[KeySchema {
            bare: true,
            ..optional("verb", ValueKind::Command)
        }],
        "show the commands, or what one of them takes",
    ),
];
