//! Input of the page: the data that it shows; and its forms and buttons.

use super::html::{Element, el};
use super::query::Query;
use crate::config::Access;
use crate::control::{Sessions, Status};

/// The data that the page shows.
#[derive(Debug, Clone, Copy)]
pub(in crate::admin) struct View<'a> {
    /// The snapshot of everything.
    pub(in crate::admin) status: &'a Status,
    /// The open sessions, the oldest first.
    pub(in crate::admin) sessions: &'a Sessions,
    /// The verbs that lead from the file to the running configuration.
    pub(in crate::admin) unsaved: &'a [String],
    /// The user name; `None` where no users are configured.
    pub(in crate::admin) user: Option<&'a str>,
    /// The user's access: only full access has forms and buttons.
    pub(in crate::admin) access: Access,
    /// The token of every form against cross-site requests. Empty in the live part, since the
    /// script has it from the page: the lengths of many compressed responses with a secret and
    /// with text of clients would tell the secret.
    pub(in crate::admin) token: &'a str,
    /// What is shown, and how often it is refreshed.
    pub(in crate::admin) query: &'a Query,
    /// The outcome of the last button, shown once.
    pub(in crate::admin) flash_message: Option<&'a FlashMessage>,
}

/// The outcome of a button.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::admin) struct FlashMessage {
    /// Whether it was done.
    pub(in crate::admin) ok: bool,
    /// What was done, or why nothing was done.
    pub(in crate::admin) text: String,
}

/// A form for the verbs of its buttons. `None` without full access.
///
/// Browsers restore form fields when a page is reloaded, hidden ones too, by position.
/// A button could then act on another host than its own. So every form has
/// `autocomplete="off"`.
// Test: what_a_form_sends_is_exactly_what_its_verb_takes, a_button_needs_the_page_it_is_on.
pub(super) fn form(view: &View<'_>, keys: &[(&'static str, &str)]) -> Option<Element> {
    if view.access != Access::Full {
        return None;
    }
    let generation = view.status.generation.to_string();
    let always = [("token", view.token), ("generation", &generation)];
    let form = el("form")
        .attr("method", "post")
        .attr("action", &format!("do{}", view.query.text()))
        .attr("autocomplete", "off");
    Some(form.with_all(always.iter().chain(keys).map(|(key, value)| {
        el("input")
            .attr("type", "hidden")
            .attr("name", key)
            .value(value)
    })))
}

/// A button for `verb`. Where labels repeat, `of` names the object for screen readers:
/// `Drain web:main/one`.
pub(super) fn button(verb: &'static str, label: &str, of: &str) -> Element {
    let button = el("button").attr("name", "verb").value(verb).text(label);
    match of {
        "" => button,
        _ => button.attr("aria-label", &format!("{label} {of}")),
    }
}

/// A folded form: the first click only opens it. The class `prepared` is hidden where the
/// page refreshes itself without a script.
pub(super) fn details(summary: &str, of: &str) -> Element {
    el("details")
        .class("prepared")
        .with(with_hidden_label(el("summary").text(summary), of))
}

/// The link shown in place of the `prepared` forms of element `id`. It leads to the view
/// without refresh.
pub(super) fn change_link(view: &View<'_>, id: &str, of: &str) -> Option<Element> {
    let is_needed = view.query.without_script().is_some() && view.access == Access::Full;
    is_needed.then(|| {
        let link = el("a")
            .class("instead")
            .attr("href", &view.query.change_link(id));
        with_hidden_label(link.text("Change…"), of)
    })
}

/// The link to the view without refresh, shown in place of what does not need full access.
pub(super) fn unrefreshed_link(view: &View<'_>, id: &str, words: &str) -> Option<Element> {
    view.query.without_script().map(|_| {
        let link = el("a").class("instead");
        link.attr("href", &view.query.change_link(id)).text(words)
    })
}

/// Names the object for screen readers.
pub(super) fn with_hidden_label(element: Element, of: &str) -> Element {
    match of {
        "" => element,
        _ => element.with(el("span").class("vh").text(&format!(" {of}"))),
    }
}

/// An input behind its label.
pub(super) fn labelled(label: &str, input: Element) -> Element {
    el("label").text(label).text(" ").with(input)
}

/// The input of a weight, from `least` on.
pub(super) fn weight(least: u32, weight: u32) -> Element {
    el("input")
        .attr("type", "number")
        .attr("name", "weight")
        .attr("min", &least.to_string())
        .attr("max", "1000000")
        .attr("required", "")
        .value(&weight.to_string())
}

/// The checkbox for `force`, for actions that are refused without it.
pub(super) fn force(label: &str) -> Element {
    let tick = el("input")
        .attr("type", "checkbox")
        .attr("name", "force")
        .value("true");
    el("label").class("force").with(tick).text(" ").text(label)
}
