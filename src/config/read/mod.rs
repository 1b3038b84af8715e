//! Reads a configuration file: from its bytes to a [`Config`] and warnings, or to the first error.
//!
//! Both dialects are read alike: PythonDirector's and txLoadBalancer's. Whether ports are free,
//! names resolve and files exist is not looked at here.

mod element;
mod schema;
mod service;
mod settings;
#[cfg(test)]
mod tests;
mod value;
mod xml;

use std::collections::HashSet;

use roxmltree::{Document, Node};

use self::element::{Element, WarningList, claim_name};
use self::service::ListenOffsets;
use super::error::Error;
use super::{Config, CustomNames};

pub use self::element::Warning;
pub use self::schema::{AttributeSchema, ChildSchema, ElementSchema, Occurs, schema};
pub(super) use self::schema::{CHECK_TIME, HOST_CHECK_INTERVAL, NOTE, OLD_WEB};
pub(super) use self::settings::with_interval;
pub(super) use self::value::{NO_ADDRESS, Value, flag};
pub(super) use self::xml::scan;

/// A configuration, with warnings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The configuration.
    pub config: Config,
    /// Warnings, in the file's order.
    pub warnings: Vec<Warning>,
}

/// Reads a configuration file, given as its bytes.
///
/// # Errors
///
/// The first error, roughly in the file's order.
pub fn read(text: &[u8]) -> Result<Reading, Error> {
    read_with(text, &CustomNames::None)
}

/// Like [`read`], with custom schedulers of these names.
///
/// # Errors
///
/// Those of [`read`].
pub fn read_with(text: &[u8], custom: &CustomNames) -> Result<Reading, Error> {
    let scanned = scan(text)?;
    let document =
        Document::parse(&scanned.text).map_err(|error| xml::convert_error(&error, &scanned))?;
    // Offsets are the same in the original: the DOCTYPE was blanked byte for byte.
    let root = Element::root(document.root_element(), scanned.original)?;
    let mut warnings = WarningList::default();
    if let Some(encoding) = scanned.false_encoding {
        warnings.0.push((
            0,
            format!("the file says it is {encoding} but is read as UTF-8"),
        ));
    }
    let config = read_config(&root, custom, &mut warnings)?;
    warn_of_booleans(document.root_element(), scanned.original, &mut warnings);
    Ok(Reading {
        config,
        warnings: warnings.with_positions(scanned.original),
    })
}

fn read_config(
    root: &Element<'_>,
    custom: &CustomNames,
    warnings: &mut WarningList,
) -> Result<Config, Error> {
    let mut config = Config::default();
    let mut names = HashSet::new();
    let mut listens = ListenOffsets::new();
    let (mut manager, mut check_time) = (None, None);
    for child in root.children() {
        let child = child?;
        match child.name() {
            "service" => {
                let service = service::read_service(&child, &mut listens, custom, warnings)?;
                claim_name(&mut names, &child, &service.name)?;
                config.services.push(service);
            }
            "admin" => config.admin = Some(settings::read_admin(&child, warnings)?),
            "manager" => {
                config.manager = settings::read_manager(&child)?;
                manager = Some(child);
            }
            CHECK_TIME => check_time = Some(child),
            "control" => config.control = settings::read_control(&child)?,
            _ => config.logging = settings::read_logging(&child)?,
        }
    }
    if let Some(check_time) = check_time {
        settings::read_check_time(&check_time, manager.as_ref(), &mut config.manager)?;
    }
    if config.services.is_empty() {
        warnings.push(
            root,
            "there is no <service>: nothing is balanced".to_owned(),
        );
    }
    Ok(config)
}

/// Warns of booleans that are neither true nor false, where the ancestors took them for false.
fn warn_of_booleans(root: Node<'_, '_>, original: &str, warnings: &mut WarningList) {
    const BOOLEANS: [&str; 2] = ["enable", "secure"];
    let is_named = |node: &Node<'_, '_>, name| node.tag_name().name() == name;
    // On <admin>, any word is true.
    let elements = root.descendants().filter(|node| !is_named(node, "admin"));
    for node in elements {
        for of in BOOLEANS {
            let Some(found) = node.attribute_node(of) else {
                continue;
            };
            let value = Value {
                of,
                text: found.value(),
                offset: found.range().start,
                original,
            };
            let odd = value.boolean_warning();
            if let Some(odd) = odd.filter(|_| !node.ancestors().any(|it| is_named(&it, NOTE))) {
                warnings.0.push((value.offset, odd));
            }
        }
    }
}
