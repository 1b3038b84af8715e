//! How the door opens and closes as the configuration changes: what is new is opened
//! before, what is not wanted any more is closed after.
//!
//! What happens to those who come in is known elsewhere.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use super::settings::Settings;
use super::{Doorway, Hall, lock};
use crate::admin::listeners::{DoorError, Listeners};
use crate::config::{Config, Web};
use crate::director::{Finish, Fixture};

/// The door as the desk knows it.
pub(super) struct Hinge(Weak<Hall>);

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
        hall: &Arc<Hall>,
    ) -> Result<Open, DoorError> {
        let Some(web) = web(config).filter(|web| web.enable) else {
            return Ok(Open::default());
        };
        let Some(listen) = &web.listen else {
            return Ok(Open::default());
        };
        let settings = Arc::new(Settings::new(web).map_err(DoorError::Other)?);
        let listeners = Listeners::open("web", listen, &now.listeners, |listener| Doorway {
            listener,
            hall: Arc::clone(hall),
        })?;
        Ok(Open {
            listeners,
            settings,
        })
    }

    /// From now on clients are let in. Says what people should know of it, unless that
    /// is as it was `before`.
    pub(super) fn begin(&self, before: &Open) {
        self.listeners.begin();
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

impl Hinge {
    pub(super) fn new(hall: &Arc<Hall>) -> Hinge {
        Hinge(Arc::downgrade(hall))
    }

    fn turn(hall: &Arc<Hall>, next: &Config) -> Result<Finish, DoorError> {
        let now = lock(&hall.open).clone();
        let open = Open::prepare(next, &now, hall)?;
        let hall = Arc::clone(hall);
        Ok(Box::new(move || hall.put_in_force(&open)))
    }
}

fn web(config: &Config) -> Option<&Web> {
    config.admin.as_ref()?.web.as_ref()
}

impl Fixture for Hinge {
    fn prepare(&mut self, now: &Config, next: &Config) -> Result<Option<Finish>, String> {
        match self.0.upgrade() {
            // Other changes, of users say, do not hang on the certificate's being there.
            Some(hall) if web(now) != web(next) => {
                let finish = Hinge::turn(&hall, next).map_err(|error| error.to_string())?;
                Ok(Some(finish))
            }
            _ => Ok(None),
        }
    }

    /// The certificate may have been renewed.
    fn reopen(&mut self, now: &Config) -> Result<(), String> {
        if let Some(hall) = self.0.upgrade() {
            let finish = Hinge::turn(&hall, now)
                .map_err(|error| format!("{error}; the admin page stays as it was"))?;
            finish();
        }
        Ok(())
    }
}
