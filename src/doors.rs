//! The doors of the program, as its configuration wants them: which are opened when it
//! starts, and what follows from changes later.
//!
//! What can be asked at each is the library's business.

use std::io;

#[cfg(feature = "logins")]
use txlb::admin::Auth;
use txlb::admin::ControlDoor;
#[cfg(any(feature = "web", feature = "ssh"))]
use txlb::admin::DoorError;
#[cfg(feature = "ssh")]
use txlb::admin::SshDoor;
#[cfg(feature = "web")]
use txlb::admin::WebDoor;
use txlb::config::Config;
use txlb::director::{Desk, Director, Finish, Fixture};

use crate::exit::Exit;

/// The doors. They close when this is dropped.
pub(crate) struct Doors {
    control: ControlDoor,
    #[cfg(feature = "logins")]
    auth: Auth,
    #[cfg(feature = "web")]
    web: WebDoor,
    #[cfg(feature = "ssh")]
    ssh: SshDoor,
}

impl Doors {
    /// Opens those that the director's configuration has. Who comes in waits until
    /// there is a desk.
    pub(crate) fn open(director: &Director) -> Result<Doors, Exit> {
        let config = director.config();
        warn_of_missing(config, None);
        let control =
            ControlDoor::start(config, director.origins()).map_err(|error| exit(&error, &error))?;
        #[cfg(feature = "logins")]
        let auth = Auth::new(config.users()).map_err(|error| Exit::other(&error))?;
        #[cfg(feature = "web")]
        let web = WebDoor::start(config, auth.clone(), director.pulses())
            .map_err(|error| door_exit(&error))?;
        #[cfg(feature = "ssh")]
        let ssh = SshDoor::start(config, auth.clone()).map_err(|error| door_exit(&error))?;
        Ok(Doors {
            control,
            #[cfg(feature = "logins")]
            auth,
            #[cfg(feature = "web")]
            web,
            #[cfg(feature = "ssh")]
            ssh,
        })
    }

    /// What follows from changes.
    pub(crate) fn fixtures(&self) -> Vec<Box<dyn Fixture>> {
        vec![
            Box::new(Missing),
            self.control.fixture(),
            #[cfg(feature = "logins")]
            self.auth.fixture(),
            #[cfg(feature = "web")]
            self.web.fixture(),
            #[cfg(feature = "ssh")]
            self.ssh.fixture(),
        ]
    }

    /// Who is asked on behalf of those who come in.
    pub(crate) fn attend(&self, desk: &Desk) {
        self.control.attend(desk.clone());
        #[cfg(feature = "web")]
        self.web.attend(desk.clone());
        #[cfg(feature = "ssh")]
        self.ssh.attend(desk.clone());
    }
}

/// Says so of each door that is configured but is not there.
struct Missing;

impl Fixture for Missing {
    fn prepare(&mut self, now: &Config, next: &Config) -> Result<Option<Finish>, String> {
        let (now, next) = (now.clone(), next.clone());
        Ok(Some(Box::new(move || warn_of_missing(&next, Some(&now)))))
    }
}

/// Says so once of each.
fn warn_of_missing(config: &Config, before: Option<&Config>) {
    let had: Vec<_> = before.map(missing).unwrap_or_default();
    for door in missing(config).into_iter().filter(|it| !had.contains(it)) {
        log::warn!("{door} is configured, but this txlb was built without it");
    }
}

fn missing(config: &Config) -> Vec<&'static str> {
    let admin = config.admin.as_ref();
    let web = admin.and_then(|admin| admin.web.as_ref());
    let ssh = admin.and_then(|admin| admin.ssh.as_ref());
    let mut missing = Vec::new();
    if web.is_some_and(|web| web.enable) && !cfg!(feature = "web") {
        missing.push("the admin page (<web>)");
    }
    if ssh.is_some_and(|ssh| ssh.enable) && !cfg!(feature = "ssh") {
        missing.push("the console (<ssh>)");
    }
    missing
}

#[cfg(any(feature = "web", feature = "ssh"))]
fn door_exit(error: &DoorError) -> Exit {
    match error {
        DoorError::Listen(cause) => exit(cause, error),
        _ => Exit::new(Exit::CONFIG, &format!("txlb: {error}")),
    }
}

fn exit(cause: &io::Error, error: &impl std::fmt::Display) -> Exit {
    let status = match cause.kind() {
        io::ErrorKind::PermissionDenied => Exit::NO_PERMISSION,
        _ => Exit::CANNOT_BIND,
    };
    Exit::new(status, &format!("txlb: {error}"))
}
