//! The door while a configuration is in force: where it listens, and how it serves.
//!
//! What happens to those who come in is known elsewhere.

use std::net::SocketAddr;
use std::sync::Arc;

use super::settings::Settings;
use super::{Doorway, Hall};
use crate::admin::server::reconfigure::{AdminListenError, Listeners};
use crate::config::{Config, Web};

/// The door while a configuration is in force.
#[derive(Default, Clone)]
pub(super) struct Open {
    listeners: Listeners,
    settings: Arc<Settings>,
}

impl Open {
    /// The door as `config` wants it; what is open `now` stays so if it may.
    ///
    /// # Errors
    /// Something that is new is not to be had.
    pub(super) fn prepare(
        config: &Config,
        now: &Open,
        anew: bool,
        hall: &Arc<Hall>,
    ) -> Result<Open, AdminListenError> {
        let Some(web) = web(config).filter(|web| web.enable) else {
            return Ok(Open::default());
        };
        let Some(listen) = &web.listen else {
            return Ok(Open::default());
        };
        let settings = Arc::new(Settings::new(web).map_err(AdminListenError::Other)?);
        let listeners = Listeners::open("web", listen, &now.listeners, anew, |listener| {
            Doorway::new(listener, hall)
        })?;
        Ok(Open {
            listeners,
            settings,
        })
    }

    /// From now on clients are let in. Says what people should know of it, unless that
    /// is as it was `before`.
    pub(super) fn begin(&self, before: &Open) {
        self.listeners.start_accepting();
        let is_open = self.addresses().next().is_some();
        let (urls, urls_before) = (self.urls(), before.urls());
        if urls != urls_before && is_open {
            log::info!("the admin page is at {}", urls.join(", "));
            self.warn_of_listeners();
        } else if urls != urls_before {
            log::info!("the admin page is closed");
        }
        let fingerprint = self.settings.fingerprint();
        if fingerprint != before.settings.fingerprint()
            && let Some(fingerprint) = fingerprint
        {
            log::info!("the admin page's certificate has the SHA-256 fingerprint {fingerprint}");
        }
    }

    /// Where people find it.
    fn urls(&self) -> Vec<String> {
        let scheme = self.settings.scheme();
        let url = |address| format!("{scheme}://{address}/");
        self.addresses().map(url).collect()
    }

    fn warn_of_listeners(&self) {
        let is_public = self.addresses().any(|address| !address.ip().is_loopback());
        if self.settings.tls.is_none() && is_public {
            log::warn!(
                "the admin page can be reached from other machines without HTTPS: passwords \
                 can be read on the way (secure=\"true\" changes that)"
            );
        }
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.addresses()
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings)
    }

    pub(super) fn listeners(&self) -> &Listeners {
        &self.listeners
    }
}

/// What the door depends on. Users are not part of it: they change even while the
/// certificate is not to be had.
pub(super) fn web(config: &Config) -> Option<&Web> {
    config.admin.as_ref()?.web.as_ref()
}
