//! The schema: one table of the file's elements with their attributes and children.
//!
//! The reader, its suggestions, the RELAX NG schema and the test of the manual page use it. `value`
//! has the values.

/// One element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ElementSchema {
    /// Its name.
    pub name: &'static str,
    /// Its attributes, in the order of printing.
    pub attributes: &'static [AttributeSchema],
    /// The elements allowed in it, besides `<note>`, which is allowed anywhere.
    pub children: &'static [ChildSchema],
}

/// An attribute of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttributeSchema {
    /// Its name.
    pub name: &'static str,
    /// Whether it is required.
    pub required: bool,
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
pub(in crate::config) const NOTE: &str = "note";

/// The attributes of `<admin>` that are an old form of `<web>`, which has the same attributes.
pub(in crate::config) const OLD_WEB: [&str; 3] = ["listen", "secure", "refresh"];

/// txLoadBalancer's old form of `<hostCheck>`, an attribute of `<manager>`.
pub(in crate::config) const HOST_CHECK_INTERVAL: &str = "hostCheckInterval";

/// PythonDirector's form of `<hostCheck>`, an element of the root.
pub(in crate::config) const CHECK_TIME: &str = "checktime";

/// All elements of a configuration, the outermost first.
pub fn schema() -> &'static [ElementSchema] {
    SCHEMA
}

/// The entry of `name`.
pub(super) fn element(name: &str) -> Option<&'static ElementSchema> {
    SCHEMA.iter().find(|element| element.name == name)
}

const fn required(name: &'static str) -> AttributeSchema {
    AttributeSchema {
        name,
        required: true,
    }
}

const fn optional(name: &'static str) -> AttributeSchema {
    AttributeSchema {
        name,
        required: false,
    }
}

const fn one(name: &'static str) -> ChildSchema {
    ChildSchema {
        name,
        occurs: Occurs::AtMostOnce,
    }
}

const fn any(name: &'static str) -> ChildSchema {
    ChildSchema {
        name,
        occurs: Occurs::AnyNumber,
    }
}

const fn some(name: &'static str) -> ChildSchema {
    ChildSchema {
        name,
        occurs: Occurs::AtLeastOnce,
    }
}

const fn root(name: &'static str) -> ElementSchema {
    ElementSchema {
        name,
        attributes: &[],
        children: SECTIONS,
    }
}

const fn leaf(name: &'static str, attributes: &'static [AttributeSchema]) -> ElementSchema {
    ElementSchema {
        name,
        attributes,
        children: &[],
    }
}

const HOST: &[AttributeSchema] = &[
    optional("name"),
    required("ip"),
    optional("weight"),
    optional("state"),
];
const TASK: &[AttributeSchema] = &[optional("interval"), optional("enable")];

/// Children of the outermost element.
const SECTIONS: &[ChildSchema] = &[
    any("service"),
    one("admin"),
    one("manager"),
    one(CHECK_TIME),
    one("control"),
    one("logging"),
];

/// The names of the outermost element. The second is PythonDirector's, and that of
/// txLoadBalancer before July 2008.
pub(super) const ROOTS: [&str; 2] = ["config", "pdconfig"];

const SCHEMA: &[ElementSchema] = &[
    root(ROOTS[0]),
    root(ROOTS[1]),
    ElementSchema {
        name: "service",
        attributes: &[
            required("name"),
            optional("connectTimeout"),
            optional("idleTimeout"),
            optional("halfClosedTimeout"),
        ],
        children: &[some("listen"), some("group"), one("enable")],
    },
    leaf("listen", &[required("ip")]),
    ElementSchema {
        name: "group",
        attributes: &[
            required("name"),
            optional("scheduler"),
            optional("stickyPrefix"),
            optional("enable"),
        ],
        children: &[any("host"), any("client")],
    },
    leaf("host", HOST),
    leaf("client", HOST),
    leaf("enable", &[required("group")]),
    ElementSchema {
        name: "admin",
        attributes: &[optional("listen"), optional("secure"), optional("refresh")],
        children: &[one("web"), one("ssh"), any("user")],
    },
    leaf(
        "web",
        &[
            optional("listen"),
            optional("enable"),
            optional("secure"),
            optional("refresh"),
            optional("cert"),
            optional("key"),
            optional("names"),
        ],
    ),
    leaf("ssh", &[optional("listen"), optional("enable")]),
    ElementSchema {
        name: "user",
        attributes: &[
            required("name"),
            optional("password"),
            required("access"),
            optional("key"),
        ],
        children: &[any("key")],
    },
    leaf("key", &[]),
    ElementSchema {
        name: "manager",
        attributes: &[optional("hostCheckInterval")],
        children: &[one("hostCheck"), one("configCheck"), one("heartbeat")],
    },
    leaf("hostCheck", TASK),
    leaf("configCheck", TASK),
    leaf("heartbeat", TASK),
    leaf(CHECK_TIME, &[required("time")]),
    leaf(
        "control",
        &[
            optional("socket"),
            optional("amp"),
            optional("ampSocket"),
            optional("ampMode"),
        ],
    ),
    leaf("logging", &[optional("file"), optional("connections")]),
    leaf(NOTE, &[]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_there_once_and_has_a_place() {
        for entry in SCHEMA {
            let same = SCHEMA
                .iter()
                .filter(|other| other.name == entry.name)
                .count();
            assert_eq!(same, 1, "{}", entry.name);
            let has_place = SCHEMA
                .iter()
                .any(|parent| parent.children.iter().any(|child| child.name == entry.name));
            assert_eq!(
                has_place,
                !ROOTS.contains(&entry.name) && entry.name != NOTE,
                "{}",
                entry.name
            );
        }
    }

    #[test]
    fn every_child_is_described() {
        for child in SCHEMA.iter().flat_map(|entry| entry.children) {
            assert!(element(child.name).is_some(), "{}", child.name);
        }
    }
}
