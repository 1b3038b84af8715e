//! A snapshot of everything that runs, as plain data.
//!
//! The one source for whoever shows it; how it is shown is theirs to know.

mod json;
pub(super) mod table;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::data_plane::DataPlane;
use crate::balance::{self, Health, Totals};
use crate::config::{self, HostState};
use crate::relay::{
    Clock, EndReason, RecentEvent, ResourceError, ServiceStats, SessionStatus, WorkerStats,
};

/// Everything, at one moment.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Status {
    /// The moment, in milliseconds since 1970.
    pub wall_ms: u64,
    /// When txlb started, in milliseconds since 1970.
    pub started_wall_ms: u64,
    /// The process.
    pub process: u32,
    /// The program's version.
    pub version: &'static str,
    /// How many threads serve sessions.
    pub workers: usize,
    /// Counts the configurations that were put in force, from 1.
    pub generation: u64,
    /// Whether it has been told to stop: then no session begins any more.
    pub stopping: bool,
    /// Where the configuration comes from, and how it is doing there.
    pub stored: StoredStatus,
    /// Sessions open now.
    pub open: usize,
    /// Sessions there are descriptors for.
    pub capacity: usize,
    /// Sessions by how they ended.
    pub ended: Vec<(EndReason, u64)>,
    /// Clients kept waiting: for want of descriptors, of the system's memory
    /// for sockets, and for reasons unheard of.
    pub accept_pauses: u64,
    /// Connects to hosts that found no local port.
    pub no_ports: u64,
    /// Times the workers' loops went round.
    pub turns: u64,
    /// What happened last, the oldest first; 50 things at most.
    pub recent_events: Vec<RecentEvent>,
    /// The services, in the file's order.
    pub services: Vec<ServiceStatus>,
}

/// The running configuration and its file.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StoredStatus {
    /// The file; `None` without one.
    pub file: Option<PathBuf>,
    /// How many verbs would make the running configuration from the stored one.
    pub unsaved: usize,
    /// What came of the last reload; `None` before the first.
    pub last_reload: Option<Outcome>,
    /// What came of the last save; `None` before the first.
    pub last_save: Option<Outcome>,
}

/// What came of something that is tried now and again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// When, in milliseconds since 1970.
    pub wall_ms: u64,
    /// Why it failed, if it did.
    pub result: Result<(), String>,
}

/// One service.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// Where it is reached: with port 0, the one the system chose.
    pub addresses: Vec<SocketAddr>,
    /// The group that gets new sessions.
    pub enabled: String,
    /// Sessions open now.
    pub open: u64,
    /// Clients so far.
    pub total: u64,
    /// Its groups, in the file's order.
    pub groups: Vec<GroupStatus>,
}

/// One group.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GroupStatus {
    /// Its name.
    pub name: String,
    /// Its scheduler.
    pub scheduler: String,
    /// Sessions open now, on removed hosts too.
    pub open: usize,
    /// Its hosts, in the file's order.
    pub hosts: Vec<HostStatus>,
}

/// One host.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HostStatus {
    /// Its name.
    pub name: String,
    /// As configured.
    pub endpoint: String,
    /// Where it is connected to; `None` while its name has no address.
    pub address: Option<SocketAddr>,
    /// Its share.
    pub weight: u32,
    /// What the operator wants of it.
    pub state: HostState,
    /// What is seen of it.
    pub health: Health,
    /// Since when, in milliseconds since 1970.
    pub since_wall_ms: u64,
    /// Sessions open now.
    pub open: u32,
    /// Sessions it has served so far.
    pub total: u64,
    /// Those of each of the last 60 minutes, the oldest first; the last is under way.
    pub recent: Vec<u32>,
    /// Connects that failed so far.
    pub failures: u64,
    /// Why it failed last, whatever its health is now, and when, in milliseconds
    /// since 1970.
    pub last_failure: Option<(String, u64)>,
    /// What has gone through it.
    pub totals: Totals,
}

/// Open sessions.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Sessions {
    /// Each at a moment of its own, the oldest first.
    pub list: Vec<SessionStatus>,
    /// How many there are besides that are not listed.
    pub more: usize,
}

/// The moment of a snapshot. The clocks are read once for all of it, not for each host
/// under its group's lock.
struct Now {
    now_ms: u64,
    started_wall_ms: u64,
}

impl Now {
    fn of(clock: &Clock) -> Now {
        Now {
            now_ms: clock.now_ms(),
            started_wall_ms: clock.wall_ms(0),
        }
    }

    fn wall_ms(&self, moment_ms: u64) -> u64 {
        self.started_wall_ms.saturating_add(moment_ms)
    }
}

/// Looks at everything once. Each group is locked for as long as it takes to
/// copy its hosts' figures.
fn snapshot(data_plane: &DataPlane) -> Status {
    let shared = &data_plane.shared;
    let sum = |of: &dyn Fn(&WorkerStats) -> u64| shared.meters.iter().map(of).sum();
    let trouble = |kind| sum(&|meters| meters.trouble(kind));
    let now = Now::of(&shared.clock);
    Status {
        wall_ms: now.wall_ms(now.now_ms),
        started_wall_ms: now.started_wall_ms,
        process: std::process::id(),
        version: env!("CARGO_PKG_VERSION"),
        workers: data_plane.workers.len(),
        generation: data_plane.generation,
        stopping: false,
        stored: StoredStatus::default(),
        open: shared.open.load(Ordering::Relaxed),
        capacity: shared.capacity.load(Ordering::Relaxed),
        ended: EndReason::ALL
            .map(|reason| (reason, sum(&|meters| meters.ended(reason))))
            .to_vec(),
        accept_pauses: trouble(ResourceError::Full)
            + trouble(ResourceError::NoDescriptors)
            + trouble(ResourceError::Accept),
        no_ports: trouble(ResourceError::NoPorts),
        turns: sum(&WorkerStats::turns),
        recent_events: shared.journal.happenings(),
        services: data_plane
            .config
            .services
            .iter()
            .map(|it| service(data_plane, it, &now))
            .collect(),
    }
}

fn service(data_plane: &DataPlane, service: &config::Service, now: &Now) -> ServiceStatus {
    let stats = data_plane.running.stats(&service.name);
    ServiceStatus {
        name: service.name.clone(),
        addresses: data_plane
            .listeners
            .addresses(&data_plane.wanted, &service.name)
            .collect(),
        enabled: service.enabled.clone(),
        open: stats.map_or(0, ServiceStats::open),
        total: stats.map_or(0, ServiceStats::total),
        groups: service
            .groups
            .iter()
            .map(|it| group(data_plane, &service.name, it, now))
            .collect(),
    }
}

fn group(data_plane: &DataPlane, service: &str, group: &config::Group, now: &Now) -> GroupStatus {
    let running = data_plane.running.group(service, &group.name);
    let (open, hosts) = running.map_or((0, Vec::new()), |running| {
        let pool = running.tracker();
        (pool.open(), pool.hosts().map(|it| host(now, &it)).collect())
    });
    GroupStatus {
        name: group.name.clone(),
        scheduler: group.scheduler.to_string(),
        open,
        hosts,
    }
}

fn host(now: &Now, status: &balance::HostStatus<'_>) -> HostStatus {
    HostStatus {
        name: status.host.name.clone(),
        endpoint: status.endpoint.to_string(),
        address: status.address,
        weight: status.weight,
        state: status.state,
        health: status.health.clone(),
        since_wall_ms: now.wall_ms(status.since_ms),
        open: status.open,
        total: status.total,
        recent: status.recent.by_minute(now.now_ms).to_vec(),
        failures: status.failures,
        last_failure: status
            .last_failure
            .map(|(failure, at_ms)| (failure.to_string(), now.wall_ms(*at_ms))),
        totals: status.host.counters.sum(),
    }
}

impl DataPlane {
    /// Everything that runs, as it is now.
    pub fn status(&self) -> Status {
        snapshot(self)
    }
}

impl Status {
    /// Whether every service has a host that new sessions can be given to.
    pub fn is_ready(&self) -> bool {
        let served = |service: &ServiceStatus| {
            let group = service.enabled_group();
            group.is_some_and(|group| group.hosts.iter().any(HostStatus::is_usable))
        };
        !self.stopping && self.services.iter().all(served)
    }

    /// The service of that name.
    pub fn service(&self, name: &str) -> Option<&ServiceStatus> {
        self.services.iter().find(|service| service.name == name)
    }
}

impl ServiceStatus {
    /// The group that gets new sessions.
    pub fn enabled_group(&self) -> Option<&GroupStatus> {
        self.groups.iter().find(|group| group.name == self.enabled)
    }
}

impl HostStatus {
    /// Whether the operator lets it have new sessions, and it has not failed.
    pub fn is_usable(&self) -> bool {
        let in_service = self.state == HostState::Up && self.weight > 0;
        in_service && !matches!(self.health, Health::Failed(_))
    }
}

impl GroupStatus {
    /// The host of that name.
    pub fn host(&self, name: &str) -> Option<&HostStatus> {
        self.hosts.iter().find(|host| host.name == name)
    }
}

#[cfg(test)]
mod tests {
    //! The names that programs rely on.

    use super::*;
    use crate::balance::Failure;
    use crate::json::Json;
    use crate::relay::Topic;

    /// A host of which everything is known.
    fn host() -> HostStatus {
        HostStatus {
            name: "a \"b\"".to_owned(),
            endpoint: "db:1".to_owned(),
            address: None,
            weight: 5,
            state: HostState::Drain,
            health: Health::Failed(Failure::Refused),
            since_wall_ms: 8,
            open: 1,
            total: 3,
            recent: vec![1, 2],
            failures: 2,
            last_failure: Some(("connection refused".to_owned(), 9)),
            totals: Totals {
                bytes_to_host: 10,
                bytes_to_client: u64::MAX,
                connects: 2,
                connect_ms: 5,
                ..Totals::default()
            },
        }
    }

    #[test]
    fn the_names_in_json_are_those_that_programs_know() {
        let status = Status {
            version: "2.0.0",
            services: vec![ServiceStatus {
                name: "web".to_owned(),
                addresses: vec!["[::1]:80".parse().unwrap()],
                enabled: "main".to_owned(),
                open: 1,
                total: 3,
                groups: vec![GroupStatus {
                    name: "main".to_owned(),
                    scheduler: "leastc".to_owned(),
                    open: 1,
                    hosts: vec![host()],
                }],
            }],
            stored: StoredStatus {
                file: Some("/f.xml".into()),
                unsaved: 2,
                last_reload: Some(Outcome {
                    wall_ms: 7,
                    result: Err("why".to_owned()),
                }),
                last_save: None,
            },
            ended: vec![(EndReason::Finished, 2)],
            recent_events: vec![RecentEvent {
                wall_ms: 6,
                topic: Topic::HostUp,
                text: "host web:main/a is up".to_owned(),
            }],
            ..Status::default()
        };
        let json = status.to_json();
        assert_eq!(Json::from(status.to_object()).into_text(), json);
        let (head, buckets) = json.split_once(",\"connect_histogram\":[").unwrap();
        assert_eq!(
            head,
            r#"{"version":"2.0.0","process":0,"at_ms":0,"started_ms":0,"workers":0,"generation":0,"#
                .to_owned()
                + r#""stopping":false,"config":{"file":"/f.xml","unsaved":2,"last_reload":{"at_ms":7,"ok":false,"#
                + r#""error":"why"},"last_save":null},"open":0,"capacity":0,"ended":{"finished":2},"#
                + r#""accept_pauses":0,"no_ports":0,"turns":0,"happenings":[{"at_ms":6,"topic":"host up","#
                + r#""text":"host web:main/a is up"}],"services":[{"name":"web","#
                + r#""listens":["[::1]:80"],"enabled":"main","open":1,"total":3,"groups":[{"name":"#
                + r#""main","scheduler":"leastc","open":1,"hosts":[{"name":"a \"b\"","ip":"db:1","#
                + r#""address":null,"weight":5,"state":"drain","health":"failed","since_ms":8,"#
                + r#""last_error":"connection refused","last_error_ms":9,"open":1,"total":3,"#
                + r#""sessions_per_minute":[1,2],"failed_connects":2,"bytes_to_host":10,"bytes_to_client":18446744073709551615,"#
                + r#""connects":2,"connect_ms":5,"mean_connect_us":2500"#
        );
        assert!(buckets.starts_with(r#"{"most_ms":1,"connects":0},"#));
        assert!(buckets.ends_with(r#"{"most_ms":null,"connects":0}]}]}]}]}"#));
    }

    #[test]
    fn sessions_in_json_say_all_that_is_known() {
        let sessions = Sessions {
            list: vec![SessionStatus::example()],
            more: 3,
        };
        assert_eq!(
            sessions.to_json(),
            r#"{"sessions":[{"id":"1000000000002","client":"10.0.0.9:33333","service":"web","#
                .to_owned()
                + r#""group":"main","host":"one","host_address":"10.0.0.1:80","local_address":null,"#
                + r#""age_ms":120000,"idle_ms":5000,"bytes_to_host":512,"bytes_to_client":1048576,"#
                + r#""phase":"relaying"}],"more":3}"#
        );
    }
}
