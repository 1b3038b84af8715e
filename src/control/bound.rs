//! A configuration whose listeners are bound, before anything runs.
//!
//! Between binding and starting, the program gives up what only binding needed:
//! there is no thread yet that could keep it. What runs then is the director's
//! business.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use super::error::Error;
use super::listeners::{self, Inheritance, Listeners, Opened, Wanted};
use super::panic_guard::PanicGuard;
use super::recovery::Recovery;
use super::renames::Renames;
use super::resolutions::Resolutions;
use super::resolver::{Resolver, look_up};
use super::running::Running;
use super::workers::start_workers;
use super::{DataPlane, Options, fd_budget};
use crate::config::Config;
use crate::os::inherited::InheritedSocket;
use crate::os::{addresses, listen};
use crate::relay::{ClientLookup, Clock, Handoffs, RecentEvents, Shared, WorkerStats};

/// A balancer that listens, and has yet to start. Clients wait in the system's
/// queue meanwhile.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    options: Options,
    wanted: Wanted,
    listeners: Listeners,
    opened: Vec<Opened>,
}

impl Bound {
    /// Binds what `config` says and `inherited` is not there for. Starts no thread: the
    /// names of listeners are looked up one after the other, for as long as the system
    /// takes.
    pub(super) fn new(
        config: Config,
        options: Options,
        inherited: Vec<InheritedSocket>,
    ) -> Result<Bound, Error> {
        let options = Options {
            workers: options.workers.max(1),
            most_sessions: options.most_sessions.max(1),
            ..options
        };
        // The sandbox may hide it later.
        let _ = addresses::local_port_range();
        let listeners = Listeners::with(Inheritance::new(inherited));
        let mut wanted = listeners::wanted_at_first(&config)?;
        listeners.inheritance.add_named(&config, &mut wanted);
        fd_budget::sessions(&config, options.workers, wanted.len())
            .map_err(|(limit, needed)| Error::Descriptors { limit, needed })?;
        let opened = listeners.open(&wanted, options.workers, |_| true)?;
        Ok(Bound {
            config,
            options,
            wanted,
            listeners,
            opened,
        })
    }

    /// The configuration that is to be in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Gives the sockets to another user, whom this process is about to become: only
    /// sockets of one user can be siblings, and later ones will be that user's.
    pub fn give_to(&self, uid: u32, gid: u32) {
        for socket in self.opened.iter().flat_map(Opened::sockets) {
            if let Err(error) = listen::change_owner(socket, uid, gid) {
                log::debug!("a listening socket stays as it is: {error}");
            }
        }
    }

    /// The second half of [`DataPlane::start`]: starts to balance.
    ///
    /// # Errors
    /// A thread that cannot be had, or a scheduler that there is not. Nothing runs then.
    pub fn start(self) -> Result<DataPlane, Error> {
        let clock = Clock::start();
        let options = self.options;
        let count = options.workers;
        let shared = Arc::new(Shared {
            clock: clock.clone(),
            capacity: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            log_shortage_after_ms: AtomicU64::new(0),
            pipes: fd_budget::pipes(count),
            handoffs: Handoffs::new(count),
            recent_events: RecentEvents::new(clock.clone()),
            stats: (0..count).map(|_| WorkerStats::default()).collect(),
            client_lookup: ClientLookup::new(count),
        });
        let answers = Arc::new(Resolutions::new(clock.clone()));
        let on_answer = Arc::clone(&answers);
        let alarm = PanicGuard {
            news: shared.recent_events.event_bus().clone(),
            on_event: options.on_event,
        };
        let names_alarm = alarm.clone();
        let mut director = DataPlane {
            config: Config::default(),
            generation: 0,
            wanted: Wanted::new(),
            listeners: self.listeners,
            running: Running::default(),
            workers: start_workers(count, &shared, &alarm).map_err(Error::System)?,
            shared,
            answers,
            names: Resolver::new(
                Box::new(look_up),
                Box::new(move |name, answer| {
                    let _watch = names_alarm.watch("names");
                    on_answer.tell(name, answer);
                }),
            ),
            recovery: Recovery::start(clock, fd_budget::probes(), &alarm).map_err(Error::System)?,
            schedulers: options.schedulers,
            most_sessions: options.most_sessions,
            alarm,
        };
        director.check_schedulers(&self.config)?;
        director.put_in_force(self.config, self.wanted, self.opened, &Renames::default())?;
        director.listeners.inheritance.warn(&director.wanted);
        Ok(director)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::net::{SocketAddr, TcpStream};

    fn config(listen: &str) -> Config {
        let text = format!(
            "<config><service name='s'><listen ip='{listen}'/>\
             <group name='g' enable='1'><host ip='127.0.0.1:1'/></group></service></config>"
        );
        crate::config::read(text.as_bytes()).unwrap().config
    }

    fn bind(config: Config, workers: usize) -> Result<Bound, Error> {
        DataPlane::bind(config, Options::new(workers, |_| {}), Vec::new())
    }

    fn place(bound: &Bound) -> SocketAddr {
        bound.opened[0].address()
    }

    #[test]
    fn clients_of_what_is_bound_wait_for_the_start() {
        let bound = bind(config("localhost:0"), 2).unwrap();
        let address = place(&bound);
        TcpStream::connect(address).unwrap();
        let director = bound.start().unwrap();
        let status = director.status();
        assert!(status.services[0].addresses.contains(&address));
        assert_eq!((status.workers, director.generation()), (2, 1));
    }

    #[test]
    fn what_is_bound_is_nobody_elses_until_it_is_dropped() {
        let bound = bind(config("127.0.0.1:0"), 1).unwrap();
        let taken = place(&bound).to_string();
        let refused = bind(config(&taken), 1).unwrap_err();
        assert_eq!(refused.io_kind(), Some(io::ErrorKind::AddrInUse));
        drop(bound);
        bind(config(&taken), 1).unwrap();
    }
}
