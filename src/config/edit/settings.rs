//! The manager, the control socket and the log in their text.

use roxmltree::Node;

use super::edits::Edits;
use super::list::{at_most_one, child, place};
use super::page::Page;
use super::{Editor, Manner, attributes};
use crate::config::read::{CHECK_TIME, HOST_CHECK_INTERVAL, Value};
use crate::config::serialize::{self, Attribute, Content, Form};
use crate::config::{Config, Manager, PeriodicTask};

impl Editor<'_> {
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
            _ => attributes::set(page, self.node, self.attribute, interval, edits),
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
        return attributes::edit(page, node, have, wanted, edits);
    }
    for now in wanted {
        if node.has_attribute(now.name) || !now.is_default {
            attributes::set(page, node, now.name, now.value.as_deref(), edits);
        }
    }
}
