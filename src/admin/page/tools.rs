//! What is done to the list of hosts: filter and order, parts of very many, and verbs for all
//! hosts that are ticked.

use super::html::{Element, el};
use super::listing::{Listing, MAX_ROWS};
use super::query::{FILTER, LONGEST_FILTER, PROBLEMS, SORT, Sort, encode};
use super::view::{View, button, change_link, force, form, labelled, unrefreshed_link};
use crate::text::{count, plural};

/// The id of the form for ticked hosts.
const MANY: &str = "many";

/// The field of a ticked host.
pub(in crate::admin) const TICKED: &str = "host";

/// The verbs for ticked hosts.
pub(in crate::admin) const VERBS: [&str; 4] =
    ["setWeight", "drainHost", "hostAdminUp", "hostAdminDown"];

/// Orders, and how they are called.
const ORDERS: [(Sort, &str); 7] = [
    (Sort::State, "problems first"),
    (Sort::Name, "name"),
    (Sort::Open, "most open"),
    (Sort::Rate, "most new"),
    (Sort::Total, "most in all"),
    (Sort::Failures, "most failed"),
    (Sort::Connect, "slowest connect"),
];

/// The forms above the hosts.
pub(super) fn tools(view: &View<'_>, listing: &Listing<'_>) -> Option<Element> {
    (listing.hosts > 0).then(|| {
        el("section")
            .attr("id", "tools")
            .attr("aria-label", "Hosts")
            .with(filter(view))
            .maybe(unrefreshed_link(view, "tools", "Filter…"))
            .with(el("p").class("figures").text(&found(view, listing)))
            .maybe(parts(view, listing))
            .maybe(many(view))
            .maybe(change_link(view, "tools", "of many hosts"))
    })
}

/// What is shown, in words.
fn found(view: &View<'_>, listing: &Listing<'_>) -> String {
    let all = plural(listing.hosts, "host");
    match (listing.found, view.query.is_narrowed()) {
        (0, true) => format!("None of {all} is as wanted."),
        (found, true) => format!("{} of {all}", count(found as u64)),
        (_, false) => all,
    }
}

/// The filter: a form that works without a script. With one, it filters while it is typed.
fn filter(view: &View<'_>) -> Element {
    let query = view.query;
    let text = el("input")
        .attr("type", "search")
        .attr("name", FILTER)
        .attr("id", "q")
        .attr("maxlength", &LONGEST_FILTER.to_string())
        .attr("autocapitalize", "off")
        .attr("spellcheck", "false")
        .attr("placeholder", "service, host, address, state")
        .value(&query.filter);
    let problems = el("input")
        .attr("type", "checkbox")
        .attr("name", PROBLEMS)
        .value("1");
    let problems = match query.problems {
        true => problems.flag("checked"),
        false => problems,
    };
    let orders = ORDERS.map(|(sort, words)| {
        let option = el("option").attr("value", sort.name()).text(words);
        match sort == query.sort {
            true => option.flag("selected"),
            false => option,
        }
    });
    let orders = el("select").attr("name", SORT).with_all(orders);
    let refresh = query.refresh_field().map(|(name, value)| {
        let field = el("input").attr("type", "hidden").attr("name", name);
        field.value(&value)
    });
    el("form")
        .attr("id", "filter")
        .class("prepared")
        .attr("method", "get")
        .attr("action", "./")
        .attr("role", "search")
        .attr("autocomplete", "off")
        .maybe(refresh)
        .with(labelled("Filter", text))
        .with(el("label").with(problems).text(" only problems"))
        .with(labelled("Order", orders))
        .with(el("button").text("Show"))
        .maybe(query.is_narrowed().then(|| {
            let all = query.filtered_by("").link();
            el("a").attr("href", &all).text("Show all hosts")
        }))
}

/// Links to the parts of very many hosts.
pub(super) fn parts(view: &View<'_>, listing: &Listing<'_>) -> Option<Element> {
    let (part, last) = (listing.part, listing.parts().saturating_sub(1));
    if last == 0 {
        return None;
    }
    let number = |number: usize| count(number as u64);
    let shown = format!(
        "Hosts {} to {} of {}. ",
        number(part * MAX_ROWS + 1),
        number(listing.found.min((part + 1) * MAX_ROWS)),
        number(listing.found)
    );
    let link = |to: usize, words: &str| {
        let href = view.query.at_part(to).link();
        (to != part).then(|| el("a").attr("href", &href).text(words))
    };
    let links = [
        link(0, "First"),
        link(part.saturating_sub(1), "Previous"),
        link((part + 1).min(last), "Next"),
        link(last, "Last"),
    ];
    let links = links.into_iter().flatten();
    let list = links.fold(el("p").class("parts").text(&shown), |out, link| {
        out.with(link).text(" ")
    });
    Some(list)
}

/// The buttons for all ticked hosts. Enter in the weight presses the first of them.
fn many(view: &View<'_>) -> Option<Element> {
    let [set, drain, up, down] = VERBS;
    let weight = el("input")
        .attr("type", "number")
        .attr("name", "weight")
        .attr("min", "0")
        .attr("max", "1000000");
    let form = form(view, &[])?
        .attr("id", MANY)
        .class("prepared")
        .with(el("span").attr("id", "ticked").text("Ticked hosts:"))
        .with(labelled("weight", weight))
        .with(button(set, "Set", "the weight of the ticked hosts"))
        .with(button(drain, "Drain", "the ticked hosts"))
        .with(button(up, "Up", "with the ticked hosts"))
        .with(button(down, "Down", "with the ticked hosts"))
        .with(force("even the last usable ones"));
    Some(form)
}

/// The tick of a host. `None` without full access.
pub(super) fn tick(view: &View<'_>, keys: &[(&str, &str)], host_label: &str) -> Option<Element> {
    form(view, &[])?;
    let keys = keys
        .iter()
        .map(|(key, value)| format!("{key}={}", encode(value)));
    let value = keys.collect::<Vec<_>>().join("&");
    Some(
        el("input")
            .class("prepared")
            .attr("type", "checkbox")
            .attr("form", MANY)
            .attr("name", TICKED)
            .attr("autocomplete", "off")
            .attr("aria-label", &format!("Tick {host_label}"))
            .value(&value),
    )
}

/// The tick for all shown hosts of a group. The script shows it.
pub(super) fn tick_all(view: &View<'_>, group_label: &str) -> Option<Element> {
    form(view, &[])?;
    let all = el("input")
        .class("all")
        .attr("type", "checkbox")
        .attr("autocomplete", "off")
        .flag("hidden")
        .attr(
            "aria-label",
            &format!("Tick all shown hosts of {group_label}"),
        );
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::super::query::Query;
    use super::super::tests::samples;
    use super::*;
    use crate::admin::http::request::fields;
    use crate::config::Access;

    fn query(text: &str) -> Query {
        Query::new(None, &fields(text.as_bytes()).unwrap())
    }

    #[test]
    fn the_filter_shows_what_is_asked_for_and_how_many_there_are() {
        let status = samples::trouble();
        let query = query("q=db+%22x%22&sort=name&refresh=5");
        let view = View {
            query: &query,
            ..samples::view(&status)
        };
        let listing = Listing::of(&status, &query);
        let text = tools(&view, &listing).unwrap().into_text();
        for part in [
            "value=\"db &quot;x&quot;\"",
            "value=\"name\" selected",
            "name=\"refresh\" value=\"5\"",
            "None of 7 hosts is as wanted.",
            "href=\"./?refresh=5&amp;sort=name\"",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        let nothing = samples::status(Vec::new());
        assert!(tools(&view, &Listing::of(&nothing, &query)).is_none());
    }

    #[test]
    fn parts_lead_to_each_other() {
        let hosts = (0..2 * MAX_ROWS + 1).map(|it| samples::host(&it.to_string()));
        let status = samples::status(hosts.collect());
        let text = |asked: &str| {
            let query = query(asked);
            let view = View {
                query: &query,
                ..samples::view(&status)
            };
            let parts = parts(&view, &Listing::of(&status, &query));
            parts.unwrap().into_text()
        };
        let first = text("");
        assert!(first.contains("Hosts 1 to 500 of 1001. <a href=\"./?part=1\">Next</a>"));
        assert!(!first.contains("First") && !first.contains("Previous"));
        let last = text("part=2");
        assert!(last.contains("Hosts 1001 to 1001 of 1001."));
        assert!(last.contains("<a href=\"./?part=1\">Previous</a>") && !last.contains("Next"));
    }

    #[test]
    fn a_tick_has_the_keys_of_its_host_and_needs_full_access() {
        let status = samples::trouble();
        let mut view = samples::view(&status);
        let keys = [("service", "a b"), ("group", "&"), ("name", "ü=\"")];
        let text = tick(&view, &keys, "label").unwrap().into_text();
        assert!(text.contains("value=\"service=a+b&amp;group=%26&amp;name=%C3%BC%3D%22\""));
        view.access = Access::ReadOnly;
        assert!(tick(&view, &keys, "").is_none() && many(&view).is_none());
    }
}
