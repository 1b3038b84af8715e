//! Where the director listens: what a configuration changes of it, and what only names do.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::DataPlane;
use super::error::Error;
use super::fd_budget;
use super::listeners::{self, Opened, Resolving, Wanted};
use super::loops::OwnService;
use crate::config::Config;
use crate::relay::ListenKey;

impl DataPlane {
    /// Where `next` is to listen, and the new sockets for that.
    pub(super) fn listen(
        &self,
        next: &Config,
        resolving: Resolving,
    ) -> Result<(Wanted, Vec<Opened>), Error> {
        let mut wanted = listeners::wanted(next, &self.wanted, resolving)?;
        self.listeners.inheritance.add_named(next, &mut wanted);
        // What this machine does not have is not looked for by changes.
        let is_new =
            |key: &ListenKey| resolving == Resolving::All || !self.wanted.contains_key(key);
        let opened = self.listeners.open(&wanted, self.workers.len(), is_new)?;
        Ok((wanted, opened))
    }

    /// Resolves the names of listeners again, and listens at what is there now.
    ///
    /// # Errors
    /// A listener that cannot be had: everything is as it was.
    pub(crate) fn listen_again(&mut self) -> Result<(), Error> {
        if self.config.listen_names().is_empty() {
            return Ok(());
        }
        let (wanted, opened) = self.listen(&self.config, Resolving::All)?;
        if opened.is_empty() && wanted == self.wanted {
            return Ok(());
        }
        let shares = self.listeners.replace(&wanted, opened, self.workers.len());
        let plan = Arc::new(self.running.plan(&self.config, &wanted));
        self.wanted = wanted;
        self.limit_sessions();
        self.answers.connect(self.own_services());
        self.serve(&plan, shares)
    }

    /// The services between which sessions may go in circles.
    pub(super) fn own_services(&self) -> Vec<OwnService> {
        let places = self.listeners.places(&self.wanted);
        let services = self.config.services.iter();
        let own = services.filter_map(|service| {
            Some(OwnService {
                places: places.get(&service.name).cloned().unwrap_or_default(),
                group: Arc::clone(self.running.group(&service.name, &service.enabled)?),
            })
        });
        own.collect()
    }

    /// Lets as many sessions in as there are descriptors for, two each, and no more than
    /// its owner wants.
    pub(super) fn limit_sessions(&self) {
        let room = fd_budget::sessions(&self.config, self.workers.len(), self.listeners.len());
        // A change must not leave room for none.
        let capacity = room.unwrap_or(1).min(self.most_sessions);
        self.shared.capacity.store(capacity, Ordering::Relaxed);
    }
}
