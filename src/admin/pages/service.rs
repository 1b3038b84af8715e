//! One service: where it listens, its figures, its groups.
//!
//! What is in a group is `group`'s.

use super::View;
use super::group;
use super::html::{Element, el, id};
use crate::control::ServiceStatus;
use crate::control::text::count;

/// The service with all that is in it.
pub(super) fn service(view: &View<'_>, service: &ServiceStatus) -> Element {
    let addresses: Vec<_> = service.addresses.iter().map(ToString::to_string).collect();
    let listens = match addresses.is_empty() {
        true => "listens nowhere".to_owned(),
        false => format!("listens at {}", addresses.join(", ")),
    };
    let figures = format!(
        "{listens}; {} open, {} in all",
        count(service.open),
        count(service.total)
    );
    let id = id("s", &[&service.name]);
    let title = format!("{id}.title");
    el("section")
        .class("service")
        .attr("id", &id)
        .attr("aria-labelledby", &title)
        .with(
            el("h2")
                .attr("id", &title)
                .text("Service ")
                .name(&service.name),
        )
        .with(el("p").class("figures").text(&figures))
        .with_all(
            service
                .groups
                .iter()
                .map(|it| group::group(view, service, it)),
        )
}
