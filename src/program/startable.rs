//! `-t`: whether a txlb with this configuration could start here: addresses that this
//! machine does not have, or that others use, and folders that are missing.
//!
//! Addresses are bound for a moment, and nobody can connect to them. Nothing is made.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::fs::{Access, access};
use rustix::io::Errno;
use txlb::config::{Config, Control, ListenAddress, ListenHost};
use txlb::control::{Error, places_of_resolved};
use txlb::os::listen::{BindAddress, try_bind};

use crate::exit::Exit;
use crate::folders::RUNTIME;
use crate::logging::BindAddress as LogPlace;

/// What the names in a configuration mean, or why that is not known.
pub(crate) type Answers = BTreeMap<String, Result<Vec<IpAddr>, String>>;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What may keep it from starting.
    pub(crate) warnings: Vec<String>,
    /// What does: with the exit status that the start would have.
    pub(crate) errors: Vec<(u8, String)>,
}

/// Looks for what would keep a txlb with this configuration from starting.
pub(crate) fn look(config: &Config, answers: &Answers) -> Findings {
    let mut findings = Findings::default();
    findings.look_at_listeners(config, answers);
    for socket in config.control.iter().flat_map(Control::sockets) {
        findings.look_at_folder("the control socket", socket, Exit::NO_SOCKET);
    }
    if let Some(file) = LogPlace::named(config.logging.file.as_deref()).file() {
        match access(file, Access::WRITE_OK) {
            Ok(()) => {}
            Err(Errno::NOENT) => findings.look_at_folder("the log", file, Exit::CANNOT_CREATE),
            Err(error) => {
                let file = file.display();
                findings.warn(format!("the log {file} cannot be written to: {error}"));
            }
        }
    }
    findings
}

impl Findings {
    fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }

    fn look_at_listeners(&mut self, config: &Config, answers: &Answers) {
        // One that runs with this configuration has the addresses already.
        let runs = config
            .control
            .as_ref()
            .is_some_and(|control| UnixStream::connect(&control.socket).is_ok());
        let mut taken: BTreeMap<BindAddress, String> = BTreeMap::new();
        for (what, listen) in listeners(config) {
            let places = match places_of_resolved(listen, answers) {
                Ok(places) => places,
                Err(error) => {
                    self.unresolved(&what, listen, &error);
                    continue;
                }
            };
            let mut absent = BTreeSet::new();
            for place in &places {
                if let Some(other) = taken.insert(*place, what.clone())
                    && other != what
                    && place.port() != 0
                {
                    let text = format!("{other} and {what} would both listen at {place}");
                    self.errors.push((Exit::CANNOT_BIND, text));
                    continue;
                }
                if let Err(error) = try_bind(*place) {
                    match error.kind() {
                        ErrorKind::AddrNotAvailable => drop(absent.insert(*place)),
                        ErrorKind::AddrInUse if runs => {}
                        _ => self.refused(&what, *place, &error),
                    }
                }
            }
            self.tell_of_absent(&what, &absent, absent.len() == places.len());
        }
    }

    /// A name may have to wait for its server; that it does not resolve is warned of elsewhere.
    fn unresolved(&mut self, what: &str, listen: &ListenAddress, error: &Error) {
        if matches!(listen.host, ListenHost::Zoned { .. }) {
            self.errors
                .push((Exit::CANNOT_BIND, format!("{what}: {error}")));
        }
    }

    fn refused(&mut self, what: &str, place: BindAddress, error: &io::Error) {
        let text = format!("{what} cannot listen at {place}: {error}");
        match error.kind() {
            ErrorKind::AddrInUse => self.warn(format!("{text} (by txlb, if it runs, or another)")),
            ErrorKind::PermissionDenied => {
                self.warn(format!("{text} (ports below 1024 are root's)"));
            }
            _ => self.errors.push((Exit::CANNOT_BIND, text)),
        }
    }

    /// An address of a name may be another machine's, if not all of them are.
    fn tell_of_absent(&mut self, what: &str, absent: &BTreeSet<BindAddress>, all: bool) {
        for place in absent {
            let text = format!("{what} cannot listen at {place}: this machine has no such address");
            if all {
                self.errors.push((Exit::CANNOT_BIND, text));
            } else {
                self.warn(text);
            }
        }
    }

    fn look_at_folder(&mut self, what: &str, file: &Path, status: u8) {
        let folder = file.parent().filter(|it| !it.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        match access(folder, Access::WRITE_OK | Access::EXEC_OK) {
            Ok(()) => {}
            // The start makes it.
            Err(Errno::NOENT) if folder == Path::new(RUNTIME) => {}
            Err(error @ (Errno::NOENT | Errno::NOTDIR)) => {
                let folder = folder.display();
                let text = format!("the folder {folder} of {what}: {error}: make it");
                self.errors.push((status, text));
            }
            Err(error) => {
                let folder = folder.display();
                self.warn(format!(
                    "the folder {folder} of {what} cannot be written to: {error}"
                ));
            }
        }
    }
}

/// All listeners that are open from the start, and whose each is.
fn listeners(config: &Config) -> Vec<(String, &ListenAddress)> {
    let mut all = Vec::new();
    for service in &config.services {
        let what = format!("service {}", service.name);
        all.extend(service.listens.iter().map(|it| (what.clone(), it)));
    }
    if let Some(admin) = &config.admin {
        let web = admin
            .web
            .as_ref()
            .filter(|it| it.enable && cfg!(feature = "web"));
        let ssh = admin
            .ssh
            .as_ref()
            .filter(|it| it.enable && cfg!(feature = "ssh"));
        let page = web.and_then(|it| it.listen.as_ref());
        let console = ssh.and_then(|it| it.listen.as_ref());
        all.extend(page.map(|it| ("the admin page".to_owned(), it)));
        all.extend(console.map(|it| ("the console".to_owned(), it)));
    }
    all
}
