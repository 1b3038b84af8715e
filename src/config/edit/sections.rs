//! Edits each part of a configuration in the text: services, admin interfaces, users, periodic
//! tasks, control socket and log, old forms included.

use roxmltree::Node;

use super::list::{List, Matching, child, children, edit_optional, insert_elements};
use super::text::{EditMode, Editor, Edits, edit_attributes, set_attribute};
use crate::config::attributes::{
    CHECK, CHECK_TIME, CONFIG, CONTROL, ENABLE, ElementTable, HOST, LISTENER, LOGGING, MANAGER,
    OLD_WEB, ROUTE, SERVICE, SSH, WEB,
};
use crate::config::serialize::{self, Content, XmlElement};
use crate::config::value::{Value, flag, seconds_text};
use crate::config::{Admin, Config, Group, Host, Manager, PeriodicTask, Service, User, Web};

fn names<T>(items: &[T], name: impl Fn(&T) -> &String) -> Vec<String> {
    items.iter().map(|it| name(it).clone()).collect()
}

impl Editor<'_> {
    pub(super) fn edit_config(
        &self,
        root: Node<'_, '_>,
        have: &Config,
        wanted: &Config,
        edits: &mut Edits,
    ) {
        let [had, now] = [have, wanted].map(|it| CONFIG.write(&it.general));
        edit_attributes(&self.source, root, &had, &now, edits);
        let [had, now] = [have, wanted].map(|config| names(&config.services, |it| &it.name));
        let services = List {
            nodes: children(root, &["service"]),
            matching: Matching::new(&had, &now),
        };
        let mut new = services.edit(
            &self.source,
            &|index| serialize::service(&wanted.services[index]),
            &|node, had, now, edits| {
                let (had, now) = (&have.services[had], &wanted.services[now]);
                match self.mode {
                    _ if had == now => {}
                    EditMode::InPlace => self.edit_service(node, had, now, edits),
                    EditMode::Whole => self.source.rewrite(node, &serialize::service(now), edits),
                }
            },
            edits,
        );
        new.extend(self.edit_admin_section(root, have, wanted, edits));
        new.extend(self.edit_manager_section(root, have, wanted, edits));
        let [had, now] = [have, wanted].map(|it| it.control.as_ref().map(|it| CONTROL.write(it)));
        let control = child(root, CONTROL.name);
        new.extend(edit_optional(&self.source, control, had, now, edits));
        if have.logging != wanted.logging {
            let [had, now] = [have, wanted].map(|it| Some(LOGGING.write(&it.logging)));
            let logging = child(root, LOGGING.name);
            new.extend(edit_optional(&self.source, logging, had, now, edits));
        }
        insert_elements(&self.source, root, new, edits);
    }

    fn edit_service(
        &self,
        node: Node<'_, '_>,
        have: &Service,
        wanted: &Service,
        edits: &mut Edits,
    ) {
        let [had, now] = [have, wanted].map(|it| SERVICE.write(it));
        edit_attributes(&self.source, node, &had, &now, edits);
        let mut new = self.edit_listens(node, have, wanted, edits);
        new.extend(self.edit_routes(node, have, wanted, edits));
        new.extend(self.edit_groups(node, have, wanted, edits));
        if let Some(enable) = child(node, ENABLE).filter(|_| have.enabled != wanted.enabled) {
            set_attribute(&self.source, enable, "group", Some(&wanted.enabled), edits);
        }
        insert_elements(&self.source, node, new, edits);
    }

    fn edit_listens(
        &self,
        node: Node<'_, '_>,
        have: &Service,
        wanted: &Service,
        edits: &mut Edits,
    ) -> Vec<XmlElement> {
        let addresses = |service: &Service| -> Vec<_> {
            service
                .listens
                .iter()
                .map(|it| it.address.clone())
                .collect()
        };
        let matching = Matching::new(&addresses(have), &addresses(wanted));
        // A removed and an added listener in the same place: its address changed.
        let all_alike = |count| vec![(); count];
        let list = List {
            nodes: children(node, &["listen"]),
            matching: matching.or_else(
                &all_alike(have.listens.len()),
                &all_alike(wanted.listens.len()),
            ),
        };
        self.edit_attributes_of(&LISTENER, &list, [&have.listens, &wanted.listens], edits)
    }

    fn edit_routes(
        &self,
        node: Node<'_, '_>,
        have: &Service,
        wanted: &Service,
        edits: &mut Edits,
    ) -> Vec<XmlElement> {
        let list = List {
            nodes: children(node, &[ROUTE.name]),
            // A removed and an added route to one group in the same place: it changed.
            matching: Matching::new(&have.routes, &wanted.routes).or_else(
                &names(&have.routes, |it| &it.group),
                &names(&wanted.routes, |it| &it.group),
            ),
        };
        self.edit_attributes_of(&ROUTE, &list, [&have.routes, &wanted.routes], edits)
    }

    /// Edits elements that have attributes only.
    fn edit_attributes_of<T>(
        &self,
        table: &ElementTable<T>,
        list: &List<'_, '_>,
        [have, wanted]: [&[T]; 2],
        edits: &mut Edits,
    ) -> Vec<XmlElement> {
        list.edit(
            &self.source,
            &|index| table.write(&wanted[index]),
            &|node, had, now, edits| {
                let [had, now] = [&have[had], &wanted[now]].map(|it| table.write(it));
                edit_attributes(&self.source, node, &had, &now, edits);
            },
            edits,
        )
    }

    fn edit_groups(
        &self,
        node: Node<'_, '_>,
        have: &Service,
        wanted: &Service,
        edits: &mut Edits,
    ) -> Vec<XmlElement> {
        let is_enabled_beside = child(node, ENABLE).is_some();
        let [had, now] = [have, wanted].map(|service| names(&service.groups, |it| &it.name));
        let list = List {
            nodes: children(node, &["group"]),
            matching: Matching::new(&had, &now),
        };
        list.edit(
            &self.source,
            &|index| {
                let group = &wanted.groups[index];
                serialize::group(group, group.name == wanted.enabled && !is_enabled_beside)
            },
            &|node, had, now, edits| {
                let (had, now) = (&have.groups[had], &wanted.groups[now]);
                let says_so = node.attribute(ENABLE).is_some_and(flag);
                // Beside an <enable>, a group may have enable="true" but need not.
                let should = now.name == wanted.enabled && (says_so || !is_enabled_beside);
                let had_element = serialize::group(had, says_so);
                let now_element = serialize::group(now, should);
                edit_attributes(&self.source, node, &had_element, &now_element, edits);
                let mut new = self.edit_checks(node, had, now, edits);
                new.extend(self.edit_hosts(node, had, now, edits));
                insert_elements(&self.source, node, new, edits);
            },
            edits,
        )
    }

    fn edit_checks(
        &self,
        node: Node<'_, '_>,
        have: &Group,
        wanted: &Group,
        edits: &mut Edits,
    ) -> Vec<XmlElement> {
        let kinds = |group: &Group| group.checks.iter().map(|it| it.kind).collect::<Vec<_>>();
        let list = List {
            nodes: children(node, &[CHECK.name]),
            // A removed and an added check of one type in the same place: it changed.
            matching: Matching::new(&have.checks, &wanted.checks)
                .or_else(&kinds(have), &kinds(wanted)),
        };
        self.edit_attributes_of(&CHECK, &list, [&have.checks, &wanted.checks], edits)
    }

    fn edit_hosts(
        &self,
        node: Node<'_, '_>,
        have: &Group,
        wanted: &Group,
        edits: &mut Edits,
    ) -> Vec<XmlElement> {
        let [had, now] = [have, wanted].map(|group| names(&group.hosts, |it| &it.name));
        let addresses =
            |group: &Group| -> Vec<_> { group.hosts.iter().map(|it| it.address.clone()).collect() };
        let list = List {
            nodes: children(node, &["host", "client"]),
            matching: Matching::new(&had, &now).or_else(&addresses(have), &addresses(wanted)),
        };
        list.edit(
            &self.source,
            &|index| HOST.write(&wanted.hosts[index]),
            &|node, had, now, edits| {
                let mut had = have.hosts[had].clone();
                if !node.has_attribute("name") {
                    had.name = Host::numbered_name(now);
                }
                let [had, now] = [&had, &wanted.hosts[now]].map(|it| HOST.write(it));
                edit_attributes(&self.source, node, &had, &now, edits);
            },
            edits,
        )
    }

    /// Edits `<admin>`; returns it if there is none yet.
    fn edit_admin_section(
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
                EditMode::InPlace => self.edit_admin(node, had, now, edits),
                EditMode::Whole => self.source.rewrite(node, &serialize::admin(now), edits),
            },
            (_, _, now) => return now.as_ref().map(serialize::admin),
        }
        None
    }

    fn edit_admin(&self, node: Node<'_, '_>, have: &Admin, wanted: &Admin, edits: &mut Edits) {
        let mut new = Vec::new();
        let (had, now) = (have.web.as_ref(), wanted.web.as_ref());
        new.extend(self.edit_web(node, had, now, edits));
        let [had, now] = [have, wanted].map(|it| it.ssh.as_ref().map(|it| SSH.write(it)));
        let ssh = child(node, SSH.name);
        new.extend(edit_optional(&self.source, ssh, had, now, edits));
        let [had, now] = [have, wanted].map(|admin| names(&admin.users, |it| &it.name));
        let users = List {
            nodes: children(node, &["user"]),
            matching: Matching::new(&had, &now),
        };
        new.extend(users.edit(
            &self.source,
            &|index| serialize::user(&wanted.users[index]),
            &|node, had, now, edits| {
                self.edit_user(node, &have.users[had], &wanted.users[now], edits);
            },
            edits,
        ));
        insert_elements(&self.source, node, new, edits);
    }

    fn edit_web(
        &self,
        admin: Node<'_, '_>,
        have: Option<&Web>,
        wanted: Option<&Web>,
        edits: &mut Edits,
    ) -> Option<XmlElement> {
        let (had, now) = (have.map(|it| WEB.write(it)), wanted.map(|it| WEB.write(it)));
        let (Some(had), true) = (&had, admin.has_attribute("listen")) else {
            return edit_optional(&self.source, child(admin, WEB.name), had, now, edits);
        };
        // The old form has only some of the attributes.
        let is_old = |name| OLD_WEB.attributes.iter().any(|old| old.name == name);
        let is_enough = |web: &Web, element: &XmlElement| {
            let mut attributes = element.attributes.iter();
            web.listen.is_some() && attributes.all(|it| is_old(it.name) || it.is_default)
        };
        match (wanted, now) {
            (Some(web), Some(now)) if is_enough(web, &now) => {
                edit_attributes(&self.source, admin, had, &now, edits);
                None
            }
            (_, now) => {
                for old in OLD_WEB.attributes {
                    set_attribute(&self.source, admin, old.name, None, edits);
                }
                now
            }
        }
    }

    fn edit_user(&self, node: Node<'_, '_>, have: &User, wanted: &User, edits: &mut Edits) {
        let (had, now) = (serialize::user(have), serialize::user(wanted));
        edit_attributes(&self.source, node, &had, &now, edits);
        let (had, now) = match node.has_attribute("key") {
            true => self.edit_first_key(node, &have.keys, &wanted.keys, edits),
            false => (&have.keys[..], &wanted.keys[..]),
        };
        let keys = List {
            nodes: children(node, &["key"]),
            matching: Matching::new(had, now),
        };
        let new = keys.edit(
            &self.source,
            &|index| serialize::key(&now[index]),
            &|_, _, _, _| {},
            edits,
        );
        insert_elements(&self.source, node, new, edits);
    }

    /// Edits the key in the attribute; returns the other keys, existing and wanted.
    fn edit_first_key<'k>(
        &self,
        node: Node<'_, '_>,
        have: &'k [String],
        wanted: &'k [String],
        edits: &mut Edits,
    ) -> (&'k [String], &'k [String]) {
        let others = have.get(1..).unwrap_or_default();
        let (first, rest) = match wanted.split_first() {
            Some((first, rest)) if have.first() == Some(first) => return (others, rest),
            Some((first, rest)) if !others.contains(first) => (Some(first.as_str()), rest),
            _ => (None, wanted),
        };
        set_attribute(&self.source, node, "key", first, edits);
        (others, rest)
    }

    /// Edits `<manager>`; returns a new one with what is not default, if there is none yet.
    fn edit_manager_section(
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
        let node = child(root, MANAGER.name);
        if self.mode == EditMode::Whole {
            // The whole <manager> is rewritten, so the old form goes.
            if let Some(node) = child(root, CHECK_TIME.name) {
                self.source.remove(node.range(), edits);
            }
        } else if let Some(old) = OldHostCheck::of(root, node) {
            let is_said = self.edit_old_check(&old, &had.host_check, &now.host_check, edits);
            // A <hostCheck> has only what the old form cannot express.
            had.host_check = Manager::default().host_check;
            if is_said {
                now.host_check = had.host_check;
            }
        }
        match node {
            Some(node) if self.mode == EditMode::InPlace => {
                self.edit_tasks(node, &had, &now, edits);
                None
            }
            Some(node) => {
                let manager = serialize::manager(&now);
                self.source.rewrite(node, &manager, edits);
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

    /// Edits an old form, or removes it where it cannot express `wanted`. Returns whether it does.
    fn edit_old_check(
        &self,
        old: &OldHostCheck<'_, '_>,
        have: &PeriodicTask,
        wanted: &PeriodicTask,
        edits: &mut Edits,
    ) -> bool {
        if have == wanted {
            return true;
        }
        let interval = seconds_text(Some(wanted.interval));
        let interval = Some(interval.as_str()).filter(|_| wanted.enable);
        match interval {
            None if old.node.has_tag_name(CHECK_TIME.name) => {
                self.source.remove(old.node.range(), edits);
            }
            _ => set_attribute(&self.source, old.node, old.attribute, interval, edits),
        }
        interval.is_some()
    }

    fn edit_tasks(&self, node: Node<'_, '_>, have: &Manager, wanted: &Manager, edits: &mut Edits) {
        let mut new = Vec::new();
        let tasks = serialize::tasks(have).into_iter();
        for (had, now) in tasks.zip(serialize::tasks(wanted)) {
            if had.attributes == now.attributes {
                continue;
            }
            match child(node, now.name) {
                Some(node) => self.edit_task(node, &had, &now, edits),
                None => new.push(now),
            }
        }
        insert_elements(&self.source, node, new, edits);
    }

    fn edit_task(
        &self,
        node: Node<'_, '_>,
        have: &XmlElement,
        wanted: &XmlElement,
        edits: &mut Edits,
    ) {
        // An interval of 0 disables the task, whatever `enable` says: to change one, write both.
        // Test: an_interval_of_0_is_replaced_before_the_task_is_enabled.
        let is_zero = |text| Value::detached("interval", text).seconds() == Ok(None);
        if !node.attribute("interval").is_some_and(is_zero) {
            return edit_attributes(&self.source, node, have, wanted, edits);
        }
        for now in &wanted.attributes {
            if node.has_attribute(now.name) || !now.is_default {
                set_attribute(&self.source, node, now.name, now.value.as_deref(), edits);
            }
        }
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
        let [check_time, interval] = [&CHECK_TIME, &MANAGER].map(|it| it.attributes[0].name);
        old(child(root, CHECK_TIME.name), check_time).or_else(|| old(manager, interval))
    }
}
