//! An element of the file, checked against the schema; the errors and warnings about elements.

use std::collections::HashSet;

use roxmltree::{Attribute, Node};

use super::Warning;
use crate::config::CustomNames;
use crate::config::attributes::ElementTable;
use crate::config::error::{BYTE_ORDER_MARK, Error, ErrorKind, Position, nearest};
use crate::config::schema::{ElementSchema, NOTE, Occurs, ROOTS, element_schema};
use crate::config::value::Value;

/// What is found while elements are read. What has an error is read on with a default, so that one
/// mistake gives one error.
pub(super) struct Findings<'a> {
    pub(super) custom: &'a CustomNames,
    pub(super) errors: Vec<Error>,
    /// Each with its byte offset.
    warnings: Vec<(usize, String)>,
}

impl<'a> Findings<'a> {
    /// Reading ends at so many errors: each costs the count of its lines.
    const MOST_ERRORS: usize = 100;

    pub(super) fn new(custom: &'a CustomNames) -> Self {
        Findings {
            custom,
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Whether there are so many errors that the rest need not be read.
    pub(super) fn is_full(&self) -> bool {
        self.errors.len() >= Self::MOST_ERRORS
    }

    pub(super) fn error(&mut self, error: Error) {
        self.errors.push(error);
    }

    /// The value, or its error noted.
    pub(super) fn ok<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.error(error)).ok()
    }

    pub(super) fn warn(&mut self, offset: usize, text: String) {
        self.warnings.push((offset, text));
    }

    /// The warnings in the file's order. One pass over the text counts the lines for all.
    pub(super) fn into_warnings(mut self, text: &str) -> Vec<Warning> {
        self.warnings.sort_by_key(|(offset, _)| *offset);
        let mut position = Position::START;
        let mut counted = if text.starts_with(BYTE_ORDER_MARK) {
            BYTE_ORDER_MARK.len()
        } else {
            0
        };
        let with_position = |(offset, text_of_it): (usize, String)| {
            position = position.advanced(text.get(counted..offset).unwrap_or_default());
            counted = counted.max(offset);
            Warning {
                position,
                text: text_of_it,
            }
        };
        self.warnings.into_iter().map(with_position).collect()
    }
}

/// An element whose name is in the schema.
pub(super) struct Element<'a> {
    node: Node<'a, 'a>,
    schema: &'static ElementSchema,
    original: &'a str,
    /// Whether its attributes and children have names that are unknown: what seems to be missing
    /// may be misspelt, and that is one error already.
    pub(super) is_misspelt: bool,
}

impl<'a> Element<'a> {
    /// The outermost element, which must have one of its two names; `original` is for positions.
    pub(super) fn root(
        node: Node<'a, 'a>,
        original: &'a str,
        findings: &mut Findings<'_>,
    ) -> Result<Self, Error> {
        let name = source_name(node, original);
        let schema = element_schema(name).filter(|schema| ROOTS.contains(&schema.name));
        let wrong_root = || Error {
            position: Position::at(original, node.range().start),
            kind: ErrorKind::WrongRoot(name.to_owned()),
        };
        let schema = schema.ok_or_else(wrong_root)?;
        Ok(Element::checked(node, schema, original, findings))
    }

    /// Its name.
    pub(super) fn name(&self) -> &'static str {
        self.schema.name
    }

    /// Where it begins, in bytes.
    pub(super) fn offset(&self) -> usize {
        self.node.range().start
    }

    /// The position of another byte offset of the same file.
    pub(super) fn position_of(&self, offset: usize) -> Position {
        Position::at(self.original, offset)
    }

    /// An error at the element.
    pub(super) fn error(&self, kind: ErrorKind) -> Error {
        error_at(self.original, self.offset(), kind)
    }

    /// The value of an attribute.
    pub(super) fn value(&self, attribute: &'static str) -> Option<Value<'a>> {
        debug_assert!(self.has_attribute(attribute));
        let found = self.node.attribute_node(attribute)?;
        Some(Value {
            of: attribute,
            text: found.value(),
            offset: found.range().start,
            original: self.original,
        })
    }

    /// The error for an attribute that is missing.
    pub(super) fn missing(&self, attribute: &'static str) -> Error {
        let element = self.schema.name;
        self.error(ErrorKind::MissingAttribute { element, attribute })
    }

    /// Reads its attributes into `it`, which has the defaults.
    pub(super) fn read<T>(
        &self,
        table: &ElementTable<T>,
        mut it: T,
        findings: &mut Findings<'_>,
    ) -> T {
        for attribute in table.attributes {
            if let Some(value) = self.value(attribute.name) {
                findings.ok((attribute.set)(&mut it, &value, findings.custom));
            }
        }
        it
    }

    /// Its own text, without comments and notes.
    pub(super) fn text(&self) -> String {
        let texts = self.node.children().filter(Node::is_text);
        let text: String = texts.filter_map(|node| node.text()).collect();
        text.trim().to_owned()
    }

    /// Parses its own text.
    pub(super) fn with_text<T>(
        &self,
        parse: impl FnOnce(Value<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (of, offset, original) = (self.schema.name, self.offset(), self.original);
        let text = &self.text();
        parse(Value {
            of,
            text,
            offset,
            original,
        })
    }

    /// Its child elements without notes; those with unknown names are noted, and left out.
    pub(super) fn children(&mut self, findings: &mut Findings<'_>) -> Vec<Element<'a>> {
        let mut children = Vec::new();
        for (node, name) in elements(self.node, self.original) {
            if findings.is_full() {
                break;
            }
            let known = self.schema.children.iter().find(|child| child.name == name);
            match known.and_then(|child| element_schema(child.name)) {
                Some(schema) => {
                    children.push(Element::checked(node, schema, self.original, findings));
                }
                None => {
                    self.is_misspelt = true;
                    findings.error(self.unknown_element(node, name));
                }
            }
        }
        self.check_counts(&children, findings);
        children
    }

    fn checked(
        node: Node<'a, 'a>,
        schema: &'static ElementSchema,
        original: &'a str,
        findings: &mut Findings<'_>,
    ) -> Self {
        let mut element = Element {
            node,
            schema,
            original,
            is_misspelt: false,
        };
        element.check_attributes(findings);
        element
    }

    fn check_attributes(&mut self, findings: &mut Findings<'_>) {
        let before = findings.errors.len();
        for attribute in self.node.attributes() {
            if attribute.namespace().is_some() || !self.has_attribute(attribute.name()) {
                findings.error(self.unknown_attribute(&attribute));
            }
        }
        // The parser keeps namespace declarations apart from attributes.
        let mut namespaces = self.node.namespaces();
        if let Some(declaration) = namespaces.find(|namespace| namespace.name() != Some("xml"))
            && findings.errors.len() == before
        {
            let name = declaration.name();
            let name = name.map_or("xmlns".into(), |name| format!("xmlns:{name}"));
            findings.error(self.error(self.no_attribute(&name)));
        }
        self.is_misspelt = findings.errors.len() > before;
        if self.is_misspelt {
            return;
        }
        for known in self.schema.attributes.iter().filter(|known| known.required) {
            if self.value(known.name).is_none() {
                findings.error(self.missing(known.name));
            }
        }
    }

    fn has_attribute(&self, name: &str) -> bool {
        let mut known = self.schema.attributes.iter();
        known.any(|known| known.name == name)
    }

    fn unknown_attribute(&self, attribute: &Attribute<'_, '_>) -> Error {
        let name = &self.original[attribute.range_qname()];
        error_at(
            self.original,
            attribute.range().start,
            self.no_attribute(name),
        )
    }

    fn no_attribute(&self, name: &str) -> ErrorKind {
        let known = self.schema.attributes.iter();
        let allowed: Vec<_> = known.map(|known| known.name).collect();
        ErrorKind::UnknownAttribute {
            found: name.to_owned(),
            element: self.schema.name,
            nearest: nearest(name, allowed.iter().copied()),
            allowed,
        }
    }

    fn unknown_element(&self, node: Node<'_, '_>, name: &str) -> Error {
        let known = self.schema.children.iter();
        let allowed: Vec<_> = known.map(|child| child.name).collect();
        let kind = ErrorKind::UnknownElement {
            found: name.to_owned(),
            parent: self.schema.name,
            nearest: nearest(name, allowed.iter().copied()),
            allowed,
        };
        error_at(self.original, node.range().start, kind)
    }

    fn check_counts(&self, children: &[Element<'_>], findings: &mut Findings<'_>) {
        let parent = self.schema.name;
        for child in self.schema.children {
            let element = child.name;
            let mut found = children.iter().filter(|it| it.schema.name == element);
            match (child.occurs, found.next()) {
                (Occurs::AtLeastOnce, None) if !self.is_misspelt => {
                    findings.error(self.error(ErrorKind::MissingElement { parent, element }));
                }
                (Occurs::AtMostOnce, Some(_)) => {
                    let kind = ErrorKind::DuplicateElement { element, parent };
                    let others = found.take(Findings::MOST_ERRORS);
                    others.for_each(|it| findings.error(it.error(kind.clone())));
                }
                _ => {}
            }
        }
    }
}

fn error_at(original: &str, offset: usize, kind: ErrorKind) -> Error {
    let position = Position::at(original, offset);
    Error { position, kind }
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

/// Names of one kind of element, each used once.
#[derive(Default)]
pub(super) struct UniqueNames(HashSet<String>);

impl UniqueNames {
    /// Claims `name` for `element`; an empty one stands for one that has an error.
    pub(super) fn claim(&mut self, element: &Element<'_>, name: &str, findings: &mut Findings<'_>) {
        if name.is_empty() || self.0.insert(name.to_owned()) {
            return;
        }
        let kind = ErrorKind::DuplicateName {
            element: element.name(),
            name: name.to_owned(),
        };
        findings.error(match element.value("name") {
            Some(value) => value.error(kind),
            None => element.error(kind),
        });
    }
}
