//! The top of the page: a verdict in one sentence, the figures of the process, and the
//! state of the configuration file.

use super::host::{self, State, host_label};
use super::html::{Element, el, id, time};
use super::view::{View, button, change_link, details, force, form};
use crate::config::Access;
use crate::control::{
    GroupStatus, Health, HostStatus, Outcome, ServiceStatus, Status, StoredStatus,
};
use crate::text::{age, count, plural};

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

    /// The window title.
    pub(super) fn title(&self) -> String {
        format!("{} - txlb", self.headline().trim_end_matches('.'))
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
            .maybe(list(self.suspect.iter().take(NAMED), now_ms))
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

    fn more(&self, now_ms: u64) -> Option<Element> {
        let rest = self.down.get(NAMED..).filter(|rest| !rest.is_empty())?;
        let unlisted = rest.len().saturating_sub(LISTED);
        let parts = (unlisted > 0).then(|| el("p").text(&format!("And {unlisted} more.")));
        let summary = format!("{} more that have failed", rest.len());
        Some(
            el("details")
                .with(el("summary").text(&summary))
                .maybe(list(rest.iter().take(LISTED), now_ms))
                .maybe(parts),
        )
    }
}

fn list<'a>(bad: impl Iterator<Item = &'a BadHost<'a>>, now_ms: u64) -> Option<Element> {
    let mut items = bad.map(|it| it.element(now_ms)).peekable();
    items.peek()?;
    Some(el("ul").class("downs").with_all(items))
}

impl BadHost<'_> {
    fn element(&self, now_ms: u64) -> Element {
        let names = [&self.service.name, &self.group.name, &self.host.name];
        let [service, group, host] = names.map(String::as_str);
        let link = el("a")
            .attr("href", &format!("#{}", id("h", &[service, group, host])))
            .name(&host_label(service, group, host));
        let text = match &self.host.health {
            Health::Failed(why) => {
                let down_ms = now_ms.saturating_sub(self.host.since_wall_ms);
                format!(": {why}, for {}", age(down_ms))
            }
            _ => format!(": {}", self.host.notes().join("; ")),
        };
        el("li").with(link).text(&text)
    }
}

/// From this share of the capacity on, a warning is shown, in percent.
const MANY_PERCENT: usize = 80;

/// Sessions, uptime, version, generation, user and time of the snapshot.
pub(super) fn figures(view: &View<'_>) -> Element {
    let status = view.status;
    let up_ms = status.wall_ms.saturating_sub(status.started_wall_ms);
    let room = format!(
        " open, room for {} ({} %)",
        count(status.capacity as u64),
        percent(status)
    );
    let sessions = el("dd")
        .with(el("b").text(&count(status.open as u64)))
        .text(&room);
    let sessions = match percent(status) >= MANY_PERCENT {
        true => sessions.class("bad").text(": nearly full"),
        false => sessions,
    };
    let plain = |text: String| el("dd").text(&text);
    let workers = format!("{}, {} workers", age(up_ms), status.workers);
    let list = el("dl")
        .class("facts")
        .with(figure("Sessions", sessions))
        .with(figure("Up for", plain(workers)))
        .with(figure("Version", plain(status.version.to_owned())))
        .with(figure("Generation", plain(status.generation.to_string())))
        .with(figure("You", user_figure(view)))
        .with(figure("Time", timestamp(status)));
    el("section")
        .attr("id", "facts")
        .attr("aria-label", "Figures")
        .with(list)
        .maybe(status.resigned.then(resigned))
        .maybe(shortage(status))
}

fn resigned() -> Element {
    let text = "It has resigned: it serves whoever comes, and says that nothing is ready, until the \
                verb resume.";
    el("p").class("bad").text(text)
}

fn figure(name: &str, value: Element) -> Element {
    el("div").with(el("dt").text(name)).with(value)
}

fn percent(status: &Status) -> usize {
    match status.capacity {
        0 => 0,
        capacity => status.open.saturating_mul(100) / capacity,
    }
}

fn user_figure(view: &View<'_>) -> Element {
    let user_figure = match view.user {
        Some(user) => el("dd").name(user),
        None => el("dd").text("anonymous: no user is configured"),
    };
    user_figure.text(match view.access {
        Access::Full => ", may change everything",
        Access::ReadOnly => ", may only read",
    })
}

/// The time of the snapshot. The script reads it.
fn timestamp(status: &Status) -> Element {
    el("dd").with(time(status.wall_ms))
}

/// What this machine was short of since the start.
fn shortage(status: &Status) -> Option<Element> {
    let parts = [
        (
            status.accept_pauses,
            "times clients had to wait for want of descriptors or memory",
        ),
        (status.no_ports, "connects to hosts found no local port"),
    ];
    let parts: Vec<_> = parts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{} {what}", count(number)))
        .collect();
    let text = format!("Since the start: {}.", parts.join("; "));
    (!parts.is_empty()).then(|| el("p").class("fair").text(&text))
}

/// Verbs that are shown; `/diff` has all.
const SHOWN: usize = 200;

/// The configuration file: unsaved changes, failed reloads and saves, and the forms for
/// both.
pub(super) fn stored(view: &View<'_>) -> Element {
    let stored = &view.status.stored;
    let section = el("section")
        .attr("id", "stored")
        .attr("aria-label", "File");
    let Some(file) = &stored.file else {
        let text = "There is no file: what is changed here is gone when txlb ends.";
        return section.with(el("p").text(text));
    };
    let line = el("p")
        .text("File ")
        .with(el("code").text(&file.display().to_string()));
    let line = match stored.unsaved {
        0 => line.text(", the same as what is in force."),
        number => line
            .text(" ")
            .with(el("strong").class("badge").text(&unsaved(number))),
    };
    let now_ms = view.status.wall_ms;
    section
        .with(line)
        .maybe(failed("reload", stored.last_reload.as_ref(), now_ms))
        .maybe(failed("save", stored.last_save.as_ref(), now_ms))
        .maybe((stored.unsaved > 0).then(|| save(view)))
        .maybe(reload(view))
        .maybe(change_link(view, "stored", ""))
}

fn unsaved(number: usize) -> String {
    match number {
        1 => "1 change is not in the file".to_owned(),
        _ => format!("{number} changes are not in the file"),
    }
}

fn failed(what: &str, outcome: Option<&Outcome>, now_ms: u64) -> Option<Element> {
    let Outcome { wall_ms, result } = outcome?;
    let why = result.as_ref().err()?;
    let ago = age(now_ms.saturating_sub(*wall_ms));
    Some(
        el("p")
            .class("bad")
            .text(&format!("The last {what} failed {ago} ago ("))
            .with(time(*wall_ms))
            .text(&format!("): {why}")),
    )
}

fn save(view: &View<'_>) -> Element {
    let verbs = view.unsaved.iter().take(SHOWN);
    let verbs = verbs.fold(el("pre"), |out, verb| out.text(verb).line_end());
    let more = view.unsaved.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| {
        let all = el("a").attr("href", "diff").text("all of them");
        el("p")
            .text(&format!("And {more} more: "))
            .with(all)
            .text(".")
    });
    let details = el("details")
        .with(el("summary").text("Show what saving would write"))
        .with(verbs)
        .maybe(more);
    // Mostly because the file was changed by other means.
    let refused = outcome_is_error(&view.status.stored);
    let force = || force("even if the file was changed outside txlb");
    el("div").with(details).maybe(form(view, &[]).map(|form| {
        let form = form.with(button("saveConfig", "Save to the file", ""));
        match refused {
            true => form.class("prepared").with(force()),
            false => form,
        }
    }))
}

fn outcome_is_error(stored: &StoredStatus) -> bool {
    let save = stored.last_save.as_ref();
    save.is_some_and(|outcome| outcome.result.is_err())
}

fn reload(view: &View<'_>) -> Option<Element> {
    let unsaved = view.status.stored.unsaved;
    let text = match unsaved {
        0 => "The file is read again and put in force. No session is cut.".to_owned(),
        _ => format!(
            "The file is read again and put in force. No session is cut, but {} made since \
             would be lost.",
            plural(unsaved, "change")
        ),
    };
    let force = || force("lose them");
    let form = form(view, &[])?
        .with(el("p").text(&text))
        .maybe((unsaved > 0).then(force))
        .with(button("reload", "Read the file again", ""));
    Some(details("Read the file again…", "").with(form))
}

#[cfg(test)]
mod tests {
    use super::super::tests::samples;
    use super::*;
    use crate::config::{HostState, Route};

    fn headline(hosts: Vec<HostStatus>) -> String {
        Verdict::of(&samples::status(hosts)).headline()
    }

    #[test]
    fn a_suspect_is_named_at_the_top() {
        let mut suspect = samples::host("quick");
        suspect.suspect = true;
        let status = samples::status(vec![samples::host("one"), suspect]);
        let text = Verdict::of(&status).element(status.wall_ms).into_text();
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
        let text = Verdict::of(&status).element(status.wall_ms).into_text();
        assert!(text.contains("class=\"verdict bad\""), "{text}");
        assert!(text.contains("</strong> 1 healthy.</p>"), "{text}");
        let item = "<a href=\"#h.web.main.two\"><bdi>web:main/two</bdi></a>\
                    : connection refused, for 4 min</li>";
        assert!(text.contains(item), "{text}");
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
        let text = Verdict::of(&status).element(0).into_text();
        assert_eq!(text.matches("<li>").count(), NAMED + LISTED);
        assert!(text.contains("And 7 more."));
    }

    #[test]
    fn a_machine_that_is_nearly_full_says_so() {
        let mut status = samples::status(Vec::new());
        (status.open, status.capacity) = (79, 100);
        let text = |status: &Status| figures(&samples::view(status)).into_text();
        assert!(text(&status).contains("<b>79</b> open, room for 100 (79 %)</dd>"));
        status.open = 80;
        assert!(text(&status).contains("(80 %): nearly full</dd>"));
    }

    #[test]
    fn one_that_has_resigned_says_so() {
        let mut status = samples::status(Vec::new());
        let text = |status: &Status| figures(&samples::view(status)).into_text();
        assert!(!text(&status).contains("resigned"));
        status.resigned = true;
        assert!(text(&status).contains("It has resigned"));
    }

    #[test]
    fn shortages_are_shown_and_only_then() {
        let mut status = samples::status(Vec::new());
        assert!(shortage(&status).is_none());
        status.no_ports = 3;
        let text = shortage(&status).unwrap().into_text();
        assert!(text.contains("Since the start: 3 connects to hosts found no local port."));
    }

    #[test]
    fn a_running_configuration_that_differs_can_be_looked_at_and_saved() {
        let mut status = samples::status(Vec::new());
        status.stored.file = Some("/etc/txlb/config.xml".into());
        let same = stored(&samples::view(&status)).into_text();
        assert!(same.contains("the same as what is in force"));
        assert!(!same.contains("saveConfig"));
        status.stored.unsaved = 1;
        let unsaved = ["delGroup service=web group=<old>".to_owned()];
        let mut view = samples::view(&status);
        view.unsaved = &unsaved;
        let text = stored(&view).into_text();
        assert!(text.contains("1 change is not in the file"), "{text}");
        assert!(text.contains("<pre>delGroup service=web group=&lt;old&gt;\n</pre>"));
        assert!(text.contains("value=\"saveConfig\""));
    }

    #[test]
    fn what_failed_last_is_said_with_its_reason() {
        let mut status = samples::status(Vec::new());
        status.stored.file = Some("f".into());
        status.stored.unsaved = 1;
        let failure = || Outcome {
            wall_ms: status.wall_ms - 60_000,
            result: Err("why".to_owned()),
        };
        (status.stored.last_save, status.stored.last_reload) = (Some(failure()), Some(failure()));
        let text = stored(&samples::view(&status)).into_text();
        for what in ["save", "reload"] {
            assert!(text.contains(&format!("The last {what} failed 1 min ago (")));
        }
        assert!(text.contains("): why</p>"), "{text}");
        assert!(text.contains("even if the file was changed outside txlb"));
    }
}
