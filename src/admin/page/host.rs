//! A host in the table of its group: state in a word, figures, sparkline and buttons.
//!
//! There may be thousands, so each row is kept short.

use std::time::Duration;

use super::html::{Element, el, id};
use super::sparkline::sparkline;
use super::view::{View, button, change_link, details, force, form, weight};
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
    /// The scheduler that would look at the weights there are, if the group's does not.
    pub(super) missed_weights: Option<&'a str>,
}

/// The host's row.
pub(super) fn row(view: &View<'_>, context: &GroupContext<'_>, host: &HostStatus) -> Element {
    let host_label = host_label(context.service, context.group, &host.name);
    let now_ms = view.status.wall_ms;
    let totals = &host.totals;
    let number = |text: &str| el("td").class("n").text(text);
    let row = el("tr").attr("id", &row_id(context, host));
    let row = match &host.health {
        Health::Failed(why) if State::of(host) == State::Failed => row
            .class("failed")
            .attr("data-down", &format!("{host_label} failed: {why}")),
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
        .with(sparkline(&host.recent, context.peak))
        .with(weight_cell(view, context, host, &host_label))
        .maybe(buttons(view, context, host, &host_label))
}

fn row_id(context: &GroupContext<'_>, host: &HostStatus) -> String {
    id("h", &[context.service, context.group, &host.name])
}

fn name(host: &HostStatus) -> Element {
    let address = host.address.as_ref().map(|it| HostAddress(it).to_string());
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

/// The state, its age, and the last error.
fn state(host: &HostStatus, now_ms: u64) -> Element {
    let state = State::of(host);
    let ago = |wall_ms| age(now_ms.saturating_sub(wall_ms));
    let seen_for = ago(host.since_wall_ms);
    let cell = el("td").with(state.element());
    let cell = match (state, &host.health) {
        (State::Up | State::Suspect | State::Untried | State::Pending | State::Failed, _) => {
            cell.text(&format!(" for {seen_for}"))
        }
        (_, Health::Failed(_)) => cell.text(&format!(", failed for {seen_for}")),
        (_, Health::Healthy) => cell.text(&format!(", healthy for {seen_for}")),
        (_, Health::Untried) => cell.text(", untried"),
    };
    let cell = cell.maybe(drain(state, host, &ago));
    let notes = host.notes();
    let cell = cell.maybe((!notes.is_empty()).then(|| el("small").text(&notes.join("; "))));
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

/// How far a drain is: the sessions that are left, or when the last one ended.
fn drain(state: State, host: &HostStatus, ago: &dyn Fn(u64) -> String) -> Option<Element> {
    let is_out = matches!(state, State::Draining | State::Drained | State::Down);
    let text = match host.emptied_wall_ms.filter(|_| is_out) {
        _ if is_out && host.open > 0 => {
            format!("{} left", plural(host.open as usize, "session"))
        }
        Some(at_ms) => format!("the last session ended {} ago", ago(at_ms)),
        None => return None,
    };
    Some(el("small").text(&text))
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

fn weight_cell(
    view: &View<'_>,
    context: &GroupContext<'_>,
    host: &HostStatus,
    host_label: &str,
) -> Element {
    let ignored = context.missed_weights.filter(|_| host.weight != 1);
    let ignored = ignored.map(|instead| {
        let text = format!("no effect: {instead} looks at weights");
        el("small").text(&text)
    });
    let cell = el("td").class("n");
    // What comes and goes with a name has the weight of its template.
    let form = form(view, &keys(context, host)).filter(|_| host.member_of.is_none());
    let cell = match form {
        None => cell.text(&host.weight.to_string()),
        Some(form) => {
            // Weight 0 would be refused, and drain says it better.
            let least = u32::from(is_last_usable(context, host));
            let input =
                weight(least, host.weight).attr("aria-label", &format!("Weight of {host_label}"));
            let set = button("setWeight", "Set", "")
                .attr("aria-label", &format!("Set weight of {host_label}"));
            let shown = view.refresh.without_script().map(|_| {
                let text = host.weight.to_string();
                el("span").class("instead").text(&text)
            });
            cell.with(form.class("prepared").with(input).with(set))
                .maybe(shown)
        }
    };
    cell.maybe(ignored)
}

fn buttons(
    view: &View<'_>,
    context: &GroupContext<'_>,
    host: &HostStatus,
    host_label: &str,
) -> Option<Element> {
    let form = form(view, &keys(context, host))?;
    let up = button("hostAdminUp", "Up", host_label);
    let drain = button("drainHost", "Drain", host_label);
    let down = button("hostAdminDown", "Down", host_label);
    let failed = matches!(host.health, Health::Failed(_));
    let form = form.maybe(failed.then(|| button("retryHost", "Retry", host_label)));
    let remove = || is_own(host).then(|| remove(context, host, host_label));
    let form = match host.state {
        HostState::Up if is_last_usable(context, host) => {
            let last = details("Drain, down or remove…", host_label)
                .with(el("p").class("bad").text(LAST_USABLE))
                .with(el("p").text(&fate(context, host)))
                .with(force("even so"))
                .with(drain)
                .with(down)
                .maybe(is_own(host).then(|| button("delHost", "Remove", host_label)));
            form.with(last)
        }
        HostState::Up => form
            .with(drain)
            .with(down)
            .maybe(remove())
            .maybe((host.open > 0).then(|| {
                let text = format!("Drain or down: no new sessions. {}", fate(context, host));
                el("small").text(&text)
            })),
        HostState::Drain => form.with(up).with(down).maybe(remove()),
        HostState::Down => form.with(up).with(drain).maybe(remove()),
    };
    let cell = el("td")
        .with(form)
        .maybe(end_sessions(view, context, host, host_label));
    Some(cell.maybe(change_link(view, &row_id(context, host), host_label)))
}

/// Whether the file has it, so that it can be removed.
fn is_own(host: &HostStatus) -> bool {
    host.member_of.is_none()
}

/// The form that ends all sessions of the host.
fn end_sessions(
    view: &View<'_>,
    context: &GroupContext<'_>,
    host: &HostStatus,
    host_label: &str,
) -> Option<Element> {
    if host.open == 0 {
        return None;
    }
    let keys = [
        ("service", context.service),
        ("group", context.group),
        ("host", &host.name),
    ];
    let open = plural(host.open as usize, "open session");
    let text = match host.is_usable() {
        true => format!("{open} of it will be ended now. It still gets new ones."),
        false => format!("{open} of it will be ended now."),
    };
    let end = details("End sessions…", host_label)
        .with(el("p").text(&text))
        .with(button("endSessions", "End sessions", host_label));
    Some(form(view, &keys)?.with(end))
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

fn remove(context: &GroupContext<'_>, host: &HostStatus, host_label: &str) -> Element {
    let empties = context.serves && context.others == 0;
    details("Remove…", host_label)
        .with(el("p").text(&fate(context, host)))
        .maybe(empties.then(|| force("even though the group has no host then")))
        .with(button("delHost", "Remove", host_label))
}

/// The state of a host: what is wanted (up, drain, down) comes before what is seen
/// (healthy, failed, untried).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It gets new sessions, and its last connect succeeded.
    Up,
    /// It gets sessions, but ends them quickly before its first byte.
    Suspect,
    /// It would get sessions, and was not tried yet.
    Untried,
    /// It waits for its first check.
    Pending,
    /// It is wanted, and has failed.
    Failed,
    /// Its weight is 0: no new sessions.
    Weightless,
    /// Draining, with open sessions.
    Draining,
    /// Draining, without open sessions.
    Drained,
    /// Taken down by an operator.
    Down,
}

impl State {
    pub(super) fn of(host: &HostStatus) -> State {
        match (host.wanted_state(), &host.health) {
            (HostState::Down, _) => State::Down,
            (HostState::Drain, _) if host.open > 0 => State::Draining,
            (HostState::Drain, _) => State::Drained,
            (HostState::Up, _) if host.weight_in_force() == 0 => State::Weightless,
            (HostState::Up, Health::Failed(_)) => State::Failed,
            (HostState::Up, _) if host.pending => State::Pending,
            (HostState::Up, _) if host.suspect => State::Suspect,
            (HostState::Up, Health::Healthy) => State::Up,
            (HostState::Up, Health::Untried) => State::Untried,
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            State::Up => "healthy",
            State::Suspect => "suspect",
            State::Untried => "untried",
            State::Pending => "not checked yet",
            State::Failed => "failed",
            State::Weightless => "weight 0",
            State::Draining => "draining",
            State::Drained => "drained",
            State::Down => "down",
        }
    }

    /// The state as a coloured word.
    pub(super) fn element(self) -> Element {
        el("span").class(self.class()).text(self.words())
    }

    fn class(self) -> &'static str {
        match self {
            State::Up => "state up",
            State::Untried | State::Pending => "state untried",
            State::Suspect => "state failed",
            State::Failed => "state failed",
            State::Weightless | State::Draining | State::Drained => "state drain",
            State::Down => "state down",
        }
    }
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
    use crate::balance::Failure;

    const AROUND: GroupContext<'_> = GroupContext {
        drain_timeout: None,
        service: "web",
        group: "main",
        others: 2,
        usable: 2,
        serves: true,
        missed_weights: None,
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
        let (before, inside) = details.split_once("Drain, down or remove…").unwrap();
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
        assert!(text(&host, &AROUND).contains("<small>3 sessions left</small>"));
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
            (
                1,
                "Drain or down: no new sessions. Its 1 open session lives on.",
            ),
            (
                12,
                "Drain or down: no new sessions. Its 12 open sessions live on.",
            ),
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
}
