//! The schema: all elements of the file with their attributes and children, without their models.
//!
//! The reader's suggestions, the RELAX NG schema and the tests of the manual page use it.

use std::sync::LazyLock;

use super::attributes::{
    CHECK, CHECK_TIME, CLIENT, CONFIG, CONFIG_CHECK, CONTROL, ENABLE, ElementTable, GROUP,
    HEARTBEAT, HOST, HOST_CHECK, LISTENER, LOGGING, MANAGER, OLD_WEB, Presence, ROUTE, SERVICE,
    SSH, USER, WEB,
};
use super::value::{NO_ADDRESS, ValueKind};

/// One element.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ElementSchema {
    /// Its name.
    pub name: &'static str,
    /// Its attributes, in the order of printing.
    pub attributes: Vec<AttributeSchema>,
    /// The elements allowed in it, besides `<note>`, which is allowed anywhere.
    pub children: &'static [ChildSchema],
}

impl ElementSchema {
    /// With an attribute that is no field of the element's model.
    fn with(mut self, attribute: AttributeSchema) -> Self {
        self.attributes.push(attribute);
        self
    }
}

/// An attribute of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttributeSchema {
    /// Its name.
    pub name: &'static str,
    /// Whether it is required.
    pub required: bool,
    /// Kind of its value.
    pub value_kind: ValueKind,
    /// What holds without it, as in a file; `None` if nothing does, or it depends.
    pub default: Option<String>,
    /// What it is, in one line.
    pub help: &'static str,
}

/// An element allowed in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildSchema {
    /// Its name.
    pub name: &'static str,
    /// How often it may occur.
    pub occurs: Occurs,
}

/// How often an element may occur in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occurs {
    /// Once or not at all.
    AtMostOnce,
    /// Any number of times.
    AnyNumber,
    /// Once or more.
    AtLeastOnce,
}

/// The element that is allowed anywhere, and ignored with its content.
pub(super) const NOTE: &str = "note";

/// The names of the outermost element. The second is PythonDirector's, and that of
/// txLoadBalancer before July 2008.
pub(super) const ROOTS: [&str; 2] = ["config", "pdconfig"];

/// All elements of a configuration, the outermost first.
pub fn schema() -> &'static [ElementSchema] {
    &SCHEMA
}

/// The entry of `name`.
pub(super) fn element_schema(name: &str) -> Option<&'static ElementSchema> {
    SCHEMA.iter().find(|element| element.name == name)
}

const fn child(name: &'static str, occurs: Occurs) -> ChildSchema {
    ChildSchema { name, occurs }
}

fn without_attributes(name: &'static str, children: &'static [ChildSchema]) -> ElementSchema {
    ElementSchema {
        name,
        attributes: Vec::new(),
        children,
    }
}

/// Children of the outermost element.
const SECTIONS: &[ChildSchema] = &[
    child("service", Occurs::AnyNumber),
    child("admin", Occurs::AtMostOnce),
    child("manager", Occurs::AtMostOnce),
    child("checktime", Occurs::AtMostOnce),
    child("control", Occurs::AtMostOnce),
    child("logging", Occurs::AtMostOnce),
];

impl<T> ElementTable<T> {
    fn schema(&self, children: &'static [ChildSchema]) -> ElementSchema {
        let new = (self.new)();
        let attributes = self.attributes.iter().map(|it| AttributeSchema {
            name: it.name,
            required: it.presence == Presence::Required,
            value_kind: it.kind,
            // An empty name and no address stand for none.
            default: (it.get)(&new)
                .filter(|_| it.presence != Presence::Required)
                .filter(|text| !text.is_empty() && text != NO_ADDRESS),
            help: it.help,
        });
        ElementSchema {
            name: self.name,
            attributes: attributes.collect(),
            children,
        }
    }
}

static SCHEMA: LazyLock<Vec<ElementSchema>> = LazyLock::new(|| {
    let enable = AttributeSchema {
        name: ENABLE,
        required: false,
        value_kind: ValueKind::LooseFlag,
        default: Some(false.to_string()),
        help: "whether it gets the new sessions of the service",
    };
    let enabled_group = AttributeSchema {
        name: "group",
        required: true,
        value_kind: ValueKind::NewName,
        default: None,
        help: "name of the group that gets new sessions",
    };
    let first_key = AttributeSchema {
        name: "key",
        required: false,
        value_kind: ValueKind::PublicKey,
        default: None,
        help: "the first of the user's public keys",
    };
    vec![
        CONFIG.schema(SECTIONS),
        ElementSchema {
            name: ROOTS[1],
            ..CONFIG.schema(SECTIONS)
        },
        SERVICE.schema(
            const {
                &[
                    child("listen", Occurs::AtLeastOnce),
                    child("route", Occurs::AnyNumber),
                    child("group", Occurs::AtLeastOnce),
                    child(ENABLE, Occurs::AtMostOnce),
                ]
            },
        ),
        LISTENER.schema(&[]),
        ROUTE.schema(&[]),
        GROUP
            .schema(
                const {
                    &[
                        child("check", Occurs::AnyNumber),
                        child("host", Occurs::AnyNumber),
                        child("client", Occurs::AnyNumber),
                    ]
                },
            )
            .with(enable),
        CHECK.schema(&[]),
        HOST.schema(&[]),
        CLIENT.schema(&[]),
        without_attributes(ENABLE, &[]).with(enabled_group),
        OLD_WEB.schema(
            const {
                &[
                    child("web", Occurs::AtMostOnce),
                    child("ssh", Occurs::AtMostOnce),
                    child("user", Occurs::AnyNumber),
                ]
            },
        ),
        WEB.schema(&[]),
        SSH.schema(&[]),
        USER.schema(const { &[child("key", Occurs::AnyNumber)] })
            .with(first_key),
        without_attributes("key", &[]),
        MANAGER.schema(
            const {
                &[
                    child("hostCheck", Occurs::AtMostOnce),
                    child("configCheck", Occurs::AtMostOnce),
                    child("heartbeat", Occurs::AtMostOnce),
                ]
            },
        ),
        HOST_CHECK.schema(&[]),
        CONFIG_CHECK.schema(&[]),
        HEARTBEAT.schema(&[]),
        CHECK_TIME.schema(&[]),
        CONTROL.schema(&[]),
        LOGGING.schema(&[]),
        without_attributes(NOTE, &[]),
    ]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_there_once_and_has_a_place() {
        for entry in schema() {
            let name = entry.name;
            let same = schema().iter().filter(|other| other.name == name);
            assert_eq!(same.count(), 1, "{name}");
            let mut children = schema().iter().flat_map(|parent| parent.children);
            let has_place = children.any(|child| child.name == name);
            assert_eq!(has_place, !ROOTS.contains(&name) && name != NOTE, "{name}");
        }
    }

    #[test]
    fn every_child_is_described() {
        for child in schema().iter().flat_map(|entry| entry.children) {
            assert!(element_schema(child.name).is_some(), "{}", child.name);
        }
    }
}
