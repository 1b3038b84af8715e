//! `-t`, `-T` and `diff`: checks a configuration file without changing anything.
//!
//! `-s reload` runs the same check before it sends SIGHUP.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::geteuid;
#[cfg(feature = "https")]
use txlb::admin::check_certificate;
use txlb::config::verb::{diff, script};
use txlb::config::{Config, Control, ListenAddress, ListenHost, leave_out_masked, print};
use txlb::control::{
    Error, File, listen_options, member_warnings, places_of_resolved, resolve_names,
    routing_loop_warnings,
};
use txlb::os::listen::{ListenOptions, ListenPlace, try_bind};
use txlb::os::outgoing::may_be_transparent;
use txlb::os::socket_file;

use crate::cli::{CheckOutput, StartupOptions};
use crate::exit::Exit;
use crate::folders::RUNTIME_FOLDER;
use crate::logging::LogDestination;
use crate::privileges::{Privileges, change_root};
use crate::startup::file_exit;
use crate::{exit, looked_at, startup};

/// Read timeout for a configuration that is a pipe: init scripts wait for the check.
const PIPE_TIMEOUT: Duration = Duration::from_secs(3);

/// Timeout for resolving all names of the configuration.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Checks the configuration in `file`: after chroot(2) if `startup` names a folder, and as its
/// user if root asks. Prints what `output` asks for.
pub(crate) fn run(file: &Path, startup: &StartupOptions, output: CheckOutput) -> Result<(), Exit> {
    let user = startup.user.as_deref().filter(|_| geteuid().is_root());
    let privileges = Privileges::resolve(user, startup.group.as_deref())?;
    startup.chroot.as_deref().map(change_root).transpose()?;
    let once = |file: &Path| File::read_once(file, Some(PIPE_TIMEOUT));
    let (read, reading) = startup::read(file, &privileges, once)?;
    // A start as root keeps this right beyond the change of user.
    let uses_clients = reading.config.uses_client_addresses();
    let lacks_right = uses_clients && !may_be_transparent();
    // A running txlb opens the files that the configuration names as this user.
    privileges.give_up(false)?;
    for warning in &reading.warnings {
        exit::print_error(&format!(
            "{}:{}: warning: {}",
            file.display(),
            warning.position,
            warning.text
        ))?;
    }
    for (path, advice) in read.exposed() {
        exit::print_error(&format!("{}: warning: {advice}", path.display()))?;
    }
    let config = &reading.config;
    warn_if_page_is_exposed(file, config)?;
    let secrets = check_secrets(file, config);
    if output != CheckOutput::Warnings {
        if lacks_right {
            let why = Error::ClientAddresses;
            exit::print_error(&format!("{}: warning: {why}", file.display()))?;
        }
        let resolutions = resolve(config)?;
        if output == CheckOutput::Details {
            looked_at::print(file, config, &resolutions, user, lacks_right)?;
        }
        // What a start would stumble over first comes last, and its status counts.
        if let Err(first) = check_surroundings(file, config, &resolutions, output) {
            if let Err(other) = secrets {
                exit::print_error(&other.message)?;
            }
            return Err(first);
        }
    }
    secrets?;
    match output {
        CheckOutput::Config => exit::print(&print(config)),
        CheckOutput::Verdict | CheckOutput::Details => {
            exit::print_error(&format!("{}: the configuration is good", file.display()))
        }
        CheckOutput::Warnings => Ok(()),
    }
}

/// Resolves the names of hosts and listeners.
fn resolve(config: &Config) -> Result<Resolutions, Exit> {
    let names = &config.host_names() | &config.listen_names();
    resolve_names(names, RESOLVE_TIMEOUT)
        .map_err(|error| Exit::new(Exit::OTHER, &format!("txlb: {error}")))
}

/// Warns of names that do not resolve, of sessions that would go in circles, and of what would
/// keep txlb from starting on this machine.
fn check_surroundings(
    file: &Path,
    config: &Config,
    resolutions: &Resolutions,
    output: CheckOutput,
) -> Result<(), Exit> {
    let unresolved = resolutions.iter().filter_map(|(name, answer)| {
        let reason = answer.as_ref().err()?;
        Some(format!("the name {name} does not resolve: {reason}"))
    });
    let members = member_warnings(config, RESOLVE_TIMEOUT)
        .map_err(|error| Exit::new(Exit::OTHER, &format!("txlb: {error}")))?;
    let problems = find_problems(config, resolutions);
    let circles = routing_loop_warnings(config, resolutions);
    let of_names = unresolved.chain(members).chain(circles);
    for warning in of_names.chain(problems.warnings) {
        exit::print_error(&format!("{}: warning: {warning}", file.display()))?;
    }
    // `-T` prints any configuration, also one that cannot start on this machine.
    let mut errors = problems
        .errors
        .into_iter()
        .filter(|_| output != CheckOutput::Config);
    if let Some((status, first)) = errors.next() {
        for (_, error) in errors {
            exit::print_error(&format!("{}: {error}", file.display()))?;
        }
        return Err(Exit::new(status, &format!("{}: {first}", file.display())));
    }
    Ok(())
}

/// Warns of an admin page on all addresses without HTTPS. A running txlb logs that itself.
fn warn_if_page_is_exposed(file: &Path, config: &Config) -> Result<(), Exit> {
    let web = config.admin.as_ref().and_then(|admin| admin.web.as_ref());
    let Some(web) = web.filter(|web| web.enable && !web.secure) else {
        return Ok(());
    };
    let everywhere = web.listen.as_ref().filter(|listen| match listen.host {
        ListenHost::Any => true,
        ListenHost::Ip(ip) => ip.is_unspecified(),
        ListenHost::Name(_) | ListenHost::Zoned { .. } | ListenHost::Unix(_) => false,
    });
    let Some(listen) = everywhere else {
        return Ok(());
    };
    exit::print_error(&format!(
        "{}: warning: the admin page at {listen} can be reached from other machines without \
         HTTPS: passwords can be read on the way (secure=\"true\" changes that)",
        file.display()
    ))
}

/// Checks that the certificate and its key can be used. Warns if the certificate is doubtful.
pub(crate) fn check_secrets(file: &Path, config: &Config) -> Result<(), Exit> {
    let Some(web) = config.admin.as_ref().and_then(|admin| admin.web.as_ref()) else {
        return Ok(());
    };
    let bad = |what: &str| Exit::new(Exit::CONFIG, &format!("{}: {what}", file.display()));
    if web.enable && web.secure && cfg!(all(feature = "web", not(feature = "https"))) {
        return Err(bad("secure on <web>: this txlb was built without HTTPS"));
    }
    // The parser accepts both or neither.
    if let (Some(cert), Some(key)) = (&web.cert, &web.key) {
        let remark = check_certificate(cert, key).map_err(|error| bad(&error))?;
        if let Some(remark) = remark {
            exit::print_error(&format!("{}: warning: {remark}", file.display()))?;
        }
    }
    Ok(())
}

/// Without TLS, checks only that both files can be read.
#[cfg(not(feature = "https"))]
fn check_certificate(cert: &Path, key: &Path) -> Result<Option<String>, String> {
    for path in [cert, key] {
        txlb::os::files::open_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(None)
}

/// For each name of the configuration: its addresses, or why it does not resolve.
pub(crate) type Resolutions = BTreeMap<String, Result<Vec<IpAddr>, String>>;

/// What may keep a txlb with this configuration from starting.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    /// May be wrong by the time txlb starts.
    pub(crate) warnings: Vec<String>,
    /// Will stop the start, each with the exit status that it would have.
    pub(crate) errors: Vec<(u8, String)>,
}

/// Checks listeners, the folders of control sockets, and the log.
pub(crate) fn find_problems(config: &Config, resolutions: &Resolutions) -> Problems {
    let mut problems = Problems::default();
    problems.check_listeners(config, resolutions);
    for socket in config.control.iter().flat_map(Control::sockets) {
        problems.check_folder("the control socket", socket, Exit::NO_SOCKET);
    }
    if let Some(file) = LogDestination::named(config.logging.file.as_deref()).file() {
        match access(file, Access::WRITE_OK) {
            Ok(()) => {}
            Err(Errno::NOENT) => problems.check_folder("the log", file, Exit::CANNOT_CREATE),
            Err(error) => {
                let file = file.display();
                problems.warn(format!("the log {file} cannot be written to: {error}"));
            }
        }
    }
    problems
}

impl Problems {
    fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }

    fn check_listeners(&mut self, config: &Config, resolutions: &Resolutions) {
        // If txlb runs with this configuration, it holds the addresses itself.
        let txlb_runs = config
            .control
            .as_ref()
            .is_some_and(|control| UnixStream::connect(&control.socket).is_ok());
        let mut taken: BTreeMap<ListenPlace, String> = BTreeMap::new();
        for (what, listen, options) in listeners(config) {
            let addresses = match places_of_resolved(listen, resolutions) {
                Ok(addresses) => addresses,
                Err(error) => {
                    self.add_unresolved(&what, listen, &error);
                    continue;
                }
            };
            let mut absent = BTreeSet::new();
            for address in &addresses {
                if let Some(other) = taken.insert(address.clone(), what.clone())
                    && other != what
                    && !address.is_chosen_by_system()
                {
                    let text = format!("{other} and {what} would both listen at {address}");
                    self.errors.push((Exit::CANNOT_BIND, text));
                    continue;
                }
                if let Err(error) = try_listen(address, &options) {
                    match error.kind() {
                        ErrorKind::AddrNotAvailable => drop(absent.insert(address.clone())),
                        ErrorKind::AddrInUse if txlb_runs => {}
                        _ => self.add_bind_error(&what, address, &error),
                    }
                }
            }
            self.add_absent(&what, &absent, absent.len() == addresses.len());
        }
    }

    /// An interface that does not exist is an error. A name may only wait for its name server, and
    /// there is a warning for that already.
    fn add_unresolved(&mut self, what: &str, listen: &ListenAddress, error: &Error) {
        if matches!(listen.host, ListenHost::Zoned { .. }) {
            self.errors
                .push((Exit::CANNOT_BIND, format!("{what}: {error}")));
        }
    }

    fn add_bind_error(&mut self, what: &str, address: &ListenPlace, error: &io::Error) {
        let text = format!("{what} cannot listen at {address}: {error}");
        match error.kind() {
            ErrorKind::AddrInUse => self.warn(format!("{text} (by txlb, if it runs, or another)")),
            ErrorKind::PermissionDenied if address.bind_address().is_some() => {
                self.warn(format!("{text} (ports below 1024 are root's)"));
            }
            ErrorKind::PermissionDenied => self.warn(text),
            _ => self.errors.push((Exit::CANNOT_BIND, text)),
        }
    }

    /// It is an error only if this machine has none of a name's addresses: some may be another
    /// machine's.
    fn add_absent(&mut self, what: &str, absent: &BTreeSet<ListenPlace>, all: bool) {
        for address in absent {
            let text =
                format!("{what} cannot listen at {address}: this machine has no such address");
            if all {
                self.errors.push((Exit::CANNOT_BIND, text));
            } else {
                self.warn(text);
            }
        }
    }

    fn check_folder(&mut self, what: &str, file: &Path, status: u8) {
        let folder = file.parent().filter(|it| !it.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        match access(folder, Access::WRITE_OK | Access::EXEC_OK) {
            Ok(()) => {}
            // txlb makes this folder when it starts.
            Err(Errno::NOENT) if folder == Path::new(RUNTIME_FOLDER) => {}
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

/// Tests whether a place can be listened at.
pub(crate) fn try_listen(place: &ListenPlace, options: &ListenOptions) -> io::Result<()> {
    let is_made = |folder: &Path| folder == Path::new(RUNTIME_FOLDER) && !folder.exists();
    match place {
        ListenPlace::Ip(address) => try_bind(*address, options),
        // txlb makes this folder when it starts.
        ListenPlace::Unix(path) if path.parent().is_some_and(is_made) => Ok(()),
        ListenPlace::Unix(path) => socket_file::check(path),
    }
}

/// All listeners that are opened at the start, each with a text that says which it is.
pub(crate) fn listeners(config: &Config) -> Vec<(String, &ListenAddress, ListenOptions)> {
    let mut all = Vec::new();
    for service in &config.services {
        let what = format!("service {}", service.name);
        let listens = service.listens.iter();
        all.extend(listens.map(|it| (what.clone(), &it.address, listen_options(it))));
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
        let plain = |what: &str, it| (what.to_owned(), it, ListenOptions::default());
        all.extend(page.map(|it| plain("the admin page", it)));
        all.extend(console.map(|it| plain("the console", it)));
    }
    all
}

/// Prints the verbs that change the configuration `old` into `new`. The exit status does not
/// depend on whether there are any. Passwords that are masked as `***` are not compared.
pub(crate) fn print_diff(old: &Path, new: &Path) -> Result<(), Exit> {
    // No timeout: with `<(command)`, the command may be slow.
    let read = |path| File::read_once(path, None).map_err(|error| file_exit(&error));
    let ((_, mut old), (_, mut new)) = (read(old)?, read(new)?);
    let masked = leave_out_masked(&mut old.config, &mut new.config);
    if masked > 0 {
        exit::print_error(&format!(
            "txlb diff: passwords masked as *** are not compared: {masked} here"
        ))?;
    }
    exit::print(&script(&diff(&old.config, &new.config)))
}
