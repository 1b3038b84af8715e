//! Below the verdict: the figures of the process, and the state of the configuration file.

use super::html::{Element, el, time};
use super::view::{View, button, change_link, details, force, form};
use crate::config::Access;
use crate::control::{Outcome, Status, StoredStatus};
use crate::text::{age, count, plural};

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
        .maybe(draining(status))
}

fn resigned() -> Element {
    let text = "It has resigned: it still serves all clients, and says that nothing is ready, until the \
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

/// What there was no room for since the start.
fn shortage(status: &Status) -> Option<Element> {
    let text = format!("Since the start: {}.", status.shortages()?);
    Some(el("p").class("fair").text(&text))
}

/// Earlier processes that still serve their last sessions.
fn draining(status: &Status) -> Option<Element> {
    let all: Vec<String> = status.draining.iter().map(ToString::to_string).collect();
    let text = format!("Draining after an upgrade: {}.", all.join("; "));
    (!all.is_empty()).then(|| el("p").text(&text))
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
    let undo = form(view, &[]).map(|it| it.with(button("undo", "Undo the last change", "")));
    let save = form(view, &[]).map(|form| {
        let form = form.with(button("saveConfig", "Save to the file", ""));
        match refused {
            true => form.class("prepared").with(force()),
            false => form,
        }
    });
    el("div").with(details).maybe(save).maybe(undo)
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
        assert!(!same.contains("saveConfig") && !same.contains("value=\"undo\""));
        status.stored.unsaved = 1;
        let unsaved = ["delGroup service=web group=<old>".to_owned()];
        let mut view = samples::view(&status);
        view.unsaved = &unsaved;
        let text = stored(&view).into_text();
        assert!(text.contains("1 change is not in the file"), "{text}");
        assert!(text.contains("<pre>delGroup service=web group=&lt;old&gt;\n</pre>"));
        assert!(text.contains("value=\"saveConfig\"") && text.contains("value=\"undo\""));
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
