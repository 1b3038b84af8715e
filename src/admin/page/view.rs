//! How often a view of the page refreshes itself: what the file says, unless the view
//! was asked for with `?refresh=SECONDS`. Links and forms of such a view keep that.
//!
//! Without a script the browser loads the whole page anew, and what somebody has typed
//! or unfolded would be lost. So such a view has links in place of what takes more than
//! one press. They lead to the same view with `?change`, which does not refresh itself.

use std::time::Duration;

use super::html::{Element, el};
use crate::config::{Access, Web};
use crate::control::{Sessions, Status};

/// All that the page shows.
#[derive(Debug, Clone, Copy)]
pub(in crate::admin) struct View<'a> {
    /// How everything is.
    pub(in crate::admin) status: &'a Status,
    /// The open sessions, the oldest first.
    pub(in crate::admin) sessions: &'a Sessions,
    /// The verbs that saving would write, one a line.
    pub(in crate::admin) unsaved: &'a [String],
    /// Who looks at it; `None` where nobody is configured.
    pub(in crate::admin) user: Option<&'a str>,
    /// What they may do: there are forms and buttons only with full access.
    pub(in crate::admin) access: Access,
    /// What every form has to prove that it is from here.
    pub(in crate::admin) token: &'a str,
    /// How often the page refreshes itself.
    pub(in crate::admin) refresh: Refresh,
    /// What came of the last press.
    pub(in crate::admin) notice: Option<&'a Notice>,
}

/// What came of a press.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::admin) struct Notice {
    /// Whether it was done.
    pub(in crate::admin) ok: bool,
    /// What was done, or why nothing was.
    pub(in crate::admin) text: String,
}

/// What a view is asked for with.
const REFRESH: &str = "refresh";
const CHANGE: &str = "change";

/// What the switch starts where the file says never, in seconds.
const START: u64 = Web::REFRESH.as_secs();

/// No longer than a day, in seconds.
const LONGEST: u64 = 86_400;

/// How often a view refreshes itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::admin) struct Refresh {
    /// As the file has it, in seconds; `None` is never.
    configured: Option<u64>,
    /// As the view was asked for, in seconds; 0 is never.
    asked: Option<u64>,
    /// Whether the view is for preparing a press.
    change: bool,
}

impl Refresh {
    /// As configured, and as the fields behind the question mark say.
    pub(in crate::admin) fn new(
        configured: Option<Duration>,
        fields: &[(String, String)],
    ) -> Refresh {
        let mut asked = fields.iter().filter(|(name, _)| name == REFRESH);
        Refresh {
            configured: configured.map(|it| whole(it.as_secs_f64())),
            asked: asked.next().and_then(|(_, value)| seconds(value)),
            change: fields.iter().any(|(name, _)| name == CHANGE),
        }
    }

    /// With a script, every so many seconds; `None` is never.
    pub(super) fn seconds(self) -> Option<u64> {
        match self.asked {
            Some(0) => None,
            asked => asked.or(self.configured),
        }
    }

    /// The same without a script.
    pub(super) fn without_script(self) -> Option<u64> {
        self.seconds().filter(|_| !self.change)
    }

    /// Every so many seconds once it is switched on.
    pub(super) fn when_on(self) -> u64 {
        self.seconds().or(self.configured).unwrap_or(START)
    }

    /// What is behind a path so that the next view is refreshed like this one.
    pub(in crate::admin) fn query(self) -> String {
        self.asked.map_or(String::new(), query_of)
    }

    /// A link to the page as it is shown now, without what came of the last press.
    pub(super) fn link(self) -> String {
        format!("./{}", self.query())
    }

    /// A link to the view in which a press is prepared, at the element of that id.
    pub(super) fn change_link(self, id: &str) -> String {
        let query = self.query();
        let mark = if query.is_empty() { '?' } else { '&' };
        format!("./{query}{mark}{CHANGE}#{id}")
    }
}

/// What is behind a path for a view that refreshes itself so often.
pub(super) fn query_of(seconds: u64) -> String {
    format!("?{REFRESH}={seconds}")
}

/// What is no number is ignored.
fn seconds(text: &str) -> Option<u64> {
    // There are numbers that begin with a letter: `inf`, `nan`.
    text.starts_with(|first: char| first.is_ascii_digit())
        .then(|| text.parse().ok())?
        .map(|seconds: f64| if seconds > 0.0 { whole(seconds) } else { 0 })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number from 1 to 86,400 without a fraction"
)]
fn whole(seconds: f64) -> u64 {
    seconds.ceil().clamp(1.0, LONGEST as f64) as u64
}

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
        assert_eq!(of(None, "").when_on(), 30);
        assert_eq!(of(None, "refresh=0").when_on(), 30);
        assert_eq!(of(Some(10.0), "refresh=0").when_on(), 10);
        assert_eq!(of(Some(10.0), "refresh=5").when_on(), 5);
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
