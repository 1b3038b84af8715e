//! A snapshot of everything that runs, as plain data.

#[cfg(test)]
mod examples;
mod host;
mod json;
mod readiness;
mod selection;
pub(super) mod table;

pub use host::HostStatus;
pub use readiness::Readiness;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::data_plane::DataPlane;
use super::draining::DrainingProcess;
use super::member_count::MemberCount;
use crate::config::verb::GroupKey;
use crate::config::{self, Route};
use crate::os::address::Address;
use crate::relay::{
    Clock, EndReason, EndedSessions, RecentEvent, ResourceError, ServiceStats, SessionStatus,
    WorkerStats,
};

/// Everything that runs, at one moment.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Status {
    /// Time of the snapshot, in milliseconds since 1970.
    pub wall_ms: u64,
    /// When txlb started, in milliseconds since 1970.
    pub started_wall_ms: u64,
    /// What this txlb is called: `name` of `<config>`, or else the name of the machine.
    pub name: String,
    /// Process id.
    pub process: u32,
    /// Version of txlb.
    pub version: &'static str,
    /// Number of worker threads.
    pub workers: usize,
    /// Number of the configuration in force, from 1.
    pub generation: u64,
    /// Whether it stops: no session begins any more.
    pub stopping: bool,
    /// Whether an operator has it withdraw: it serves, and says that it is not ready.
    pub resigned: bool,
    /// The configuration file, and how it compares.
    pub stored: StoredStatus,
    /// Sessions open now.
    pub open: usize,
    /// Limit of sessions, by file descriptors.
    pub capacity: usize,
    /// Sessions by how they ended.
    pub ended: Vec<(EndReason, u64)>,
    /// Clients kept waiting for lack of descriptors, of memory for sockets, or after an unknown
    /// error of accept.
    pub accept_pauses: u64,
    /// Connects to hosts for which there was no local port.
    pub no_ports: u64,
    /// Iterations of all workers' event loops.
    pub iterations: u64,
    /// The last 50 events at most, the oldest first.
    pub recent_events: Vec<RecentEvent>,
    /// Earlier processes that still serve their last sessions, the oldest first.
    pub draining: Vec<DrainingProcess>,
    /// The services, in the file's order.
    pub services: Vec<ServiceStatus>,
    /// Only services, groups and hosts with problems are there.
    pub only_problems: bool,
}

/// The running configuration and its file.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StoredStatus {
    /// The file; `None` without one.
    pub file: Option<PathBuf>,
    /// How many verbs would make the running configuration from the stored one.
    pub unsaved: usize,
    /// The result of the last reload; `None` before the first.
    pub last_reload: Option<Outcome>,
    /// The result of the last save; `None` before the first.
    pub last_save: Option<Outcome>,
}

/// The result of an operation, and its time.
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
    /// Its addresses: for port 0, with the port that the system chose.
    pub addresses: Vec<Address>,
    /// The group that gets the new sessions for which there is no route.
    pub enabled: String,
    /// Which TLS clients go to a group of their own, in the file's order.
    pub routes: Vec<Route>,
    /// How long sessions may stay on a host that gets no new ones; `None` is as long as they like.
    pub drain_timeout: Option<Duration>,
    /// Sessions open now.
    pub open: u64,
    /// Sessions so far.
    pub total: u64,
    /// How its sessions ended so far.
    pub ended: EndedSessions,
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
    /// The scheduler that would look at the weights there are, if its own does not.
    pub missed_weights: Option<String>,
    /// Open sessions, those on removed hosts included.
    pub open: usize,
    /// Its hosts, in the file's order, members of names included.
    pub hosts: Vec<HostStatus>,
    /// The hosts of the file that stand for members of names.
    pub each: Vec<MemberCount>,
}

/// Open sessions.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Sessions {
    /// The listed sessions, the oldest first. Each is a snapshot of its own moment.
    pub list: Vec<SessionStatus>,
    /// Number of open sessions that are not listed.
    pub more: usize,
    /// Only sessions that were selected are there.
    pub is_part: bool,
}

/// Time of a snapshot. Clocks are read once, not for each host under its group's lock.
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

/// Takes the snapshot. Each group is locked only while its hosts' figures are copied.
fn snapshot(data_plane: &DataPlane) -> Status {
    let shared = &data_plane.shared;
    let sum = |of: &dyn Fn(&WorkerStats) -> u64| shared.stats.iter().map(of).sum();
    let trouble = |kind| sum(&|stats| stats.errors(kind));
    let now = Now::of(&shared.clock);
    let mut addresses = data_plane
        .listeners
        .addresses_by_service(&data_plane.wanted);
    let services = data_plane.config.services.iter();
    let services = services
        .map(|it| {
            let addresses = addresses.remove(it.name.as_str()).unwrap_or_default();
            service(data_plane, it, addresses, &now)
        })
        .collect();
    Status {
        wall_ms: now.wall_ms(now.now_ms),
        started_wall_ms: now.started_wall_ms,
        name: data_plane.name().to_owned(),
        process: std::process::id(),
        version: env!("CARGO_PKG_VERSION"),
        workers: data_plane.workers.len(),
        generation: data_plane.generation,
        stopping: false,
        resigned: data_plane.resigned,
        stored: StoredStatus::default(),
        open: shared.handoffs.open_sessions(),
        capacity: shared.capacity.load(Ordering::Relaxed),
        ended: EndReason::ALL
            .map(|reason| (reason, sum(&|stats| stats.ended(reason))))
            .to_vec(),
        accept_pauses: trouble(ResourceError::Full)
            + trouble(ResourceError::NoDescriptors)
            + trouble(ResourceError::Accept),
        no_ports: trouble(ResourceError::NoPorts),
        iterations: sum(&WorkerStats::iterations),
        recent_events: shared.recent_events.list(),
        draining: data_plane.predecessors.list(),
        services,
        only_problems: false,
    }
}

fn service(
    data_plane: &DataPlane,
    service: &config::Service,
    addresses: Vec<Address>,
    now: &Now,
) -> ServiceStatus {
    let stats = data_plane.running.stats(&service.name);
    ServiceStatus {
        name: service.name.clone(),
        addresses,
        enabled: service.enabled.clone(),
        routes: service.routes.clone(),
        drain_timeout: service.drain_timeout,
        open: stats.map_or(0, ServiceStats::open),
        total: stats.map_or(0, ServiceStats::total),
        ended: stats.map(ServiceStats::ended).unwrap_or_default(),
        groups: service
            .groups
            .iter()
            .map(|it| group(data_plane, &service.name, it, now))
            .collect(),
    }
}

fn group(data_plane: &DataPlane, service: &str, group: &config::Group, now: &Now) -> GroupStatus {
    let running = data_plane.running.group(service, &group.name);
    let (open, mut hosts) = running.map_or((0, Vec::new()), |running| {
        let pool = running.pool();
        (
            pool.open(),
            pool.hosts().map(|it| host::host(now, &it)).collect(),
        )
    });
    let mut each = Vec::new();
    if group.has_templates() {
        for host in &mut hosts {
            host.member_of = group.template_of(&host.name).map(|it| it.name.clone());
        }
        each = data_plane.members.counts(&GroupKey {
            service: service.to_owned(),
            group: group.name.clone(),
        });
    }
    GroupStatus {
        name: group.name.clone(),
        scheduler: group.scheduler.to_string(),
        missed_weights: group.missed_weights().map(|instead| instead.to_string()),
        open,
        hosts,
        each,
    }
}

impl DataPlane {
    /// A snapshot of everything that runs.
    pub fn status(&self) -> Status {
        snapshot(self)
    }
}

impl Status {
    /// The service of that name.
    pub fn service(&self, name: &str) -> Option<&ServiceStatus> {
        self.services.iter().find(|service| service.name == name)
    }
}

impl ServiceStatus {
    /// The group that gets the new sessions for which there is no route.
    pub fn enabled_group(&self) -> Option<&GroupStatus> {
        self.groups.iter().find(|group| group.name == self.enabled)
    }

    /// Whether a group gets new sessions: it is enabled, or a route leads to it.
    pub fn serves(&self, group: &str) -> bool {
        self.enabled == group || self.routes.iter().any(|route| route.group == group)
    }
}

impl GroupStatus {
    /// The host of that name.
    pub fn host(&self, name: &str) -> Option<&HostStatus> {
        self.hosts.iter().find(|host| host.name == name)
    }
}

#[cfg(test)]
pub(super) mod tests {
    //! Names of JSON members, which programs rely on.

    use super::*;
    use crate::balance::{CheckResult, Failure, Health, Totals};
    use crate::config::{CheckKind, HostState};
    use crate::json::Json;
    use crate::relay::Topic;

    /// A host with everything known.
    fn host() -> HostStatus {
        HostStatus {
            endpoint: "db:1".to_owned(),
            address: None,
            weight: 5,
            state: HostState::Drain,
            backup: true,
            suspect: true,
            slow_start_percent: Some(10),
            health: Health::Failed(Failure::Refused),
            since_wall_ms: 8,
            times_failed: 4,
            down_ms: 700,
            last_check: Some(CheckResult::new(CheckKind::Tcp, 6, Some(Failure::TimedOut))),
            failed_checks: 7,
            open: 1,
            peak_open: 9,
            total: 3,
            recent: vec![1, 2],
            known_minutes: 2,
            per_ten_seconds: 14,
            peak_per_second: 5,
            failures: 2,
            last_failure: Some(("connection refused".to_owned(), 9)),
            totals: Totals {
                bytes_to_host: 10,
                bytes_to_client: u64::MAX,
                connects: 2,
                connect_ms: 5,
                ..Totals::default()
            },
            ..HostStatus::example("a \"b\"")
        }
    }

    fn example() -> Status {
        Status {
            version: "2.0.0",
            services: vec![ServiceStatus {
                name: "web".to_owned(),
                addresses: vec![Address::Ip("[::1]:80".parse().unwrap())],
                enabled: "main".to_owned(),
                routes: vec![Route {
                    sni: vec!["a.test".to_owned()],
                    alpn: Vec::new(),
                    group: "main".to_owned(),
                }],
                drain_timeout: None,
                ended: EndedSessions::default(),
                open: 1,
                total: 3,
                groups: vec![GroupStatus {
                    name: "main".to_owned(),
                    scheduler: "leastc".to_owned(),
                    missed_weights: Some("weightlc".to_owned()),
                    open: 1,
                    hosts: vec![host()],
                    each: vec![MemberCount {
                        name: "web".to_owned(),
                        endpoint: "web.test:80".to_owned(),
                        each: "true",
                        members: 3,
                        failure: Some("SERVFAIL".to_owned()),
                    }],
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
            draining: vec![DrainingProcess::new(4, 17, 9)],
            recent_events: vec![RecentEvent {
                wall_ms: 6,
                topic: Topic::HostUp,
                text: "host web:main/a is healthy".to_owned(),
            }],
            ..Status::default()
        }
    }

    #[test]
    fn the_names_in_json_are_those_that_programs_know() {
        let status = example();
        let json = status.to_json();
        assert_eq!(Json::from(status.to_object()).into_text(), json);
        let (head, buckets) = json.split_once(",\"connect_histogram\":[").unwrap();
        assert_eq!(
            head,
            r#"{"version":"2.0.0","name":"","process":0,"at_ms":0,"started_ms":0,"workers":0,"generation":0,"#
                .to_owned()
                + r#""stopping":false,"resigned":false,"config":{"file":"/f.xml","unsaved":2,"last_reload":{"at_ms":7,"ok":false,"#
                + r#""error":"why"},"last_save":null},"open":0,"capacity":0,"ended":{"finished":2},"#
                + r#""accept_pauses":0,"no_ports":0,"turns":0,"happenings":[{"at_ms":6,"topic":"host up","#
                + r#""text":"host web:main/a is healthy"}],"draining":[{"process":4,"open":17,"since_ms":9}],"services":[{"name":"web","#
                + r#""listens":["[::1]:80"],"enabled":"main","routes":[{"sni":["a.test"],"#
                + r#""alpn":[],"group":"main"}],"open":1,"total":3,"groups":[{"name":"#
                + r#""main","scheduler":"leastc","open":1,"each":[{"name":"web","ip":"web.test:80","each":"true","#
                + r#""members":3,"error":"SERVFAIL"}],"hosts":[{"name":"a \"b\"","ip":"db:1","#
                + r#""address":null,"weight":5,"state":"drain","backup":true,"member_of":null,"health":"failed","since_ms":8,"#
                + r#""pending":false,"suspect":true,"slow_start_percent":10,"last_error":"connection refused","#
                + r#""last_error_ms":9,"agent":null,"emptied_ms":null,"open":1,"busy":0,"total":3,"#
                + r#""sessions_per_minute":[1,2],"known_minutes":2,"per_ten_seconds":14,"peak_per_second":5,"#
                + r#""peak_open":9,"times_failed":4,"down_ms":700,"check_ms":6,"check_error":"no answer within the connect timeout","failed_checks":7,"failed_connects":2,"bytes_to_host":10,"bytes_to_client":18446744073709551615,"#
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
            is_part: false,
        };
        assert_eq!(
            sessions.to_json(),
            r#"{"sessions":[{"id":"1000000000002","client":"10.0.0.9:33333","via":null,"#
                .to_owned()
                + r#""server_name":null,"service":"web","group":"main","host":"one","#
                + r#""host_address":"10.0.0.1:80","local_address":null,"#
                + r#""age_ms":120000,"idle_ms":5000,"bytes_to_host":512,"bytes_to_client":1048576,"#
                + r#""phase":"relaying"}],"more":3}"#
        );
    }
}
