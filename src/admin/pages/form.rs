//! Forms and buttons: the only way to them, so that who may only look gets none.
//!
//! What a verb does, and whether it may be done, is said by the desk.

use super::View;
use super::html::{Element, el};
use crate::config::Access;

/// A form that asks for one of the verbs whose buttons are in it. `None` for those who
/// may only look.
///
/// Browsers fill in again what was in a form when a page is loaded anew, even what is
/// hidden, and by its place: a button would act on another host than the one it is at.
/// So they are asked not to.
pub(super) fn form(view: &View<'_>, keys: &[(&'static str, &str)]) -> Option<Element> {
    if view.access != Access::Full {
        return None;
    }
    let generation = view.status.generation.to_string();
    let always = [("token", view.token), ("generation", &generation)];
    let form = el("form")
        .attr("method", "post")
        .attr("action", &format!("do{}", view.refresh.query()))
        .attr("autocomplete", "off");
    Some(form.with_all(always.iter().chain(keys).map(|(key, value)| {
        el("input")
            .attr("type", "hidden")
            .attr("name", key)
            .value(value)
    })))
}

/// A button that asks for `verb`. Where there are many alike, `of` says aloud which one
/// it is: `Drain web:main/one`.
pub(super) fn button(verb: &'static str, label: &str, of: &str) -> Element {
    let button = el("button").attr("name", "verb").value(verb).text(label);
    match of {
        "" => button,
        _ => button.attr("aria-label", &format!("{label} {of}")),
    }
}

/// A press that one click only prepares. Like everything of the class `prepared` it is
/// hidden where the page refreshes itself without a script.
pub(super) fn folded(summary: &str, of: &str) -> Element {
    el("details")
        .class("prepared")
        .with(of_which(el("summary").text(summary), of))
}

/// What is shown in place of all that is `prepared` about the element of that id: a link
/// to where nothing is lost.
pub(super) fn instead(view: &View<'_>, id: &str, of: &str) -> Option<Element> {
    let is_needed = view.refresh.without_script().is_some() && view.access == Access::Full;
    is_needed.then(|| {
        let link = el("a")
            .class("instead")
            .attr("href", &view.refresh.change_link(id));
        of_which(link.text("Change…"), of)
    })
}

/// Says aloud which of many alike it is.
fn of_which(element: Element, of: &str) -> Element {
    match of {
        "" => element,
        _ => element.with(el("span").class("vh").text(&format!(" {of}"))),
    }
}

/// An input with its label in front of it.
pub(super) fn labelled(label: &str, input: Element) -> Element {
    el("label").text(label).text(" ").with(input)
}

/// An input for a weight.
pub(super) fn weight(weight: u32) -> Element {
    el("input")
        .attr("type", "number")
        .attr("name", "weight")
        .attr("min", "0")
        .attr("max", "1000000")
        .attr("required", "")
        .value(&weight.to_string())
}

/// A box to tick, for what is refused otherwise.
pub(super) fn force(label: &str) -> Element {
    let tick = el("input")
        .attr("type", "checkbox")
        .attr("name", "force")
        .value("true");
    el("label").class("force").with(tick).text(" ").text(label)
}
