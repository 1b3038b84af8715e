//! Input of the page: what it shows, how often it refreshes itself, and its forms and
//! buttons.
//!
//! The refresh interval is that of the file, or `?refresh=SECONDS`; links and forms keep
//! it. Without a script, a refresh reloads the page. A view that refreshes itself then
//! has links to `?change`, which does not, in place of forms that are filled in.

use std::time::Duration;

use super::html::{Element, el};
use crate::config::{Access, Web};
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
    /// The token of every form against cross-site requests.
    pub(in crate::admin) token: &'a str,
    /// The refresh interval.
    pub(in crate::admin) refresh: Refresh,
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

/// Query parameters of a view.
const REFRESH: &str = "refresh";
const CHANGE: &str = "change";

/// The interval of the switch where the file has none, in seconds.
const START: u64 = Web::REFRESH.as_secs();

/// The longest interval, in seconds: a day.
const LONGEST: u64 = 86_400;

/// The refresh interval of a view.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::admin) struct Refresh {
    /// The file's, in seconds; `None` is never.
    configured: Option<u64>,
    /// The query's, in seconds; 0 is never.
    asked: Option<u64>,
    /// Whether the query has `change`: a view for forms, without refresh if no script runs.
    change: bool,
}

impl Refresh {
    /// From the configured interval and the fields of the query.
    pub(in crate::admin) fn new(
        configured: Option<Duration>,
        fields: &[(String, String)],
    ) -> Refresh {
        let mut asked = fields.iter().filter(|(name, _)| name == REFRESH);
        Refresh {
            configured: configured.map(|it| whole_seconds(it.as_secs_f64())),
            asked: asked.next().and_then(|(_, value)| seconds(value)),
            change: fields.iter().any(|(name, _)| name == CHANGE),
        }
    }

    /// The interval with a script, in seconds; `None` is never.
    pub(super) fn seconds(self) -> Option<u64> {
        match self.asked {
            Some(0) => None,
            asked => asked.or(self.configured),
        }
    }

    /// The interval without a script, in seconds.
    pub(super) fn without_script(self) -> Option<u64> {
        self.seconds().filter(|_| !self.change)
    }

    /// The interval once the switch is on, in seconds.
    pub(super) fn interval_when_on(self) -> u64 {
        self.seconds().or(self.configured).unwrap_or(START)
    }

    /// The query that keeps this interval in the next view.
    pub(in crate::admin) fn query(self) -> String {
        self.asked.map_or(String::new(), query_of)
    }

    /// A link to this view without its flash message.
    pub(super) fn link(self) -> String {
        format!("./{}", self.query())
    }

    /// A link to the view for forms, at the element `id`.
    pub(super) fn change_link(self, id: &str) -> String {
        let query = self.query();
        let mark = if query.is_empty() { '?' } else { '&' };
        format!("./{query}{mark}{CHANGE}#{id}")
    }
}

/// The query for a refresh interval in seconds.
pub(super) fn query_of(seconds: u64) -> String {
    format!("?{REFRESH}={seconds}")
}

/// Parses an interval, and ignores what is not a number.
fn seconds(text: &str) -> Option<u64> {
    // Rust parses `inf` and `nan` as numbers.
    text.starts_with(|first: char| first.is_ascii_digit())
        .then(|| text.parse().ok())?
        .map(|seconds: f64| {
            if seconds > 0.0 {
                whole_seconds(seconds)
            } else {
                0
            }
        })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number from 1 to 86,400 without a fraction"
)]
fn whole_seconds(seconds: f64) -> u64 {
    seconds.ceil().clamp(1.0, LONGEST as f64) as u64
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
        .attr("action", &format!("do{}", view.refresh.query()))
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
    let is_needed = view.refresh.without_script().is_some() && view.access == Access::Full;
    is_needed.then(|| {
        let link = el("a")
            .class("instead")
            .attr("href", &view.refresh.change_link(id));
        with_hidden_label(link.text("Change…"), of)
    })
}

/// Names the object for screen readers.
fn with_hidden_label(element: Element, of: &str) -> Element {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::http::request::fields;

    fn of(configured: Option<f64>, query: &str) -> Refresh {
        let fields = fields(query.as_bytes()).unwrap();
        Refresh::new(configured.map(Duration::from_secs_f64), &fields)
    }

    #[test]
    fn what_a_view_is_asked_for_with_is_what_it_does() {
        let seconds = |query| of(Some(10.0), query).seconds();
        for (query, expected) in [
            ("", Some(10)),
            ("refresh=5", Some(5)),
            ("notice=7&refresh=5&refresh=6", Some(5)),
            ("refresh=0", None),
            ("refresh=0.0", None),
            ("refresh=0.2", Some(1)),
            ("refresh=2.5", Some(3)),
            ("refresh=86400", Some(86_400)),
            ("refresh=99999999999999999999999", Some(86_400)),
            ("refresh=", Some(10)),
            ("refresh", Some(10)),
            ("refresh=never", Some(10)),
            ("refresh=-1", Some(10)),
            ("refresh=inf", Some(10)),
            ("refresh=nan", Some(10)),
            ("refresh=5s", Some(10)),
            ("Refresh=5", Some(10)),
        ] {
            assert_eq!(seconds(query), expected, "{query}");
        }
        assert_eq!(of(None, "").seconds(), None);
        assert_eq!(of(None, "refresh=5").seconds(), Some(5));
        assert_eq!(of(Some(0.2), "").seconds(), Some(1));
        assert_eq!(of(Some(1e9), "").seconds(), Some(86_400));
    }

    #[test]
    fn it_can_be_switched_on_whatever_the_file_says() {
        assert_eq!(of(None, "").interval_when_on(), 30);
        assert_eq!(of(None, "refresh=0").interval_when_on(), 30);
        assert_eq!(of(Some(10.0), "refresh=0").interval_when_on(), 10);
        assert_eq!(of(Some(10.0), "refresh=5").interval_when_on(), 5);
    }

    #[test]
    fn links_keep_what_was_asked_for_and_nothing_else() {
        let links = |query| {
            let refresh = of(Some(10.0), query);
            (refresh.link(), refresh.change_link("h"))
        };
        let pair = |link: &str, change: &str| (link.to_owned(), change.to_owned());
        assert_eq!(links("notice=7"), pair("./", "./?change#h"));
        assert_eq!(
            links("notice=7&refresh=5&change"),
            pair("./?refresh=5", "./?refresh=5&change#h")
        );
        assert_eq!(of(None, "refresh=5&change").without_script(), None);
        assert_eq!(of(None, "refresh=5").without_script(), Some(5));
    }
}
