//! The admin page: how everything is, and the few buttons one needs, as HTML.
//!
//! A pure function of what it is given. How a browser gets it, who may see it, and what
//! becomes of a press is the web door's business; how it looks is the style sheet's.

mod activity;
mod host;
mod html;
mod overview;
mod services;
mod view;

use self::html::{Element, el};
use self::overview::Verdict;
use self::view::query_of;
pub(super) use self::view::{Notice, Refresh, View};

/// The style sheet, at `/style.css`.
pub(super) const STYLE: &str = include_str!("style.css");

/// What is different in a page that refreshes itself without a script, at
/// `/refreshing.css`.
pub(super) const STYLE_REFRESHING: &str = include_str!("refreshing.css");

/// What stands for the page in a browser's tab, at `/icon.svg`.
pub(super) const ICON: &str = include_str!("icon.svg");

/// The script that refreshes the page, at `/script.js`.
pub(super) const SCRIPT: &str = include_str!("script.js");

/// The whole document.
pub(super) fn page(view: &View<'_>) -> String {
    let verdict = Verdict::of(view.status);
    let main = el("main")
        .attr("id", "main")
        .attr("tabindex", "-1")
        .with(living(view, &verdict));
    let body = el("body")
        .with(skip_link())
        .with(head(view))
        .maybe(view.notice.map(|it| notice(view, it)))
        .with(main)
        .with(foot());
    let refresh = view.refresh.without_script();
    whole(&verdict.title(), "./", Besides::Page { refresh }, body)
}

/// What of the page changes, as one `<div id="live">`: the script puts it in place of the
/// one there is, piece by piece. It says how things stand in `data-title` and
/// `data-headline`, for the title and for those who listen.
pub(super) fn live(view: &View<'_>) -> String {
    living(view, &Verdict::of(view.status)).into_text()
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
    whole(&format!("{status} {title}"), home, besides, body)
}

fn living(view: &View<'_>, verdict: &Verdict<'_>) -> Element {
    let status = view.status;
    let services = status.services.iter();
    el("div")
        .attr("id", "live")
        .attr("data-title", &verdict.title())
        .attr("data-headline", &verdict.headline())
        .with(verdict.element(status.wall_ms))
        .with(overview::facts(view))
        .with(overview::stored(view))
        .maybe(services::index(status))
        .with_all(services.map(|it| services::service(view, it)))
        .with(activity::happenings(status))
        .with(activity::sessions(status, view.sessions))
}

/// What programs, and those who write them, find here.
const LINKS: [(&str, &str); 7] = [
    ("running.xml", "file as saving would write it"),
    ("running.txt", "services, groups and hosts as plain text"),
    ("stored.xml", "file as stored"),
    ("diff", "changes not in the file"),
    ("api/status", "status as JSON"),
    ("metrics", "metrics for Prometheus"),
    ("stats;csv", "statistics as HAProxy has them"),
];

/// What the browser is to ask for besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Besides {
    Nothing,
    Looks,
    /// What the page needs, which refreshes itself every so many seconds where there is
    /// no script.
    Page {
        refresh: Option<u64>,
    },
}

/// A document around that body. All links are relative, so that the page may be under
/// any path of a reverse proxy; `home` leads to where the page is.
fn whole(title: &str, home: &str, besides: Besides, body: Element) -> String {
    let meta = |name, content| el("meta").attr("name", name).attr("content", content);
    let link = |rel, file| {
        let href = format!("{home}{file}");
        el("link").attr("rel", rel).attr("href", &href)
    };
    let looks = [link("stylesheet", "style.css"), link("icon", "icon.svg")];
    let refresh = match besides {
        Besides::Page { refresh } => refresh.map(without_script),
        Besides::Nothing | Besides::Looks => None,
    };
    let script = matches!(besides, Besides::Page { .. })
        .then(|| el("script").attr("src", "script.js").flag("defer"));
    let head = el("head")
        .with(el("meta").attr("charset", "utf-8"))
        .with(meta("viewport", "width=device-width, initial-scale=1"))
        .with(meta("color-scheme", "light dark"))
        .with(meta("referrer", "same-origin"))
        .with(el("title").text(title))
        .with_all(
            (besides != Besides::Nothing)
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

/// What a browser without a script does.
fn without_script(seconds: u64) -> Element {
    let refresh = el("meta")
        .attr("http-equiv", "refresh")
        .attr("content", &seconds.to_string());
    let style = el("link")
        .attr("rel", "stylesheet")
        .attr("href", "refreshing.css");
    el("noscript").with(refresh).with(style)
}

/// For those who come by keyboard.
fn skip_link() -> Element {
    el("a")
        .class("skip")
        .attr("href", "#main")
        .text("Skip to how things stand")
}

/// The name, and what has to do with refreshing.
fn head(view: &View<'_>) -> Element {
    let link = el("a")
        .attr("href", &view.refresh.link())
        .attr("id", "now")
        .text("Refresh now");
    let trouble = el("p")
        .attr("id", "trouble")
        .attr("role", "alert")
        .flag("hidden");
    // Who listens is told here of hosts that go down.
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
        .with(el("h1").text("txlb"))
        .with(refreshing)
        .with(trouble)
        .with(said)
}

/// The script shows it.
fn switch(view: &View<'_>) -> Element {
    let seconds = view.refresh.when_on();
    let input = el("input")
        .attr("type", "checkbox")
        .attr("role", "switch")
        .attr("id", "refresh")
        .attr("data-seconds", &seconds.to_string())
        .attr("autocomplete", "off");
    let input = match view.refresh.seconds() {
        Some(_) => input.flag("checked"),
        None => input,
    };
    el("label")
        .flag("hidden")
        .with(input)
        .text(&format!(" Refresh every {seconds} s"))
        .with(el("span").attr("id", "refreshed"))
}

/// The switch for those without a script.
fn links(view: &View<'_>) -> Element {
    let link = |seconds, text: &str| {
        let href = format!("./{}", query_of(seconds));
        el("a").attr("href", &href).text(text)
    };
    let (seconds, when_on) = (view.refresh.without_script(), view.refresh.when_on());
    el("noscript").with(match seconds {
        Some(_) => el("span")
            .text(&format!("Refreshed every {when_on} s. "))
            .with(link(0, "Stop")),
        None => el("span")
            .text("Not refreshed. ")
            .with(link(when_on, &format!("Start, every {when_on} s"))),
    })
}

/// What came of the last press.
fn notice(view: &View<'_>, notice: &Notice) -> Element {
    let (class, role, word) = match notice.ok {
        true => ("notice good", "status", "Done"),
        false => ("notice bad", "alert", "Nothing was done"),
    };
    let text = match notice.text.as_str() {
        "" => format!("{word}."),
        text => format!("{word}: {text}"),
    };
    let dismiss = el("a").attr("href", &view.refresh.link()).text("Dismiss");
    el("div")
        .attr("id", "notice")
        .class(class)
        .attr("role", role)
        .with(el("p").text(&text))
        .with(dismiss)
}

/// The links.
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
