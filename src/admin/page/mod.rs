//! The admin page as HTML: a pure function of a snapshot.
//!
//! This file builds whole documents: head, header, flash message, footer and error
//! pages. `style.css` has the looks; `script.js` refreshes the page.

mod activity;
mod host;
mod html;
mod listing;
mod overview;
mod query;
mod services;
mod sparkline;
mod state;
mod strip;
mod sums;
mod tools;
mod verdict;
mod view;

use self::html::{Element, el};
use self::listing::Listing;
pub(super) use self::query::Query;
pub(super) use self::tools::{TICKED, VERBS};
use self::verdict::Verdict;
pub(super) use self::view::{FlashMessage, View};

/// The style sheet, at `/style.css`.
pub(super) const STYLE: &str = include_str!("style.css");

/// Additional styles of a page that refreshes itself without a script, at
/// `/refreshing.css`.
pub(super) const STYLE_REFRESHING: &str = include_str!("refreshing.css");

/// The icon of the browser tab, at `/icon.svg`.
pub(super) const ICON: &str = include_str!("icon.svg");

/// The script that refreshes the page, at `/script.js`.
pub(super) const SCRIPT: &str = include_str!("script.js");

/// The page as a document.
pub(super) fn page(view: &View<'_>) -> String {
    let verdict = Verdict::of(view.status);
    let main = el("main")
        .attr("id", "main")
        .attr("tabindex", "-1")
        .with(live_part(view, &verdict));
    let body = el("body")
        .with(skip_link())
        .with(head(view))
        .maybe(view.flash_message.map(|it| flash_message(view, it)))
        .with(main)
        .with(foot());
    let refresh = view.query.without_script();
    let title = verdict.title(&view.status.name);
    document(&title, "./", Assets::Page { refresh }, body)
}

/// The part of the page that changes, as one `<div id="live">`. The script merges it into
/// the one that is shown. `data-title` and `data-headline` are for the window title and
/// for screen readers.
pub(super) fn live(view: &View<'_>) -> String {
    live_part(view, &Verdict::of(view.status)).into_text()
}

/// An error page. `home` is the relative link from the request's path to the admin page.
pub(super) fn error(home: &str, status: u16, title: &str, text: &str) -> String {
    let main = el("main")
        .attr("id", "main")
        .with(el("h1").text(&format!("{status} {title}")))
        .with(el("p").text(text))
        .with(el("p").with(el("a").attr("href", home).text("Go to the admin page")));
    let body = el("body").class("error").with(main);
    let assets = match status {
        // A 401 makes the browser ask for a password, and style sheet and icon would get
        // one each. So this page has neither.
        // Test: the_page_for_a_missing_password_loads_nothing_else.
        401 => Assets::Nothing,
        _ => Assets::Style,
    };
    document(&format!("{status} {title}"), home, assets, body)
}

fn live_part(view: &View<'_>, verdict: &Verdict<'_>) -> Element {
    let status = view.status;
    let listing = Listing::of(status, view.query);
    let services = listing.services.iter();
    el("div")
        .attr("id", "live")
        .attr("data-title", &verdict.title(&status.name))
        .attr("data-headline", &verdict.headline())
        .with(strip::strip(view, &listing))
        .with(verdict.element(view, &listing))
        .with(overview::figures(view))
        .with(overview::stored(view))
        .maybe(tools::tools(view, &listing))
        .with_all(services.map(|it| services::service(view, it)))
        .maybe(tools::parts(view, &listing))
        .with(activity::recent_events(status))
        .with(activity::sessions(view))
}

/// Links of the footer, for programs.
const LINKS: [(&str, &str); 7] = [
    ("running.xml", "file as saving would write it"),
    ("running.txt", "services, groups and hosts as plain text"),
    ("stored.xml", "file as stored"),
    ("diff", "changes not in the file"),
    ("api/status", "status as JSON"),
    ("metrics", "metrics for Prometheus"),
    ("stats;csv", "statistics as HAProxy has them"),
];

/// Files that a document loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Assets {
    Nothing,
    Style,
    /// Style and script. Without a script the browser reloads the page every `refresh`
    /// seconds.
    Page {
        refresh: Option<u64>,
    },
}

/// A document with this body. All links are relative, so that a reverse proxy may serve
/// the page at any path. `home` is the link to the page.
fn document(title: &str, home: &str, assets: Assets, body: Element) -> String {
    let meta = |name, content| el("meta").attr("name", name).attr("content", content);
    let link = |rel, file| {
        let href = format!("{home}{file}");
        el("link").attr("rel", rel).attr("href", &href)
    };
    let looks = [link("stylesheet", "style.css"), link("icon", "icon.svg")];
    let refresh = match assets {
        Assets::Page { refresh } => refresh.map(without_script),
        Assets::Nothing | Assets::Style => None,
    };
    let script = matches!(assets, Assets::Page { .. })
        .then(|| el("script").attr("src", "script.js").flag("defer"));
    let head = el("head")
        .with(el("meta").attr("charset", "utf-8"))
        .with(meta("viewport", "width=device-width, initial-scale=1"))
        .with(meta("color-scheme", "light dark"))
        .with(meta("referrer", "same-origin"))
        .with(el("title").text(title))
        .with_all(
            (assets != Assets::Nothing)
                .then_some(looks)
                .into_iter()
                .flatten(),
        )
        .maybe(refresh)
        .maybe(script);
    el("html")
        .attr("lang", "en")
        .with(head)
        .with(body)
        .into_document()
}

/// Refresh and style sheet for a browser without a script.
///
/// A reload loses what was typed or unfolded, and HTML cannot know whether anything was.
/// So `refreshing.css` hides all forms that take more than one click. It shows links to
/// a view that does not refresh itself instead.
// Test: what_takes_more_than_one_click_is_where_nothing_is_refreshed.
fn without_script(seconds: u64) -> Element {
    let refresh = el("meta")
        .attr("http-equiv", "refresh")
        .attr("content", &seconds.to_string());
    let style = el("link")
        .attr("rel", "stylesheet")
        .attr("href", "refreshing.css");
    el("noscript").with(refresh).with(style)
}

/// The link by which keyboard users skip the header.
fn skip_link() -> Element {
    el("a")
        .class("skip")
        .attr("href", "#main")
        .text("Skip to the status")
}

/// The header: title, refresh switch, and the live regions of the script.
fn head(view: &View<'_>) -> Element {
    let link = el("a")
        .attr("href", &view.query.link())
        .attr("id", "now")
        .text("Refresh now");
    let trouble = el("p")
        .attr("id", "trouble")
        .attr("role", "alert")
        .flag("hidden");
    // Screen readers announce here that hosts go down.
    let said = el("p")
        .attr("id", "said")
        .class("vh")
        .attr("role", "status");
    let refreshing = el("p")
        .class("refreshing")
        .with(switch(view))
        .with(links(view))
        .text(" ")
        .with(link);
    el("header")
        .with(el("h1").text("txlb ").name(&view.status.name))
        .with(refreshing)
        .with(trouble)
        .with(said)
}

/// The refresh switch. The script shows it.
fn switch(view: &View<'_>) -> Element {
    let seconds = view.query.interval_when_on();
    let input = el("input")
        .attr("type", "checkbox")
        .attr("role", "switch")
        .attr("id", "refresh")
        .attr("data-seconds", &seconds.to_string())
        .attr("autocomplete", "off");
    let input = match view.query.seconds() {
        Some(_) => input.flag("checked"),
        None => input,
    };
    el("label")
        .flag("hidden")
        .with(input)
        .text(&format!(" Refresh every {seconds} s"))
        .with(el("span").attr("id", "refreshed"))
}

/// Links that start and stop refreshing, for browsers without a script.
fn links(view: &View<'_>) -> Element {
    let link = |seconds, text: &str| {
        let href = view.query.refreshed_every(seconds).link();
        el("a").attr("href", &href).text(text)
    };
    let (seconds, interval_when_on) = (view.query.without_script(), view.query.interval_when_on());
    el("noscript").with(match seconds {
        Some(_) => el("span")
            .text(&format!("Refreshed every {interval_when_on} s. "))
            .with(link(0, "Stop")),
        None => el("span").text("Not refreshed. ").with(link(
            interval_when_on,
            &format!("Start, every {interval_when_on} s"),
        )),
    })
}

/// The flash message.
fn flash_message(view: &View<'_>, flash_message: &FlashMessage) -> Element {
    let (class, role, word) = match flash_message.ok {
        true => ("notice good", "status", "Done"),
        false => ("notice bad", "alert", "Nothing was done"),
    };
    let text = match flash_message.text.as_str() {
        "" => format!("{word}."),
        text => format!("{word}: {text}"),
    };
    let dismiss = el("a").attr("href", &view.query.link()).text("Dismiss");
    el("div")
        .attr("id", "notice")
        .class(class)
        .attr("role", role)
        .with(el("p").text(&text))
        .with(dismiss)
}

/// The footer.
fn foot() -> Element {
    let links = LINKS.map(|(path, what)| {
        let link = el("a").attr("href", path).text(path);
        el("li").with(link).text(" ").text(what)
    });
    el("footer")
        .with(el("h2").text("For programs"))
        .with(el("ul").class("links").with_all(links))
}

#[cfg(test)]
mod tests;
