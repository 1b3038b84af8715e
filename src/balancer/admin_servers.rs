//! The doors of a balancer, as its configuration wants them: which are opened when it
//! starts, and what follows from changes later.
//!
//! What can be asked at each is the room `admin`'s business.

#[cfg(any(feature = "web", feature = "ssh"))]
use crate::admin::AdminListenError;
#[cfg(feature = "logins")]
use crate::admin::Auth;
use crate::admin::ControlServer;
#[cfg(feature = "ssh")]
use crate::admin::SshServer;
#[cfg(feature = "web")]
use crate::admin::WebServer;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::config::Config;
use crate::control::{Commit, DataPlane, Handle, Reconfigure};

/// A way in for operators and their programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AdminInterface {
    /// The control socket, `<control>`: for programs on this machine.
    Control,
    /// The admin page with its API and metrics, `<web>`: the feature `web`.
    Web,
    /// The console over SSH, `<ssh>`: the feature `ssh`.
    Ssh,
}

impl AdminInterface {
    /// Every one.
    pub const ALL: &[AdminInterface] = &[
        AdminInterface::Control,
        AdminInterface::Web,
        AdminInterface::Ssh,
    ];

    /// Whether txlb was built with it.
    pub fn is_built_in(self) -> bool {
        match self {
            AdminInterface::Control => true,
            AdminInterface::Web => cfg!(feature = "web"),
            AdminInterface::Ssh => cfg!(feature = "ssh"),
        }
    }

    fn is_wanted(self, config: &Config) -> bool {
        let admin = config.admin.as_ref();
        match self {
            AdminInterface::Control => config.control.is_some(),
            AdminInterface::Web => {
                let web = admin.and_then(|admin| admin.web.as_ref());
                web.is_some_and(|web| web.enable)
            }
            AdminInterface::Ssh => {
                let ssh = admin.and_then(|admin| admin.ssh.as_ref());
                ssh.is_some_and(|ssh| ssh.enable)
            }
        }
    }
}

impl fmt::Display for AdminInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AdminInterface::Control => "the control socket (<control>)",
            AdminInterface::Web => "the admin page (<web>)",
            AdminInterface::Ssh => "the console (<ssh>)",
        })
    }
}

/// Why a door cannot be opened.
#[derive(Debug)]
pub struct AdminServerError {
    /// Where the trouble was the system's, which it was.
    pub cause: Option<io::ErrorKind>,
    /// All of it, in words.
    pub text: String,
}

impl From<io::Error> for AdminServerError {
    fn from(error: io::Error) -> AdminServerError {
        AdminServerError {
            cause: Some(error.kind()),
            text: error.to_string(),
        }
    }
}

#[cfg(any(feature = "web", feature = "ssh"))]
impl From<AdminListenError> for AdminServerError {
    fn from(error: AdminListenError) -> AdminServerError {
        let cause = match &error {
            AdminListenError::Listen(cause) => Some(cause.kind()),
            _ => None,
        };
        let text = error.to_string();
        AdminServerError { cause, text }
    }
}

/// Some of the doors, each open while the configuration has it. They close when this
/// is dropped.
pub struct AdminServers {
    missing: Vec<AdminInterface>,
    control: Option<ControlServer>,
    #[cfg(feature = "logins")]
    auth: Auth,
    #[cfg(feature = "web")]
    web: Option<WebServer>,
    #[cfg(feature = "ssh")]
    ssh: Option<SshServer>,
}

impl AdminServers {
    /// Opens those of `wanted` that the director's configuration has. Who comes in waits
    /// until there is a desk. Of those that txlb was built without, the log says so.
    ///
    /// # Errors
    /// One that cannot be opened; none is then.
    pub fn open(
        director: &DataPlane,
        wanted: &[AdminInterface],
    ) -> Result<AdminServers, AdminServerError> {
        let config = director.config();
        let missing = wanted.iter().copied().filter(|door| !door.is_built_in());
        let missing: Vec<AdminInterface> = missing.collect();
        warn_of_missing(&missing, config, None);
        let wants = |door| wanted.contains(&door);
        let control = match wants(AdminInterface::Control) {
            true => Some(ControlServer::start(config, director.origins())?),
            false => None,
        };
        #[cfg(feature = "logins")]
        let auth = Auth::new(config.users())?;
        #[cfg(feature = "web")]
        let web = match wants(AdminInterface::Web) {
            true => Some(WebServer::start(config, auth.clone(), director.pulses())?),
            false => None,
        };
        #[cfg(feature = "ssh")]
        let ssh = match wants(AdminInterface::Ssh) {
            true => Some(SshServer::start(config, auth.clone())?),
            false => None,
        };
        Ok(AdminServers {
            missing,
            control,
            #[cfg(feature = "logins")]
            auth,
            #[cfg(feature = "web")]
            web,
            #[cfg(feature = "ssh")]
            ssh,
        })
    }

    /// Where a door is reached.
    pub fn addresses(&self, door: AdminInterface) -> Vec<SocketAddr> {
        match door {
            #[cfg(feature = "web")]
            AdminInterface::Web => self
                .web
                .as_ref()
                .map_or_else(Vec::new, WebServer::addresses),
            #[cfg(feature = "ssh")]
            AdminInterface::Ssh => self
                .ssh
                .as_ref()
                .map_or_else(Vec::new, SshServer::addresses),
            _ => Vec::new(),
        }
    }

    /// What follows from changes.
    pub fn fixtures(&self) -> Vec<Box<dyn Reconfigure>> {
        let missing: Box<dyn Reconfigure> = Box::new(Missing(self.missing.clone()));
        let mut fixtures = vec![missing];
        fixtures.extend(self.control.as_ref().map(ControlServer::reconfigurable));
        #[cfg(feature = "logins")]
        fixtures.push(self.auth.fixture());
        #[cfg(feature = "web")]
        fixtures.extend(self.web.as_ref().map(WebServer::reconfigurable));
        #[cfg(feature = "ssh")]
        fixtures.extend(self.ssh.as_ref().map(SshServer::fixture));
        fixtures
    }

    /// Who is asked on behalf of those who come in.
    pub fn attend(&self, desk: &Handle) {
        if let Some(control) = &self.control {
            control.set_handle(desk.clone());
        }
        #[cfg(feature = "web")]
        if let Some(web) = &self.web {
            web.set_handle(desk.clone());
        }
        #[cfg(feature = "ssh")]
        if let Some(ssh) = &self.ssh {
            ssh.attend(desk.clone());
        }
    }
}

/// Says so of each door that is configured but that txlb was built without.
struct Missing(Vec<AdminInterface>);

impl Reconfigure for Missing {
    fn prepare(&mut self, now: &Config, next: &Config) -> Result<Option<Commit>, String> {
        let (missing, now, next) = (self.0.clone(), now.clone(), next.clone());
        Ok(Some(Box::new(move || {
            warn_of_missing(&missing, &next, Some(&now));
        })))
    }
}

/// Says so once of each.
fn warn_of_missing(missing: &[AdminInterface], config: &Config, before: Option<&Config>) {
    let had = |door: &AdminInterface| before.is_some_and(|before| door.is_wanted(before));
    for door in missing.iter().filter(|door| door.is_wanted(config)) {
        if !had(door) {
            log::warn!("{door} is configured, but this txlb was built without it");
        }
    }
}
