//! `-t` and `-T`: finds what is wrong with a configuration before a reload does.
//!
//! Binds nothing and changes nothing.

use std::path::Path;
use std::time::Duration;

use txlb::config::{Config, Web, print};
use txlb::director::{File, unresolved_names};

use crate::exit::Exit;
use crate::output;
use crate::serve::file_exit;

/// How long the names may take to resolve.
const NAMES_PATIENCE: Duration = Duration::from_secs(5);

/// Checks the configuration in `file`; with `show`, prints what is in effect.
pub(crate) fn run(file: &Path, show: bool) -> Result<(), Exit> {
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
    let unresolved = unresolved_names(names, NAMES_PATIENCE)
        .map_err(|error| Exit::new(Exit::OTHER, &format!("txlb: {error}")))?;
    for (name, reason) in unresolved {
        output::note(&format!(
            "{}: warning: the name {name} does not resolve: {reason}",
            file.display()
        ))?;
    }
    if show {
        output::print(&print(config))
    } else {
        output::note(&format!("{}: the configuration is good", file.display()))
    }
}

/// Whether the certificate and its key can be read at all.
fn read_secrets(file: &Path, config: &Config) -> Result<(), Exit> {
    let web = config.admin.as_ref().and_then(|admin| admin.web.as_ref());
    let paths = web
        .into_iter()
        .flat_map(|Web { cert, key, .. }| cert.iter().chain(key));
    for path in paths {
        std::fs::File::open(path).map_err(|error| {
            let message = format!("{}: {}: {error}", file.display(), path.display());
            Exit::new(Exit::CONFIG, &message)
        })?;
    }
    Ok(())
}
