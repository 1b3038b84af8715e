//! A host in the table of its group: state in a word, figures, sparkline and buttons; and the sums
//! of a group.
//!
//! There may be hundreds on a page, so each row is kept short.

use std::time::Duration;

use super::html::{Element, el, id};
use super::sparkline::sparkline;
use super::state::State;
use super::sums::{Sums, rate};
use super::tools::tick;
use super::view::{View, button, force, form, labelled, weight};
use crate::config::{HostAddress, HostState};
use crate::control::{GroupStatus, Health, HostStatus};
use crate::text::{age, bytes, count, plural};

/// The group of a row's host.
#[derive(Debug, Clone, Copy)]
pub(super) struct GroupContext<'a> {
    pub(super) service: &'a str,
    pub(super) group: &'a str,
    /// The number of other hosts.
    pub(super) others: usize,
    /// The number of hosts that can get new sessions, this one included.
    pub(super) usable: usize,
    /// Whether the group gets new sessions: it is enabled, or has a route.
    pub(super) serves: bool,
    /// How long sessions may stay on a host that gets no new ones.
    pub(super) drain_timeout: Option<Duration>,
    /// The most sessions a minute of any host: the scale of all sparklines.
    pub(super) peak: u32,
}

/// The columns of a table of hosts, each with its class.
pub(super) const COLUMNS: [(&str, &str); 13] = [
    ("Host", ""),
    ("State", ""),
    ("Open / most", "n"),
    ("New/s / most", "n"),
    ("Total", "n"),
    ("Failed", "n"),
    ("To host", "n"),
    ("To clients", "n"),
    ("Connect", "n"),
    ("Check", "n"),
    ("Last hour", ""),
    ("Weight", "n"),
    ("Change", ""),
];

fn number(text: &str) -> Element {
    el("td").class("n").text(text)
}

/// The host's row. It is one line where there is room.
pub(super) fn row(view: &View<'_>, context: &GroupContext<'_>, host: &HostStatus) -> Element {
    let host_label = host_label(context.service, context.group, &host.name);
    let totals = &host.totals;
    let with_peak = |now: &str, peak: u32| {
        let peak = format!("/ {}", count(u64::from(peak)));
        number(now).with(el("small").text(&peak))
    };
    let check = host
        .check_ms()
        .map_or("-".to_owned(), |ms| format!("{ms} ms"));
    let tick = tick(view, &keys(context, host), &host_label);
    let row = el("tr").attr("id", &row_id(context, host));
    let row = match &host.health {
        Health::Failed(why) if State::of(host) == State::Failed => row
            .class("failed")
            .attr("data-down", &format!("{host_label} failed: {why}")),
        _ => row,
    };
    row.with(el("td").maybe(tick))
        .with(name(host))
        .with(state(host, view.status.wall_ms))
        .with(with_peak(&count(u64::from(host.open)), host.peak_open))
        .with(with_peak(
            &rate(u64::from(host.per_ten_seconds)),
            host.peak_per_second,
        ))
        .with(number(&count(host.total)))
        .with(number(&count(host.failures)))
        .with(number(&bytes(totals.bytes_to_host)))
        .with(number(&bytes(totals.bytes_to_client)))
        .with(number(&connect(totals.mean_connect_us())))
        .with(number(&check))
        .with(el("td").with(sparkline(&host.recent, host.known_minutes, context.peak)))
        .with(number(&host.weight.to_string()))
        .with(change(view, context, host, &host_label))
}

/// The row with the sums of all hosts of a group.
pub(super) fn sums_row(hosts: &[HostStatus]) -> Element {
    let sums = Sums::of(hosts);
    let up = el("td").text(&format!("{} up", sums.up));
    let up = match sums.problems {
        0 => up,
        problems => up.text(&format!(", {}", plural(problems, "problem"))),
    };
    el("tr")
        .with(el("td"))
        .with(
            el("th")
                .attr("scope", "row")
                .text(&format!("All {}", plural(sums.hosts, "host"))),
        )
        .with(up)
        .with(number(&count(sums.open)))
        .with(number(&rate(sums.per_ten_seconds)))
        .with(number(&count(sums.total)))
        .with(number(&count(sums.failures)))
        .with(number(&bytes(sums.totals.bytes_to_host)))
        .with(number(&bytes(sums.totals.bytes_to_client)))
        .with(number(&connect(sums.totals.mean_connect_us())))
        .with(number(""))
        .with(el("td").with(sums.sparkline()))
        .with(number(""))
        .with(el("td"))
}

fn row_id(context: &GroupContext<'_>, host: &HostStatus) -> String {
    id("h", &[context.service, context.group, &host.name])
}

/// The most characters of names and addresses, and of notes on a state, that the narrowest table
/// shows whole.
const WHOLE_NAME: usize = 30;
const WHOLE_NOTE: usize = 18;

/// An element with text in one line. The style sheet cuts what is too long: that has its text as
/// its title, too.
fn line(name: &'static str, text: &str, whole: usize) -> Element {
    let element = el(name);
    let element = match text.chars().nth(whole) {
        None => element,
        Some(_) => element.attr("title", text),
    };
    element.text(text)
}

/// The name, and the address beside it.
fn name(host: &HostStatus) -> Element {
    let known = host.address.as_ref();
    let known = known.map_or("no address known".to_owned(), |it| {
        HostAddress(it).to_string()
    });
    let address = match known == host.endpoint {
        true => known,
        false => format!("{} {known}", host.endpoint),
    };
    el("th")
        .attr("scope", "row")
        .with(line("bdi", &host.name, WHOLE_NAME))
        .text(" ")
        .with(line("small", &address, WHOLE_NAME))
}

/// The state, its age, and what an operator must know now.
fn state(host: &HostStatus, now_ms: u64) -> Element {
    let state = State::of(host);
    let ago = |wall_ms| age(now_ms.saturating_sub(wall_ms));
    let seen_for = ago(host.since_wall_ms);
    let cell = el("td").with(state.element());
    let (cell, seen) = match (state, &host.health) {
        (State::Up | State::Suspect | State::Untried | State::Pending | State::Failed, _) => {
            (cell.text(&format!(" {seen_for}")), None)
        }
        (_, Health::Failed(_)) => (cell, Some(format!("failed {seen_for}"))),
        (_, Health::Healthy) => (cell, Some(format!("healthy {seen_for}"))),
        (_, Health::Untried) => (cell, Some("untried".to_owned())),
    };
    let why = match (&host.health, &host.last_failure) {
        (Health::Failed(why), Some((_, at_ms))) => {
            Some(format!("{why}, tried {} ago", ago(*at_ms)))
        }
        (Health::Failed(why), None) => Some(why.to_string()),
        _ => None,
    };
    let times = (host.times_failed > 0).then(|| format!("down {}×", host.times_failed));
    let notes: Vec<_> = [drain(state, host, &ago), seen, why]
        .into_iter()
        .flatten()
        .chain(host.notes())
        .chain(times)
        .collect();
    cell.maybe((!notes.is_empty()).then(|| line("small", &notes.join("; "), WHOLE_NOTE)))
}

/// How often it has failed, for how long, and why last.
fn history(host: &HostStatus, now_ms: u64) -> Option<Element> {
    let failures = (host.times_failed > 0).then(|| {
        format!(
            "Failed {} so far, for {} in all.",
            plural(host.times_failed as usize, "time"),
            age(host.down_ms)
        )
    });
    let last = host.last_failure.as_ref().map(|(why, at_ms)| {
        let ago = age(now_ms.saturating_sub(*at_ms));
        format!("Last error {ago} ago: {why}.")
    });
    let sentences: Vec<_> = failures.into_iter().chain(last).collect();
    (!sentences.is_empty()).then(|| el("p").text(&sentences.join(" ")))
}

/// How far a drain is: the sessions that are left, or when the last one ended.
fn drain(state: State, host: &HostStatus, ago: &dyn Fn(u64) -> String) -> Option<String> {
    let is_out = matches!(state, State::Draining | State::Drained | State::Down);
    if is_out && host.open > 0 {
        return Some(format!("{} left", plural(host.open as usize, "session")));
    }
    let emptied = host.emptied_wall_ms.filter(|_| is_out);
    emptied.map(|at_ms| format!("the last session ended {} ago", ago(at_ms)))
}

/// A mean connect time: measured in whole milliseconds, so a tenth is the last digit.
fn connect(mean_us: Option<u64>) -> String {
    match mean_us {
        None => "-".to_owned(),
        Some(us @ 0..10_000) => format!("{}.{} ms", us / 1000, us % 1000 / 100),
        Some(us) => format!("{} ms", us / 1000),
    }
}

fn keys<'a>(context: &GroupContext<'a>, host: &'a HostStatus) -> [(&'static str, &'a str); 3] {
    [
        ("service", context.service),
        ("group", context.group),
        ("name", &host.name),
    ]
}

/// The last cell: the button for what is mostly wanted, and all others behind one.
fn change(
    view: &View<'_>,
    context: &GroupContext<'_>,
    host: &HostStatus,
    host_label: &str,
) -> Element {
    let history = history(host, view.status.wall_ms);
    let Some(form) = form(view, &keys(context, host)) else {
        let more = history.map(|it| more(host_label).with(el("div").with(it)));
        return el("td").maybe(more);
    };
    let panel = el("div")
        .with(el("h4").text(host_label))
        .maybe(history)
        .maybe(set_weight(context, host, host_label))
        .with(take_out(context, host, host_label))
        .maybe(end_sessions(host, host_label));
    let retry = || button("retryHost", "Retry", host_label);
    let (first, panel) = match host.state {
        HostState::Up if is_failed(host) => (Some(retry()), panel),
        HostState::Up if is_last_usable(context, host) => (None, panel),
        HostState::Up => (Some(button("drainHost", "Drain", host_label)), panel),
        HostState::Drain | HostState::Down => {
            let panel = panel.maybe(is_failed(host).then(|| el("div").with(retry())));
            (Some(button("hostAdminUp", "Up", host_label)), panel)
        }
    };
    // Enter in the weight presses the first button of the form: that is behind `more`.
    let more = more(host_label).class("prepared").with(panel);
    el("td").with(form.with(more).maybe(first))
}

/// What is unfolded to see more of a host, one at a time.
fn more(host_label: &str) -> Element {
    let summary = el("summary")
        .attr("aria-label", &format!("More of {host_label}"))
        .text("…");
    el("details").attr("name", "more").with(summary)
}

fn is_failed(host: &HostStatus) -> bool {
    matches!(host.health, Health::Failed(_))
}

/// A member of a name has the weight of the host in the file, and comes and goes with its name.
fn is_own(host: &HostStatus) -> bool {
    host.member_of.is_none()
}

fn set_weight(context: &GroupContext<'_>, host: &HostStatus, host_label: &str) -> Option<Element> {
    // Weight 0 would be refused, and drain says it better.
    let least = u32::from(is_last_usable(context, host));
    let input = weight(least, host.weight);
    let set =
        button("setWeight", "Set", "").attr("aria-label", &format!("Set weight of {host_label}"));
    let label = labelled(
        "Weight",
        input.attr("aria-label", &format!("Weight of {host_label}")),
    );
    is_own(host).then(|| el("p").with(label).text(" ").with(set))
}

/// The buttons by which the host gets no new sessions.
fn take_out(context: &GroupContext<'_>, host: &HostStatus, host_label: &str) -> Element {
    let drain = button("drainHost", "Drain", host_label);
    let down = button("hostAdminDown", "Down", host_label);
    let remove = is_own(host).then(|| button("delHost", "Remove", host_label));
    let part = el("div").with(el("p").text(&fate(context, host)));
    let empties = context.serves && context.others == 0;
    let empties = empties.then(|| force("even though the group has no host then"));
    let part = match host.state {
        HostState::Up if is_last_usable(context, host) => part
            .with(el("p").class("bad").text(LAST_USABLE))
            .with(force("even so"))
            .with(drain)
            .text(" ")
            .with(down),
        HostState::Up if is_failed(host) => part.maybe(empties).with(drain).text(" ").with(down),
        HostState::Up | HostState::Drain => part.maybe(empties).with(down),
        HostState::Down => part.maybe(empties).with(drain),
    };
    part.text(" ").maybe(remove)
}

/// The button that ends all sessions of the host.
fn end_sessions(host: &HostStatus, host_label: &str) -> Option<Element> {
    if host.open == 0 {
        return None;
    }
    let open = plural(host.open as usize, "open session");
    let text = match host.is_usable() {
        true => format!("{open} can be ended now. It still gets new ones."),
        false => format!("{open} can be ended now."),
    };
    let end =
        el("div")
            .with(el("p").text(&text))
            .with(button("endSessions", "End sessions", host_label));
    Some(end)
}

/// What is said before the last usable host is taken away.
const LAST_USABLE: &str = "No other host of this group is usable: new sessions will fail.";

/// Whether the controller wants `force` before it takes this host away.
fn is_last_usable(context: &GroupContext<'_>, host: &HostStatus) -> bool {
    context.serves && context.usable == 1 && host.is_usable()
}

/// What becomes of the open sessions once the host gets no new ones.
fn fate(context: &GroupContext<'_>, host: &HostStatus) -> String {
    if host.open == 0 {
        return "It has no open session.".to_owned();
    }
    let open = plural(host.open as usize, "open session");
    match (context.drain_timeout, host.open) {
        (Some(timeout), _) => format!("Its {open} may stay for {}.", time_to_stay(timeout)),
        (None, 1) => format!("Its {open} lives on."),
        (None, _) => format!("Its {open} live on."),
    }
}

/// How long sessions may stay, and which attribute says so.
pub(super) fn time_to_stay(timeout: Duration) -> String {
    format!("{} s (drainTimeout)", timeout.as_secs_f64())
}

/// The number of hosts of a group that can get new sessions.
pub(super) fn usable(group: &GroupStatus) -> usize {
    group.hosts.iter().filter(|host| host.is_usable()).count()
}

/// A host's name with service and group: `web:main/one`.
pub(super) fn host_label(service: &str, group: &str, host: &str) -> String {
    format!("{service}:{group}/{host}")
}

#[cfg(test)]
mod tests {
    use super::super::tests::samples;
    use super::*;

    const AROUND: GroupContext<'_> = GroupContext {
        drain_timeout: None,
        service: "web",
        group: "main",
        others: 2,
        usable: 2,
        serves: true,
        peak: 0,
    };

    fn text(host: &HostStatus, context: &GroupContext<'_>) -> String {
        let status = samples::status(Vec::new());
        row(&samples::view(&status), context, host).into_text()
    }

    #[test]
    fn why_a_host_is_down_and_since_when_is_in_its_row() {
        let text = text(&samples::failed("two"), &AROUND);
        assert!(text.contains("data-down=\"web:main/two failed: connection refused\""));
        assert!(text.contains(
            "<td><span class=\"state failed\">failed</span> 4 min\
             <small title=\"connection refused, tried 3 s ago; down 2×\">\
             connection refused, tried 3 s ago; down 2×</small></td>"
        ));
        assert!(text.contains("aria-label=\"Retry web:main/two\""));
        let history =
            "Failed 2 times so far, for 4 min in all. Last error 3 s ago: connection refused.";
        assert!(text.contains(history), "{text}");
    }

    #[test]
    fn names_and_addresses_that_may_be_cut_are_their_titles_too() {
        let mut host = samples::host(&"x".repeat(WHOLE_NAME));
        assert!(!text(&host, &AROUND).contains("title="));
        host.name.push('<');
        let title = format!("<bdi title=\"{}&lt;\">", "x".repeat(WHOLE_NAME));
        assert!(text(&host, &AROUND).contains(&title));
        host.endpoint = "one.example.org:80".to_owned();
        assert!(text(&host, &AROUND).contains("<small>one.example.org:80 10.0.0.1:80</small>"));
        host.address = None;
        let title = "<small title=\"one.example.org:80 no address known\">";
        assert!(text(&host, &AROUND).contains(title));
    }

    #[test]
    fn a_failed_host_has_the_button_that_tries_it_again_in_sight() {
        for (state, in_sight) in [
            (HostState::Up, "retryHost"),
            (HostState::Drain, "hostAdminUp"),
        ] {
            let mut host = samples::failed("one");
            host.state = state;
            let text = text(&host, &AROUND);
            let (behind, after) = text.rsplit_once("</details>").unwrap();
            assert_eq!(after.matches("<button").count(), 1);
            assert!(after.contains(in_sight) && !behind.contains(&format!("value=\"{in_sight}\"")));
            for verb in ["retryHost", "hostAdminDown"] {
                assert!(
                    text.contains(&format!("value=\"{verb}\"")),
                    "{verb} at {state:?}"
                );
            }
        }
    }

    #[test]
    fn rates_peaks_and_how_long_a_check_takes_are_in_the_row() {
        let text = text(&samples::busy("one", 5), &AROUND);
        for cell in [
            "8<small>/ 14</small>",
            "1.2<small>/ 9</small>",
            "<td class=\"n\">5 ms</td>",
        ] {
            assert!(text.contains(cell), "{cell} is not in {text}");
        }
    }

    #[test]
    fn the_last_row_has_the_sums_of_all() {
        let hosts = [samples::busy("one", 1), samples::failed("two")];
        let text = sums_row(&hosts).into_text();
        for cell in [
            "All 2 hosts",
            "1 up, 1 problem",
            "<td class=\"n\">21234</td>",
        ] {
            assert!(text.contains(cell), "{cell} is not in {text}");
        }
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
    fn the_last_usable_host_is_taken_away_by_a_tick_only() {
        let last = GroupContext {
            usable: 1,
            ..AROUND
        };
        let text_of = |host: &HostStatus, context| {
            let text = text(host, context);
            (
                text.contains(LAST_USABLE),
                text.matches("name=\"force\"").count(),
            )
        };
        let details = text(&samples::host("one"), &last);
        let (before, inside) = details.split_once("<details").unwrap();
        assert!(inside.ends_with("</details></form></td></tr>"), "{inside}");
        for verb in ["drainHost", "hostAdminDown", "delHost"] {
            assert!(inside.contains(verb) && !before.contains(verb), "{verb}");
        }
        assert_eq!(text_of(&samples::host("one"), &last), (true, 1));
        assert!(details.contains("name=\"weight\" min=\"1\""));
        let not_serving = GroupContext {
            serves: false,
            ..last
        };
        for (host, context) in [
            (samples::host("one"), &AROUND),
            (samples::failed("two"), &last),
            (samples::host("one"), &not_serving),
        ] {
            assert_eq!(text_of(&host, context), (false, 0));
        }
    }

    #[test]
    fn emptying_a_group_with_new_sessions_takes_a_tick() {
        let alone = GroupContext {
            others: 0,
            usable: 0,
            ..AROUND
        };
        assert!(text(&samples::failed("one"), &alone).contains("name=\"force\""));
        assert!(!text(&samples::failed("one"), &AROUND).contains("name=\"force\""));
    }

    #[test]
    fn a_drain_says_how_many_sessions_are_left_and_when_the_last_one_ended() {
        let mut host = samples::host("one");
        (host.state, host.open) = (HostState::Drain, 3);
        assert!(text(&host, &AROUND).contains(">3 sessions left; healthy 2 h"));
        host.open = 0;
        host.emptied_wall_ms = Some(samples::NOW_MS - 5_000);
        assert!(text(&host, &AROUND).contains("the last session ended 5 s ago"));
        host.state = HostState::Up;
        assert!(!text(&host, &AROUND).contains("the last session"));
    }

    #[test]
    fn a_row_says_what_its_buttons_do_to_sessions() {
        let mut host = samples::host("one");
        for (open, words) in [
            (0, "It has no open session."),
            (1, "Its 1 open session lives on."),
            (12, "Its 12 open sessions live on."),
        ] {
            host.open = open;
            assert!(text(&host, &AROUND).contains(words), "{words}");
        }
        host.state = HostState::Drain;
        assert!(text(&host, &AROUND).contains("<p>Its 12 open sessions live on.</p>"));
        let drains = GroupContext {
            drain_timeout: Some(Duration::from_secs(60)),
            ..AROUND
        };
        let words = "Its 12 open sessions may stay for 60 s (drainTimeout).";
        assert!(text(&host, &drains).contains(words));
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
