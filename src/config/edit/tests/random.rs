//! Random spellings of a configuration, and random changes such as operators make, for tests.
//!
//! Spellings have old forms, spacing, quotes, line ends, defaults left out, and remarks. Each
//! remark has a number, so that a test can look for it.

use crate::config::arbitrary::{self, Random};
use crate::config::attributes::{GROUP, HOST, SERVICE};
use crate::config::schema::element_schema;
use crate::config::serialize::{self, Content, Escaped, XmlAttribute, XmlElement};
use crate::config::{
    Admin, AttributeSchema, Config, Group, Host, Listener, Route, Scheduler, Service, ValueKind,
};

/// A text that reads as `config`.
pub(super) fn spell_randomly(config: &Config, random: &mut Random) -> String {
    let line_end = *random.pick(&["\n", "\n", "\r\n", "\r", ""]);
    let unit = *random.pick(&["  ", "    ", "\t", ""]);
    let remarks = random.below(5);
    let mut element = serialize::config(config);
    respell(&mut element, random);
    old_check_time(&mut element, random);
    let mut writer = XmlWriter {
        out: String::new(),
        line_end,
        unit,
        remarks,
        written: 0,
        is_old: random.below(2) == 0,
        random,
    };
    writer.document(&element);
    writer.out
}

/// The remarks in a text, in their order: all have a `~`, and names have none.
pub(super) fn remarks(text: &str) -> Vec<&str> {
    text.split('~').skip(1).step_by(2).collect()
}

struct XmlWriter<'r> {
    out: String,
    line_end: &'static str,
    unit: &'static str,
    /// How many there may be in one place.
    remarks: usize,
    written: usize,
    is_old: bool,
    random: &'r mut Random,
}

impl XmlWriter<'_> {
    fn document(&mut self, root: &XmlElement) {
        self.any(&["", "\u{feff}"]);
        self.any(&["", "<?xml version=\"1.0\"?>", "<?xml version='1.0'?>\n"]);
        self.any(&[
            "",
            "<!DOCTYPE config SYSTEM \"ü.dtd\" >",
            "<!-- ~first~ -->\n",
        ]);
        self.element(root, 0);
        self.any(&["", "\n", "\r\n<!-- ~last~ -->", "\n\n"]);
    }

    fn element(&mut self, element: &XmlElement, depth: usize) {
        let name = match element.name {
            "host" => *self.random.pick(&["host", "client"]),
            "config" if self.is_old => "pdconfig",
            name => name,
        };
        self.out += &format!("<{name}");
        for attribute in &element.attributes {
            self.attribute(attribute);
        }
        self.any(&["", "", " ", "\n"]);
        let is_empty =
            matches!(&element.content, Content::Elements(children) if children.is_empty());
        if is_empty && self.random.below(4) > 0 {
            self.out += "/>";
            return;
        }
        self.out.push('>');
        match &element.content {
            Content::Text(text) => {
                let blank = *self.random.pick(&["", " ", "\n\t"]);
                self.out += &format!(
                    "{blank}{}<!-- ~key{}~ -->{blank}",
                    Escaped(text, '"'),
                    self.written
                );
                self.written += 1;
            }
            Content::Elements(children) => {
                for child in children {
                    self.remarks(depth + 1);
                    self.start_line(depth + 1);
                    self.element(child, depth + 1);
                }
                self.remarks(depth + 1);
                self.start_line(depth);
            }
        }
        self.out += &format!("</{name}>");
    }

    fn attribute(&mut self, attribute: &XmlAttribute) {
        let Some(value) = &attribute.value else {
            return;
        };
        let space = *self.random.pick(&[" ", " ", "  ", "\n\t", "\r\n "]);
        let equals = *self.random.pick(&["=", "=", " = ", "\n=\t"]);
        let quote = *self.random.pick(&['"', '"', '\'']);
        let value = Escaped(value, quote).to_string();
        let value = match self.random.below(5) {
            0 if !value.contains('&') => value.replace('e', "&#101;"),
            1 if !value.contains('&') => value.replace('1', "&#x31;"),
            _ => value,
        };
        self.out += &format!("{space}{}{equals}{quote}{value}{quote}", attribute.name);
    }

    fn any(&mut self, of: &[&str]) {
        let one: &&str = self.random.pick(of);
        self.out += one;
    }

    fn start_line(&mut self, depth: usize) {
        if self.random.below(20) == 0 {
            return;
        }
        self.out += self.line_end;
        if !self.line_end.is_empty() {
            self.out += &self.unit.repeat(depth);
        }
    }

    fn remarks(&mut self, depth: usize) {
        for _ in 0..self.random.below(self.remarks + 1) {
            if self.random.below(2) == 0 {
                self.start_line(depth);
            }
            let number = self.written;
            self.written += 1;
            self.out += &match self.random.below(6) {
                0 => format!(" ~stray{number}~"),
                1 => format!("<note>~note{number}~<host ip='no'/><x y='z'></x></note>"),
                2 => format!("<![CDATA[~cdata{number}~ </host> & <group>]]>"),
                3 => format!("<?p ~process{number}~?>"),
                _ => format!(" <!-- ~comment{number}~ <host name='a'/> -->"),
            };
        }
    }
}

/// Says the same in other words.
fn respell(element: &mut XmlElement, random: &mut Random) {
    match element.name {
        "service" => enable_beside(element, random),
        "admin" => old_admin(element, random),
        "manager" => old_interval(element, random),
        "user" => key_as_attribute(element, random),
        "group" => leave_out_numbers(element, random),
        _ => {}
    }
    if let Content::Elements(children) = &mut element.content {
        if element.name == "config" {
            let is_said = |it: &XmlAttribute| it.value.is_some() && !it.is_default;
            let says_nothing = |child: &XmlElement| match &child.content {
                Content::Elements(chores) if child.name == "manager" => {
                    !chores.iter().flat_map(|it| &it.attributes).any(is_said)
                }
                _ => {
                    ["logging", "resolver"].contains(&child.name)
                        && !child.attributes.iter().any(is_said)
                }
            };
            children.retain(|child| !says_nothing(child) || random.below(2) == 0);
        }
        for child in children.iter_mut() {
            respell(child, random);
        }
        shuffle_kinds(children, random);
    }
    element
        .attributes
        .retain(|attribute| !attribute.is_default || random.below(2) == 0);
    let schema = element_schema(element.name).unwrap();
    for attribute in &mut element.attributes {
        let known = schema
            .attributes
            .iter()
            .find(|it| it.name == attribute.name);
        if let (Some(known), Some(value)) = (known, &mut attribute.value) {
            *value = respelled(known, value, random);
        }
    }
    for index in 1..element.attributes.len() {
        element.attributes.swap(index, random.below(index + 1));
    }
}

fn respelled(attribute: &AttributeSchema, value: &str, random: &mut Random) -> String {
    let pick = |random: &mut Random, words: &[&str]| (*random.pick(words)).to_owned();
    match (attribute.value_kind, value) {
        // On <admin>, any word but a false one is true.
        (ValueKind::LooseFlag, "secure" | "2") => value.to_owned(),
        (ValueKind::Flag | ValueKind::LooseFlag, "true") => {
            pick(random, &["true", "True", "yes", "YES", "on", "1", "enable"])
        }
        (ValueKind::LooseFlag, _) if attribute.name == "enable" => {
            pick(random, &["false", "False", "no", "0", "", "off"])
        }
        (ValueKind::Flag | ValueKind::LooseFlag, _) => {
            pick(random, &["false", "False", "no", "0", "Off"])
        }
        (ValueKind::Mode, mode) => pick(random, &[mode, &mode[1..]]),
        (ValueKind::Refresh, "0") => pick(random, &["0", "0.0", "False", "no", "off"]),
        (ValueKind::Refresh, "30") => pick(random, &["30", "030.", "True", "yes"]),
        (ValueKind::ServerNames, _) => pick(random, &[value, &value.to_uppercase()]),
        (ValueKind::Networks | ValueKind::Protocols | ValueKind::Nameservers, _) => {
            pick(random, &[value, &value.replace(' ', ", ")])
        }
        (ValueKind::Seconds | ValueKind::Refresh | ValueKind::Timeout, _) => {
            match value.contains('.') {
                true => value.to_owned() + pick(random, &["", "0"]).as_str(),
                false => pick(random, &["", "0"]) + value + pick(random, &["", ".", ".0"]).as_str(),
            }
        }
        (ValueKind::Scheduler, _) => {
            let meant: Scheduler = value.parse().unwrap();
            let sticky = if meant.sticky { ",sticky" } else { "" };
            let all = Scheduler::spellings().map(|word| format!("{word}{sticky}"));
            let same: Vec<_> = all
                .filter(|word| word.parse().as_ref() == Ok(&meant))
                .collect();
            random.pick(&same).clone()
        }
        (ValueKind::ListenAddress, _) if value.starts_with("*:") => {
            let start = random.below(3);
            value[start..].to_owned()
        }
        (ValueKind::Access, _) => pick(random, &[value, &value.to_uppercase()]),
        _ => value.to_owned(),
    }
}

/// Puts the kinds in another order; those of one kind stay in theirs.
fn shuffle_kinds(children: &mut [XmlElement], random: &mut Random) {
    for _ in 0..random.below(3) * children.len() {
        let index = random.below(children.len());
        if index > 0 && children[index - 1].name != children[index].name {
            children.swap(index - 1, index);
        }
    }
}

fn attribute(name: &'static str, value: String) -> XmlAttribute {
    XmlAttribute {
        name,
        value: Some(value),
        is_default: false,
    }
}

fn take_child(element: &mut XmlElement, name: &str) -> Option<XmlElement> {
    let Content::Elements(children) = &mut element.content else {
        return None;
    };
    let index = children.iter().position(|child| child.name == name)?;
    Some(children.remove(index))
}

fn value(element: &XmlElement, name: &str) -> Option<String> {
    let attribute = element.attributes.iter().find(|it| it.name == name)?;
    attribute.value.clone()
}

fn enable_beside(service: &mut XmlElement, random: &mut Random) {
    let Content::Elements(children) = &mut service.content else {
        return;
    };
    if random.below(2) == 0 {
        return;
    }
    let is_enabled = |group: &&mut XmlElement| value(group, "enable").as_deref() == Some("true");
    let mut groups = children.iter_mut().filter(|child| child.name == "group");
    let enabled = groups.find(is_enabled).unwrap();
    if random.below(3) > 0 {
        enabled.attributes.retain(|it| it.name != "enable");
    }
    let name = value(enabled, "name").unwrap();
    children.push(XmlElement {
        name: "enable",
        attributes: vec![attribute("group", name)],
        content: Content::Elements(Vec::new()),
    });
}

fn old_admin(admin: &mut XmlElement, random: &mut Random) {
    let Content::Elements(children) = &admin.content else {
        return;
    };
    let is_old = |it: &&XmlAttribute| ["listen", "secure", "refresh"].contains(&it.name);
    let says_more = |web: &XmlElement| {
        web.attributes
            .iter()
            .any(|it| !is_old(&it) && !it.is_default)
            || value(web, "listen").as_deref() == Some("None")
    };
    let web = children.iter().find(|child| child.name == "web");
    if random.below(2) == 0 && web.is_some_and(|web| !says_more(web)) {
        let web = take_child(admin, "web").unwrap();
        let needed = |it: &XmlAttribute| !it.is_default || random.below(2) == 0;
        let mut old: Vec<_> = web
            .attributes
            .into_iter()
            .filter(|it| is_old(&it))
            .collect();
        old.retain(needed);
        // Any word but a false one enables HTTPS.
        let secure = old.iter_mut().find(|it| it.name == "secure");
        if let Some(secure) = secure.filter(|it| it.value.as_deref() == Some("true")) {
            secure.value = Some((*random.pick(&["secure", "true", "2"])).to_owned());
        }
        admin.attributes.extend(old);
    }
}

/// Moves the attribute of `<manager>` to an element beside it, which may then go.
fn old_check_time(config: &mut XmlElement, random: &mut Random) {
    let Content::Elements(children) = &mut config.content else {
        return;
    };
    let is_manager = |child: &XmlElement| child.name == "manager";
    let Some(at) = children
        .iter()
        .position(is_manager)
        .filter(|_| random.below(2) == 0)
    else {
        return;
    };
    let manager = &mut children[at];
    let is_interval = |it: &XmlAttribute| it.name == "hostCheckInterval";
    let Some(interval) = manager.attributes.iter().position(is_interval) else {
        return;
    };
    let time = XmlAttribute {
        name: "time",
        ..manager.attributes.remove(interval)
    };
    let is_empty = matches!(&manager.content, Content::Elements(chores) if chores.is_empty());
    if is_empty && random.below(2) == 0 {
        children.remove(at);
    }
    let at = random.below(children.len() + 1);
    let check_time = XmlElement {
        name: "checktime",
        attributes: vec![time],
        content: Content::Elements(Vec::new()),
    };
    children.insert(at, check_time);
}

fn old_interval(manager: &mut XmlElement, random: &mut Random) {
    if random.below(2) == 0 {
        return;
    }
    let task = take_child(manager, "hostCheck").unwrap();
    match value(&task, "enable").as_deref() {
        Some("true") => {
            let interval = value(&task, "interval").unwrap();
            manager
                .attributes
                .push(attribute("hostCheckInterval", interval));
        }
        _ if task.attributes[0].is_default => {
            manager
                .attributes
                .push(attribute("hostCheckInterval", "0".to_owned()));
        }
        _ => {
            if let Content::Elements(children) = &mut manager.content {
                children.push(task);
            }
        }
    }
}

fn key_as_attribute(user: &mut XmlElement, random: &mut Random) {
    if random.below(2) == 0 {
        return;
    }
    if let Some(Content::Text(text)) = take_child(user, "key").map(|key| key.content) {
        user.attributes.push(attribute("key", text));
    }
}

fn leave_out_numbers(group: &mut XmlElement, random: &mut Random) {
    let Content::Elements(hosts) = &mut group.content else {
        return;
    };
    for (index, host) in hosts.iter_mut().enumerate() {
        let number = format!("host.{index}");
        if value(host, "name") == Some(number) && random.below(4) > 0 {
            host.attributes.retain(|it| it.name != "name");
        }
    }
}

/// Changes one thing; the result is valid. Nothing changes places unless `moves`.
pub(super) fn change(config: &mut Config, random: &mut Random, moves: bool) {
    let other = arbitrary::config(random);
    match random.below(11) {
        10 => config.resolver = other.resolver,
        0 => config.manager = other.manager,
        1 => config.control = other.control,
        2 => config.logging = other.logging,
        3 => admin(config, other.admin, random),
        4 => services(config, random, moves),
        _ => {
            let count = config.services.len();
            if count > 0 {
                let free = free_port(config, random);
                service(
                    &mut config.services[random_index(random, count)],
                    free,
                    random,
                    moves,
                );
            }
        }
    }
}

/// Gives some hosts the names they would have without one.
pub(super) fn number_hosts(config: &mut Config, random: &mut Random) {
    let services = config.services.iter_mut();
    for group in services.flat_map(|service| &mut service.groups) {
        for (index, host) in group.hosts.iter_mut().enumerate() {
            if random.below(2) == 0 {
                host.name = format!("host.{index}");
            }
        }
    }
}

fn random_index(random: &mut Random, count: usize) -> usize {
    random.below(count)
}

fn new_name(random: &mut Random) -> String {
    format!("{}{}", random.next(), arbitrary::name(random))
}

fn free_port(config: &Config, random: &mut Random) -> usize {
    let listens = || config.services.iter().flat_map(|service| &service.listens);
    loop {
        // A service listens on the next ones, too.
        let port = 20_000 + random.below(40_000);
        let is_near = |it: &Listener| usize::from(it.address.port).abs_diff(port) < 5;
        if !listens().any(is_near) {
            return port;
        }
    }
}

fn services(config: &mut Config, random: &mut Random, moves: bool) {
    let count = config.services.len();
    match random.below(3) {
        0 => {
            let port = free_port(config, random);
            let name = new_name(random);
            let service = arbitrary::service(random, name, port);
            config.services.insert(random.below(count + 1), service);
        }
        1 if count > 0 => drop(config.services.remove(random.below(count))),
        _ if moves && count > 0 => config.services.rotate_left(random.below(count)),
        _ => {}
    }
}

fn service(service: &mut Service, free_port: usize, random: &mut Random, moves: bool) {
    let (listens, groups) = (&mut service.listens, &mut service.groups);
    let at = random.below(groups.len());
    match random.below(15) {
        12 => {
            let address = listens.last_mut().unwrap().address.clone();
            *listens.last_mut().unwrap() = arbitrary::listener(random, address);
        }
        13 | 14 => routes(&mut service.routes, groups, random, moves),
        0 | 1 => *service = arbitrary::vary(random, &SERVICE, service.clone()),
        2 => {
            let address = arbitrary::listen(random, free_port);
            let new = arbitrary::listener(random, address);
            listens.insert(random.below(listens.len() + 1), new);
        }
        3 if listens.len() > 1 => drop(listens.remove(random.below(listens.len()))),
        4 => listens.last_mut().unwrap().address = arbitrary::listen(random, free_port),
        5 => service.enabled = groups[at].name.clone(),
        6 => {
            let name = new_name(random);
            let new = arbitrary::group(random, name);
            groups.insert(at, new);
        }
        7 if groups[at].name != service.enabled => {
            let gone = groups.remove(at);
            service.routes.retain(|route| route.group != gone.name);
        }
        8 if moves => groups.rotate_left(at),
        9 => groups[at] = arbitrary::vary(random, &GROUP, groups[at].clone()),
        _ => group(&mut groups[at], random, moves),
    }
}

fn routes(routes: &mut Vec<Route>, groups: &[Group], random: &mut Random, moves: bool) {
    let new = arbitrary::route(random, groups);
    // A second one of the same would be the first, moved.
    if !moves && routes.contains(&new) {
        return;
    }
    let at = random.below(routes.len() + 1);
    match (random.below(4), routes.get_mut(at)) {
        (0, Some(_)) => drop(routes.remove(at)),
        (1, Some(route)) => *route = new,
        (2, Some(_)) if moves => routes.rotate_left(at),
        _ => routes.insert(at, new),
    }
}

fn group(group: &mut Group, random: &mut Random, moves: bool) {
    let count = group.hosts.len();
    let new = Host {
        name: new_name(random),
        address: arbitrary::address(random).parse().unwrap(),
        ..Host::default()
    };
    if count == 0 || random.below(4) == 0 {
        return group.hosts.insert(random.below(count + 1), new);
    }
    let at = random.below(count);
    match random.below(5) {
        0 => drop(group.hosts.remove(at)),
        1 => group.hosts[at].name = new.name,
        2 => group.hosts[at].address = new.address,
        3 if moves => group.hosts.rotate_left(at),
        _ => group.hosts[at] = arbitrary::vary(random, &HOST, group.hosts[at].clone()),
    }
    group.hosts.iter_mut().for_each(arbitrary::forget_mistake);
}

fn admin(config: &mut Config, other: Option<Admin>, random: &mut Random) {
    match (&mut config.admin, other) {
        (Some(admin), Some(other)) if random.below(4) > 0 => match random.below(5) {
            0 => admin.web = other.web,
            1 => admin.ssh = other.ssh,
            2 => drop(admin.users.pop()),
            3 => {
                let users = other.users.into_iter().map(|mut user| {
                    user.name = new_name(random);
                    user
                });
                let users: Vec<_> = users.collect();
                admin.users.splice(0..0, users);
            }
            _ => {
                for (user, other) in admin.users.iter_mut().zip(other.users) {
                    (user.keys, user.access) = (other.keys, other.access);
                }
            }
        },
        (admin, other) => *admin = other,
    }
}
