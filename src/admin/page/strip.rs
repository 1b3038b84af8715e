//! The strip at the top: how all services are at a glance, one tile each.

use super::html::{Element, el, id};
use super::listing::Listing;
use super::sums::{Sums, rate};
use super::view::View;
use super::{host, query::Query};
use crate::control::ServiceStatus;
use crate::text::{count, plural};

/// Services that have a tile.
const TILES: usize = 100;

/// How a service does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    /// A group that gets new sessions has no usable host.
    Down,
    /// A host has a problem.
    Impaired,
    Good,
}

impl Grade {
    fn of(service: &ServiceStatus, sums: &Sums) -> Grade {
        let serving = service.groups.iter().filter(|it| service.serves(&it.name));
        let mut serving = serving.peekable();
        if serving.peek().is_none() || serving.any(|group| host::usable(group) == 0) {
            Grade::Down
        } else if sums.problems > 0 {
            Grade::Impaired
        } else {
            Grade::Good
        }
    }

    fn class(self) -> &'static str {
        match self {
            Grade::Down => "state failed",
            Grade::Impaired => "state drain",
            Grade::Good => "state up",
        }
    }

    /// For screen readers.
    fn words(self) -> &'static str {
        match self {
            Grade::Down => "down: ",
            Grade::Impaired => "impaired: ",
            Grade::Good => "good: ",
        }
    }
}

/// The sums of all, and a tile for each service, the worst first.
pub(super) fn strip(view: &View<'_>, listing: &Listing<'_>) -> Element {
    let status = view.status;
    let all = Sums::of_all(status);
    let summary = el("p")
        .class("sum")
        .with(el("b").text(&status.name))
        .with(hosts_up(&all, true))
        .with(figure(&count(status.open as u64), "open"))
        .with(figure(&rate(all.per_ten_seconds), "new a second"))
        .with(all.sparkline());
    let mut tiles: Vec<_> = status
        .services
        .iter()
        .map(|service| {
            let sums = Sums::of_service(service);
            (Grade::of(service, &sums), service, sums)
        })
        .collect();
    tiles.sort_by_key(|(grade, ..)| *grade);
    let more = tiles.len().saturating_sub(TILES);
    let more = (more > 0).then(|| el("li").text(&format!("and {}", plural(more, "more service"))));
    let tiles = tiles.iter().take(TILES);
    let tiles = tiles.map(|(grade, service, sums)| {
        let link = link(view.query, listing, service);
        tile(*grade, service, sums, &link)
    });
    let list = el("ul").class("tiles").with_all(tiles).maybe(more);
    el("nav")
        .attr("id", "strip")
        .attr("aria-label", "Services")
        .with(summary)
        .maybe((!status.services.is_empty()).then_some(list))
}

/// Where a service is: on this page, or on one that shows it alone.
fn link(query: &Query, listing: &Listing<'_>, service: &ServiceStatus) -> String {
    match listing.shows(service) {
        true => format!("#{}", id("s", &[&service.name])),
        false => query.filtered_by(&format!("{}:", service.name)).link(),
    }
}

fn tile(grade: Grade, service: &ServiceStatus, sums: &Sums, link: &str) -> Element {
    let name = el("a").attr("href", link).name(&service.name);
    let hosts = hosts_up(sums, false).class(grade.class());
    let hosts = el("span")
        .with(el("span").class("vh").text(grade.words()))
        .with(hosts);
    el("li")
        .class("tile")
        .with(name)
        .with(hosts)
        .with(figure(&count(service.open), "open"))
        .with(figure(&rate(sums.per_ten_seconds), "/s"))
        .with(sums.sparkline())
}

fn hosts_up(sums: &Sums, in_words: bool) -> Element {
    let numbers = format!("{}/{}", sums.up, sums.hosts);
    match in_words {
        true => figure(&numbers, "hosts up"),
        false => el("span").text(&format!("{numbers} up")),
    }
}

fn figure(number: &str, unit: &str) -> Element {
    el("span")
        .with(el("b").text(number))
        .text(&format!(" {unit}"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::samples;
    use super::*;
    use crate::control::{GroupStatus, Status};

    fn text(status: &Status) -> String {
        let view = samples::view(status);
        strip(&view, &Listing::of(status, view.query)).into_text()
    }

    #[test]
    fn each_service_has_a_tile_that_says_how_it_does() {
        let status = samples::trouble();
        let text = text(&status);
        assert_eq!(text.matches("class=\"tile\"").count(), 2);
        assert!(text.contains("<b>3/7</b> hosts up"), "{text}");
        assert!(text.contains("href=\"#s.web\""));
        let web = "impaired: </span><span class=\"state drain\">2/5 up</span>";
        assert!(text.contains(web), "{text}");
    }

    #[test]
    fn a_service_without_a_usable_host_is_down() {
        let status = samples::status(vec![samples::failed("one")]);
        assert!(text(&status).contains("state failed"));
        let status = samples::status(vec![samples::host("one")]);
        assert!(text(&status).contains("<span class=\"state up\">1/1 up</span>"));
    }

    #[test]
    fn of_very_many_services_the_worst_have_tiles() {
        let mut status = samples::status(Vec::new());
        let service = |number: usize| {
            let group = GroupStatus::example("main", vec![samples::host("one")]);
            samples::service(&format!("s{number}"), vec![group])
        };
        status.services = (0..TILES + 3).map(service).collect();
        status.services[TILES + 1].groups[0].hosts[0] = samples::failed("one");
        let text = text(&status);
        assert_eq!(text.matches("class=\"tile\"").count(), TILES);
        let tile = text.split("class=\"tile\"").nth(1).unwrap();
        assert!(tile.contains(&format!("s{}", TILES + 1)));
        assert!(text.contains("and 3 more services"));
    }
}
