//! The doors and the users in their text, with the old forms of both.

use roxmltree::Node;

use super::edits::Edits;
use super::list::{List, at_most_one, child, children, place};
use super::matching::Matching;
use super::page::Page;
use super::{Editor, Manner, attributes};
use crate::config::read::OLD_WEB;
use crate::config::serialize::{self, Attribute, Form};
use crate::config::{Admin, Config, User, Web};

impl Editor<'_> {
    /// Edits `<admin>`; returns it if there is none yet.
    pub(super) fn admin(
        &self,
        root: Node<'_, '_>,
        have: &Config,
        wanted: &Config,
        edits: &mut Edits,
    ) -> Option<Form> {
        match (child(root, "admin"), &have.admin, &wanted.admin) {
            (_, had, now) if had == now => {}
            (Some(node), _, None) => self.page.remove(node.range(), edits),
            (Some(node), Some(had), Some(now)) => match self.manner {
                Manner::InPlace => edit(&self.page, node, had, now, edits),
                Manner::Whole => self.page.rewrite(node, &serialize::admin(now), edits),
            },
            (_, _, now) => return now.as_ref().map(serialize::admin),
        }
        None
    }
}

fn edit(page: &Page<'_>, node: Node<'_, '_>, have: &Admin, wanted: &Admin, edits: &mut Edits) {
    let mut new = Vec::new();
    new.extend(web(
        page,
        node,
        have.web.as_ref(),
        wanted.web.as_ref(),
        edits,
    ));
    let form_of = |admin: &Admin| admin.ssh.as_ref().map(serialize::ssh);
    new.extend(at_most_one(
        page,
        child(node, "ssh"),
        form_of(have),
        form_of(wanted),
        edits,
    ));
    let names =
        |admin: &Admin| -> Vec<String> { admin.users.iter().map(|it| it.name.clone()).collect() };
    let users = List {
        nodes: children(node, &["user"]),
        matching: Matching::new(&names(have), &names(wanted)),
    };
    new.extend(users.edit(
        page,
        &|index| serialize::user(&wanted.users[index]),
        &|node, had, now, edits| user(page, node, &have.users[had], &wanted.users[now], edits),
        edits,
    ));
    place(page, node, new, edits);
}

fn web(
    page: &Page<'_>,
    admin: Node<'_, '_>,
    have: Option<&Web>,
    wanted: Option<&Web>,
    edits: &mut Edits,
) -> Option<Form> {
    let (had, now) = (have.map(serialize::web), wanted.map(serialize::web));
    let (Some(had), true) = (&had, admin.has_attribute("listen")) else {
        return at_most_one(page, child(admin, "web"), had, now, edits);
    };
    // The old form has some of the attributes, and says none of the others.
    let is_old = |it: &&Attribute| OLD_WEB.contains(&it.name);
    let is_enough = |web: &Web, form: &Form| {
        web.listen.is_some()
            && form
                .attributes
                .iter()
                .all(|it| is_old(&it) || it.is_default)
    };
    match (wanted, now) {
        (Some(web), Some(now)) if is_enough(web, &now) => {
            for (had, now) in had.attributes.iter().zip(&now.attributes) {
                if had.value != now.value {
                    attributes::set(page, admin, now.name, now.value.as_deref(), edits);
                }
            }
            None
        }
        (_, now) => {
            for attribute in OLD_WEB {
                attributes::set(page, admin, attribute, None, edits);
            }
            now
        }
    }
}

fn user(page: &Page<'_>, node: Node<'_, '_>, have: &User, wanted: &User, edits: &mut Edits) {
    let (had, now) = (serialize::user(have), serialize::user(wanted));
    attributes::edit(page, node, &had.attributes, &now.attributes, edits);
    let (had, now) = match node.has_attribute("key") {
        true => first_key(page, node, &have.keys, &wanted.keys, edits),
        false => (&have.keys[..], &wanted.keys[..]),
    };
    let keys = List {
        nodes: children(node, &["key"]),
        matching: Matching::new(had, now),
    };
    let new = keys.edit(
        page,
        &|index| serialize::key(&now[index]),
        &|_, _, _, _| {},
        edits,
    );
    place(page, node, new, edits);
}

/// Edits the key that is an attribute; returns the others, there and wanted.
fn first_key<'k>(
    page: &Page<'_>,
    node: Node<'_, '_>,
    have: &'k [String],
    wanted: &'k [String],
    edits: &mut Edits,
) -> (&'k [String], &'k [String]) {
    let others = have.get(1..).unwrap_or_default();
    match wanted.split_first() {
        Some((first, rest)) if have.first() == Some(first) => (others, rest),
        Some((first, rest)) if !others.contains(first) => {
            attributes::set(page, node, "key", Some(first), edits);
            (others, rest)
        }
        _ => {
            attributes::set(page, node, "key", None, edits);
            (others, wanted)
        }
    }
}
