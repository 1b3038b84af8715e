//! `-t` and `-T`: finds what is wrong with a configuration before a reload does.
//!
//! Changes nothing.

use std::path::Path;
use std::time::Duration;

#[cfg(feature = "https")]
use txlb::admin::check_certificate;
use txlb::config::{Config, print};
use txlb::director::{File, circle_warnings, resolve_names};

use crate::exit::Exit;
use crate::output;
use crate::privileges::enter_jail;
use crate::serve::file_exit;
use crate::startable;

/// How long the names may take to resolve.
const NAMES_PATIENCE: Duration = Duration::from_secs(5);

/// Checks the configuration in `file`, which is in `jail` if there is one, like the rest of
/// what it names; with `show`, prints what is in effect.
pub(crate) fn run(file: &Path, jail: Option<&Path>, show: bool) -> Result<(), Exit> {
    jail.map(enter_jail).transpose()?;
    let (_, reading) = File::read(file).map_err(|error| file_exit(&error))?;
    for warning in &reading.warnings {
        output::note(&format!(
            "{}:{}: warning: {}",
            file.display(),
            warning.position,
            warning.text
        ))?;
    }
    let config = &reading.config;
    read_secrets(file, config)?;
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
    let mut errors = found.errors.into_iter().filter(|_| !show);
    if let Some((status, first)) = errors.next() {
        for (_, error) in errors {
            output::note(&format!("{}: {error}", file.display()))?;
        }
        return Err(Exit::new(status, &format!("{}: {first}", file.display())));
    }
    if show {
        output::print(&print(config))
    } else {
        output::note(&format!("{}: the configuration is good", file.display()))
    }
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
        std::fs::File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(None)
}
