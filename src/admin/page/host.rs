//! One host: its row, with what is known of it and what can be done about it.
//!
//! There may be thousands, so what is in each row is kept short. The words for how it
//! is are `state`'s.

use std::fmt::Write;

use super::html::{Element, el, id};
use super::view::{View, button, folded, force, form, instead, weight};
use crate::config::HostState;
use crate::control::text::{age, bytes, count};
use crate::control::{GroupStatus, Health, HostStatus};

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

/// How a host is: what the operator wants of it comes first, then what is seen of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It gets new sessions, and its last connect succeeded.
    Up,
    /// It would get sessions, and nobody has tried it.
    Untried,
    /// It has failed, though it is wanted.
    Failed,
    /// Its weight is 0: no new sessions.
    Weightless,
    /// No new sessions, and some are left.
    Draining,
    /// No new sessions, and none is left.
    Drained,
    /// Switched off by the operator.
    Down,
}

impl State {
    pub(super) fn of(host: &HostStatus) -> State {
        match (host.state, &host.health) {
            (HostState::Down, _) => State::Down,
            (HostState::Drain, _) if host.open > 0 => State::Draining,
            (HostState::Drain, _) => State::Drained,
            (HostState::Up, _) if host.weight == 0 => State::Weightless,
            (HostState::Up, Health::Failed(_)) => State::Failed,
            (HostState::Up, Health::Healthy) => State::Up,
            (HostState::Up, Health::Untried) => State::Untried,
        }
    }

    /// Whether new sessions are given to it, and nothing speaks against it.
    pub(super) fn is_usable(self) -> bool {
        matches!(self, State::Up | State::Untried)
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            State::Up => "up",
            State::Untried => "untried",
            State::Failed => "failed",
            State::Weightless => "weight 0",
            State::Draining => "draining",
            State::Drained => "drained",
            State::Down => "admin down",
        }
    }

    /// The word, in its colour.
    pub(super) fn element(self) -> Element {
        el("span").class(self.class()).text(self.words())
    }

    fn class(self) -> &'static str {
        match self {
            State::Up => "state up",
            State::Untried => "state untried",
            State::Failed => "state failed",
            State::Weightless | State::Draining | State::Drained => "state drain",
            State::Down => "state down",
        }
    }
}

/// The hosts of a group that new sessions could go to.
pub(super) fn usable(group: &GroupStatus) -> usize {
    let states = group.hosts.iter().map(State::of);
    states.filter(|state| state.is_usable()).count()
}

/// `1 host`, `2 hosts`.
pub(super) fn number_of(number: usize, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {one}s"),
    }
}

/// How everybody calls a host: `web:main/one`.
pub(super) fn place(service: &str, group: &str, host: &str) -> String {
    format!("{service}:{group}/{host}")
}

/// How high the line may go, and how long it is for a minute.
const HEIGHT: u64 = 16;
const STEP: u32 = 2;

/// The most sessions that a minute brought.
pub(super) fn peak(host: &HostStatus) -> u32 {
    whole(&host.recent).iter().max().copied().unwrap_or(0)
}

/// The minutes as a line, and what it says in words; `scale` is the number that reaches
/// the top. Without a session there is no line.
pub(super) fn sparkline(minutes: &[u32], scale: u32) -> Element {
    let minutes = whole(minutes);
    let peak = minutes.iter().max().copied().unwrap_or(0);
    if peak == 0 {
        return el("td").text("none");
    }
    let last = minutes.last().copied().unwrap_or(0);
    let path = el("path")
        .attr("d", &path(minutes, scale.max(peak)))
        .attr("fill", "none")
        .attr("stroke", "currentColor");
    let line = el("svg")
        .attr("viewBox", "0 -1 118 18")
        .attr("aria-hidden", "true")
        .with(path);
    let words = format!("peak {peak} a minute, now {last}");
    el("td").with(line).with(el("small").text(&words))
}

/// The minute that is under way has few sessions only because it is young: it counts
/// once it has as many as the one before.
fn whole(minutes: &[u32]) -> &[u32] {
    match minutes {
        [earlier @ .., now] if earlier.last().is_some_and(|before| now < before) => earlier,
        _ => minutes,
    }
}

/// From minute to minute, by how far it goes up or down. Level stretches are put
/// together: most hosts have long ones.
fn path(minutes: &[u32], scale: u32) -> String {
    let top = u64::from(scale.max(1));
    let height = |sessions: &u32| {
        let height = (u64::from(*sessions) * HEIGHT).div_ceil(top);
        i64::try_from(HEIGHT - height.min(HEIGHT)).unwrap_or(0)
    };
    let mut at = minutes.first().map_or(0, height);
    let mut path = format!("M0 {at}");
    let mut level = 0;
    for next in minutes.iter().skip(1).map(height) {
        if next == at {
            level += 1;
            continue;
        }
        push_level(&mut path, level);
        let _ = write!(path, "l{STEP} {}", next - at);
        (at, level) = (next, 0);
    }
    push_level(&mut path, level);
    path
}

fn push_level(path: &mut String, minutes: u32) {
    if minutes > 0 {
        let _ = write!(path, "h{}", minutes * STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::samples;
    use super::*;
    use crate::balance::Failure;

    const AROUND: Surroundings<'_> = Surroundings {
        service: "web",
        group: "main",
        others: 2,
        usable: 2,
        enabled: true,
        peak: 0,
    };

    fn text(host: &HostStatus, around: &Surroundings<'_>) -> String {
        let status = samples::status(Vec::new());
        row(&samples::view(&status), around, host).into_text()
    }

    #[test]
    fn why_a_host_is_down_and_since_when_is_in_its_row() {
        let text = text(&samples::failed("two"), &AROUND);
        assert!(text.contains("data-down=\"web:main/two is down: connection refused\""));
        assert!(text.contains(
            "<td><span class=\"state failed\">failed</span> for 4 min\
             <small>connection refused, tried 3 s ago</small></td>"
        ));
        assert!(text.contains("aria-label=\"Retry web:main/two\""));
    }

    #[test]
    fn a_host_has_the_buttons_that_lead_elsewhere() {
        let mut host = samples::host("one");
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
        let folded = text(&samples::host("one"), &last);
        assert_eq!(folded.matches(warning).count(), 2);
        let (before, inside) = folded.split_once("Drain or down…").unwrap();
        assert!(inside.contains("drainHost") && !before.contains("drainHost"));
        assert!(!text(&samples::host("one"), &AROUND).contains(warning));
        assert!(!text(&samples::failed("two"), &last).contains(warning));
        let not_enabled = Surroundings {
            enabled: false,
            ..last
        };
        assert!(!text(&samples::host("one"), &not_enabled).contains(warning));
    }

    #[test]
    fn emptying_the_enabled_group_takes_a_tick() {
        let alone = Surroundings {
            others: 0,
            ..AROUND
        };
        assert!(text(&samples::host("one"), &alone).contains("name=\"force\""));
        assert!(!text(&samples::host("one"), &AROUND).contains("name=\"force\""));
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

    #[test]
    fn what_is_wanted_comes_before_what_is_seen() {
        let of = |state, weight, open, health| {
            let mut host = samples::host("one");
            (host.state, host.weight) = (state, weight);
            (host.open, host.health) = (open, health);
            State::of(&host)
        };
        let failed = || Health::Failed(Failure::Refused);
        assert_eq!(of(HostState::Up, 1, 0, failed()), State::Failed);
        assert_eq!(of(HostState::Up, 0, 0, failed()), State::Weightless);
        assert_eq!(of(HostState::Drain, 0, 1, failed()), State::Draining);
        assert_eq!(of(HostState::Drain, 1, 0, Health::Healthy), State::Drained);
        assert_eq!(of(HostState::Down, 1, 1, Health::Healthy), State::Down);
        assert_eq!(of(HostState::Up, 1, 0, Health::Untried), State::Untried);
    }

    #[test]
    fn level_stretches_are_one_step_each() {
        assert_eq!(path(&[0, 0, 0, 4, 4, 2], 4), "M0 16h4l2 -16h2l2 8");
        assert_eq!(path(&[1], 1000), "M0 15");
        assert_eq!(path(&[u32::MAX, 0], u32::MAX), "M0 0l2 16");
        assert_eq!(path(&[], 0), "M0 0");
    }

    #[test]
    fn the_minute_under_way_counts_once_it_is_no_less_than_the_one_before() {
        assert_eq!(whole(&[5, 7, 3]), [5, 7]);
        assert_eq!(whole(&[5, 7, 7]), [5, 7, 7]);
        assert_eq!(whole(&[5]), [5]);
        assert_eq!(whole(&[]), [0; 0]);
    }

    #[test]
    fn the_line_is_there_in_words_too() {
        let text = sparkline(&[120, 80, 1], 500).into_text();
        assert!(text.ends_with("</svg><small>peak 120 a minute, now 80</small></td>"));
        assert_eq!(sparkline(&[0, 0], 500).into_text(), "<td>none</td>");
    }
}
