//! What the door knows of its configuration while it is in force.
//!
//! How it is read is `config`'s business; where it listens, `open`'s.

use std::time::Duration;

use crate::admin::tls::Tls;
use crate::config::{ListenHost, Web};
use crate::os::state;

/// How clients are served.
#[derive(Default)]
pub(super) struct Settings {
    /// How often the page refreshes itself.
    pub(super) refresh: Option<Duration>,
    /// Names that it is called by besides its addresses and localhost.
    pub(super) names: Vec<String>,
    /// What is needed for HTTPS; `None` is HTTP.
    pub(super) tls: Option<Tls>,
}

impl Settings {
    /// As `web` says.
    ///
    /// # Errors
    /// There is no certificate to be had.
    pub(super) fn new(web: &Web) -> Result<Settings, String> {
        let names = names(web);
        let tls = web.secure.then(|| certificate(web, &names)).transpose()?;
        Ok(Settings {
            refresh: web.refresh,
            names,
            tls,
        })
    }

    /// What the certificate is known by.
    pub(super) fn fingerprint(&self) -> Option<String> {
        self.tls.as_ref().map(Tls::fingerprint)
    }

    /// The beginning of its addresses.
    pub(super) fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }
}

/// Those of the file, and where it listens, without the dot at their end: with it they
/// are the same names.
fn names(web: &Web) -> Vec<String> {
    let listen = web.listen.as_ref().and_then(|listen| match &listen.host {
        ListenHost::Name(name) => Some(name.clone()),
        ListenHost::Ip(ip) if !ip.is_unspecified() => Some(ip.to_string()),
        ListenHost::Zoned { ip, .. } => Some(ip.to_string()),
        ListenHost::Ip(_) | ListenHost::Any => None,
    });
    let names = web.names.iter().cloned().chain(listen);
    let without_dot = |name: String| name.strip_suffix('.').unwrap_or(&name).to_owned();
    let names = names.map(without_dot);
    names.filter(|name| !name.is_empty()).collect()
}

/// The operator's certificate, or one of our own.
fn certificate(web: &Web, names: &[String]) -> Result<Tls, String> {
    if let (Some(cert), Some(key)) = (&web.cert, &web.key) {
        return Tls::from_files(cert, key);
    }
    let folder =
        state::folder("txlb").map_err(|error| format!("there is no state folder: {error}"))?;
    let names = ["localhost", "127.0.0.1", "::1"]
        .into_iter()
        .map(str::to_owned)
        .chain(names.iter().cloned())
        .collect::<Vec<_>>();
    Tls::self_signed(&folder, &names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_at_the_end_of_a_name_makes_no_other_name() {
        let mut web = Web::new(Some("lb.:7001".parse().unwrap()));
        web.names = ["lb.example.org.", "b.example.org", ".", "10.0.0.9"]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(
            names(&web),
            ["lb.example.org", "b.example.org", "10.0.0.9", "lb"]
        );
    }
}
