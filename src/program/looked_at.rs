//! What `-t -v` looked at, a line each: the file, users, names, certificate, addresses, folders and
//! capability.

use std::path::Path;

use txlb::config::{Access, Config, Control, User};
use txlb::control::places_of_resolved;
use txlb::text::plural;

use crate::check::{Resolutions, listeners, try_listen};
use crate::exit::{self, Exit};
use crate::logging::LogDestination;

/// Prints what was looked at, by `user` if it was another one.
pub(crate) fn print(
    file: &Path,
    config: &Config,
    resolutions: &Resolutions,
    user: Option<&str>,
    lacks_right: bool,
) -> Result<(), Exit> {
    let mut lines = vec![contents(config, user)];
    lines.extend(config.users().iter().map(user_line));
    lines.extend(certificate(config));
    for (name, answer) in resolutions {
        lines.push(match answer {
            Ok(addresses) => {
                let addresses = addresses.iter().map(ToString::to_string);
                let addresses = addresses.collect::<Vec<_>>().join(", ");
                format!("the name {name} resolves to {addresses}")
            }
            Err(reason) => format!("the name {name} does not resolve: {reason}"),
        });
    }
    lines.extend(addresses(config, resolutions));
    lines.extend(files(config));
    if config.uses_client_addresses() {
        let may = if lacks_right { "may not" } else { "may" };
        lines.push(format!("connections {may} come from addresses of clients"));
    }
    for line in lines {
        exit::print_error(&format!("{}: looked at: {line}", file.display()))?;
    }
    Ok(())
}

fn contents(config: &Config, user: Option<&str>) -> String {
    let groups = || config.services.iter().flat_map(|service| &service.groups);
    let hosts = groups().map(|group| group.hosts.len()).sum();
    let by = user.map_or_else(String::new, |user| format!(", as user {user}"));
    format!(
        "{}, {}, {}{by}",
        plural(config.services.len(), "service"),
        plural(groups().count(), "group"),
        plural(hosts, "host")
    )
}

fn user_line(user: &User) -> String {
    let password = match user.password {
        Some(_) => "a password",
        None => "no password",
    };
    let access = match user.access {
        Access::Full => "full access",
        Access::ReadOnly => "may only read",
    };
    let keys = plural(user.keys.len(), "key");
    let name = user.name.escape_debug();
    format!("user {name}: {password}, {keys}, {access}")
}

/// The operator's certificate, which was read with its key.
fn certificate(config: &Config) -> Option<String> {
    let web = config.admin.as_ref()?.web.as_ref()?;
    let (cert, key) = (web.cert.as_ref()?, web.key.as_ref()?);
    Some(format!(
        "the certificate {} and its key {} can be used",
        cert.display(),
        key.display()
    ))
}

/// Each address to listen at, and what binding it for a moment said.
fn addresses(config: &Config, resolutions: &Resolutions) -> Vec<String> {
    let mut lines = Vec::new();
    for (what, listen, options) in listeners(config) {
        match places_of_resolved(listen, resolutions) {
            Ok(places) => {
                let tried = places
                    .iter()
                    .map(|place| match try_listen(place, &options) {
                        Ok(()) => format!("{what} can listen at {place}"),
                        Err(error) => format!("{what} at {place}: {error}"),
                    });
                lines.extend(tried);
            }
            Err(error) => lines.push(format!("{what} at {listen}: {error}")),
        }
    }
    lines
}

/// The files that it would write to. Whether it may is told where it may not.
fn files(config: &Config) -> Vec<String> {
    let sockets = config.control.iter().flat_map(Control::sockets);
    let sockets = sockets.map(|path| format!("the control socket {}", path.display()));
    let log = LogDestination::named(config.logging.file.as_deref());
    sockets.chain([format!("the log: {log}")]).collect()
}
