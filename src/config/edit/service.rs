//! Edits a service in the text: listeners, groups, hosts, and which group is enabled.

use roxmltree::Node;

use super::list::{List, Matching, child, children, insert_elements};
use super::text::{Edits, SourceText, edit_attributes, set_attribute};
use crate::config::read::flag;
use crate::config::serialize;
use crate::config::{Group, Host, Service};

/// Edits the service `have` into `wanted`.
pub(super) fn edit_service(
    source: &SourceText<'_>,
    node: Node<'_, '_>,
    have: &Service,
    wanted: &Service,
    edits: &mut Edits,
) {
    let (had, now) = (serialize::service(have), serialize::service(wanted));
    edit_attributes(source, node, &had.attributes, &now.attributes, edits);
    let mut new = edit_listens(source, node, have, wanted, edits);
    new.extend(edit_groups(source, node, have, wanted, edits));
    if let Some(enable) = child(node, "enable").filter(|_| have.enabled != wanted.enabled) {
        set_attribute(source, enable, "group", Some(&wanted.enabled), edits);
    }
    insert_elements(source, node, new, edits);
}

fn edit_listens(
    source: &SourceText<'_>,
    node: Node<'_, '_>,
    have: &Service,
    wanted: &Service,
    edits: &mut Edits,
) -> Vec<serialize::XmlElement> {
    let matching = Matching::new(&have.listens, &wanted.listens);
    // A removed and an added listener in the same place: its address changed.
    let all_alike = |count| vec![(); count];
    let list = List {
        nodes: children(node, &["listen"]),
        matching: matching.or_else(
            &all_alike(have.listens.len()),
            &all_alike(wanted.listens.len()),
        ),
    };
    list.edit(
        source,
        &|index| serialize::listen(&wanted.listens[index]),
        &|node, had, now, edits| {
            let [had, now] = [&have.listens[had], &wanted.listens[now]].map(serialize::listen);
            edit_attributes(source, node, &had.attributes, &now.attributes, edits);
        },
        edits,
    )
}

fn edit_groups(
    source: &SourceText<'_>,
    node: Node<'_, '_>,
    have: &Service,
    wanted: &Service,
    edits: &mut Edits,
) -> Vec<serialize::XmlElement> {
    let names = |service: &Service| -> Vec<String> {
        service.groups.iter().map(|it| it.name.clone()).collect()
    };
    let is_enabled_beside = child(node, "enable").is_some();
    let list = List {
        nodes: children(node, &["group"]),
        matching: Matching::new(&names(have), &names(wanted)),
    };
    list.edit(
        source,
        &|index| {
            let group = &wanted.groups[index];
            serialize::group(group, group.name == wanted.enabled && !is_enabled_beside)
        },
        &|node, had, now, edits| {
            let (had, now) = (&have.groups[had], &wanted.groups[now]);
            let says_so = node.attribute("enable").is_some_and(flag);
            // Beside an <enable>, a group may have enable="true" but need not.
            let should = now.name == wanted.enabled && (says_so || !is_enabled_beside);
            let (had_element, now_element) = (
                serialize::group(had, says_so),
                serialize::group(now, should),
            );
            edit_attributes(
                source,
                node,
                &had_element.attributes,
                &now_element.attributes,
                edits,
            );
            edit_hosts(source, node, had, now, edits);
        },
        edits,
    )
}

fn edit_hosts(
    source: &SourceText<'_>,
    node: Node<'_, '_>,
    have: &Group,
    wanted: &Group,
    edits: &mut Edits,
) {
    let names =
        |group: &Group| -> Vec<String> { group.hosts.iter().map(|it| it.name.clone()).collect() };
    let addresses =
        |group: &Group| -> Vec<_> { group.hosts.iter().map(|it| it.address.clone()).collect() };
    let matching = Matching::new(&names(have), &names(wanted));
    let list = List {
        nodes: children(node, &["host", "client"]),
        matching: matching.or_else(&addresses(have), &addresses(wanted)),
    };
    let new = list.edit(
        source,
        &|index| serialize::host(&wanted.hosts[index]),
        &|node, had, now, edits| {
            edit_host(
                source,
                node,
                &have.hosts[had],
                &wanted.hosts[now],
                now,
                edits,
            );
        },
        edits,
    );
    insert_elements(source, node, new, edits);
}

/// Edits a host that will be number `number` of its group, from 0.
fn edit_host(
    source: &SourceText<'_>,
    node: Node<'_, '_>,
    have: &Host,
    wanted: &Host,
    number: usize,
    edits: &mut Edits,
) {
    let mut had = have.clone();
    if !node.has_attribute("name") {
        had.name = format!("host.{number}");
    }
    let [had, now] = [&had, wanted].map(serialize::host);
    edit_attributes(source, node, &had.attributes, &now.attributes, edits);
}
