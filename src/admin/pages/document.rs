//! What is around the living part of the page: the head, the notice, the foot.
//!
//! None of it changes while the page is open, but by the script.

use super::html::{Element, el};
use super::{Notice, View};

/// What programs, and those who write them, find here.
const LINKS: [(&str, &str); 7] = [
    ("/running.xml", "file as saving would write it"),
    ("/running.txt", "the same as plain text"),
    ("/stored.xml", "file as stored"),
    ("/diff", "changes not in the file"),
    ("/api/status", "status as JSON"),
    ("/metrics", "metrics for Prometheus"),
    ("/stats;csv", "statistics as HAProxy has them"),
];

/// What the browser is to ask for besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Besides {
    Nothing,
    Looks,
    LooksAndScript,
}

/// A document around that body.
pub(super) fn whole(title: &str, besides: Besides, body: Element) -> String {
    let meta = |name, content| el("meta").attr("name", name).attr("content", content);
    let style = el("link")
        .attr("rel", "stylesheet")
        .attr("href", "/style.css");
    let icon = el("link").attr("rel", "icon").attr("href", "/icon.svg");
    let script = el("script").attr("src", "/script.js").flag("defer");
    let head = el("head")
        .with(el("meta").attr("charset", "utf-8"))
        .with(meta("viewport", "width=device-width, initial-scale=1"))
        .with(meta("color-scheme", "light dark"))
        .with(meta("referrer", "same-origin"))
        .with(el("title").text(title))
        .with_all(
            (besides != Besides::Nothing)
                .then_some([style, icon])
                .into_iter()
                .flatten(),
        )
        .maybe((besides == Besides::LooksAndScript).then_some(script));
    el("html")
        .attr("lang", "en")
        .with(head)
        .with(body)
        .into_document()
}

/// For those who come by keyboard.
pub(super) fn skip_link() -> Element {
    el("a")
        .class("skip")
        .attr("href", "#main")
        .text("Skip to how things stand")
}

/// The name, and what has to do with renewing. The script shows the switch: without it
/// there is only the link.
pub(super) fn head(view: &View<'_>) -> Element {
    let link = el("a")
        .attr("href", "/")
        .attr("id", "now")
        .text("Renew now");
    let trouble = el("p")
        .attr("id", "trouble")
        .attr("role", "alert")
        .flag("hidden");
    // Who listens is told here of hosts that go down.
    let said = el("p")
        .attr("id", "said")
        .class("vh")
        .attr("role", "status");
    el("header")
        .with(el("h1").text("txlb"))
        .with(
            el("p")
                .class("renewal")
                .maybe(switch(view))
                .text(" ")
                .with(link),
        )
        .with(trouble)
        .with(said)
}

fn switch(view: &View<'_>) -> Option<Element> {
    let seconds = view.refresh?.as_secs_f64().max(1.0);
    let input = el("input")
        .attr("type", "checkbox")
        .attr("role", "switch")
        .attr("id", "renew")
        .attr("data-seconds", &seconds.to_string())
        .attr("autocomplete", "off");
    Some(
        el("label")
            .flag("hidden")
            .with(input)
            .text(&format!(" Renew every {seconds} s"))
            .with(el("span").attr("id", "renewed")),
    )
}

/// What came of the last press.
pub(super) fn notice(notice: &Notice) -> Element {
    let (class, role, word) = match notice.ok {
        true => ("notice good", "status", "Done"),
        false => ("notice bad", "alert", "Nothing was done"),
    };
    let text = match notice.text.as_str() {
        "" => format!("{word}."),
        text => format!("{word}: {text}"),
    };
    let dismiss = el("a").attr("href", "/").text("Dismiss");
    el("div")
        .attr("id", "notice")
        .class(class)
        .attr("role", role)
        .with(el("p").text(&text))
        .with(dismiss)
}

/// The links.
pub(super) fn foot() -> Element {
    let links = LINKS.map(|(path, what)| {
        let link = el("a").attr("href", path).text(path);
        el("li").with(link).text(" ").text(what)
    });
    el("footer")
        .with(el("h2").text("For programs"))
        .with(el("ul").class("links").with_all(links))
}
