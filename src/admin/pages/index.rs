//! The table of contents, where there are so many services that one is looked for.
//!
//! Each service itself is `service`'s.

use super::html::{Element, el, id};
use super::state::State;
use crate::control::text::count;
use crate::control::{ServiceStatus, Status};

/// So many services are taken in at a glance.
const AT_A_GLANCE: usize = 3;

/// Every service in a line; `None` where there are few.
pub(super) fn index(status: &Status) -> Option<Element> {
    if status.services.len() <= AT_A_GLANCE {
        return None;
    }
    let head =
        ["Service", "Hosts up", "Down", "Open"].map(|it| el("th").attr("scope", "col").text(it));
    let table = el("table")
        .class("index")
        .with(el("caption").class("vh").text("Services"))
        .with(el("thead").with(el("tr").with_all(head)))
        .with(el("tbody").with_all(status.services.iter().map(row)));
    Some(
        el("nav")
            .attr("id", "index")
            .attr("aria-label", "Services")
            .with(table),
    )
}

fn row(service: &ServiceStatus) -> Element {
    let hosts = service.groups.iter().flat_map(|group| &group.hosts);
    let states: Vec<_> = hosts.map(State::of).collect();
    let number = |wanted| states.iter().filter(|state| **state == wanted).count();
    let (up, down) = (number(State::Up), number(State::Failed));
    let link = el("a")
        .attr("href", &format!("#{}", id("s", &[&service.name])))
        .text(&service.name);
    let cell = |number: u64| el("td").class("n").text(&count(number));
    let down = match down {
        0 => cell(0),
        _ => el("td").class("n bad").text(&count(down as u64)),
    };
    el("tr")
        .with(el("th").attr("scope", "row").with(link))
        .with(
            el("td")
                .class("n")
                .text(&format!("{up} of {}", states.len())),
        )
        .with(down)
        .with(cell(service.open))
}

#[cfg(test)]
mod tests {
    use super::super::tests::scene;
    use super::*;

    #[test]
    fn many_services_have_a_table_of_contents_and_few_have_none() {
        let mut status = scene::status(vec![scene::host("one"), scene::failed("two")]);
        assert!(index(&status).is_none());
        for number in 0..AT_A_GLANCE {
            let mut more = status.services[0].clone();
            more.name = format!("s{number}");
            status.services.push(more);
        }
        let text = index(&status).unwrap().into_text();
        assert!(text.contains(
            "<a href=\"#s.s0\">s0</a></th><td class=\"n\">1 of 2</td><td class=\"n bad\">1</td>"
        ));
    }
}
