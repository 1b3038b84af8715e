//! The verbs that end sessions: endSession, endSessions, rebalance, and drainHost with wait=.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use super::controller::{Controller, LIST_TIMEOUT};
use super::ending::Waiter;
use super::handle::Response;
use crate::balance::HostId;
use crate::config::Service;
use crate::config::verb::{GroupKey, HostKey, SessionSelection, check_names};
use crate::relay::{EndCause, Group, HostCauses, HostName, SessionFilter};
use crate::text::plural;

/// Sessions that one verb ends gradually, at most.
const MAX_CHOSEN: usize = 1_000_000;

impl Controller {
    /// Ends one session.
    pub(super) fn end_session(&mut self, id: u64) -> Result<String, String> {
        let filter = SessionFilter {
            id: Some(id),
            ..SessionFilter::default()
        };
        let ended = collect(&self.data_plane.end_all_sessions(&filter));
        match ended.into_iter().sum::<usize>() {
            0 => Err(format!("no open session has the id {id:x}")),
            _ => Ok("1 session is ended".to_owned()),
        }
    }

    /// Ends all sessions that are selected, at once or gradually.
    pub(super) fn end_selected(
        &mut self,
        selection: &SessionSelection,
        rate: Option<u32>,
        force: bool,
    ) -> Result<String, String> {
        if selection.is_empty() && !force {
            return Err(
                "this would end all sessions: select some, or insist with force=true".to_owned(),
            );
        }
        let filter = self.filter(selection)?;
        let Some(rate) = rate else {
            let ended = collect(&self.data_plane.end_all_sessions(&filter));
            return Ok(format!("{} ended", plural(ended.iter().sum(), "session")));
        };
        let found = collect(&self.data_plane.find_sessions(&filter, MAX_CHOSEN));
        let found = found.concat();
        let message = format!(
            "{} will be ended, {rate} a second",
            plural(found.len(), "session")
        );
        if !found.is_empty() {
            self.ending.end_gradually(found, rate)?;
        }
        Ok(message)
    }

    /// The selection with its hosts looked up.
    ///
    /// # Errors
    /// Nothing has such a name.
    pub(super) fn filter(&self, selection: &SessionSelection) -> Result<SessionFilter, String> {
        let SessionSelection {
            service,
            group,
            host,
            client,
            idle,
            ..
        } = selection;
        self.check_names(service.as_deref(), group.as_deref(), host.as_deref())?;
        let hosts = host.as_ref().map(|host| {
            let mut causes = HostCauses::default();
            for group in self.groups_named(service.as_ref(), group.as_ref()) {
                let named = group.pool().hosts_named(self.means(group, host));
                for id in named {
                    causes.insert(group, id, EndCause::Chosen);
                }
            }
            Arc::new(causes)
        });
        Ok(SessionFilter {
            id: None,
            service: service.clone(),
            group: group.clone(),
            client: *client,
            idle_ms: idle.map_or(0, |it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
            hosts,
        })
    }

    /// Checks that there is such a service, group and host, of those that are given.
    ///
    /// # Errors
    /// Which one there is not, and what may have been meant.
    pub(super) fn check_names(
        &self,
        service: Option<&str>,
        group: Option<&str>,
        host: Option<&str>,
    ) -> Result<(), String> {
        let config = self.data_plane.config();
        let config = self.data_plane.members.expanded(config);
        check_names(&config, service, group, host).map_err(|error| error.to_string())
    }

    /// The running groups of these names, or of all.
    fn groups_named(
        &self,
        service: Option<&String>,
        group: Option<&String>,
    ) -> impl Iterator<Item = &Arc<Group>> {
        let is_meant = |wanted: Option<&String>, name: &String| wanted.is_none_or(|it| it == name);
        let services = self.data_plane.config().services.iter();
        let services = services.filter(move |it| is_meant(service, &it.name));
        let running = move |of: &'_ Service| {
            let groups = of.groups.iter().filter(|it| is_meant(group, &it.name));
            let running = groups.filter_map(|it| self.data_plane.group(&of.name, &it.name));
            running.collect::<Vec<_>>()
        };
        services.flat_map(running)
    }

    /// Begins to end sessions of hosts that have more than their share.
    pub(super) fn rebalance(
        &mut self,
        service: &str,
        group: Option<&str>,
        rate: u32,
    ) -> Result<String, String> {
        if self.stopping {
            return Err("txlb is stopping".to_owned());
        }
        self.check_names(Some(service), group, None)?;
        let mut services = self.data_plane.config().services.iter();
        let enabled = services.find(|it| it.name == service).map(|it| &it.enabled);
        let name = group.or(enabled.map(String::as_str)).unwrap_or_default();
        let group = self.data_plane.group(service, name).cloned();
        let group = group.ok_or_else(|| format!("service {service:?} has no group {name:?}"))?;
        let (most, hosts) = self.ending.rebalance(&group, rate)?;
        Ok(match most {
            0 => "no host has more than a tenth above its share".to_owned(),
            _ => format!(
                "{} of {} will be ended, {rate} a second",
                plural(most, "session"),
                hosts.join(", ")
            ),
        })
    }

    /// Which hosts of a group a name means: of a template, all members.
    fn means<'a>(&'a self, group: &Group, name: &'a str) -> impl Fn(&str) -> bool + 'a {
        let key = GroupKey {
            service: group.service.clone(),
            group: group.name.clone(),
        };
        let configured = key.find(self.data_plane.config());
        let template = configured.and_then(|it| it.hosts.iter().find(|it| it.name == name));
        move |host| host == name || template.is_some_and(|it| it.has_member(host))
    }

    /// Who waits until a host is empty; `None` if it is.
    pub(super) fn waiter(
        &self,
        host: &HostKey,
        wait: Duration,
        response: &SyncSender<Response>,
    ) -> Option<Waiter> {
        let group = self
            .data_plane
            .group(&host.group.service, &host.group.group)?;
        let pool = group.pool();
        let named = pool.hosts_named(self.means(group, &host.name));
        let replaced = self.data_plane.predecessors.open_sessions().is_some();
        let open = named.into_iter().filter(|id| pool.open_on(*id) > 0);
        let name = HostName {
            service: host.group.service.clone(),
            group: host.group.group.clone(),
            host: host.name.clone(),
        };
        let hosts: Vec<_> = open
            .map(|id| (Arc::clone(group), id, name.to_string()))
            .collect();
        (replaced || !hosts.is_empty()).then(|| Waiter {
            replaced,
            ..self.wait_for(hosts, wait, "no session is left", response)
        })
    }

    /// One that waits so long at most; without hosts, just so long.
    pub(super) fn wait_for(
        &self,
        hosts: Vec<(Arc<Group>, HostId, String)>,
        wait: Duration,
        done: &'static str,
        response: &SyncSender<Response>,
    ) -> Waiter {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Waiter {
            hosts,
            replaced: false,
            until_ms: self.data_plane.now_ms().saturating_add(wait_ms),
            done,
            response: response.clone(),
        }
    }
}

/// What all workers answer, within a time.
fn collect<T>(parts: &Receiver<T>) -> Vec<T> {
    let deadline = Instant::now() + LIST_TIMEOUT;
    let next = || {
        let left = deadline.saturating_duration_since(Instant::now());
        parts.recv_timeout(left).ok()
    };
    std::iter::from_fn(next).collect()
}
