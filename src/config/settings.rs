//! The parts of the model outside of services: admin interfaces and users, periodic tasks, the
//! control socket, the log.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{ListenAddress, LogFormat};

/// The attributes of the outermost element, `<config>`: what holds for all of txlb.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct General {
    /// What this txlb is called on pages, in prompts, metrics and the log; `None` is the name of
    /// the machine.
    pub name: Option<String>,
    /// Whether changes of the file are found and put in force (default false).
    pub watch: bool,
}

impl General {
    /// What this txlb is called, on a machine of this name.
    pub fn name_on<'a>(&'a self, machine: &'a str) -> &'a str {
        self.name.as_deref().unwrap_or(machine)
    }
}

/// `<admin>`: the admin interfaces and their users.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Admin {
    /// The admin page and its API.
    pub web: Option<Web>,
    /// The console.
    pub ssh: Option<Ssh>,
    /// The users, in the file's order.
    pub users: Vec<User>,
}

/// `<web>`: the admin page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    /// Where it listens; `None` (the ancestor's `listen="None"`) only when not enabled.
    pub listen: Option<ListenAddress>,
    /// Whether it is enabled.
    pub enable: bool,
    /// HTTPS instead of HTTP.
    pub secure: bool,
    /// How often the page refreshes itself ([`Web::REFRESH`]); `None` is never.
    pub refresh: Option<Duration>,
    /// Path of the operator's certificate (PEM).
    pub cert: Option<PathBuf>,
    /// Path of its key (PEM).
    pub key: Option<PathBuf>,
    /// Accepted `Host` headers, besides its own addresses and localhost.
    pub names: Vec<String>,
}

impl Web {
    /// The default refresh interval of the page.
    pub const REFRESH: Duration = Duration::from_secs(30);

    /// The model of `<ssh listen="..."/>`. Without an address it is not enabled.
    pub fn new(listen: Option<ListenAddress>) -> Self {
        Web {
            enable: listen.is_some(),
            listen,
            secure: false,
            refresh: Some(Web::REFRESH),
            cert: None,
            key: None,
            names: Vec::new(),
        }
    }
}

/// `<ssh>`: the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// Where it listens; `None` (the ancestor's `listen="None"`) only when not enabled.
    pub listen: Option<ListenAddress>,
    /// Whether it is enabled.
    pub enable: bool,
}

impl Ssh {
    /// The model of `<ssh listen="..."/>`. Without an address it is not enabled.
    pub fn new(listen: Option<ListenAddress>) -> Self {
        Ssh {
            enable: listen.is_some(),
            listen,
        }
    }
}

/// A user of the admin interfaces.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Unique among the users.
    pub name: String,
    /// A crypt(3) string; `None` for a user with keys only.
    pub password: Option<String>,
    /// The access rights.
    pub access: Access,
    /// Public keys in OpenSSH's one-line form.
    pub keys: Vec<String>,
}

impl std::fmt::Debug for User {
    /// Masks the hash: debug output ends up in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("access", &self.access)
            .field("keys", &self.keys)
            .finish()
    }
}

/// Access rights of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// See and change everything.
    Full,
    /// See everything, change nothing.
    ReadOnly,
}

impl Access {
    /// The word for it in files, verbs and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Access::Full => "full",
            Access::ReadOnly => "readonly",
        }
    }
}

/// `<manager>`: the periodic tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manager {
    /// Probe failed hosts (default on, every 10 s).
    pub host_check: PeriodicTask,
    /// Save changes made while running to the file (default off, every 30 s).
    pub config_check: PeriodicTask,
    /// Probe healthy hosts too (default off, every 60 s).
    pub heartbeat: PeriodicTask,
}

impl Default for Manager {
    fn default() -> Self {
        let task = |interval_s, enable| PeriodicTask {
            interval: Duration::from_secs(interval_s),
            enable,
        };
        Manager {
            host_check: task(10, true),
            config_check: task(30, false),
            heartbeat: task(60, false),
        }
    }
}

/// A periodic task of the manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeriodicTask {
    /// How often; never zero.
    pub interval: Duration,
    /// Whether it is enabled.
    pub enable: bool,
}

/// `<control>`: the control socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Path of the Unix socket.
    pub socket: PathBuf,
    /// Whether it speaks AMP, too (`amp`, default true).
    pub amp: bool,
    /// Path of a second socket, which speaks AMP only.
    pub amp_socket: Option<PathBuf>,
    /// Permission bits of the second socket (`ampMode`, default 0660).
    pub amp_mode: u32,
}

impl Control {
    /// A control socket at `socket`, otherwise with defaults.
    pub fn at(socket: impl Into<PathBuf>) -> Control {
        Control {
            socket: socket.into(),
            amp: true,
            amp_socket: None,
            amp_mode: 0o660,
        }
    }

    /// The paths of all its sockets.
    pub fn sockets(&self) -> impl Iterator<Item = &Path> {
        let sockets = [Some(&self.socket), self.amp_socket.as_ref()];
        sockets.into_iter().flatten().map(PathBuf::as_path)
    }

    /// Moves the first socket; a second one there goes, so that two can swap paths one by one.
    pub(super) fn move_socket(&mut self, socket: &Path) {
        self.amp_socket.take_if(|other| other == socket);
        self.socket = socket.to_owned();
    }

    /// Whether AMP clients are served (client lookup).
    pub fn answers_amp(&self) -> bool {
        self.amp || self.amp_socket.is_some()
    }
}

impl Default for Control {
    fn default() -> Self {
        Control::at("/run/txlb/control.sock")
    }
}

/// `<logging>`: where messages go, and the connection log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Logging {
    /// A file; `None` logs to standard error.
    pub file: Option<PathBuf>,
    /// One line for every session (`connections`).
    pub connections: bool,
    /// How these lines are written (`format`).
    pub format: LogFormat,
}
