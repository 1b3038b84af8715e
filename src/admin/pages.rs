//! The admin page: how everything is, and the few buttons one needs, as HTML.
//!
//! A pure function of what it is given. How a browser gets it, who may see it, and what
//! becomes of a press is the web door's business; how it looks is the style sheet's.

mod document;
mod facts;
mod form;
mod group;
mod happenings;
mod host;
mod html;
mod index;
mod refresh;
mod service;
mod sessions;
mod sparkline;
mod state;
mod stored;
mod verdict;

use self::document::Besides;
use self::html::{Element, el};
pub(super) use self::refresh::Refresh;
use crate::config::Access;
use crate::director::{Sessions, Status};

/// The style sheet, at `/style.css`.
pub(super) const STYLE: &str = include_str!("pages/style.css");

/// What is different in a page that refreshes itself without a script, at
/// `/refreshing.css`.
pub(super) const STYLE_REFRESHING: &str = include_str!("pages/refreshing.css");

/// What stands for the page in a browser's tab, at `/icon.svg`.
pub(super) const ICON: &str = include_str!("pages/icon.svg");

/// The script that refreshes the page, at `/script.js`.
pub(super) const SCRIPT: &str = include_str!("pages/script.js");

/// All that the page shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    /// How everything is.
    pub(super) status: &'a Status,
    /// The open sessions, the oldest first.
    pub(super) sessions: &'a Sessions,
    /// The verbs that saving would write, one a line.
    pub(super) unsaved: &'a [String],
    /// Who looks at it; `None` where nobody is configured.
    pub(super) user: Option<&'a str>,
    /// What they may do: there are forms and buttons only with full access.
    pub(super) access: Access,
    /// What every form has to prove that it is from here.
    pub(super) token: &'a str,
    /// How often the page refreshes itself.
    pub(super) refresh: Refresh,
    /// What came of the last press.
    pub(super) notice: Option<&'a Notice>,
}

/// What came of a press.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    /// Whether it was done.
    pub(super) ok: bool,
    /// What was done, or why nothing was.
    pub(super) text: String,
}

/// The whole document.
pub(super) fn page(view: &View<'_>) -> String {
    let verdict = verdict::of(view.status);
    let main = el("main")
        .attr("id", "main")
        .attr("tabindex", "-1")
        .with(living(view, &verdict));
    let body = el("body")
        .with(document::skip_link())
        .with(document::head(view))
        .maybe(view.notice.map(|notice| document::notice(view, notice)))
        .with(main)
        .with(document::foot());
    let refresh = view.refresh.without_script();
    document::whole(&verdict.title(), "./", Besides::Page { refresh }, body)
}

/// What of the page changes, as one `<div id="live">`: the script puts it in place of the
/// one there is, piece by piece. It says how things stand in `data-title` and
/// `data-headline`, for the title and for those who listen.
pub(super) fn live(view: &View<'_>) -> String {
    living(view, &verdict::of(view.status)).into_text()
}

/// A small page for what cannot be shown or done. `home` leads from its path to the
/// admin page.
pub(super) fn error(home: &str, status: u16, title: &str, text: &str) -> String {
    let main = el("main")
        .attr("id", "main")
        .with(el("h1").text(&format!("{status} {title}")))
        .with(el("p").text(text))
        .with(el("p").with(el("a").attr("href", home).text("Go to the admin page")));
    let body = el("body").class("error").with(main);
    let besides = match status {
        // Who may not look here may not look there either, and would be asked for a
        // password again for each of them.
        401 => Besides::Nothing,
        _ => Besides::Looks,
    };
    document::whole(&format!("{status} {title}"), home, besides, body)
}

fn living(view: &View<'_>, verdict: &verdict::Verdict<'_>) -> Element {
    let status = view.status;
    let services = status.services.iter();
    el("div")
        .attr("id", "live")
        .attr("data-title", &verdict.title())
        .attr("data-headline", &verdict.headline())
        .with(verdict.element(status.wall_ms))
        .with(facts::facts(view))
        .with(stored::stored(view))
        .maybe(index::index(status))
        .with_all(services.map(|it| service::service(view, it)))
        .with(happenings::happenings(status))
        .with(sessions::sessions(status, view.sessions))
}

#[cfg(test)]
mod tests;
