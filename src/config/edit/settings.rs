//! The manager, the control socket and the log in their text.

use roxmltree::Node;

use super::edits::Edits;
use super::list::{at_most_one, child, place};
use super::page::Page;
use super::{Editor, Manner, attributes};
use crate::config::form::{self, Attribute, Content, Form};
use crate::config::{Config, Manager};

impl Editor<'_> {
    /// Edits `<manager>`; returns it, with what is not as always, if there is none yet.
    pub(super) fn manager(
        &self,
        root: Node<'_, '_>,
        have: &Config,
        wanted: &Config,
        edits: &mut Edits,
    ) -> Option<Form> {
        let (had, now) = (have.manager, wanted.manager);
        match child(root, "manager") {
            _ if had == now => None,
            Some(node) if self.manner == Manner::InPlace => {
                manager(&self.page, node, &had, &now, edits);
                None
            }
            Some(node) => {
                self.page.rewrite(node, &form::manager(&now), edits);
                None
            }
            None => {
                let mut form = form::manager(&now);
                if let Content::Elements(chores) = &mut form.content {
                    chores.retain(|chore| chore.attributes.iter().any(|it| !it.is_default));
                }
                Some(form)
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
        let [had, now] = [have, wanted].map(|config| config.control.as_ref().map(form::control));
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
        let [had, now] = [have, wanted].map(|config| Some(form::logging(&config.logging)));
        at_most_one(&self.page, child(root, "logging"), had, now, edits)
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
    for (had, now) in form::chores(have).into_iter().zip(form::chores(wanted)) {
        if had.attributes == now.attributes {
            continue;
        }
        if let Some(chore_node) = child(node, now.name) {
            chore(page, chore_node, &had.attributes, &now.attributes, edits);
            continue;
        }
        // The old form says how often and nothing else.
        let is_old_form = now.name == "hostCheck" && node.has_attribute(OLD_HOST_CHECK);
        let interval = now.attributes.iter().find(|it| it.name == "interval");
        let interval = interval.filter(|_| wanted.host_check.enable);
        let interval = interval.and_then(|it| it.value.as_deref());
        if is_old_form {
            attributes::set(page, node, OLD_HOST_CHECK, interval, edits);
        }
        if !is_old_form || interval.is_none() {
            new.push(now);
        }
    }
    place(page, node, new, edits);
}

/// PythonDirector's way to say how often failed hosts are tried again.
const OLD_HOST_CHECK: &str = "hostCheckInterval";

fn chore(
    page: &Page<'_>,
    node: Node<'_, '_>,
    have: &[Attribute],
    wanted: &[Attribute],
    edits: &mut Edits,
) {
    // An interval of 0 says that the chore is off, whatever else is said of it.
    let is_zero = |text: &str| text.bytes().all(|byte| b"0.".contains(&byte));
    if !node.attribute("interval").is_some_and(is_zero) {
        return attributes::edit(page, node, have, wanted, edits);
    }
    for now in wanted {
        if node.has_attribute(now.name) || !now.is_default {
            attributes::set(page, node, now.name, now.value.as_deref(), edits);
        }
    }
}
