//! The admin servers of a balancer: control socket, web server and SSH server, each while its
//! configuration has it.

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

/// An admin interface: a way for operators and their programs to reach txlb.
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
    /// All admin interfaces.
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

/// Why an admin server cannot start.
#[derive(Debug)]
pub struct AdminServerError {
    /// The system's error, if it was the system that refused.
    pub cause: Option<io::ErrorKind>,
    /// The whole reason, in words.
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

/// Admin servers, each open while the configuration has its interface. Dropping this closes them.
pub struct AdminServers {
    not_built_in: Vec<AdminInterface>,
    control: Option<ControlServer>,
    #[cfg(feature = "logins")]
    auth: Auth,
    #[cfg(feature = "web")]
    web: Option<WebServer>,
    #[cfg(feature = "ssh")]
    ssh: Option<SshServer>,
}

impl AdminServers {
    /// Starts the servers of `wanted` that the data plane's configuration has. Clients wait until
    /// [`AdminServers::set_handle`]. Logs those that txlb was built without.
    ///
    /// # Errors
    /// One that cannot be opened; none is then.
    pub fn open(
        data_plane: &DataPlane,
        wanted: &[AdminInterface],
    ) -> Result<AdminServers, AdminServerError> {
        let config = data_plane.config();
        let not_built_in = wanted
            .iter()
            .copied()
            .filter(|interface| !interface.is_built_in());
        let not_built_in: Vec<AdminInterface> = not_built_in.collect();
        warn_not_built_in(&not_built_in, config, None);
        let wants = |interface| wanted.contains(&interface);
        let control = match wants(AdminInterface::Control) {
            true => Some(ControlServer::start(config, data_plane.client_lookup())?),
            false => None,
        };
        #[cfg(feature = "logins")]
        let auth = Auth::new(config.users())?;
        #[cfg(feature = "web")]
        let web = match wants(AdminInterface::Web) {
            true => Some(WebServer::start(
                config,
                auth.clone(),
                data_plane.liveness(),
            )?),
            false => None,
        };
        #[cfg(feature = "ssh")]
        let ssh = match wants(AdminInterface::Ssh) {
            true => Some(SshServer::start(config, auth.clone())?),
            false => None,
        };
        Ok(AdminServers {
            not_built_in,
            control,
            #[cfg(feature = "logins")]
            auth,
            #[cfg(feature = "web")]
            web,
            #[cfg(feature = "ssh")]
            ssh,
        })
    }

    /// Addresses of an admin interface.
    pub fn addresses(&self, interface: AdminInterface) -> Vec<SocketAddr> {
        match interface {
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

    /// The parts that a change of the configuration prepares and commits.
    pub fn reconfigurables(&self) -> Vec<Box<dyn Reconfigure>> {
        let not_built_in: Box<dyn Reconfigure> = Box::new(NotBuiltIn(self.not_built_in.clone()));
        let mut reconfigurables = vec![not_built_in];
        reconfigurables.extend(self.control.as_ref().map(ControlServer::reconfigurable));
        #[cfg(feature = "logins")]
        reconfigurables.push(self.auth.reconfigurable());
        #[cfg(feature = "web")]
        reconfigurables.extend(self.web.as_ref().map(WebServer::reconfigurable));
        #[cfg(feature = "ssh")]
        reconfigurables.extend(self.ssh.as_ref().map(SshServer::reconfigurable));
        reconfigurables
    }

    /// Sets the controller that requests go to.
    pub fn set_handle(&self, handle: &Handle) {
        if let Some(control) = &self.control {
            control.set_handle(handle.clone());
        }
        #[cfg(feature = "web")]
        if let Some(web) = &self.web {
            web.set_handle(handle.clone());
        }
        #[cfg(feature = "ssh")]
        if let Some(ssh) = &self.ssh {
            ssh.set_handle(handle.clone());
        }
    }
}

/// Warns of interfaces that are configured, but not built in.
struct NotBuiltIn(Vec<AdminInterface>);

impl Reconfigure for NotBuiltIn {
    fn prepare(&mut self, now: &Config, next: &Config) -> Result<Option<Commit>, String> {
        let (not_built_in, now, next) = (self.0.clone(), now.clone(), next.clone());
        Ok(Some(Box::new(move || {
            warn_not_built_in(&not_built_in, &next, Some(&now));
        })))
    }
}

/// Warns once of each.
fn warn_not_built_in(not_built_in: &[AdminInterface], config: &Config, before: Option<&Config>) {
    let had = |interface: &AdminInterface| before.is_some_and(|before| interface.is_wanted(before));
    for interface in not_built_in
        .iter()
        .filter(|interface| interface.is_wanted(config))
    {
        if !had(interface) {
            log::warn!("{interface} is configured, but this txlb was built without it");
        }
    }
}
