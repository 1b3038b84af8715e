//! The plan: which service is behind each listener. The controller makes it, workers read it.
//!
//! A plan never changes; a new one replaces it. Groups with their host pools, and the counters of
//! services, are shared between one plan and the next.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::client_hello::ClientHello;
use super::events::health_log::{self, HealthLog};
use super::events::session_line::SessionLog;
use super::events::{HostName, RecentEvents};
use super::failure::EndReason;
use super::session::TimeoutsMs;
use crate::balance::{HealthChange, Host, HostId, HostPool};
use crate::config::{CheckKind, Network, RouteTable};
use crate::os::listen::{BindAddress, ListenOptions};
use crate::sync::lock;

/// Identifies a listener from one configuration to the next.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenKey {
    /// Its address as configured. With port 0 the system chooses the port.
    pub place: BindAddress,
    /// Its service, for port 0 alone: each service then gets a port of its own.
    pub service: Option<String>,
    /// What is special about its socket: with other options it is another one.
    pub options: ListenOptions,
}

impl ListenKey {
    /// A listener with nothing special, at an address with a port.
    pub fn at(place: BindAddress) -> ListenKey {
        ListenKey {
            place,
            service: None,
            options: ListenOptions::default(),
        }
    }
}

/// Which service is behind each listener.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// What is behind each listener.
    pub(crate) listeners: HashMap<ListenKey, ListenerPlan>,
    /// How many services the configuration has.
    pub(crate) services: usize,
    /// How each session is logged, unless its service says otherwise; `None` is not at all.
    pub(crate) session_log: Option<SessionLog>,
    /// Whether hosts can ask which client a connection belongs to.
    pub(crate) has_client_lookup: bool,
}

/// What is behind a listener.
#[derive(Debug, Clone)]
pub(crate) struct ListenerPlan {
    pub(crate) service: Arc<Service>,
    /// From whom a PROXY protocol header is expected; an empty list is from everybody. `None`:
    /// from nobody.
    pub(crate) proxy_from: Option<Arc<[Network]>>,
}

impl ListenerPlan {
    /// A listener of `service` at which no header is expected.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn new(service: Arc<Service>) -> ListenerPlan {
        ListenerPlan {
            service,
            proxy_from: None,
        }
    }

    /// Whether a client at `address` must begin with a PROXY protocol header.
    pub(crate) fn wants_header(&self, address: IpAddr) -> bool {
        self.proxy_from.as_ref().is_some_and(|from| {
            let address = address.to_canonical();
            from.is_empty() || from.iter().any(|network| network.contains(address))
        })
    }
}

/// The groups of a service that clients get by what their ClientHello asks for.
#[derive(Debug)]
pub(crate) struct Routes {
    pub(crate) table: RouteTable,
    /// The group of each route, in the order of the table.
    pub(crate) groups: Vec<Arc<Group>>,
}

impl Routes {
    /// The group of the route that a client gets, if any.
    pub(crate) fn choose(&self, hello: Option<&ClientHello>) -> Option<&Arc<Group>> {
        let hello = hello?;
        let alpn: Vec<&[u8]> = hello.alpn.iter().map(Vec::as_slice).collect();
        let route = self.table.choose(hello.server_name.as_deref(), &alpn)?;
        self.groups.get(route)
    }
}

/// A service as the workers see it.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) timeouts: TimeoutsMs,
    /// How long a client may take to say what is to be known before its host is picked.
    pub(crate) first_bytes_ms: u64,
    /// Whether its sessions are logged, if any are.
    pub(crate) log: bool,
    /// `None`: nobody's first bytes are looked at for a route.
    pub(crate) routes: Option<Routes>,
    /// The group that gets new sessions.
    pub(crate) group: Arc<Group>,
    pub(crate) stats: Arc<ServiceStats>,
}

/// A group of hosts with its host pool.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) service: String,
    pub(crate) name: String,
    pool: Mutex<HostPool>,
    health_log: HealthLog,
    /// The port for checks of hosts without one: that of the service's first listener, or 0.
    check_port: AtomicU16,
}

impl Group {
    /// A group whose health changes are logged and not kept among the recent events.
    pub(crate) fn new(service: &str, name: &str, pool: HostPool) -> Group {
        Group {
            service: service.to_owned(),
            name: name.to_owned(),
            pool: Mutex::new(pool),
            health_log: HealthLog::default(),
            check_port: AtomicU16::new(0),
        }
    }

    /// Also keeps health changes among these recent events.
    pub(crate) fn with_recent_events(mut self, recent_events: RecentEvents) -> Group {
        self.health_log = HealthLog::new(recent_events);
        self
    }

    /// Sets the port for checks of hosts that have none; 0 is no port.
    pub(crate) fn set_check_port(&self, port: u16) {
        self.check_port.store(port, Ordering::Relaxed);
    }

    /// Where a host at `address` is checked: one without a port at that of the service's first
    /// listener. `None` without such a port.
    pub(crate) fn check_address(&self, mut address: SocketAddr) -> Option<SocketAddr> {
        if address.port() == 0 {
            address.set_port(self.check_port.load(Ordering::Relaxed));
        }
        (address.port() != 0).then_some(address)
    }

    /// Logs and publishes a change of a host's health. Not under the pool's lock.
    pub(crate) fn log_health_change(
        &self,
        id: HostId,
        host: &str,
        change: &HealthChange,
        now_ms: u64,
    ) {
        let host = self.full_name(host);
        self.health_log.log_change(id, host, change, now_ms);
    }

    /// Logs and records what the agent of a host has in force. Not under the pool's lock.
    pub(crate) fn log_agent(&self, id: HostId, host: &str, in_force: &str, now_ms: u64) {
        let host = self.full_name(host);
        self.health_log.log_agent(id, &host, in_force, now_ms);
    }

    /// Logs the result of a check.
    pub(crate) fn log_check(&self, host: &str, kind: CheckKind, result: &str) {
        health_log::log_check(&self.full_name(host), kind, result);
    }

    /// The full name of a host.
    fn full_name(&self, host: &str) -> HostName {
        HostName {
            service: self.service.clone(),
            group: self.name.clone(),
            host: host.to_owned(),
        }
    }

    /// Logs hosts out of service whose last session has ended. Not under the pool's lock.
    pub(crate) fn log_emptied(&self, hosts: Vec<Arc<Host>>) {
        for host in hosts {
            self.health_log.log_emptied(&HostName {
                service: self.service.clone(),
                group: self.name.clone(),
                host: host.name.clone(),
            });
        }
    }

    #[cfg(test)]
    pub(crate) fn health_log(&self) -> &HealthLog {
        &self.health_log
    }

    /// Locks the host pool. Hold the lock briefly, and across no system call.
    pub(crate) fn pool(&self) -> MutexGuard<'_, HostPool> {
        // A panic under the lock leaves the pool consistent, and ends the balancer anyway.
        lock(&self.pool)
    }

    /// Whether a thread holds the pool's lock.
    #[cfg(test)]
    pub(crate) fn is_locked(&self) -> bool {
        self.pool.try_lock().is_err()
    }
}

/// A service's counters. They live as long as a service of that name exists.
#[derive(Debug, Default)]
pub(crate) struct ServiceStats {
    open: AtomicU64,
    total: AtomicU64,
    ended: [AtomicU64; EndReason::ALL.len()],
    durations: [AtomicU64; DURATIONS_S.len() + 1],
    duration_ms: AtomicU64,
}

/// Upper bounds of the histogram of durations, in seconds. Longer ones are in one more bucket.
pub const DURATIONS_S: [u64; 6] = [1, 10, 60, 600, 3600, 86_400];

/// The sessions of a service that have ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct EndedSessions {
    /// By reason.
    pub reasons: Vec<(EndReason, u64)>,
    /// By duration: up to each bound of [`DURATIONS_S`] and longer than the one before, and longer
    /// than the last.
    pub durations: [u64; DURATIONS_S.len() + 1],
    /// All durations together, in milliseconds.
    pub duration_ms: u64,
}

impl ServiceStats {
    pub(crate) fn count_start(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.total.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_end(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts how a session ended, and after how long.
    pub(crate) fn count_ended(&self, reason: EndReason, duration_ms: u64) {
        let bucket = DURATIONS_S.partition_point(|bound_s| bound_s * 1000 < duration_ms);
        self.ended[reason.index()].fetch_add(1, Ordering::Relaxed);
        self.durations[bucket].fetch_add(1, Ordering::Relaxed);
        self.duration_ms.fetch_add(duration_ms, Ordering::Relaxed);
    }

    /// How sessions ended so far.
    pub(crate) fn ended(&self) -> EndedSessions {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EndedSessions {
            reasons: EndReason::ALL
                .map(|reason| (reason, count(&self.ended[reason.index()])))
                .to_vec(),
            durations: self.durations.each_ref().map(count),
            duration_ms: count(&self.duration_ms),
        }
    }

    /// Sessions open now.
    pub(crate) fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Clients accepted so far.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
impl Service {
    /// The only service of a configuration, with one host.
    pub(crate) fn example(host: SocketAddr) -> Arc<Service> {
        let text = format!(
            r#"<config><service name="s"><listen ip="127.0.0.1:0"/>
        <group name="g" enable="true"><host ip="{host}"/></group></service></config>"#
        );
        let config = crate::config::read(text.as_bytes()).unwrap().config;
        let service = &config.services[0];
        let pool = HostPool::new(&service.groups[0], 2, 0);
        Arc::new(Service {
            name: service.name.clone(),
            timeouts: service.timeouts.into(),
            first_bytes_ms: 5000,
            log: true,
            routes: None,
            group: Arc::new(Group::new("s", "g", pool)),
            stats: Arc::default(),
        })
    }
}
