//! One sentence that says whether all is well, and what is not.
//!
//! It only counts and names; how each host is said to be is `state`'s business.

use super::html::{Element, el, id};
use super::state::{self, State, place};
use crate::control::text::age;
use crate::control::{GroupStatus, Health, HostStatus, ServiceStatus, Status};

/// Hosts that are named in the sentence itself.
const NAMED: usize = 3;

/// Hosts that are named at all.
const LISTED: usize = 50;

/// How the whole is.
#[derive(Debug)]
pub(super) struct Verdict<'a> {
    services: usize,
    hosts: usize,
    down: Vec<Down<'a>>,
    /// Services that have nobody to give new sessions to.
    stranded: Vec<&'a str>,
    /// How many hosts are how, those that have failed left out.
    others: Vec<(State, usize)>,
}

/// A host that has failed.
#[derive(Debug)]
struct Down<'a> {
    service: &'a ServiceStatus,
    group: &'a GroupStatus,
    host: &'a HostStatus,
}

/// Looks at every host.
pub(super) fn of(status: &Status) -> Verdict<'_> {
    let mut verdict = Verdict {
        services: status.services.len(),
        hosts: 0,
        down: Vec::new(),
        stranded: Vec::new(),
        others: Vec::new(),
    };
    for service in &status.services {
        for group in &service.groups {
            verdict.count(service, group);
        }
        if service
            .enabled_group()
            .is_none_or(|it| state::usable(it) == 0)
        {
            verdict.stranded.push(&service.name);
        }
    }
    verdict
}

impl<'a> Verdict<'a> {
    fn count(&mut self, service: &'a ServiceStatus, group: &'a GroupStatus) {
        for host in &group.hosts {
            self.hosts += 1;
            let state = State::of(host);
            if state == State::Failed {
                self.down.push(Down {
                    service,
                    group,
                    host,
                });
                continue;
            }
            match self.others.iter_mut().find(|(it, _)| *it == state) {
                Some((_, number)) => *number += 1,
                None => self.others.push((state, 1)),
            }
        }
    }

    /// What a window that is not looked at says of itself.
    pub(super) fn title(&self) -> String {
        format!("{} - txlb", self.headline().trim_end_matches('.'))
    }

    /// The first sentence: it changes only with what happens, not with the time.
    pub(super) fn headline(&self) -> String {
        let (hosts, down) = (self.hosts, self.down.len());
        let all_up = matches!(self.others[..], [(State::Up, _)]);
        match (self.services, hosts, down) {
            _ if !self.stranded.is_empty() => self.stranded(),
            (0, ..) => "There is no service.".to_owned(),
            (_, 1, 1) => "The only host is down.".to_owned(),
            (.., 1) => format!("1 of {hosts} hosts is down."),
            (.., 1..) => format!("{down} of {hosts} hosts are down."),
            (_, 1, 0) if all_up => "The only host is up.".to_owned(),
            _ if all_up => format!("All {hosts} hosts are up."),
            _ => "No host is down.".to_owned(),
        }
    }

    fn stranded(&self) -> String {
        match self.stranded[..] {
            [service] => format!("Service {service} has no host that is up."),
            _ => {
                let number = self.stranded.len();
                let first = &self.stranded[..number.min(NAMED)];
                let more = if number > NAMED { ", ..." } else { "" };
                let first = first.join(", ");
                format!("{number} services have no host that is up: {first}{more}.")
            }
        }
    }

    /// All of it, with ways to what is down.
    pub(super) fn element(&self, now_ms: u64) -> Element {
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
            .maybe(list(self.down.iter().take(NAMED), now_ms))
            .maybe(self.more(now_ms))
    }

    fn class(&self) -> &'static str {
        let serving = |it: &Down<'_>| it.group.name == it.service.enabled;
        match (self.stranded.is_empty(), self.down.is_empty()) {
            (true, true) if self.services == 0 => "verdict fair",
            (true, true) => "verdict good",
            (true, false) if !self.down.iter().any(serving) => "verdict fair",
            _ => "verdict bad",
        }
    }

    fn more(&self, now_ms: u64) -> Option<Element> {
        let rest = self.down.get(NAMED..).filter(|rest| !rest.is_empty())?;
        let unlisted = rest.len().saturating_sub(LISTED);
        let told = (unlisted > 0).then(|| el("p").text(&format!("And {unlisted} more.")));
        let summary = format!("{} more that are down", rest.len());
        Some(
            el("details")
                .with(el("summary").text(&summary))
                .maybe(list(rest.iter().take(LISTED), now_ms))
                .maybe(told),
        )
    }
}

fn list<'a>(down: impl Iterator<Item = &'a Down<'a>>, now_ms: u64) -> Option<Element> {
    let mut items = down.map(|it| it.element(now_ms)).peekable();
    items.peek()?;
    Some(el("ul").class("downs").with_all(items))
}

impl Down<'_> {
    fn element(&self, now_ms: u64) -> Element {
        let names = [&self.service.name, &self.group.name, &self.host.name];
        let [service, group, host] = names.map(String::as_str);
        let link = el("a")
            .attr("href", &format!("#{}", id("h", &[service, group, host])))
            .name(&place(service, group, host));
        let why = match &self.host.health {
            Health::Failed(failure) => failure.to_string(),
            _ => String::new(),
        };
        let down_for = age(now_ms.saturating_sub(self.host.since_wall_ms));
        el("li")
            .with(link)
            .text(&format!(": {why}, for {down_for}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::scene;
    use super::*;
    use crate::config::HostState;

    fn headline(hosts: Vec<HostStatus>) -> String {
        of(&scene::status(hosts)).headline()
    }

    #[test]
    fn the_sentence_is_true_of_one_host_and_of_many() {
        let up = || scene::host("up");
        let failed = || scene::failed("two");
        let drained = || HostStatus {
            state: HostState::Drain,
            ..up()
        };
        assert_eq!(headline(vec![up()]), "The only host is up.");
        assert_eq!(headline(vec![up(), up()]), "All 2 hosts are up.");
        assert_eq!(headline(vec![up(), failed()]), "1 of 2 hosts is down.");
        assert_eq!(
            headline(vec![up(), failed(), failed()]),
            "2 of 3 hosts are down."
        );
        assert_eq!(headline(vec![up(), drained()]), "No host is down.");
        let nobody = "Service web has no host that is up.";
        for hosts in [vec![], vec![failed()], vec![drained()]] {
            assert_eq!(headline(hosts), nobody);
        }
        assert_eq!(of(&Status::default()).headline(), "There is no service.");
    }

    #[test]
    fn why_and_since_when_a_host_is_down_is_said_with_it() {
        let status = scene::status(vec![scene::host("one"), scene::failed("two")]);
        let text = of(&status).element(status.wall_ms).into_text();
        assert!(text.contains("class=\"verdict bad\""), "{text}");
        assert!(text.contains("</strong> 1 up.</p>"), "{text}");
        let item = "<a href=\"#h.web.main.two\"><bdi>web:main/two</bdi></a>\
                    : connection refused, for 4 min</li>";
        assert!(text.contains(item), "{text}");
    }

    #[test]
    fn a_host_that_only_stands_by_is_no_alarm() {
        let mut status = scene::status(vec![scene::host("one")]);
        let mut spare = status.services[0].groups[0].clone();
        spare.name = "spare".to_owned();
        spare.hosts = vec![scene::failed("two")];
        status.services[0].groups.push(spare);
        assert_eq!(of(&status).class(), "verdict fair");
    }

    #[test]
    fn however_many_are_down_the_list_ends() {
        let names = (0..NAMED + LISTED + 7).map(|number| format!("host{number}"));
        let mut hosts: Vec<_> = names.map(|name| scene::failed(&name)).collect();
        hosts.push(scene::host("up"));
        let status = scene::status(hosts);
        let text = of(&status).element(0).into_text();
        assert_eq!(text.matches("<li>").count(), NAMED + LISTED);
        assert!(text.contains("And 7 more."));
    }
}
