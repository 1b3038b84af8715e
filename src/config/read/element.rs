//! An element of the file, checked against the schema, and the warnings about elements.

use std::collections::HashSet;

use roxmltree::{Attribute, Node};

use super::schema::{self, ElementSchema, NOTE, Occurs, ROOTS};
use super::value::Value;
use crate::config::error::{BYTE_ORDER_MARK, Error, ErrorKind, Position, nearest};

/// A warning: valid, but probably a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where it is.
    pub position: Position,
    /// What it is, on one line.
    pub text: String,
}

/// An element whose attributes and children match the schema.
pub(super) struct Element<'a> {
    node: Node<'a, 'a>,
    schema: &'static ElementSchema,
    original: &'a str,
}

impl<'a> Element<'a> {
    /// The outermost element, which must have one of its two names; `original` is for positions.
    pub(super) fn root(node: Node<'a, 'a>, original: &'a str) -> Result<Self, Error> {
        let name = source_name(node, original);
        let schema = schema::element(name).filter(|schema| ROOTS.contains(&schema.name));
        let wrong_root = || Error {
            position: Position::at(original, node.range().start),
            kind: ErrorKind::WrongRoot(name.to_owned()),
        };
        Element {
            node,
            schema: schema.ok_or_else(wrong_root)?,
            original,
        }
        .check()
    }

    /// Its name.
    pub(super) fn name(&self) -> &'static str {
        self.schema.name
    }

    /// Where it begins, in bytes.
    pub(super) fn offset(&self) -> usize {
        self.node.range().start
    }

    /// An error at the element.
    pub(super) fn error(&self, kind: ErrorKind) -> Error {
        Error {
            position: Position::at(self.original, self.offset()),
            kind,
        }
    }

    /// The value of an attribute.
    pub(super) fn value(&self, attribute: &'static str) -> Option<Value<'a>> {
        debug_assert!(
            self.schema
                .attributes
                .iter()
                .any(|known| known.name == attribute)
        );
        let found = self.node.attribute_node(attribute)?;
        Some(Value {
            of: attribute,
            text: found.value(),
            offset: found.range().start,
            original: self.original,
        })
    }

    /// The value of a required attribute.
    pub(super) fn required(&self, attribute: &'static str) -> Result<Value<'a>, Error> {
        let element = self.schema.name;
        let missing = || self.error(ErrorKind::MissingAttribute { element, attribute });
        self.value(attribute).ok_or_else(missing)
    }

    /// Parses its own text, without comments and notes.
    pub(super) fn with_text<T>(
        &self,
        parse: impl FnOnce(Value<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let text: String = self
            .node
            .children()
            .filter(Node::is_text)
            .filter_map(|node| node.text())
            .collect();
        let (of, offset, original) = (self.schema.name, self.offset(), self.original);
        parse(Value {
            of,
            text: text.trim(),
            offset,
            original,
        })
    }

    /// Its child elements without notes, each checked when it is reached.
    pub(super) fn children(&self) -> impl Iterator<Item = Result<Element<'a>, Error>> {
        let (schema, original) = (self.schema, self.original);
        elements(self.node, original).map(move |(node, name)| {
            let known = schema.children.iter().find(|child| child.name == name);
            let schema = known.and_then(|child| schema::element(child.name));
            match schema {
                Some(schema) => Element {
                    node,
                    schema,
                    original,
                }
                .check(),
                None => Err(unknown_element(node, name, self.schema, original)),
            }
        })
    }

    fn check(self) -> Result<Self, Error> {
        for attribute in self.node.attributes() {
            self.check_attribute(&attribute)?;
        }
        // The parser keeps namespace declarations apart from attributes.
        let declaration = self
            .node
            .namespaces()
            .find(|namespace| namespace.name() != Some("xml"));
        if let Some(declaration) = declaration {
            let name = declaration
                .name()
                .map_or("xmlns".into(), |name| format!("xmlns:{name}"));
            return Err(self.error(self.unknown_attribute(&name)));
        }
        for attribute in self.schema.attributes.iter().filter(|known| known.required) {
            self.required(attribute.name)?;
        }
        self.check_counts()?;
        Ok(self)
    }

    fn check_attribute(&self, attribute: &Attribute<'_, '_>) -> Result<(), Error> {
        let known = |name| {
            self.schema
                .attributes
                .iter()
                .any(|known| known.name == name)
        };
        if attribute.namespace().is_none() && known(attribute.name()) {
            return Ok(());
        }
        let name = &self.original[attribute.range_qname()];
        let position = Position::at(self.original, attribute.range().start);
        Err(Error {
            position,
            kind: self.unknown_attribute(name),
        })
    }

    fn unknown_attribute(&self, name: &str) -> ErrorKind {
        let allowed: Vec<_> = self
            .schema
            .attributes
            .iter()
            .map(|known| known.name)
            .collect();
        ErrorKind::UnknownAttribute {
            found: name.to_owned(),
            element: self.schema.name,
            nearest: nearest(name, allowed.iter().copied()),
            allowed,
        }
    }

    fn check_counts(&self) -> Result<(), Error> {
        let parent = self.schema.name;
        for child in self.schema.children {
            let element = child.name;
            let mut found = elements(self.node, self.original).filter(|(_, name)| *name == element);
            let (first, second) = (found.next(), found.next());
            match (child.occurs, first, second) {
                (Occurs::AtLeastOnce, None, _) => {
                    // Report a misspelt child rather than a missing one.
                    self.children().try_for_each(|child| child.map(drop))?;
                    return Err(self.error(ErrorKind::MissingElement { parent, element }));
                }
                (Occurs::AtMostOnce, _, Some((node, _))) => {
                    let position = Position::at(self.original, node.range().start);
                    let kind = ErrorKind::DuplicateElement { element, parent };
                    return Err(Error { position, kind });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Child elements without notes, with their names as written.
fn elements<'a>(
    node: Node<'a, 'a>,
    original: &'a str,
) -> impl Iterator<Item = (Node<'a, 'a>, &'a str)> {
    node.children()
        .filter(Node::is_element)
        .map(move |node| (node, source_name(node, original)))
        .filter(|(_, name)| *name != NOTE)
}

/// The name with its prefix: there are no namespaces here.
fn source_name<'a>(node: Node<'a, 'a>, original: &'a str) -> &'a str {
    let name = &original[node.range().start + 1..];
    let is_end = |character: char| character.is_ascii_whitespace() || "/>".contains(character);
    name.split(is_end).next().unwrap_or_default()
}

fn unknown_element(
    node: Node<'_, '_>,
    name: &str,
    parent: &'static ElementSchema,
    original: &str,
) -> Error {
    let allowed: Vec<_> = parent.children.iter().map(|child| child.name).collect();
    let kind = ErrorKind::UnknownElement {
        found: name.to_owned(),
        parent: parent.name,
        nearest: nearest(name, allowed.iter().copied()),
        allowed,
    };
    Error {
        position: Position::at(original, node.range().start),
        kind,
    }
}

/// Claims `name` for `element`: an error if an earlier one has it.
pub(super) fn claim_name(
    names: &mut HashSet<String>,
    element: &Element<'_>,
    name: &str,
) -> Result<(), Error> {
    if names.insert(name.to_owned()) {
        return Ok(());
    }
    let kind = ErrorKind::DuplicateName {
        element: element.name(),
        name: name.to_owned(),
    };
    match element.value("name") {
        Some(value) => Err(value.error(kind)),
        None => Err(element.error(kind)),
    }
}

/// Warnings, each with its byte offset.
#[derive(Default)]
pub(super) struct WarningList(pub(super) Vec<(usize, String)>);

impl WarningList {
    pub(super) fn push(&mut self, element: &Element<'_>, text: String) {
        self.0.push((element.offset(), text));
    }

    /// Sorts them into the file's order. One pass over the text counts the lines for all.
    pub(super) fn with_positions(mut self, text: &str) -> Vec<Warning> {
        self.0.sort_by_key(|(offset, _)| *offset);
        let mut position = Position::START;
        let mut counted = if text.starts_with(BYTE_ORDER_MARK) {
            BYTE_ORDER_MARK.len()
        } else {
            0
        };
        let with_position = |(offset, warning): (usize, String)| {
            position = position.advanced(text.get(counted..offset).unwrap_or_default());
            counted = counted.max(offset);
            Warning {
                position,
                text: warning,
            }
        };
        self.0.into_iter().map(with_position).collect()
    }
}
