//! Writes a configuration as XML: each part of the model as an element, and elements as text.
//!
//! [`print`] writes every value, defaults included, and masks passwords: it is for people. [`encode`]
//! writes the same with passwords, for another process. A file that is saved keeps its own text;
//! `edit` takes only new elements from here.

use std::fmt::{self, Write as _};

use super::attributes::{
    CHECK, CONFIG, CONFIG_CHECK, CONTROL, ENABLE, ElementTable, GROUP, HEARTBEAT, HOST, HOST_CHECK,
    LISTENER, LOGGING, Presence, RESOLVER, ROUTE, SERVICE, SSH, USER, WEB,
};
use super::redact::PASSWORD_MASK;
use super::{Admin, Config, Group, Manager, Service, User};
use crate::non_printing::letters;

/// The configuration as XML, in the order of txlb.xml(5), each password as `***`.
///
/// Reading it gives the same configuration, passwords aside.
pub fn print(config: &Config) -> String {
    let mut shown = config.clone();
    let users = shown.admin.iter_mut().flat_map(|admin| &mut admin.users);
    for password in users.filter_map(|user| user.password.as_mut()) {
        PASSWORD_MASK.clone_into(password);
    }
    encode(&shown)
}

/// The configuration as XML, with passwords. It is never shown: reading it gives the same
/// configuration, whole.
pub(crate) fn encode(config: &Config) -> String {
    let layout = Layout {
        line_end: "\n",
        indent_unit: "  ",
        defaults: true,
    };
    let mut text = layout.encode(&self::config(config), "");
    text.push('\n');
    text
}

/// Layout of elements as text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout<'a> {
    /// Line end; if empty, everything is on one line.
    pub(super) line_end: &'a str,
    /// One level of indentation.
    pub(super) indent_unit: &'a str,
    /// Whether default values are written.
    pub(super) defaults: bool,
}

impl Layout<'_> {
    /// Encodes an element whose first line is already indented, by `indentation`.
    pub(super) fn encode(&self, element: &XmlElement, indentation: &str) -> String {
        let mut out = String::new();
        self.encode_into(element, indentation, &mut out);
        out
    }

    fn encode_into(&self, element: &XmlElement, indentation: &str, out: &mut String) {
        let XmlElement { name, content, .. } = element;
        *out += &format!("<{name}");
        let needed = |it: &&XmlAttribute| self.defaults || !it.is_default;
        for attribute in element.attributes.iter().filter(needed) {
            if let Some(value) = &attribute.value {
                *out += &format!(" {}=\"{}\"", attribute.name, Escaped(value, '"'));
            }
        }
        match content {
            Content::Text(text) => *out += &format!(">{}</{name}>", Escaped(text, '"')),
            Content::Elements(children) if children.is_empty() => *out += "/>",
            Content::Elements(children) => {
                out.push('>');
                let inner = self.inner_indentation(indentation);
                for child in children {
                    *out += &self.line_prefix(&inner);
                    self.encode_into(child, &inner, out);
                }
                *out += &self.line_prefix(indentation);
                *out += &format!("</{name}>");
            }
        }
    }

    /// The indentation one level deeper.
    pub(super) fn inner_indentation(&self, indentation: &str) -> String {
        format!("{indentation}{}", self.indent_unit)
    }

    /// The line end and indentation before an element.
    pub(super) fn line_prefix(&self, indentation: &str) -> String {
        match self.line_end {
            "" => String::new(),
            line_end => format!("{line_end}{indentation}"),
        }
    }
}

/// Text escaped for an element, or for an attribute in these quotes. Control characters become
/// references: XML would read a plain line end or tab in an attribute as a space.
pub(super) struct Escaped<'a>(pub(super) &'a str, pub(super) char);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Escaped(text, quote) = self;
        letters(text).try_for_each(|letter| match letter {
            ('&', _) => f.write_str("&amp;"),
            ('<', _) => f.write_str("&lt;"),
            ('>', _) => f.write_str("&gt;"),
            ('"', _) if *quote == '"' => f.write_str("&quot;"),
            ('\'', _) if *quote == '\'' => f.write_str("&apos;"),
            (character, true) => write!(f, "&#{};", u32::from(character)),
            (character, false) => f.write_char(character),
        })
    }
}

/// An element to write.
#[derive(Debug)]
pub(super) struct XmlElement {
    pub(super) name: &'static str,
    pub(super) attributes: Vec<XmlAttribute>,
    pub(super) content: Content,
}

/// Content of an element.
#[derive(Debug)]
pub(super) enum Content {
    Elements(Vec<XmlElement>),
    Text(String),
}

/// An attribute to write. Equal values have the same meaning.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct XmlAttribute {
    pub(super) name: &'static str,
    /// `None` is written by leaving the attribute out.
    pub(super) value: Option<String>,
    /// Whether leaving it out means the same.
    pub(super) is_default: bool,
}

fn element(
    name: &'static str,
    attributes: Vec<XmlAttribute>,
    children: Vec<XmlElement>,
) -> XmlElement {
    XmlElement {
        name,
        attributes,
        content: Content::Elements(children),
    }
}

impl<T> ElementTable<T> {
    /// The element without children.
    pub(super) fn write(&self, it: &T) -> XmlElement {
        let new = (self.new)();
        let attributes = self.attributes.iter().map(|attribute| {
            let value = (attribute.get)(it);
            let is_optional = attribute.presence == Presence::Optional;
            XmlAttribute {
                name: attribute.name,
                is_default: is_optional && value == (attribute.get)(&new),
                value,
            }
        });
        element(self.name, attributes.collect(), Vec::new())
    }
}

impl XmlElement {
    fn with(mut self, children: Vec<XmlElement>) -> Self {
        self.content = Content::Elements(children);
        self
    }
}

/// The whole configuration, sections with only defaults included.
pub(super) fn config(config: &Config) -> XmlElement {
    let mut children: Vec<_> = config.services.iter().map(service).collect();
    children.extend(config.admin.as_ref().map(admin));
    children.push(manager(&config.manager));
    children.extend(config.control.as_ref().map(|it| CONTROL.write(it)));
    children.push(LOGGING.write(&config.logging));
    children.push(RESOLVER.write(&config.resolver));
    CONFIG.write(&config.general).with(children)
}

pub(super) fn service(service: &Service) -> XmlElement {
    let listens = service.listens.iter().map(|it| LISTENER.write(it));
    let routes = service.routes.iter().map(|it| ROUTE.write(it));
    let groups = service.groups.iter();
    let groups = groups.map(|it| group(it, it.name == service.enabled));
    let children = listens.chain(routes).chain(groups);
    SERVICE.write(service).with(children.collect())
}

/// A group; `enable` is whether it has `enable="true"` itself.
pub(super) fn group(group: &Group, enable: bool) -> XmlElement {
    let checks = group.checks.iter().map(|it| CHECK.write(it));
    let hosts = group.hosts.iter().map(|it| HOST.write(it));
    let mut element = GROUP.write(group).with(checks.chain(hosts).collect());
    element.attributes.push(XmlAttribute {
        name: ENABLE,
        value: Some(enable.to_string()),
        is_default: !enable,
    });
    element
}

pub(super) fn admin(admin: &Admin) -> XmlElement {
    let mut children = Vec::new();
    children.extend(admin.web.as_ref().map(|it| WEB.write(it)));
    children.extend(admin.ssh.as_ref().map(|it| SSH.write(it)));
    children.extend(admin.users.iter().map(user));
    element("admin", Vec::new(), children)
}

pub(super) fn user(user: &User) -> XmlElement {
    USER.write(user)
        .with(user.keys.iter().map(|it| key(it)).collect())
}

pub(super) fn key(key: &str) -> XmlElement {
    XmlElement {
        name: "key",
        attributes: Vec::new(),
        content: Content::Text(key.to_owned()),
    }
}

pub(super) fn manager(manager: &Manager) -> XmlElement {
    element("manager", Vec::new(), tasks(manager).into())
}

/// The periodic tasks of a manager, in the order of printing.
pub(super) fn tasks(manager: &Manager) -> [XmlElement; 3] {
    [
        HOST_CHECK.write(&manager.host_check),
        CONFIG_CHECK.write(&manager.config_check),
        HEARTBEAT.write(&manager.heartbeat),
    ]
}

#[cfg(test)]
mod tests {
    //! Tests of printing: what is read again is what was printed.

    use super::*;
    use crate::config::arbitrary::Random;
    use crate::config::schema::element_schema;
    use crate::config::{arbitrary, read};

    #[test]
    fn what_is_printed_reads_as_what_was_there() {
        let mut random = Random::new(3);
        for _ in 0..300 {
            let mut config = arbitrary::config(&mut random);
            let again = |text: &str| {
                let reading = read(text.as_bytes());
                reading
                    .unwrap_or_else(|error| panic!("{error}\n{text}"))
                    .config
            };
            assert_eq!(again(&encode(&config)), config);
            let printed = print(&config);
            for user in config.admin.iter_mut().flat_map(|admin| &mut admin.users) {
                user.password = user.password.as_ref().map(|_| "***".to_owned());
            }
            assert_eq!(again(&printed), config, "{printed}");
        }
    }

    #[test]
    fn the_print_shows_every_value_and_no_password() {
        let text = "<config><service name=\"&lt;&amp;&quot;'&gt;\u{a0}ü\" idleTimeout=\"1.5\">\
            <listen ip=\"8080\"/><group name=\"g\" scheduler=\"leastc,sticky\" stickyPrefix=\"64\" \
            enable=\"1\"><host name=\"one\" ip=\"lorien:80\"/></group></service><admin>\
            <ssh listen=\"None\" enable=\"no\"/><user name=\"ann\" password=\"secret\" \
            access=\"READONLY\"><key>ssh-ed25519 \
            AAAAC3NzaC1lZDI1NTE5AAAAIEFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB &lt;ann&gt;</key>\
            </user></admin><control socket=\"a&#9;b\"/></config>";
        let printed = print(&read(text.as_bytes()).unwrap().config);
        for part in [
            "\n  <service name=\"&lt;&amp;&quot;'&gt;\u{a0}ü\" connectTimeout=\"5\" idleTimeout=\"1.5\"",
            "\n    <listen ip=\"*:8080\" proxy=\"off\"",
            "\n    <group name=\"g\" scheduler=\"leastc,sticky\"",
            " stickyPrefix=\"64\"",
            " enable=\"true\">\n      <host name=\"one\" ip=\"lorien:80\" weight=\"1\" state=\"up\"",
            "\n    </group>\n  </service>\n  <admin>\n    <ssh listen=\"None\" enable=\"false\"",
            "\n    <user name=\"ann\" password=\"***\" access=\"readonly\">\n      <key>ssh-ed25519 AAAA",
            " &lt;ann&gt;</key>\n    </user>\n  </admin>\n  <manager>\n    <hostCheck interval=\"10\"",
            "\n  <control socket=\"a&#9;b\" amp=\"true\" ampMode=\"0660\"",
        ] {
            assert!(printed.contains(part), "{part} is not in {printed}");
        }
        for element in [
            "service",
            "group",
            "host",
            "hostCheck",
            "control",
            "logging",
        ] {
            let defaults = element_schema(element).unwrap().attributes.iter();
            for attribute in defaults.filter(|it| it.default.is_some()) {
                let written = format!(" {}=\"", attribute.name);
                assert!(printed.contains(&written), "{written} is not in {printed}");
            }
        }
    }
}
