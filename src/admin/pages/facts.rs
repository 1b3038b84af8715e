//! The figures of the whole: sessions, version, who looks at the page.
//!
//! What is known of services and hosts is told further down.

use super::View;
use super::html::{Element, el};
use crate::calendar::UtcTime;
use crate::config::Access;
use crate::control::Status;
use crate::control::text::{age, count};

/// From this share of the room on, sessions are getting many: in percent.
const MANY_PERCENT: usize = 80;

/// The figures, each with its name.
pub(super) fn facts(view: &View<'_>) -> Element {
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
        .with(fact("Sessions", sessions))
        .with(fact("Up for", plain(workers)))
        .with(fact("Version", plain(status.version.to_owned())))
        .with(fact("Generation", plain(status.generation.to_string())))
        .with(fact("You", who(view)))
        .with(fact("As of", as_of(status)));
    el("section")
        .attr("id", "facts")
        .attr("aria-label", "Figures")
        .with(list)
        .maybe(shortage(status))
}

fn fact(name: &str, value: Element) -> Element {
    el("div").with(el("dt").text(name)).with(value)
}

fn percent(status: &Status) -> usize {
    match status.capacity {
        0 => 0,
        capacity => status.open.saturating_mul(100) / capacity,
    }
}

fn who(view: &View<'_>) -> Element {
    let who = match view.user {
        Some(user) => el("dd").name(user),
        None => el("dd").text("nobody: no user is configured"),
    };
    who.text(match view.access {
        Access::Full => ", may change everything",
        Access::ReadOnly => ", may only look",
    })
}

/// The script takes the moment from here.
fn as_of(status: &Status) -> Element {
    el("dd").with(time(status.wall_ms))
}

/// A moment as the log writes it, to the second.
pub(super) fn time(wall_ms: u64) -> Element {
    let iso = UtcTime::of(wall_ms / 1000 * 1000)
        .iso()
        .replace(".000Z", "Z");
    el("time").attr("datetime", &iso).text(&iso)
}

/// What the machine did not have enough of since the start.
fn shortage(status: &Status) -> Option<Element> {
    let told = [
        (
            status.accept_pauses,
            "times clients had to wait for want of descriptors or memory",
        ),
        (status.no_ports, "connects to hosts found no local port"),
    ];
    let told: Vec<_> = told
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{} {what}", count(number)))
        .collect();
    let text = format!("Since the start: {}.", told.join("; "));
    (!told.is_empty()).then(|| el("p").class("fair").text(&text))
}

#[cfg(test)]
mod tests {
    use super::super::tests::scene;
    use super::*;

    #[test]
    fn a_machine_that_is_nearly_full_says_so() {
        let mut status = scene::status(Vec::new());
        (status.open, status.capacity) = (79, 100);
        let text = |status: &Status| facts(&scene::view(status)).into_text();
        assert!(text(&status).contains("<b>79</b> open, room for 100 (79 %)</dd>"));
        status.open = 80;
        assert!(text(&status).contains("(80 %): nearly full</dd>"));
    }

    #[test]
    fn want_of_anything_is_told_and_only_then() {
        let mut status = scene::status(Vec::new());
        assert!(shortage(&status).is_none());
        status.no_ports = 3;
        let text = shortage(&status).unwrap().into_text();
        assert!(text.contains("Since the start: 3 connects to hosts found no local port."));
    }

    #[test]
    fn moments_are_to_the_second() {
        assert_eq!(
            time(1_795_366_978_123).into_text(),
            "<time datetime=\"2026-11-22T17:02:58Z\">2026-11-22T17:02:58Z</time>"
        );
    }
}
