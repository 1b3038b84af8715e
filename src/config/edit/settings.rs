//! Edits the admin interfaces, users, periodic tasks, control socket and log in the text, old forms
//! included.

use roxmltree::Node;

use super::list::{List, Matching, child, children, edit_optional, insert_elements};
use super::text::{EditMode, Editor, Edits, SourceText, edit_attributes, set_attribute};
use crate::config::read::{CHECK_TIME, HOST_CHECK_INTERVAL, OLD_WEB, Value};
use crate::config::serialize::{self, Content, XmlAttribute, XmlElement};
use crate::config::{Admin, Config, Manager, PeriodicTask, User, Web};

impl Editor<'_> {
    /// Edits `<admin>`; returns it if there is none yet.
    pub(super) fn edit_admin_section(
        &self,
        root: Node<'_, '_>,
        have: &Config,
        wanted: &Config,
        edits: &mut Edits,
    ) -> Option<XmlElement> {
        match (child(root, "admin"), &have.admin, &wanted.admin) {
            (_, had, now) if had == now => {}
            (Some(node), _, None) => self.source.remove(node.range(), edits),
            (Some(node), Some(had), Some(now)) => match self.mode {
                EditMode::InPlace => edit_admin(&self.source, node, had, now, edits),
                EditMode::Whole => self.source.rewrite(node, &serialize::admin(now), edits),
            },
            (_, _, now) => return now.as_ref().map(serialize::admin),
        }
        None
    }

    /// Edits `<manager>`; returns a new one with what is not default, if there is none yet.
    pub(super) fn edit_manager_section(
        &self,
        root: Node<'_, '_>,
        have: &Config,
        wanted: &Config,
        edits: &mut Edits,
    ) -> Option<XmlElement> {
        let (mut had, mut now) = (have.manager, wanted.manager);
        if had == now {
            return None;
        }
        let node = child(root, "manager");
        if self.mode == EditMode::Whole {
            // The whole <manager> is rewritten, so the old form goes.
            if let Some(node) = child(root, CHECK_TIME) {
                self.source.remove(node.range(), edits);
            }
        } else if let Some(old) = OldHostCheck::of(root, node) {
            let is_said = old.edit(&self.source, &had.host_check, &now.host_check, edits);
            // A <hostCheck> has only what the old form cannot express.
            had.host_check = Manager::default().host_check;
            if is_said {
                now.host_check = had.host_check;
            }
        }
        match node {
            Some(node) if self.mode == EditMode::InPlace => {
                edit_manager(&self.source, node, &had, &now, edits);
                None
            }
            Some(node) => {
                self.source.rewrite(node, &serialize::manager(&now), edits);
                None
            }
            None => {
                let mut element = serialize::manager(&now);
                if let Content::Elements(tasks) = &mut element.content {
                    tasks.retain(|task| task.attributes.iter().any(|it| !it.is_default));
                }
                Some(element).filter(|_| had != now)
            }
        }
    }

    /// Edits `<control>`; returns it if there is none yet.
    pub(super) fn edit_control(
        &self,
        root: Node<'_, '_>,
        have: &Config,
        wanted: &Config,
        edits: &mut Edits,
    ) -> Option<XmlElement> {
        let [had, now] =
            [have, wanted].map(|config| config.control.as_ref().map(serialize::control));
        edit_optional(&self.source, child(root, "control"), had, now, edits)
    }

    /// Edits `<logging>`; returns it if there is none yet.
    pub(super) fn edit_logging(
        &self,
        root: Node<'_, '_>,
        have: &Config,
        wanted: &Config,
        edits: &mut Edits,
    ) -> Option<XmlElement> {
        if have.logging == wanted.logging {
            return None;
        }
        let [had, now] = [have, wanted].map(|config| Some(serialize::logging(&config.logging)));
        edit_optional(&self.source, child(root, "logging"), had, now, edits)
    }
}

/// An old form of `<hostCheck>`, which has the interval only: `<checktime>`, or an attribute of
/// `<manager>`.
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

    /// Edits it, or removes it where it cannot express `wanted`. Returns whether it does.
    fn edit(
        &self,
        source: &SourceText<'_>,
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
                source.remove(self.node.range(), edits);
            }
            _ => set_attribute(source, self.node, self.attribute, interval, edits),
        }
        interval.is_some()
    }
}

fn edit_manager(
    source: &SourceText<'_>,
    node: Node<'_, '_>,
    have: &Manager,
    wanted: &Manager,
    edits: &mut Edits,
) {
    let mut new = Vec::new();
    for (had, now) in serialize::tasks(have)
        .into_iter()
        .zip(serialize::tasks(wanted))
    {
        if had.attributes == now.attributes {
            continue;
        }
        match child(node, now.name) {
            Some(node) => edit_task(source, node, &had.attributes, &now.attributes, edits),
            None => new.push(now),
        }
    }
    insert_elements(source, node, new, edits);
}

fn edit_task(
    source: &SourceText<'_>,
    node: Node<'_, '_>,
    have: &[XmlAttribute],
    wanted: &[XmlAttribute],
    edits: &mut Edits,
) {
    // An interval of 0 disables the task, whatever `enable` says: to change one, write both. Test:
    // an_interval_of_0_is_replaced_before_the_task_is_enabled.
    let is_zero = |text| Value::detached("interval", text).seconds() == Ok(None);
    if !node.attribute("interval").is_some_and(is_zero) {
        return edit_attributes(source, node, have, wanted, edits);
    }
    for now in wanted {
        if node.has_attribute(now.name) || !now.is_default {
            set_attribute(source, node, now.name, now.value.as_deref(), edits);
        }
    }
}

fn edit_admin(
    source: &SourceText<'_>,
    node: Node<'_, '_>,
    have: &Admin,
    wanted: &Admin,
    edits: &mut Edits,
) {
    let mut new = Vec::new();
    new.extend(edit_web(
        source,
        node,
        have.web.as_ref(),
        wanted.web.as_ref(),
        edits,
    ));
    let ssh_element = |admin: &Admin| admin.ssh.as_ref().map(serialize::ssh);
    new.extend(edit_optional(
        source,
        child(node, "ssh"),
        ssh_element(have),
        ssh_element(wanted),
        edits,
    ));
    let names =
        |admin: &Admin| -> Vec<String> { admin.users.iter().map(|it| it.name.clone()).collect() };
    let users = List {
        nodes: children(node, &["user"]),
        matching: Matching::new(&names(have), &names(wanted)),
    };
    new.extend(users.edit(
        source,
        &|index| serialize::user(&wanted.users[index]),
        &|node, had, now, edits| {
            edit_user(source, node, &have.users[had], &wanted.users[now], edits);
        },
        edits,
    ));
    insert_elements(source, node, new, edits);
}

fn edit_web(
    source: &SourceText<'_>,
    admin: Node<'_, '_>,
    have: Option<&Web>,
    wanted: Option<&Web>,
    edits: &mut Edits,
) -> Option<XmlElement> {
    let (had, now) = (have.map(serialize::web), wanted.map(serialize::web));
    let (Some(had), true) = (&had, admin.has_attribute("listen")) else {
        return edit_optional(source, child(admin, "web"), had, now, edits);
    };
    // The old form has only some of the attributes.
    let is_old = |it: &&XmlAttribute| OLD_WEB.contains(&it.name);
    let is_enough = |web: &Web, element: &XmlElement| {
        web.listen.is_some()
            && element
                .attributes
                .iter()
                .all(|it| is_old(&it) || it.is_default)
    };
    match (wanted, now) {
        (Some(web), Some(now)) if is_enough(web, &now) => {
            for (had, now) in had.attributes.iter().zip(&now.attributes) {
                if had.value != now.value {
                    set_attribute(source, admin, now.name, now.value.as_deref(), edits);
                }
            }
            None
        }
        (_, now) => {
            for attribute in OLD_WEB {
                set_attribute(source, admin, attribute, None, edits);
            }
            now
        }
    }
}

fn edit_user(
    source: &SourceText<'_>,
    node: Node<'_, '_>,
    have: &User,
    wanted: &User,
    edits: &mut Edits,
) {
    let (had, now) = (serialize::user(have), serialize::user(wanted));
    edit_attributes(source, node, &had.attributes, &now.attributes, edits);
    let (had, now) = match node.has_attribute("key") {
        true => edit_first_key(source, node, &have.keys, &wanted.keys, edits),
        false => (&have.keys[..], &wanted.keys[..]),
    };
    let keys = List {
        nodes: children(node, &["key"]),
        matching: Matching::new(had, now),
    };
    let new = keys.edit(
        source,
        &|index| serialize::key(&now[index]),
        &|_, _, _, _| {},
        edits,
    );
    insert_elements(source, node, new, edits);
}

/// Edits the key in the attribute; returns the other keys, existing and wanted.
fn edit_first_key<'k>(
    source: &SourceText<'_>,
    node: Node<'_, '_>,
    have: &'k [String],
    wanted: &'k [String],
    edits: &mut Edits,
) -> (&'k [String], &'k [String]) {
    let others = have.get(1..).unwrap_or_default();
    match wanted.split_first() {
        Some((first, rest)) if have.first() == Some(first) => (others, rest),
        Some((first, rest)) if !others.contains(first) => {
            set_attribute(source, node, "key", Some(first), edits);
            (others, rest)
        }
        _ => {
            set_attribute(source, node, "key", None, edits);
            (others, wanted)
        }
    }
}
