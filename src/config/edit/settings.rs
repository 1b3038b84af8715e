//! Edits the admin interfaces, users, periodic tasks, control socket and log in the text, old forms included.

use roxmltree::Node;

use super::list::{List, Matching, at_most_one, child, children, place};
use super::text::{Editor, Edits, Manner, Page, edit_attributes, set_attribute};
use crate::config::read::{CHECK_TIME, HOST_CHECK_INTERVAL, OLD_WEB, Value};
use crate::config::serialize::{self, Attribute, Content, Form};
use crate::config::{Admin, Config, Manager, PeriodicTask, User, Web};

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
                Manner::InPlace => edit_admin(&self.page, node, had, now, edits),
                Manner::Whole => self.page.rewrite(node, &serialize::admin(now), edits),
            },
            (_, _, now) => return now.as_ref().map(serialize::admin),
        }
        None
    }

    /// Edits `<manager>`; returns it, with what is not as always, if there is none yet.
    pub(super) fn manager(
        &self,
        root: Node<'_, '_>,
        have: &Config,
        wanted: &Config,
        edits: &mut Edits,
    ) -> Option<Form> {
        let (mut had, mut now) = (have.manager, wanted.manager);
        if had == now {
            return None;
        }
        let node = child(root, "manager");
        if self.manner == Manner::Whole {
            // All of it is written as a <manager>.
            if let Some(node) = child(root, CHECK_TIME) {
                self.page.remove(node.range(), edits);
            }
        } else if let Some(old) = OldHostCheck::of(root, node) {
            let is_said = old.edit(&self.page, &had.host_check, &now.host_check, edits);
            // A <hostCheck> says what the old form does not, and nothing else.
            had.host_check = Manager::default().host_check;
            if is_said {
                now.host_check = had.host_check;
            }
        }
        match node {
            Some(node) if self.manner == Manner::InPlace => {
                manager(&self.page, node, &had, &now, edits);
                None
            }
            Some(node) => {
                self.page.rewrite(node, &serialize::manager(&now), edits);
                None
            }
            None => {
                let mut form = serialize::manager(&now);
                if let Content::Elements(chores) = &mut form.content {
                    chores.retain(|chore| chore.attributes.iter().any(|it| !it.is_default));
                }
                Some(form).filter(|_| had != now)
            }
        }
    }

    /// Edits `<control>`; returns it if there is none yet.
    pub(super) fn control(
        &self,
        root: Node<'_, '_>,
        have: &Config,
        wanted: &Config,
        edits: &mut Edits,
    ) -> Option<Form> {
        let [had, now] =
            [have, wanted].map(|config| config.control.as_ref().map(serialize::control));
        at_most_one(&self.page, child(root, "control"), had, now, edits)
    }

    /// Edits `<logging>`; returns it if there is none yet.
    pub(super) fn logging(
        &self,
        root: Node<'_, '_>,
        have: &Config,
        wanted: &Config,
        edits: &mut Edits,
    ) -> Option<Form> {
        if have.logging == wanted.logging {
            return None;
        }
        let [had, now] = [have, wanted].map(|config| Some(serialize::logging(&config.logging)));
        at_most_one(&self.page, child(root, "logging"), had, now, edits)
    }
}

/// An old form of `<hostCheck>`: an element of the root or an attribute of `<manager>`,
/// which says how often, and nothing else.
struct OldHostCheck<'n, 'i> {
    node: Node<'n, 'i>,
    attribute: &'static str,
}

impl<'n, 'i> OldHostCheck<'n, 'i> {
    fn of(root: Node<'n, 'i>, manager: Option<Node<'n, 'i>>) -> Option<Self> {
        let old = |node: Option<Node<'n, 'i>>, attribute| {
            let node = node.filter(|it| it.has_attribute(attribute))?;
            Some(OldHostCheck { node, attribute })
        };
        old(child(root, CHECK_TIME), "time").or_else(|| old(manager, HOST_CHECK_INTERVAL))
    }

    /// Edits it, or takes it out where it cannot say what is wanted. Returns whether it
    /// says that.
    fn edit(
        &self,
        page: &Page<'_>,
        have: &PeriodicTask,
        wanted: &PeriodicTask,
        edits: &mut Edits,
    ) -> bool {
        if have == wanted {
            return true;
        }
        let interval = serialize::seconds(Some(wanted.interval));
        let interval = Some(interval.as_str()).filter(|_| wanted.enable);
        match interval {
            None if self.attribute != HOST_CHECK_INTERVAL => {
                page.remove(self.node.range(), edits);
            }
            _ => set_attribute(page, self.node, self.attribute, interval, edits),
        }
        interval.is_some()
    }
}

fn manager(
    page: &Page<'_>,
    node: Node<'_, '_>,
    have: &Manager,
    wanted: &Manager,
    edits: &mut Edits,
) {
    let mut new = Vec::new();
    for (had, now) in serialize::chores(have)
        .into_iter()
        .zip(serialize::chores(wanted))
    {
        if had.attributes == now.attributes {
            continue;
        }
        match child(node, now.name) {
            Some(node) => chore(page, node, &had.attributes, &now.attributes, edits),
            None => new.push(now),
        }
    }
    place(page, node, new, edits);
}

fn chore(
    page: &Page<'_>,
    node: Node<'_, '_>,
    have: &[Attribute],
    wanted: &[Attribute],
    edits: &mut Edits,
) {
    // An interval of 0 says that the chore is off, whatever else is said of it.
    let is_zero = |text| Value::alone("interval", text).seconds() == Ok(None);
    if !node.attribute("interval").is_some_and(is_zero) {
        return edit_attributes(page, node, have, wanted, edits);
    }
    for now in wanted {
        if node.has_attribute(now.name) || !now.is_default {
            set_attribute(page, node, now.name, now.value.as_deref(), edits);
        }
    }
}

fn edit_admin(
    page: &Page<'_>,
    node: Node<'_, '_>,
    have: &Admin,
    wanted: &Admin,
    edits: &mut Edits,
) {
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
                    set_attribute(page, admin, now.name, now.value.as_deref(), edits);
                }
            }
            None
        }
        (_, now) => {
            for attribute in OLD_WEB {
                set_attribute(page, admin, attribute, None, edits);
            }
            now
        }
    }
}

fn user(page: &Page<'_>, node: Node<'_, '_>, have: &User, wanted: &User, edits: &mut Edits) {
    let (had, now) = (serialize::user(have), serialize::user(wanted));
    edit_attributes(page, node, &had.attributes, &now.attributes, edits);
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
            set_attribute(page, node, "key", Some(first), edits);
            (others, rest)
        }
        _ => {
            set_attribute(page, node, "key", None, edits);
            (others, wanted)
        }
    }
}
