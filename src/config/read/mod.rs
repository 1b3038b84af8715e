//! From the bytes of a file to a [`Config`], or to the first thing that is wrong.
//!
//! Both dialects are read alike: PythonDirector's and txLoadBalancer's. Whether
//! the file can be put to use (ports, names, files it mentions) is not asked here.

mod admin;
mod element;
mod schema;
mod service;
mod settings;
mod value;
mod xml;

use std::collections::HashSet;

use roxmltree::Document;

use self::element::Element;
use self::service::Listens;
use super::error::{Error, ErrorKind, Position};
use super::scan::{BYTE_ORDER_MARK, scan};
use super::{Config, OwnNames};

pub(super) use self::admin::OLD_WEB;
pub(super) use self::schema::NOTE;
pub use self::schema::{AttributeSchema, ChildSchema, ElementSchema, Occurs, schema};
pub(super) use self::settings::{CHECK_TIME, HOST_CHECK_INTERVAL, at_interval};
pub(super) use self::value::{NOWHERE, Value, flag};

/// A configuration, and what is odd about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What the file says.
    pub config: Config,
    /// What is legal but hardly meant, in the file's order.
    pub warnings: Vec<Warning>,
}

/// Something that is legal but hardly meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where it is.
    pub position: Position,
    /// What it is, on one line.
    pub text: String,
}

/// Reads a configuration file, given as its bytes.
///
/// # Errors
///
/// The first thing that is wrong, in the file's order as far as that can be said.
pub fn read(text: &[u8]) -> Result<Reading, Error> {
    read_with(text, &OwnNames::None)
}

/// As [`read`], where schedulers may also have these names.
///
/// # Errors
///
/// As of [`read`].
pub fn read_with(text: &[u8], own: &OwnNames) -> Result<Reading, Error> {
    let scanned = scan(text)?;
    let document =
        Document::parse(&scanned.text).map_err(|error| xml::explain(&error, &scanned))?;
    // Every position is one in the original: the blanked text is as long.
    let root = Element::root(document.root_element(), scanned.original)?;
    let mut warned = Warned::default();
    if let Some(encoding) = scanned.false_encoding {
        warned.0.push((
            0,
            format!("the file says it is {encoding} but is read as UTF-8"),
        ));
    }
    let config = config(&root, own, &mut warned)?;
    Ok(Reading {
        config,
        warnings: warned.positioned(scanned.original),
    })
}

fn config(root: &Element<'_>, own: &OwnNames, warned: &mut Warned) -> Result<Config, Error> {
    let mut config = Config::default();
    let mut names = HashSet::new();
    let mut listens = Listens::new();
    let (mut manager, mut check_time) = (None, None);
    for child in root.children() {
        let child = child?;
        match child.name() {
            "service" => {
                let service = service::service(&child, &mut listens, own, warned)?;
                unique(&mut names, &child, &service.name)?;
                config.services.push(service);
            }
            "admin" => config.admin = Some(admin::admin(&child, warned)?),
            "manager" => {
                config.manager = settings::manager(&child)?;
                manager = Some(child);
            }
            CHECK_TIME => check_time = Some(child),
            "control" => config.control = settings::control(&child)?,
            _ => config.logging = settings::logging(&child)?,
        }
    }
    if let Some(check_time) = check_time {
        settings::check_time(&check_time, manager.as_ref(), &mut config.manager)?;
    }
    if config.services.is_empty() {
        warned.push(
            root,
            "there is no <service>: nothing is balanced".to_owned(),
        );
    }
    Ok(config)
}

/// Takes `name` for `element`, unless one before it has it already.
fn unique(names: &mut HashSet<String>, element: &Element<'_>, name: &str) -> Result<(), Error> {
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

/// Warnings, each with the byte that it is about.
#[derive(Default)]
struct Warned(Vec<(usize, String)>);

impl Warned {
    fn push(&mut self, element: &Element<'_>, text: String) {
        self.0.push((element.offset(), text));
    }

    /// In the file's order; one pass over the text counts the lines for all.
    fn positioned(mut self, text: &str) -> Vec<Warning> {
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

#[cfg(test)]
mod tests;
