//! `-t`, `-T` and `-s reload`: finds what is wrong with a configuration before a reload does.
//!
//! Changes nothing.

use std::path::Path;
use std::time::Duration;

use rustix::process::geteuid;

#[cfg(feature = "https")]
use txlb::admin::check_certificate;
use txlb::config::{Config, ListenHost, print};
use txlb::control::{File, circle_warnings, resolve_names};

use crate::cli::Footing;
use crate::exit::Exit;
use crate::ground;
use crate::output;
use crate::privileges::{Privileges, enter_jail};
use crate::startable;

/// How long a pipe that stands for the file may be silent: init scripts wait for the check.
const PIPE_PATIENCE: Duration = Duration::from_secs(3);

/// What is said of a configuration that is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    /// That it is good.
    Verdict,
    /// What is in effect.
    Config,
    /// Nothing but warnings. Names are not resolved: that may take seconds.
    Warnings,
}

/// How long the names may take to resolve.
const NAMES_PATIENCE: Duration = Duration::from_secs(5);

/// Checks the configuration in `file`, in the jail of `footing` if there is one, and as its
/// user if root asks; says what `show` asks for.
pub(crate) fn run(file: &Path, footing: &Footing, show: Show) -> Result<(), Exit> {
    let user = footing.user.as_deref().filter(|_| geteuid().is_root());
    let privileges = Privileges::plan(user, footing.group.as_deref())?;
    footing.jail.as_deref().map(enter_jail).transpose()?;
    let once = |file: &Path| File::read_once(file, Some(PIPE_PATIENCE));
    let (read, reading) = ground::read(file, &privileges, once)?;
    // What it names is read by the user when txlb runs.
    privileges.give_up()?;
    for warning in &reading.warnings {
        output::note(&format!(
            "{}:{}: warning: {}",
            file.display(),
            warning.position,
            warning.text
        ))?;
    }
    for (path, advice) in read.exposed() {
        output::note(&format!("{}: warning: {advice}", path.display()))?;
    }
    let config = &reading.config;
    warn_of_open_page(file, config)?;
    read_secrets(file, config)?;
    if show != Show::Warnings {
        look_around(file, config, show)?;
    }
    match show {
        Show::Config => output::print(&print(config)),
        Show::Verdict => output::note(&format!("{}: the configuration is good", file.display())),
        Show::Warnings => Ok(()),
    }
}

/// Looks at names that do not resolve, hosts by which sessions go in circles, and what would
/// keep txlb from starting here.
fn look_around(file: &Path, config: &Config, show: Show) -> Result<(), Exit> {
    let names = &config.host_names() | &config.listen_names();
    let answers = resolve_names(names, NAMES_PATIENCE)
        .map_err(|error| Exit::new(Exit::OTHER, &format!("txlb: {error}")))?;
    let unresolved = answers.iter().filter_map(|(name, answer)| {
        let reason = answer.as_ref().err()?;
        Some(format!("the name {name} does not resolve: {reason}"))
    });
    let found = startable::look(config, &answers);
    let circles = circle_warnings(config, &answers);
    for warning in unresolved.chain(circles).chain(found.warnings) {
        output::note(&format!("{}: warning: {warning}", file.display()))?;
    }
    // What is in effect can be shown on any machine.
    let mut errors = found.errors.into_iter().filter(|_| show != Show::Config);
    if let Some((status, first)) = errors.next() {
        for (_, error) in errors {
            output::note(&format!("{}: {error}", file.display()))?;
        }
        return Err(Exit::new(status, &format!("{}: {first}", file.display())));
    }
    Ok(())
}

/// At the start, the page itself says so, once it knows its addresses.
fn warn_of_open_page(file: &Path, config: &Config) -> Result<(), Exit> {
    let web = config.admin.as_ref().and_then(|admin| admin.web.as_ref());
    let Some(web) = web.filter(|web| web.enable && !web.secure) else {
        return Ok(());
    };
    let everywhere = web.listen.as_ref().filter(|listen| match listen.host {
        ListenHost::Any => true,
        ListenHost::Ip(ip) => ip.is_unspecified(),
        ListenHost::Name(_) | ListenHost::Zoned { .. } => false,
    });
    let Some(listen) = everywhere else {
        return Ok(());
    };
    output::note(&format!(
        "{}: warning: the admin page at {listen} can be reached from other machines without \
         HTTPS: passwords can be read on the way (secure=\"true\" changes that)",
        file.display()
    ))
}

/// Whether the certificate and its key can be used; says so if that is in doubt.
fn read_secrets(file: &Path, config: &Config) -> Result<(), Exit> {
    let Some(web) = config.admin.as_ref().and_then(|admin| admin.web.as_ref()) else {
        return Ok(());
    };
    let bad = |what: &str| Exit::new(Exit::CONFIG, &format!("{}: {what}", file.display()));
    if web.enable && web.secure && cfg!(all(feature = "web", not(feature = "https"))) {
        return Err(bad("secure on <web>: this txlb was built without HTTPS"));
    }
    // The file has both or neither.
    if let (Some(cert), Some(key)) = (&web.cert, &web.key) {
        let remark = check_certificate(cert, key).map_err(|error| bad(&error))?;
        if let Some(remark) = remark {
            output::note(&format!("{}: warning: {remark}", file.display()))?;
        }
    }
    Ok(())
}

/// Without TLS, it is only known whether they can be read at all.
#[cfg(not(feature = "https"))]
fn check_certificate(cert: &Path, key: &Path) -> Result<Option<String>, String> {
    for path in [cert, key] {
        txlb::os::files::open_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(None)
}
