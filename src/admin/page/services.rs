//! Services of the page: each service's figures and groups, each group's table of hosts, and the
//! forms that enable a group or add a host.

use super::host::{self, COLUMNS, GroupContext, time_to_stay, usable};
use super::html::{Element, el, id};
use super::listing::{ListedGroup, ListedService};
use super::query::Sort;
use super::sparkline::peak;
use super::sums::{Sums, rate};
use super::tools::tick_all;
use super::view::{
    View, button, change_link, details, force, form, labelled, unrefreshed_link, weight,
    with_hidden_label,
};
use crate::config::HostState;
use crate::control::{GroupStatus, HostStatus, MemberCount, ServiceStatus};
use crate::text::{address_ranges, count, plural};

/// A group with its hosts.
fn group(view: &View<'_>, service: &ServiceStatus, listed: &ListedGroup<'_>) -> Element {
    let group = listed.group;
    let id = id("g", &[&service.name, &group.name]);
    let enabled = group.name == service.enabled;
    let serves = service.serves(&group.name);
    let label = format!("Group {} of {}", group.name, service.name);
    el("section")
        .class("group")
        .attr("id", &id)
        .attr("aria-label", &label)
        .with(head(view, service, listed, &id))
        .maybe(out_of_service(group, enabled, serves))
        .with_all(group.each.iter().map(members))
        .with(fold(view, service, listed, &id))
}

/// The head of a group, in one line: what it is, its figures and its forms.
fn head(
    view: &View<'_>,
    service: &ServiceStatus,
    listed: &ListedGroup<'_>,
    group_id: &str,
) -> Element {
    let group = listed.group;
    let enabled = group.name == service.enabled;
    let figures = format!(
        "{}, {} of {} up, {} open{}",
        group.scheduler,
        usable(group),
        plural(group.hosts.len(), "host"),
        count(group.open as u64),
        match group.hosts.len() - listed.hosts.len() {
            0 => String::new(),
            hidden => format!(", {} not shown", plural(hidden, "host")),
        }
    );
    let badge = match service.serves(&group.name) {
        true if enabled => el("span").class("badge on").text("enabled"),
        true => el("span").class("badge on").text("by route"),
        false => el("span").class("badge").text("not enabled"),
    };
    let title = el("h3").text("Group ").name(&group.name).text(" ");
    let weights = group.missed_weights.as_deref().map(|instead| {
        let text = format!("The weights have no effect: {instead} looks at weights.");
        el("p").class("figures").text(&text)
    });
    let enable = (!enabled).then(|| enable(view, service, group)).flatten();
    el("div")
        .class("head")
        .with(title.with(badge))
        .with(el("p").class("figures").text(&figures))
        .maybe(weights)
        .maybe(enable)
        .maybe(add_host(view, service, group))
        .maybe(change_link(view, group_id, &group_label(service, group)))
}

/// The hosts of a group, which can be folded as a whole. Of many hosts, those without a problem
/// are folded: the style sheet shows their rows once the second `<details>` is open, so that a row
/// stays the same element.
fn fold(
    view: &View<'_>,
    service: &ServiceStatus,
    listed: &ListedGroup<'_>,
    group_id: &str,
) -> Element {
    let label = group_label(service, listed.group);
    let summary = with_hidden_label(el("summary").text("Hosts"), &format!("of {label}"));
    let all = el("details").class("fold").flag("open");
    let all = all.with(summary).with(hosts(view, service, listed));
    let folded = listed.folded();
    if folded == 0 {
        return all;
    }
    let words = format!("{} without a problem", plural(folded, "more host"));
    let rest = details(&words, &format!("of {label}"));
    all.with(rest.attr("id", &id("m", &[&service.name, &listed.group.name])))
        .maybe(unrefreshed_link(view, group_id, &words))
}

fn group_label(service: &ServiceStatus, group: &GroupStatus) -> String {
    format!("{}:{}", service.name, group.name)
}

/// A host that stands for the members of a name.
fn members(members: &MemberCount) -> Element {
    let class = match members.failure {
        Some(_) => "bad",
        None => "figures",
    };
    el("p").class(class).text(&members.words())
}

/// Why no host of a group gets new sessions although none has failed.
fn out_of_service(group: &GroupStatus, enabled: bool, serves: bool) -> Option<Element> {
    let in_service = |host: &HostStatus| host.state == HostState::Up && host.weight > 0;
    let text = if group.hosts.is_empty() {
        return None;
    } else if group.hosts.iter().all(|host| host.weight == 0) {
        "Every host of this group has weight 0: none gets new sessions."
    } else if group.hosts.iter().any(in_service) {
        return None;
    } else if enabled {
        "No host of this group is in service: all new sessions end."
    } else if serves {
        "No host of this group is in service: new sessions by a route to it end."
    } else {
        return None;
    };
    Some(el("p").class("bad").text(text))
}

fn hosts(view: &View<'_>, service: &ServiceStatus, listed: &ListedGroup<'_>) -> Element {
    let group = listed.group;
    if group.hosts.is_empty() {
        return el("p").text("There is no host in this group.");
    }
    let peaks = group.hosts.iter().map(|host| peak(&host.recent));
    let context = GroupContext {
        service: &service.name,
        group: &group.name,
        others: group.hosts.len() - 1,
        usable: usable(group),
        serves: service.serves(&group.name),
        drain_timeout: service.drain_timeout,
        peak: peaks.max().unwrap_or(0),
    };
    let group_label = group_label(service, group);
    let tick_all = el("td").maybe(tick_all(view, &group_label));
    let columns = COLUMNS.map(|(name, class)| column(view, name, class));
    let columns = el("tr").with(tick_all).with_all(columns);
    let rows = listed.hosts.iter().enumerate().map(|(index, host)| {
        let row = host::row(view, &context, host);
        match listed.folds(index) {
            true => row.class("more"),
            false => row,
        }
    });
    let sums = (group.hosts.len() > 1).then(|| el("tfoot").with(host::sums_row(&group.hosts)));
    el("table")
        .class("hosts")
        .attr("data-of", &format!("{group_label}/"))
        .with(
            el("caption")
                .class("vh")
                .text(&format!("Hosts of {group_label}")),
        )
        .with(el("thead").with(columns))
        .with(el("tbody").with_all(rows))
        .maybe(sums)
}

/// The columns by which hosts are sorted.
const SORTED: [(&str, Sort); 7] = [
    ("Host", Sort::Name),
    ("State", Sort::State),
    ("Open / most", Sort::Open),
    ("New/s / most", Sort::Rate),
    ("Total", Sort::Total),
    ("Failed", Sort::Failures),
    ("Connect", Sort::Connect),
];

/// The head of a column. Most are links that sort by it.
fn column(view: &View<'_>, name: &str, class: &str) -> Element {
    let cell = el("th").attr("scope", "col");
    let cell = match class {
        "" => cell,
        _ => cell.class(class),
    };
    let sort = SORTED.iter().find(|(column, _)| *column == name);
    let Some((_, sort)) = sort else {
        return cell.text(name);
    };
    let link = el("a").attr("href", &view.query.sorted_by(*sort).link());
    let cell = cell.with(link.text(name));
    match (view.query.sort == *sort, sort) {
        (false, _) => cell,
        (true, Sort::Name) => cell.attr("aria-sort", "ascending"),
        (true, Sort::State) => cell,
        (true, _) => cell.attr("aria-sort", "descending"),
    }
}

fn enable(view: &View<'_>, service: &ServiceStatus, group: &GroupStatus) -> Option<Element> {
    let group_label = group_label(service, group);
    let now = service.enabled_group();
    let staying = now.map_or(0, |it| it.open);
    let usable = usable(group);
    let which = match service.routes.is_empty() {
        true => "New sessions",
        false => "New sessions without a route",
    };
    let text = format!(
        "{which} of {} will go to {}, which has {} that new sessions could go to. \
         The {} open on {} {}.",
        service.name,
        group.name,
        plural(usable, "host"),
        plural(staying, "session"),
        service.enabled,
        match service.drain_timeout {
            None => "stay there until they end".to_owned(),
            Some(timeout) => format!("may stay for {}", time_to_stay(timeout)),
        },
    );
    // The controller wants `force` for the same group.
    let unusable = usable == 0;
    let warning = unusable.then(|| {
        let text = "No host of this group is usable: new sessions will fail.";
        el("p").class("bad").text(text)
    });
    let form = form(view, &[("service", &service.name), ("group", &group.name)])?
        .with(el("p").text(&text))
        .maybe(warning)
        .maybe(unusable.then(|| force("even so")))
        .with(button("enableGroup", "Enable", &group_label));
    Some(details("Enable…", &group_label).with(form))
}

fn add_host(view: &View<'_>, service: &ServiceStatus, group: &GroupStatus) -> Option<Element> {
    let group_label = group_label(service, group);
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
        .with(labelled("Weight", weight(0, 1)))
        .with(button("addHost", "Add host", &format!("to {group_label}")));
    Some(details("Add a host…", &format!("to {group_label}")).with(form))
}

/// A service with what is shown of its groups.
pub(super) fn service(view: &View<'_>, listed: &ListedService<'_>) -> Element {
    let service = listed.service;
    let sums = Sums::of_service(service);
    let addresses = address_ranges(&service.addresses);
    let listens = match addresses.is_empty() {
        true => "listens nowhere".to_owned(),
        false => format!("listens at {}", addresses.join(", ")),
    };
    let figures = format!(
        "{listens}; {} of {} up; {} open, {} new a second, {} in all",
        sums.up,
        plural(sums.hosts, "host"),
        count(service.open),
        rate(sums.per_ten_seconds),
        count(service.total)
    );
    let id = id("s", &[&service.name]);
    let title = format!("{id}.title");
    el("section")
        .class("service")
        .attr("id", &id)
        .attr("aria-labelledby", &title)
        .with(
            el("div")
                .class("head")
                .with(
                    el("h2")
                        .attr("id", &title)
                        .text("Service ")
                        .name(&service.name),
                )
                .with(el("p").class("figures").text(&figures)),
        )
        .maybe(routes(service))
        .with_all(listed.groups.iter().map(|it| group(view, service, it)))
}

/// Routes of a service that are listed.
const LISTED_ROUTES: usize = 20;

/// Which TLS clients go to a group of their own.
fn routes(service: &ServiceStatus) -> Option<Element> {
    if service.routes.is_empty() {
        return None;
    }
    let listed = (1..).zip(service.routes.iter().take(LISTED_ROUTES));
    let listed = listed.map(|(number, route)| format!("Route {number}: {}", route.words()));
    let more = service.routes.len().saturating_sub(LISTED_ROUTES);
    let more = (more > 0).then(|| format!("And {}", plural(more, "more route")));
    let items = listed.chain(more).map(|text| el("li").text(&text));
    Some(el("ul").class("routes").with_all(items))
}

#[cfg(test)]
mod tests {
    use super::super::listing::Listing;
    use super::super::query::Query;
    use super::super::tests::samples;
    use super::*;
    use crate::config::Route;
    use crate::control::Status;

    #[test]
    fn enabling_a_group_says_what_it_does_first() {
        let mut status = samples::status(vec![samples::host("one"), samples::host("two")]);
        status.services[0].groups[0].open = 17;
        let mut spare = status.services[0].groups[0].clone();
        spare.name = "spare".to_owned();
        status.services[0].groups.push(spare);
        let text = |index: usize, status: &Status| {
            let view = samples::view(status);
            let listing = Listing::of(status, view.query);
            let listed = &listing.services[0];
            group(&view, listed.service, &listed.groups[index]).into_text()
        };
        assert!(!text(0, &status).contains("enableGroup"));
        let html = text(1, &status);
        assert!(html.contains(
            "New sessions of web will go to spare, which has 2 hosts that new sessions could go \
             to. The 17 sessions open on main stay there until they end."
        ));
        assert!(!html.contains("new sessions will fail") && !html.contains("force"));
        status.services[0].groups[1].hosts = vec![samples::failed("three")];
        let html = text(1, &status);
        assert!(html.contains("new sessions will fail") && html.contains("name=\"force\""));
    }

    #[test]
    fn of_many_hosts_some_are_folded_and_a_link_leads_to_where_they_can_be_unfolded() {
        let hosts = (0..120).map(|it| samples::host(&format!("h{it}")));
        let status = samples::status(hosts.collect());
        let view = samples::view(&status);
        let listing = Listing::of(&status, view.query);
        let text = service(&view, &listing.services[0]).into_text();
        assert_eq!(text.matches("<tr id=").count(), 120);
        assert_eq!(text.matches("class=\"more\"").count(), 110);
        for part in [
            "<details class=\"prepared\" id=\"m.web.main\"><summary>110 more hosts without a problem",
            "<a class=\"instead\" href=\"./?change#g.web.main\">110 more hosts without a problem</a>",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn a_service_with_routes_shows_them_and_which_groups_serve() {
        let mut status = samples::status(vec![samples::host("one")]);
        let mut other = status.services[0].groups[0].clone();
        other.name = "other".to_owned();
        other.hosts[0].state = HostState::Drain;
        status.services[0].groups.push(other);
        let html = |status: &Status| {
            let view = samples::view(status);
            let listing = Listing::of(status, view.query);
            service(&view, &listing.services[0]).into_text()
        };
        let before = html(&status);
        assert!(before.contains("not enabled") && !before.contains("Route 1"));
        let route = Route {
            sni: vec!["a.test".to_owned(), "*.b.test".to_owned()],
            alpn: vec!["h2".to_owned()],
            group: "other".to_owned(),
        };
        status.services[0].routes = vec![route; LISTED_ROUTES + 2];
        let after = html(&status);
        for part in [
            "<li>Route 1: sni a.test *.b.test, alpn h2: group other</li>",
            "<li>And 2 more routes</li>",
            "by route",
            "new sessions by a route to it end",
        ] {
            assert!(after.contains(part), "{part} is not in {after}");
        }
        assert!(!after.contains("not enabled") && !after.contains("Route 21"));
        // The removal of its only host is refused without a tick now.
        let ticks = |html: &str| html.matches("name=\"force\"").count();
        assert_eq!(ticks(&after), ticks(&before) + 1);
    }

    #[test]
    fn columns_sort_and_say_by_which_it_is_sorted() {
        let status = samples::status(vec![samples::host("one"), samples::host("two")]);
        let query = Query::new(None, &[("sort".to_owned(), "open".to_owned())]);
        let view = View {
            query: &query,
            ..samples::view(&status)
        };
        let listing = Listing::of(&status, &query);
        let text = service(&view, &listing.services[0]).into_text();
        assert_eq!(text.matches("scope=\"col\"").count(), COLUMNS.len());
        assert_eq!(text.matches("aria-sort=\"descending\"").count(), 1);
        let names = SORTED.map(|(column, _)| column);
        assert!(
            names
                .iter()
                .all(|name| COLUMNS.iter().any(|(it, _)| it == name))
        );
        for part in ["href=\"./?sort=name\"", "href=\"./\">State", "<tfoot>"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}
