//! The door while a configuration is in force: where it listens, and what its clients
//! need.
//!
//! What happens to those who come in is known elsewhere.

use std::net::SocketAddr;
use std::sync::Arc;

use super::house::House;
use super::{Doorway, Hall};
use crate::admin::listeners::{AdminListenError, Listeners};
use crate::config::{Config, Ssh};

/// The door while a configuration is in force.
#[derive(Default, Clone)]
pub(super) struct Open {
    listeners: Listeners,
    house: Option<Arc<House>>,
    has_users: bool,
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
        let enabled = ssh(config).filter(|ssh| ssh.enable);
        let Some(listen) = enabled.and_then(|ssh| ssh.listen.as_ref()) else {
            return Ok(Open::default());
        };
        let house = hall.house()?;
        let listeners = Listeners::open("ssh", listen, &now.listeners, anew, |listener| {
            Doorway::new(listener, hall, &house)
        })?;
        Ok(Open {
            listeners,
            house: Some(house),
            has_users: !config.users().is_empty(),
        })
    }

    /// From now on clients are let in. Says what people should know of it, unless that
    /// is as it was `before`.
    pub(super) fn begin(&self, before: &Open) {
        self.listeners.begin();
        let places = |open: &Open| open.addresses().map(|it| it.to_string()).collect();
        let (now, then): (Vec<_>, Vec<_>) = (places(self), places(before));
        match &self.house {
            Some(house) if now != then => {
                let (places, key) = (now.join(", "), &house.fingerprint);
                log::info!("the console is at {places} (ssh); its key is {key}");
            }
            None if !then.is_empty() => log::info!("the console is closed"),
            _ => {}
        }
        let is_mute = |open: &Open| open.house.is_some() && !open.has_users;
        if is_mute(self) && !is_mute(before) {
            log::warn!("the console lets nobody in: there is no <user> in the configuration");
        }
    }

    pub(super) fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.addresses()
    }
}

/// What the configuration says of the door.
pub(super) fn ssh(config: &Config) -> Option<&Ssh> {
    config.admin.as_ref()?.ssh.as_ref()
}
