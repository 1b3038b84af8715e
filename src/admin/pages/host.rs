//! One host: its row, with what is known of it and what can be done about it.
//!
//! There may be thousands, so what is in each row is kept short. The words for how it
//! is are `state`'s.

use super::View;
use super::form::{button, folded, force, form, instead, weight};
use super::html::{Element, el, id};
use super::sparkline::sparkline;
use super::state::{State, number_of, place};
use crate::config::HostState;
use crate::control::text::{age, bytes, count};
use crate::control::{Health, HostStatus};

/// What has to be known of a host's group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub(super) service: &'a str,
    pub(super) group: &'a str,
    /// How many hosts there are besides.
    pub(super) others: usize,
    /// How many new sessions could go to, this one included.
    pub(super) usable: usize,
    /// Whether the group is enabled.
    pub(super) enabled: bool,
    /// The most sessions a minute that any of them had.
    pub(super) peak: u32,
}

/// The host's row.
pub(super) fn row(view: &View<'_>, around: &Surroundings<'_>, host: &HostStatus) -> Element {
    let place = place(around.service, around.group, &host.name);
    let now_ms = view.status.wall_ms;
    let totals = &host.totals;
    let number = |text: &str| el("td").class("n").text(text);
    let row = el("tr").attr("id", &row_id(around, host));
    let row = match &host.health {
        Health::Failed(why) if State::of(host) == State::Failed => row
            .class("failed")
            .attr("data-down", &format!("{place} is down: {why}")),
        _ => row,
    };
    row.with(name(host))
        .with(state(host, now_ms))
        .with(number(&count(u64::from(host.open))))
        .with(number(&count(host.total)))
        .with(number(&count(host.failures)))
        .with(number(&bytes(totals.bytes_to_host)))
        .with(number(&bytes(totals.bytes_to_client)))
        .with(number(&connect(totals.mean_connect_us())))
        .with(sparkline(&host.recent, around.peak))
        .with(weight_cell(view, around, host, &place))
        .maybe(buttons(view, around, host, &place))
}

fn row_id(around: &Surroundings<'_>, host: &HostStatus) -> String {
    id("h", &[around.service, around.group, &host.name])
}

fn name(host: &HostStatus) -> Element {
    let address = host.address.map(|it| it.to_string());
    let cell = el("th")
        .attr("scope", "row")
        .text(&host.name)
        .with(el("small").text(&host.endpoint));
    match address {
        None => cell.with(el("small").text("no address known")),
        Some(it) if it == host.endpoint => cell,
        Some(it) => cell.with(el("small").text(&it)),
    }
}

/// The word, since when, and the last error.
fn state(host: &HostStatus, now_ms: u64) -> Element {
    let state = State::of(host);
    let ago = |wall_ms| age(now_ms.saturating_sub(wall_ms));
    let seen_for = ago(host.since_wall_ms);
    let cell = el("td").with(state.element());
    let cell = match (state, &host.health) {
        (State::Up | State::Untried | State::Failed, _) => cell.text(&format!(" for {seen_for}")),
        (_, Health::Failed(_)) => cell.text(&format!(", failed for {seen_for}")),
        (_, Health::Healthy) => cell.text(&format!(", healthy for {seen_for}")),
        (_, Health::Untried) => cell.text(", untried"),
    };
    let error = match (&host.health, &host.last_failure) {
        (Health::Failed(why), Some((_, at_ms))) => {
            format!("{why}, tried {} ago", ago(*at_ms))
        }
        (Health::Failed(why), None) => why.to_string(),
        (_, Some((why, at_ms))) => format!("last error {} ago: {why}", ago(*at_ms)),
        (_, None) => return cell,
    };
    cell.with(el("small").text(&error))
}

/// A mean of whole milliseconds has a tenth at most.
fn connect(mean_us: Option<u64>) -> String {
    match mean_us {
        None => "-".to_owned(),
        Some(us @ 0..10_000) => format!("{}.{} ms", us / 1000, us % 1000 / 100),
        Some(us) => format!("{} ms", us / 1000),
    }
}

fn keys<'a>(around: &Surroundings<'a>, host: &'a HostStatus) -> [(&'static str, &'a str); 3] {
    [
        ("service", around.service),
        ("group", around.group),
        ("name", &host.name),
    ]
}

fn weight_cell(
    view: &View<'_>,
    around: &Surroundings<'_>,
    host: &HostStatus,
    place: &str,
) -> Element {
    let cell = el("td").class("n");
    match form(view, &keys(around, host)) {
        None => cell.text(&host.weight.to_string()),
        Some(form) => {
            let input = weight(host.weight).attr("aria-label", &format!("Weight of {place}"));
            let set = button("setWeight", "Set", "")
                .attr("aria-label", &format!("Set weight of {place}"));
            let shown = view.refresh.without_script().map(|_| {
                let text = host.weight.to_string();
                el("span").class("instead").text(&text)
            });
            cell.with(form.class("prepared").with(input).with(set))
                .maybe(shown)
        }
    }
}

fn buttons(
    view: &View<'_>,
    around: &Surroundings<'_>,
    host: &HostStatus,
    place: &str,
) -> Option<Element> {
    let form = form(view, &keys(around, host))?;
    let up = button("hostAdminUp", "Up", place);
    let drain = button("drainHost", "Drain", place);
    let down = button("hostAdminDown", "Down", place);
    let failed = matches!(host.health, Health::Failed(_));
    let form = form.maybe(failed.then(|| button("retryHost", "Retry", place)));
    let form = match host.state {
        HostState::Up => match warning(around, host) {
            None => form.with(drain).with(down),
            Some(warning) => form.with(
                folded("Drain or down…", place)
                    .with(warning)
                    .with(drain)
                    .with(down),
            ),
        },
        HostState::Drain => form.with(up).with(down),
        HostState::Down => form.with(up).with(drain),
    };
    let cell = el("td").with(form.with(remove(around, host, place)));
    Some(cell.maybe(instead(view, &row_id(around, host), place)))
}

/// What is said before the last host that new sessions could go to is taken away.
fn warning(around: &Surroundings<'_>, host: &HostStatus) -> Option<Element> {
    let is_last = around.enabled && around.usable == 1 && State::of(host).is_usable();
    let text = "No other host of this enabled group is up: clients would find nobody.";
    is_last.then(|| el("p").class("bad").text(text))
}

fn remove(around: &Surroundings<'_>, host: &HostStatus, place: &str) -> Element {
    let empties = around.enabled && around.others == 0;
    let text = match host.open {
        0 => "It has no open session.".to_owned(),
        open => {
            let sessions = number_of(open as usize, "open session");
            let live = if open == 1 { "lives" } else { "live" };
            format!("Its {sessions} {live} on.")
        }
    };
    folded("Remove…", place)
        .maybe(warning(around, host))
        .with(el("p").text(&text))
        .maybe(empties.then(|| force("even though nobody is left then")))
        .with(button("delHost", "Remove", place))
}

#[cfg(test)]
mod tests {
    use super::super::tests::scene;
    use super::*;

    const AROUND: Surroundings<'_> = Surroundings {
        service: "web",
        group: "main",
        others: 2,
        usable: 2,
        enabled: true,
        peak: 0,
    };

    fn text(host: &HostStatus, around: &Surroundings<'_>) -> String {
        let status = scene::status(Vec::new());
        row(&scene::view(&status), around, host).into_text()
    }

    #[test]
    fn why_a_host_is_down_and_since_when_is_in_its_row() {
        let text = text(&scene::failed("two"), &AROUND);
        assert!(text.contains("data-down=\"web:main/two is down: connection refused\""));
        assert!(text.contains(
            "<td><span class=\"state failed\">failed</span> for 4 min\
             <small>connection refused, tried 3 s ago</small></td>"
        ));
        assert!(text.contains("aria-label=\"Retry web:main/two\""));
    }

    #[test]
    fn a_host_has_the_buttons_that_lead_elsewhere() {
        let mut host = scene::host("one");
        for (state, verbs) in [
            (HostState::Up, ["drainHost", "hostAdminDown"]),
            (HostState::Drain, ["hostAdminUp", "hostAdminDown"]),
            (HostState::Down, ["hostAdminUp", "drainHost"]),
        ] {
            host.state = state;
            let text = text(&host, &AROUND);
            for verb in ["drainHost", "hostAdminDown", "hostAdminUp", "retryHost"] {
                let there = text.contains(&format!("value=\"{verb}\""));
                assert_eq!(there, verbs.contains(&verb), "{verb} at {state:?}");
            }
        }
    }

    #[test]
    fn the_last_host_that_is_up_is_not_drained_by_one_click() {
        let last = Surroundings {
            usable: 1,
            ..AROUND
        };
        let warning = "clients would find nobody";
        let folded = text(&scene::host("one"), &last);
        assert_eq!(folded.matches(warning).count(), 2);
        let (before, inside) = folded.split_once("Drain or down…").unwrap();
        assert!(inside.contains("drainHost") && !before.contains("drainHost"));
        assert!(!text(&scene::host("one"), &AROUND).contains(warning));
        assert!(!text(&scene::failed("two"), &last).contains(warning));
        let not_enabled = Surroundings {
            enabled: false,
            ..last
        };
        assert!(!text(&scene::host("one"), &not_enabled).contains(warning));
    }

    #[test]
    fn emptying_the_enabled_group_takes_a_tick() {
        let alone = Surroundings {
            others: 0,
            ..AROUND
        };
        assert!(text(&scene::host("one"), &alone).contains("name=\"force\""));
        assert!(!text(&scene::host("one"), &AROUND).contains("name=\"force\""));
    }

    #[test]
    fn connect_times_are_as_exact_as_they_were_measured() {
        let cases = [
            (None, "-"),
            (Some(0), "0.0 ms"),
            (Some(1_290), "1.2 ms"),
            (Some(10_900), "10 ms"),
        ];
        for (mean_us, words) in cases {
            assert_eq!(connect(mean_us), words);
        }
    }
}
