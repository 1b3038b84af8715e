//! Startup state: daemon, signals, PID file, chroot, user and sandbox, in this order.
//!
//! ARCHITECTURE.md, "The start", says why in this order.

use std::io;
use std::path::{Path, PathBuf, absolute};
use std::sync::{Arc, Mutex};

use txlb::config::{Config, Reading};
use txlb::control::{Bound, CaughtSignals, Commit, File, FileError, Reconfigure, Signal};
use txlb::os::files::open_file;
use txlb::os::handed_over::{self, Shared};
use txlb::os::rights::{self, Need};
use txlb::os::state;
use txlb::sync::lock;

use crate::cli::{ConfigSource, DEFAULT_FILE, ServeOptions};
use crate::daemon::Daemon;
use crate::exit::Exit;
use crate::folders;
use crate::logging::{Log, LogDestination};
use crate::pidfile::PidFile;
use crate::privileges::{Identity, Privileges, change_root};
use crate::sandbox::{self, Needs};

/// What is prepared while there is one thread.
pub(crate) struct Startup {
    daemon: Option<Daemon>,
    signals: CaughtSignals,
    pid_file: Option<PidFile>,
    privileges: Privileges,
    /// After chroot(2), so paths from outside lead elsewhere.
    is_chrooted: bool,
    sandbox: bool,
}

/// What is kept until the process ends.
pub(crate) struct Running {
    daemon: Option<Daemon>,
    pid_file: Arc<Mutex<Option<PidFile>>>,
}

impl Startup {
    /// Does everything that comes before the configuration is read. Makes paths in `options`
    /// absolute if the folder changes.
    pub(crate) fn prepare(options: &mut ServeOptions) -> Result<Startup, Exit> {
        let startup = &options.startup;
        let (detach, chroot) = (startup.detach, startup.chroot.clone());
        let privileges = Privileges::resolve(startup.user.as_deref(), startup.group.as_deref())?;
        let sandbox = startup.sandbox;
        let pid_file = options.pid_file.as_deref().map(absolute_path).transpose()?;
        let chroot = chroot.as_deref().map(absolute_path).transpose()?;
        if detach && chroot.is_none() {
            make_paths_absolute(options)?;
        }
        let daemon = detach.then(Daemon::begin).transpose()?;
        // Before the PID file: a process that reads our ID there may send a signal that would end
        // us by default.
        let signals = CaughtSignals::catch().map_err(|error| Exit::from_io(&error))?;
        let pid_file = pid_file.map(|path| {
            folders::make_runtime_folder(&path, privileges.identity())?;
            match handed_over::take(PID_FILE).pop() {
                Some(file) => PidFile::take_over(&path, file),
                None => PidFile::take(&path),
            }
        });
        let pid_file = pid_file.transpose()?;
        if let Some(chroot) = &chroot {
            #[cfg(feature = "dns")]
            txlb::control::preload_name_servers();
            change_root(chroot)?;
        }
        Ok(Startup {
            daemon,
            signals,
            pid_file,
            privileges,
            is_chrooted: chroot.is_some(),
            sandbox,
        })
    }

    /// Reads the configuration: as root where only root can replace the file, else as the user that
    /// txlb becomes.
    pub(crate) fn read(&self, file: &Path) -> Result<(File, Reading), Exit> {
        read(file, &self.privileges, File::read)
    }

    /// Makes the folders that the user needs and cannot make.
    pub(crate) fn prepare_folders(&self, config: &Config) -> Result<(), Exit> {
        folders::prepare(config, self.privileges.identity())
    }

    /// The user and group that txlb becomes, if it changes them.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.privileges.identity()
    }

    /// Gives up root and enters the sandbox. `file` is the configuration, `log` the destination of
    /// the log. What rights are kept is for `trusted` to say: the configuration of the file or of the
    /// command line. The one in force may come from a process that had given up its rights.
    pub(crate) fn give_up(
        &self,
        bound: &Bound,
        trusted: &Config,
        file: Option<&Path>,
        log: LogDestination<'_>,
    ) -> Result<(), Exit> {
        if self.daemon.is_some() && log == LogDestination::StandardError {
            log::warn!("nobody will see the log: name a file or syslog with -l or <logging>");
        }
        if let Some(identity) = self.privileges.identity() {
            bound.change_owner(identity.uid.as_raw(), identity.gid.as_raw());
        }
        let uses_client_addresses = trusted.uses_client_addresses();
        self.privileges.give_up(uses_client_addresses)?;
        if let Some(file) = file {
            warn_if_unreadable(file);
            warn_if_others_may_replace(file);
        }
        if self.sandbox {
            let state = state::folder("txlb").ok();
            let pid_file = self.pid_file.as_ref().map(PidFile::path);
            sandbox::enter(&Needs {
                file,
                config: Some(trusted),
                log: log.file(),
                pid_file: pid_file.filter(|_| !self.is_chrooted),
                state: state.as_deref(),
                is_root: rustix::process::geteuid().is_root(),
            });
        }
        Ok(())
    }

    /// Starts the first thread, which forwards signals to `on_signal`.
    pub(crate) fn into_running(
        self,
        on_signal: impl Fn(Signal) + Send + 'static,
    ) -> Result<Running, Exit> {
        let forwarded = self.signals.forward(on_signal);
        forwarded.map_err(|error| Exit::from_io(&error))?;
        Ok(Running {
            daemon: self.daemon,
            pid_file: Arc::new(Mutex::new(self.pid_file)),
        })
    }
}

/// The name by which the PID file is handed over.
const PID_FILE: &str = "pidfile";

/// Releases the PID file for a successor.
struct ReleasePidFile(Arc<Mutex<Option<PidFile>>>);

impl Reconfigure for ReleasePidFile {
    fn prepare(&mut self, _now: &Config, _next: &Config) -> Result<Option<Commit>, String> {
        Ok(None)
    }

    fn release(&mut self) -> bool {
        let mut held = lock(&self.0);
        drop(held.take());
        false
    }

    fn hand_over(&mut self) -> Vec<(String, Shared)> {
        let held = lock(&self.0);
        let file = held.as_ref().map(PidFile::hand_over);
        file.map(|file| (PID_FILE.to_owned(), file))
            .into_iter()
            .collect()
    }

    /// At once, and not with all the rest: the number in it is that of the other process by now.
    fn disown(&mut self, _unwanted: &[String]) {
        if let Some(held) = lock(&self.0).take() {
            held.disown();
        }
    }
}

impl Running {
    /// Releases the PID file. It must be the last part: the next holder of the file expects
    /// everything else to be free.
    pub(crate) fn pid_file_release(&self) -> Box<dyn Reconfigure> {
        Box::new(ReleasePidFile(Arc::clone(&self.pid_file)))
    }

    /// With `-D`, lets the first process return.
    pub(crate) fn detach(&mut self, log: &Log) -> Result<(), Exit> {
        if let Some(daemon) = self.daemon.take() {
            // Messages of the start may be meant for the terminal, which `detach` leaves.
            log.flush();
            daemon.detach()?;
        }
        Ok(())
    }
}

/// Reads the configuration in `file` as [`Startup::read`] does.
pub(crate) fn read(
    file: &Path,
    privileges: &Privileges,
    read: impl Fn(&Path) -> Result<(File, Reading), FileError>,
) -> Result<(File, Reading), Exit> {
    let owner = privileges.identity();
    let Some(owner) = owner.filter(|owner| folders::can_replace(owner, file)) else {
        return read(file).map_err(|error| file_exit(&error));
    };
    let lent = privileges.run_as_user(|| read(file));
    lent.map_err(|error| Exit::from_io(&error))?
        .map_err(|error| {
            let Exit { status, message } = file_exit(&error);
            let advice = match status {
                Exit::NO_PERMISSION => format!(
                    " (it is read as {}, who could put another file there)",
                    owner.user
                ),
                _ => String::new(),
            };
            Exit::new(status, &format!("{message}{advice}"))
        })
}

/// The exit status for a configuration file that cannot be used.
pub(crate) fn file_exit(error: &FileError) -> Exit {
    let status = match error {
        FileError::Unreadable(_, error) => match error.kind() {
            io::ErrorKind::NotFound => Exit::NO_FILE,
            io::ErrorKind::PermissionDenied => Exit::NO_PERMISSION,
            // A folder or a device.
            io::ErrorKind::InvalidInput => Exit::CONFIG,
            _ => Exit::OTHER,
        },
        _ => Exit::CONFIG,
    };
    let advice = match error {
        FileError::Unreadable(path, _) if status == Exit::NO_FILE && *path == *DEFAULT_FILE => {
            " (-f names another; txlb --demo needs none)"
        }
        _ => "",
    };
    Exit::new(status, &format!("{error}{advice}"))
}

/// The path seen from the folder where txlb was started.
fn absolute_path(path: &Path) -> Result<PathBuf, Exit> {
    absolute(path).map_err(|error| {
        let path = path.display();
        Exit::new(Exit::OTHER, &format!("txlb: {path}: {error}"))
    })
}

/// Makes the paths of the configuration and of the log absolute, since a daemon changes its
/// folder.
fn make_paths_absolute(options: &mut ServeOptions) -> Result<(), Exit> {
    if let ConfigSource::File(file) = &mut options.source {
        *file = absolute_path(file)?;
    }
    if let Some(log) = LogDestination::named(options.log.as_deref()).file() {
        options.log = Some(absolute_path(log)?);
    }
    Ok(())
}

/// A txlb that stays root opens what the configuration names as root.
fn warn_if_others_may_replace(file: &Path) {
    if rustix::process::geteuid().is_root() && folders::others_may_replace(file) {
        let file = file.display();
        log::warn!(
            "txlb runs as root, and others may write to {file} or its folder: they can do what \
             root can (-u names another user)"
        );
    }
}

/// Warns now rather than at the first reload.
fn warn_if_unreadable(file: &Path) {
    if let Err(error) = open_file(file) {
        let advice = rights::advice(&error, Need::Read, file);
        let file = file.display();
        log::warn!("{file} cannot be read again: {error}{advice}");
    }
}
