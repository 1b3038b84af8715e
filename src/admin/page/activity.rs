//! The end of the page: recent events, open sessions, and how earlier sessions ended.

use super::html::{Element, el, id, time};
use super::view::{View, button, change_link, details, form};
use crate::control::{RecentEvent, SessionStatus, Status, Topic};
use crate::text::{age, bytes, count, plural};

/// Sessions that are shown, the oldest first: a session that hangs is at the top.
const SHOWN: usize = 200;

/// Sessions and events that are shown at once. The others are folded.
const UNFOLDED: usize = 10;

const COLUMNS: [(&str, &str); 8] = [
    ("Client", ""),
    ("Service", ""),
    ("Group/host", ""),
    ("Age", "n"),
    ("Silent for", "n"),
    ("To host", "n"),
    ("To client", "n"),
    ("Doing", ""),
];

/// The table of open sessions.
pub(super) fn sessions(view: &View<'_>) -> Element {
    let (status, sessions) = (view.status, view.sessions);
    let section = el("section")
        .attr("id", "sessions")
        .attr("aria-labelledby", "sessions.title")
        .with(el("h2").attr("id", "sessions.title").text("Open sessions"))
        .maybe(ended(status));
    if sessions.list.is_empty() {
        return section.with(el("p").text("No session is open."));
    }
    let head = |(name, class): (&str, &str)| {
        let cell = el("th").attr("scope", "col").text(name);
        if class.is_empty() {
            cell
        } else {
            cell.class(class)
        }
    };
    let table = |sessions: &[SessionStatus]| {
        let change = form(view, &[]).map(|_| head(("Change", "")));
        let head = el("tr").with_all(COLUMNS.map(head)).maybe(change);
        let rows = sessions.iter().map(|session| session_row(view, session));
        el("table")
            .class("sessions")
            .with(
                el("caption")
                    .class("vh")
                    .text("Open sessions, the oldest first"),
            )
            .with(el("thead").with(head))
            .with(el("tbody").with_all(rows))
    };
    let shown = &sessions.list[..sessions.list.len().min(SHOWN)];
    let (oldest, younger) = shown.split_at(shown.len().min(UNFOLDED));
    let more = sessions.more + sessions.list.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| {
        let text = format!("And {} more that are younger.", count(more as u64));
        el("p").text(&text)
    });
    section
        .maybe(change_link(view, "sessions", "of sessions"))
        .with(table(oldest))
        .maybe(folded(
            younger.len(),
            ("younger", "younger session"),
            || table(younger),
        ))
        .maybe(more)
}

/// What is shown once it is unfolded. `None` without any.
fn folded(
    number: usize,
    (id, one): (&str, &str),
    table: impl FnOnce() -> Element,
) -> Option<Element> {
    (number > 0).then(|| {
        el("details")
            .attr("id", id)
            .with(el("summary").text(&plural(number, one)))
            .with(table())
    })
}

fn session_row(view: &View<'_>, session: &SessionStatus) -> Element {
    let host = session.host.as_deref().unwrap_or("-");
    let number = |text: &str| el("td").class("n").text(text);
    let session_id = format!("{:x}", session.id);
    el("tr")
        .attr("id", &id("x", &[&session_id]))
        .with(
            el("th")
                .attr("scope", "row")
                .text(&session.client.to_string())
                .maybe(session.via.as_ref().map(|via| small(&format!("via {via}")))),
        )
        .with(
            el("td")
                .text(&session.service)
                .maybe(session.server_name.as_deref().map(small)),
        )
        .with(el("td").text(&format!("{}/{host}", session.group)))
        .with(number(&age(session.age_ms)))
        .with(number(&age(session.idle_ms)))
        .with(number(&bytes(session.bytes_to_host)))
        .with(number(&bytes(session.bytes_to_client)))
        .with(el("td").text(session.phase.as_str()))
        .maybe(end_button(view, session, &session_id))
}

/// What belongs to the text before it.
fn small(text: &str) -> Element {
    el("small").text(&format!(" {text}"))
}

fn end_button(view: &View<'_>, session: &SessionStatus, session_id: &str) -> Option<Element> {
    let of = format!("{} of {}", session.client, session.service);
    // A client of a Unix socket has no address by which to find its other sessions.
    let client = session.client.ip().map(|it| it.to_canonical().to_string());
    let text = "The session ends now: in order if nothing is on its way, else by a reset.";
    let end = details("End…", &of)
        .with(el("p").text(text))
        .with(button("endSession", "End", &of));
    let Some(client) = client else {
        return Some(el("td").with(form(view, &[("id", session_id)])?.with(end)));
    };
    let all = button(
        "endSessions",
        &format!("End all of {client}"),
        &format!("beside {of}"),
    );
    let keys = [("id", session_id), ("client", &client)];
    Some(el("td").with(form(view, &keys)?.with(end.text(" ").with(all))))
}

fn ended(status: &Status) -> Option<Element> {
    let ended: Vec<_> = status
        .ended
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(reason, number)| format!("{} {}", count(*number), reason.as_str().replace('_', " ")))
        .collect();
    let text = format!("Ended since the start: {}.", ended.join(", "));
    (!ended.is_empty()).then(|| el("p").class("figures").text(&text))
}

/// The table of recent events, the newest first.
pub(super) fn recent_events(status: &Status) -> Element {
    let section = el("section")
        .attr("id", "happenings")
        .attr("aria-labelledby", "happenings.title")
        .with(
            el("h2")
                .attr("id", "happenings.title")
                .text("Recent events"),
        );
    if status.recent_events.is_empty() {
        return section.with(el("p").text("Nothing since txlb was started."));
    }
    let head = ["When", "What", "In words"].map(|it| el("th").attr("scope", "col").text(it));
    let table = |events: &[RecentEvent]| {
        let newest_first = events.iter().rev();
        let rows = newest_first.map(|it| event_row(it, status.wall_ms));
        el("table")
            .class("happenings")
            .with(
                el("caption")
                    .class("vh")
                    .text("Recent events, the newest first"),
            )
            .with(el("thead").with(el("tr").with_all(head.clone())))
            .with(el("tbody").with_all(rows))
    };
    let events = &status.recent_events;
    let (older, newest) = events.split_at(events.len().saturating_sub(UNFOLDED));
    section
        .with(table(newest))
        .maybe(folded(older.len(), ("older", "older event"), || {
            table(older)
        }))
}

fn event_row(event: &RecentEvent, now_ms: u64) -> Element {
    let ago = age(now_ms.saturating_sub(event.wall_ms));
    let when = el("th")
        .attr("scope", "row")
        .with(time(event.wall_ms))
        .with(el("small").text(&format!("{ago} ago")));
    let topic = el("span")
        .class(class(event.topic))
        .text(event.topic.as_str());
    el("tr")
        .with(when)
        .with(el("td").with(topic))
        .with(el("td").name(&event.text))
}

fn class(topic: Topic) -> &'static str {
    match topic {
        Topic::HostDown | Topic::HostSuspect | Topic::Error => "topic bad",
        Topic::HostUp | Topic::HostCleared => "topic good",
        _ => "topic",
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::samples;
    use super::*;
    use crate::config::Access;
    use crate::control::{EndReason, Sessions};

    #[test]
    fn so_many_are_shown_and_the_others_are_counted() {
        let status = samples::status(Vec::new());
        let list = Sessions {
            list: vec![SessionStatus::example(); SHOWN + 3],
            more: 4,
            is_part: false,
        };
        let mut view = samples::view(&status);
        view.sessions = &list;
        let text = sessions(&view).into_text();
        assert_eq!(text.matches("scope=\"row\">10.0.0.9:33333<").count(), SHOWN);
        assert_eq!(text.matches("value=\"endSession\"").count(), SHOWN);
        assert!(text.contains("name=\"client\" value=\"10.0.0.9\""));
        assert!(text.contains(">End all of 10.0.0.9</button>"));
        assert!(text.contains("And 7 more that are younger."));
        view.access = Access::ReadOnly;
        assert!(!sessions(&view).into_text().contains("endSession"));
    }

    #[test]
    fn how_sessions_ended_is_said_where_any_did() {
        let mut status = samples::status(Vec::new());
        status.ended = vec![(EndReason::Finished, 9), (EndReason::ClientGone, 0)];
        let text = ended(&status).unwrap().into_text();
        assert!(text.contains("Ended since the start: 9 finished."));
        status.ended.clear();
        assert!(ended(&status).is_none());
    }

    #[test]
    fn the_newest_is_first() {
        let mut status = samples::status(Vec::new());
        let event = |wall_ms, text: &str| RecentEvent {
            wall_ms,
            topic: Topic::Change,
            text: text.to_owned(),
        };
        let now_ms = status.wall_ms;
        status.recent_events = vec![event(0, "earlier"), event(now_ms - 5_000, "later")];
        let text = recent_events(&status).into_text();
        assert!(text.find("later").unwrap() < text.find("earlier").unwrap());
        assert!(text.contains("<small>5 s ago</small>"));
    }
}
