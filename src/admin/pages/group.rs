//! One group: whether it is enabled, its scheduler, the table of its hosts, and how to
//! enable it or add a host to it.
//!
//! A host's row is `host`'s.

use super::View;
use super::form::{button, folded, form, instead, labelled, weight};
use super::host::{self, Surroundings};
use super::html::{Element, el, id};
use super::sparkline;
use super::state::{number_of, usable};
use crate::config::HostState;
use crate::control::text::count;
use crate::control::{GroupStatus, HostStatus, ServiceStatus};

const COLUMNS: [(&str, &str); 10] = [
    ("Host", ""),
    ("State", ""),
    ("Open", "n"),
    ("Total", "n"),
    ("Failed", "n"),
    ("To host", "n"),
    ("To clients", "n"),
    ("Connect", "n"),
    ("Last hour", ""),
    ("Weight", "n"),
];

/// The group with all its hosts.
pub(super) fn group(view: &View<'_>, service: &ServiceStatus, group: &GroupStatus) -> Element {
    let enabled = group.name == service.enabled;
    let id = id("g", &[&service.name, &group.name]);
    let place = format!("{}:{}", service.name, group.name);
    let figures = format!("{}, {} open", group.scheduler, count(group.open as u64));
    let title = el("h3").text("Group ").name(&group.name).text(" ");
    let title = match enabled {
        true => title.with(el("span").class("badge on").text("enabled")),
        false => title.with(el("span").class("badge").text("not enabled")),
    };
    let head = el("div")
        .class("head")
        .with(title)
        .with(el("p").class("figures").text(&figures))
        .maybe(if enabled {
            None
        } else {
            enable(view, service, group)
        })
        .maybe(add_host(view, service, group))
        .maybe(instead(view, &id, &place));
    el("section")
        .class("group")
        .attr("id", &id)
        .attr(
            "aria-label",
            &format!("Group {} of {}", group.name, service.name),
        )
        .with(head)
        .maybe(out_of_service(group, enabled))
        .with(hosts(view, service, group))
}

/// Why no host gets new sessions though none need have failed.
fn out_of_service(group: &GroupStatus, enabled: bool) -> Option<Element> {
    let in_service = |host: &HostStatus| host.state == HostState::Up && host.weight > 0;
    let text = if group.hosts.is_empty() {
        return None;
    } else if group.hosts.iter().all(|host| host.weight == 0) {
        "Every host of this group has weight 0: none gets new sessions."
    } else if enabled && !group.hosts.iter().any(in_service) {
        "No host of this group is in service: all new sessions end."
    } else {
        return None;
    };
    Some(el("p").class("bad").text(text))
}

fn hosts(view: &View<'_>, service: &ServiceStatus, group: &GroupStatus) -> Element {
    if group.hosts.is_empty() {
        return el("p").text("There is no host in this group.");
    }
    let enabled = group.name == service.enabled;
    let surroundings = Surroundings {
        service: &service.name,
        group: &group.name,
        others: group.hosts.len() - 1,
        usable: usable(group),
        enabled,
        peak: group.hosts.iter().map(sparkline::peak).max().unwrap_or(0),
    };
    let head = |(name, class): (&str, &str)| {
        let cell = el("th").attr("scope", "col").text(name);
        if class.is_empty() {
            cell
        } else {
            cell.class(class)
        }
    };
    let actions = form(view, &[]).map(|_| head(("Change", "")));
    let columns = el("tr").with_all(COLUMNS.map(head)).maybe(actions);
    let caption = format!("Hosts of {}:{}", service.name, group.name);
    let rows = group.hosts.iter();
    el("table")
        .class("hosts")
        .with(el("caption").class("vh").text(&caption))
        .with(el("thead").with(columns))
        .with(el("tbody").with_all(rows.map(|it| host::row(view, &surroundings, it))))
}

fn enable(view: &View<'_>, service: &ServiceStatus, group: &GroupStatus) -> Option<Element> {
    let place = format!("{}:{}", service.name, group.name);
    let now = service.enabled_group();
    let staying = now.map_or(0, |it| it.open);
    let usable = usable(group);
    let text = format!(
        "New sessions of {} will go to {}, which has {} that new sessions could go to. \
         The {} open on {} stay there until they end.",
        service.name,
        group.name,
        number_of(usable, "host"),
        number_of(staying, "session"),
        service.enabled,
    );
    let warning = (usable == 0).then(|| {
        let text = "No host of this group is up: clients would find nobody.";
        el("p").class("bad").text(text)
    });
    let form = form(view, &[("service", &service.name), ("group", &group.name)])?
        .with(el("p").text(&text))
        .maybe(warning)
        .with(button("enableGroup", "Enable", &place));
    Some(folded("Enable…", &place).with(form))
}

fn add_host(view: &View<'_>, service: &ServiceStatus, group: &GroupStatus) -> Option<Element> {
    let place = format!("{}:{}", service.name, group.name);
    let text = |name, most| {
        el("input")
            .attr("name", name)
            .attr("maxlength", most)
            .attr("required", "")
            .attr("autocapitalize", "off")
            .attr("spellcheck", "false")
    };
    let address = text("ip", "300").attr("placeholder", "10.0.0.1:80");
    let form = form(view, &[("service", &service.name), ("group", &group.name)])?
        .class("fields")
        .with(labelled("Name", text("name", "255")))
        .with(labelled("Address", address))
        .with(labelled("Weight", weight(1)))
        .with(button("addHost", "Add host", &format!("to {place}")));
    Some(folded("Add a host…", &format!("to {place}")).with(form))
}

#[cfg(test)]
mod tests {
    use super::super::tests::scene;
    use super::*;
    use crate::config::Access;

    #[test]
    fn a_group_is_enabled_only_after_one_was_told_what_that_does() {
        let mut status = scene::status(vec![scene::host("one"), scene::host("two")]);
        status.services[0].groups[0].open = 17;
        let mut spare = status.services[0].groups[0].clone();
        spare.name = "spare".to_owned();
        status.services[0].groups.push(spare);
        let text = |index: usize, status: &crate::control::Status| {
            let service = &status.services[0];
            group(&scene::view(status), service, &service.groups[index]).into_text()
        };
        assert!(!text(0, &status).contains("enableGroup"));
        let told = text(1, &status);
        assert!(told.contains(
            "New sessions of web will go to spare, which has 2 hosts that new sessions could go \
             to. The 17 sessions open on main stay there until they end."
        ));
        assert!(!told.contains("clients would find nobody"));
        status.services[0].groups[1].hosts = vec![scene::failed("three")];
        assert!(text(1, &status).contains("clients would find nobody"));
    }

    #[test]
    fn who_may_only_look_has_one_column_less() {
        let status = scene::status(vec![scene::host("one")]);
        let mut view = scene::view(&status);
        let service = &status.services[0];
        let columns = |view: &View<'_>| {
            let text = group(view, service, &service.groups[0]).into_text();
            text.matches("scope=\"col\"").count()
        };
        assert_eq!(columns(&view), COLUMNS.len() + 1);
        view.access = Access::ReadOnly;
        assert_eq!(columns(&view), COLUMNS.len());
    }
}
