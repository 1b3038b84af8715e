//! The verdict over all hosts, in one sentence, with links to those that have failed.

use std::collections::HashSet;
use std::ptr;

use super::host::{self, host_label};
use super::html::{Element, el, id};
use super::listing::Listing;
use super::query::Query;
use super::state::State;
use super::view::View;
use crate::control::{GroupStatus, Health, HostStatus, ServiceStatus, Status};
use crate::text::age;

/// Failed hosts that are listed at once.
const NAMED: usize = 3;

/// Failed hosts that are listed folded.
const LISTED: usize = 50;

/// The verdict over all hosts.
#[derive(Debug)]
pub(super) struct Verdict<'a> {
    services: usize,
    hosts: usize,
    down: Vec<BadHost<'a>>,
    /// They serve, but end sessions before their first byte.
    suspect: Vec<BadHost<'a>>,
    /// Services without a host that gets new sessions.
    without_hosts: Vec<&'a str>,
    /// Other groups with a route, but without a host that gets new sessions.
    routed_without_hosts: Vec<(&'a str, &'a str)>,
    /// The number of hosts in each state but failed.
    others: Vec<(State, usize)>,
}

/// A host that has failed, or is suspect.
#[derive(Debug)]
struct BadHost<'a> {
    service: &'a ServiceStatus,
    group: &'a GroupStatus,
    host: &'a HostStatus,
}

impl<'a> Verdict<'a> {
    /// Counts all hosts by state.
    pub(super) fn of(status: &'a Status) -> Verdict<'a> {
        let mut verdict = Verdict {
            services: status.services.len(),
            hosts: 0,
            down: Vec::new(),
            suspect: Vec::new(),
            without_hosts: Vec::new(),
            routed_without_hosts: Vec::new(),
            others: Vec::new(),
        };
        for service in &status.services {
            for group in &service.groups {
                verdict.count(service, group);
            }
            if service
                .enabled_group()
                .is_none_or(|it| host::usable(it) == 0)
            {
                verdict.without_hosts.push(&service.name);
            }
            let others = service
                .groups
                .iter()
                .filter(|it| it.name != service.enabled);
            let unusable = others.filter(|it| host::usable(it) == 0);
            let routed = unusable.filter(|it| service.serves(&it.name));
            let routed = routed.map(|it| (service.name.as_str(), it.name.as_str()));
            verdict.routed_without_hosts.extend(routed);
        }
        verdict
    }

    fn count(&mut self, service: &'a ServiceStatus, group: &'a GroupStatus) {
        for host in &group.hosts {
            self.hosts += 1;
            let state = State::of(host);
            let bad = BadHost {
                service,
                group,
                host,
            };
            match state {
                State::Failed => {
                    self.down.push(bad);
                    continue;
                }
                State::Suspect => self.suspect.push(bad),
                _ => {}
            }
            match self.others.iter_mut().find(|(it, _)| *it == state) {
                Some((_, number)) => *number += 1,
                None => self.others.push((state, 1)),
            }
        }
    }

    /// The window title. The machine comes first: tabs cut the end.
    pub(super) fn title(&self, machine: &str) -> String {
        let headline = self.headline();
        format!("{machine}: {} - txlb", headline.trim_end_matches('.'))
    }

    /// The first sentence. It has no times in it, so that it changes only with the states.
    pub(super) fn headline(&self) -> String {
        let (hosts, down) = (self.hosts, self.down.len());
        let all_up = matches!(self.others[..], [(State::Up, _)]);
        match (self.services, hosts, down) {
            _ if !self.without_hosts.is_empty() => self.without_hosts(),
            _ if !self.routed_without_hosts.is_empty() => self.routed_without_hosts(),
            (0, ..) => "There is no service.".to_owned(),
            (_, 1, 1) => "The only host has failed.".to_owned(),
            (.., 1) => format!("1 of {hosts} hosts has failed."),
            (.., 1..) => format!("{down} of {hosts} hosts have failed."),
            (_, 1, 0) if all_up => "The only host is healthy.".to_owned(),
            _ if all_up => format!("All {hosts} hosts are healthy."),
            _ => "No host has failed.".to_owned(),
        }
    }

    fn without_hosts(&self) -> String {
        match self.without_hosts[..] {
            [service] => format!("Service {service} has no usable host."),
            _ => {
                let number = self.without_hosts.len();
                let first = &self.without_hosts[..number.min(NAMED)];
                let more = if number > NAMED { ", ..." } else { "" };
                let first = first.join(", ");
                format!("{number} services have no usable host: {first}{more}.")
            }
        }
    }

    fn routed_without_hosts(&self) -> String {
        let groups = self.routed_without_hosts.iter().take(NAMED);
        let groups: Vec<_> = groups
            .map(|(service, group)| format!("{service}:{group}"))
            .collect();
        match self.routed_without_hosts.len() {
            1 => format!("Group {} has a route, but no usable host.", groups.join("")),
            number => {
                let more = if number > NAMED { ", ..." } else { "" };
                let groups = groups.join(", ");
                format!("{number} groups with a route have no usable host: {groups}{more}.")
            }
        }
    }

    /// The verdict with links to failed hosts.
    pub(super) fn element(&self, view: &View<'_>, listing: &Listing<'_>) -> Element {
        let links = Links::of(view, listing);
        let sentence = el("p")
            .class("sentence")
            .with(el("strong").text(&self.headline()));
        let sentence = match self.others[..] {
            [(State::Up, _)] if self.down.is_empty() => sentence,
            _ => self.others.iter().fold(sentence, |out, (state, number)| {
                out.text(&format!(" {number} {}.", state.words()))
            }),
        };
        el("section")
            .attr("id", "verdict")
            .attr("aria-label", "Verdict")
            .class(self.class())
            .with(sentence)
            .maybe(list(self.down.iter().take(NAMED), &links))
            .maybe(self.more(&links))
            .maybe(list(self.suspect.iter().take(NAMED), &links))
    }

    fn class(&self) -> &'static str {
        let serving = |it: &BadHost<'_>| it.service.serves(&it.group.name);
        let has_hosts = self.without_hosts.is_empty() && self.routed_without_hosts.is_empty();
        match (has_hosts, self.down.is_empty()) {
            (true, true) if self.services == 0 || !self.suspect.is_empty() => "verdict fair",
            (true, true) => "verdict good",
            (true, false) if !self.down.iter().any(serving) => "verdict fair",
            _ => "verdict bad",
        }
    }

    fn more(&self, links: &Links<'_>) -> Option<Element> {
        let rest = self.down.get(NAMED..).filter(|rest| !rest.is_empty())?;
        let unlisted = rest.len().saturating_sub(LISTED);
        let parts = (unlisted > 0).then(|| el("p").text(&format!("And {unlisted} more.")));
        let summary = format!("{} more that have failed", rest.len());
        Some(
            el("details")
                .with(el("summary").text(&summary))
                .maybe(list(rest.iter().take(LISTED), links))
                .maybe(parts),
        )
    }
}

/// Where a host is shown: on this page, or on one that shows it alone.
struct Links<'a> {
    query: &'a Query,
    shown: HashSet<*const HostStatus>,
    now_ms: u64,
}

impl<'a> Links<'a> {
    fn of(view: &View<'a>, listing: &Listing<'_>) -> Links<'a> {
        Links {
            query: view.query,
            shown: listing.shown().map(ptr::from_ref).collect(),
            now_ms: view.status.wall_ms,
        }
    }

    fn link(&self, names: [&str; 3], host: &HostStatus) -> String {
        let [service, group, name] = names;
        match self.shown.contains(&ptr::from_ref(host)) {
            true => format!("#{}", id("h", &names)),
            false => self
                .query
                .filtered_by(&host_label(service, group, name))
                .link(),
        }
    }
}

fn list<'a>(bad: impl Iterator<Item = &'a BadHost<'a>>, links: &Links<'_>) -> Option<Element> {
    let mut items = bad.map(|it| it.element(links)).peekable();
    items.peek()?;
    Some(el("ul").class("downs").with_all(items))
}

impl BadHost<'_> {
    fn element(&self, links: &Links<'_>) -> Element {
        let names = [&self.service.name, &self.group.name, &self.host.name];
        let [service, group, host] = names.map(String::as_str);
        let link = el("a")
            .attr("href", &links.link([service, group, host], self.host))
            .name(&host_label(service, group, host));
        let text = match &self.host.health {
            Health::Failed(why) => {
                let down_ms = links.now_ms.saturating_sub(self.host.since_wall_ms);
                format!(": {why}, for {}", age(down_ms))
            }
            _ => format!(": {}", self.host.notes().join("; ")),
        };
        el("li").with(link).text(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::samples;
    use super::*;
    use crate::config::{HostState, Route};

    fn element(status: &Status) -> String {
        let view = samples::view(status);
        let listing = Listing::of(status, view.query);
        Verdict::of(status).element(&view, &listing).into_text()
    }

    fn headline(hosts: Vec<HostStatus>) -> String {
        Verdict::of(&samples::status(hosts)).headline()
    }

    #[test]
    fn a_suspect_is_named_at_the_top() {
        let mut suspect = samples::host("quick");
        suspect.suspect = true;
        let status = samples::status(vec![samples::host("one"), suspect]);
        let text = element(&status);
        assert!(text.contains("verdict fair") && text.contains("1 suspect."));
        assert!(text.contains("web:main/quick</bdi></a>: suspect: it ends sessions"));
    }

    #[test]
    fn the_sentence_is_true_of_one_host_and_of_many() {
        let up = || samples::host("up");
        let failed = || samples::failed("two");
        let drained = || HostStatus {
            state: HostState::Drain,
            ..up()
        };
        assert_eq!(headline(vec![up()]), "The only host is healthy.");
        assert_eq!(headline(vec![up(), up()]), "All 2 hosts are healthy.");
        assert_eq!(headline(vec![up(), failed()]), "1 of 2 hosts has failed.");
        assert_eq!(
            headline(vec![up(), failed(), failed()]),
            "2 of 3 hosts have failed."
        );
        assert_eq!(headline(vec![up(), drained()]), "No host has failed.");
        let nobody = "Service web has no usable host.";
        for hosts in [vec![], vec![failed()], vec![drained()]] {
            assert_eq!(headline(hosts), nobody);
        }
        assert_eq!(
            Verdict::of(&Status::default()).headline(),
            "There is no service."
        );
    }

    #[test]
    fn why_and_since_when_a_host_is_down_is_said_with_it() {
        let status = samples::status(vec![samples::host("one"), samples::failed("two")]);
        let text = element(&status);
        assert!(text.contains("class=\"verdict bad\""), "{text}");
        assert!(text.contains("</strong> 1 healthy.</p>"), "{text}");
        let item = "<a href=\"#h.web.main.two\"><bdi>web:main/two</bdi></a>\
                    : connection refused, for 4 min</li>";
        assert!(text.contains(item), "{text}");
        // Where it is not on the page, the link leads to one that shows it.
        let query = Query::new(None, &[("q".to_owned(), "one".to_owned())]);
        let view = View {
            query: &query,
            ..samples::view(&status)
        };
        let listing = Listing::of(&status, &query);
        let text = Verdict::of(&status).element(&view, &listing).into_text();
        assert!(text.contains("href=\"./?q=web%3Amain%2Ftwo\""), "{text}");
    }

    #[test]
    fn a_standby_host_is_not_reported_as_failed() {
        let mut status = samples::status(vec![samples::host("one")]);
        let mut spare = status.services[0].groups[0].clone();
        spare.name = "spare".to_owned();
        spare.hosts = vec![samples::failed("two")];
        status.services[0].groups.push(spare);
        assert_eq!(Verdict::of(&status).class(), "verdict fair");
        // With a route, it is none.
        status.services[0].routes.push(Route {
            alpn: vec!["h2".to_owned()],
            group: "spare".to_owned(),
            ..Route::default()
        });
        let verdict = Verdict::of(&status);
        let (class, headline) = (verdict.class(), verdict.headline());
        assert_eq!(
            (class, headline.as_str()),
            (
                "verdict bad",
                "Group web:spare has a route, but no usable host."
            )
        );
    }

    #[test]
    fn however_many_are_down_the_list_ends() {
        let names = (0..NAMED + LISTED + 7).map(|number| format!("host{number}"));
        let mut hosts: Vec<_> = names.map(|name| samples::failed(&name)).collect();
        hosts.push(samples::host("up"));
        let status = samples::status(hosts);
        let text = element(&status);
        assert_eq!(text.matches("<li>").count(), NAMED + LISTED);
        assert!(text.contains("And 7 more."));
    }
}
