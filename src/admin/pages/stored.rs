//! The configuration and its file: whether they differ, and what came of reading and
//! writing it.
//!
//! How it is read and written is the desk's business.

use super::View;
use super::facts::time;
use super::form::{button, folded, force, form, instead};
use super::html::{Element, el};
use super::state::number_of;
use crate::control::text::age;
use crate::control::{Outcome, StoredStatus};

/// Verbs that are shown here; `/diff` has all.
const SHOWN: usize = 200;

/// What is to be known of the file.
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
        .maybe(instead(view, "stored", ""))
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
    // Somebody else has changed the file, as a rule.
    let refused = outcome_is_error(&view.status.stored);
    let force = || force("even if somebody else has changed the file");
    el("div").with(details).maybe(form(view, &[]).map(|form| {
        let form = form.with(button("saveConfig", "Save to the file", ""));
        match refused {
            true => form.class("prepared").with(force()),
            false => form,
        }
    }))
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
            number_of(unsaved, "change")
        ),
    };
    let force = || force("lose them");
    let form = form(view, &[])?
        .with(el("p").text(&text))
        .maybe((unsaved > 0).then(force))
        .with(button("reload", "Read the file again", ""));
    Some(folded("Read the file again…", "").with(form))
}

#[cfg(test)]
mod tests {
    use super::super::tests::scene;
    use super::*;

    #[test]
    fn a_running_configuration_that_differs_can_be_looked_at_and_saved() {
        let mut status = scene::status(Vec::new());
        status.stored.file = Some("/etc/txlb/config.xml".into());
        let same = stored(&scene::view(&status)).into_text();
        assert!(same.contains("the same as what is in force"));
        assert!(!same.contains("saveConfig"));
        status.stored.unsaved = 1;
        let unsaved = ["delGroup service=web group=<old>".to_owned()];
        let mut view = scene::view(&status);
        view.unsaved = &unsaved;
        let text = stored(&view).into_text();
        assert!(text.contains("1 change is not in the file"), "{text}");
        assert!(text.contains("<pre>delGroup service=web group=&lt;old&gt;\n</pre>"));
        assert!(text.contains("value=\"saveConfig\""));
    }

    #[test]
    fn what_failed_last_is_said_with_its_reason() {
        let mut status = scene::status(Vec::new());
        status.stored.file = Some("f".into());
        status.stored.unsaved = 1;
        let failure = || Outcome {
            wall_ms: status.wall_ms - 60_000,
            result: Err("why".to_owned()),
        };
        (status.stored.last_save, status.stored.last_reload) = (Some(failure()), Some(failure()));
        let text = stored(&scene::view(&status)).into_text();
        for what in ["save", "reload"] {
            assert!(text.contains(&format!("The last {what} failed 1 min ago (")));
        }
        assert!(text.contains("): why</p>"), "{text}");
        assert!(text.contains("even if somebody else has changed the file"));
    }
}
