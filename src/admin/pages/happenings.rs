//! The last things that happened, the newest first.
//!
//! The log has all of them; here are those that the director remembers.

use super::facts::time;
use super::html::{Element, el};
use crate::control::text::age;
use crate::control::{RecentEvent, Status, Topic};

/// The last things that happened.
pub(super) fn happenings(status: &Status) -> Element {
    let section = el("section")
        .attr("id", "happenings")
        .attr("aria-labelledby", "happenings.title")
        .with(
            el("h2")
                .attr("id", "happenings.title")
                .text("What happened"),
        );
    if status.recent_events.is_empty() {
        return section.with(el("p").text("Nothing since txlb was started."));
    }
    let head = ["When", "What", "In words"].map(|it| el("th").attr("scope", "col").text(it));
    let newest_first = status.recent_events.iter().rev();
    let rows = newest_first.map(|it| row(it, status.wall_ms));
    section.with(
        el("table")
            .class("happenings")
            .with(
                el("caption")
                    .class("vh")
                    .text("What happened, the newest first"),
            )
            .with(el("thead").with(el("tr").with_all(head)))
            .with(el("tbody").with_all(rows)),
    )
}

fn row(happening: &RecentEvent, now_ms: u64) -> Element {
    let ago = age(now_ms.saturating_sub(happening.wall_ms));
    let when = el("th")
        .attr("scope", "row")
        .with(time(happening.wall_ms))
        .with(el("small").text(&format!("{ago} ago")));
    let topic = el("span")
        .class(class(happening.topic))
        .text(happening.topic.as_str());
    el("tr")
        .with(when)
        .with(el("td").with(topic))
        .with(el("td").name(&happening.text))
}

fn class(topic: Topic) -> &'static str {
    match topic {
        Topic::HostDown | Topic::Error => "topic bad",
        Topic::HostUp => "topic good",
        _ => "topic",
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::scene;
    use super::*;

    #[test]
    fn the_newest_is_first() {
        let mut status = scene::status(Vec::new());
        let happening = |wall_ms, text: &str| RecentEvent {
            wall_ms,
            topic: Topic::Change,
            text: text.to_owned(),
        };
        let now_ms = status.wall_ms;
        status.recent_events = vec![happening(0, "earlier"), happening(now_ms - 5_000, "later")];
        let text = happenings(&status).into_text();
        assert!(text.find("later").unwrap() < text.find("earlier").unwrap());
        assert!(text.contains("<small>5 s ago</small>"));
    }
}
