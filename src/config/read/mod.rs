//! Reads a configuration file: from its bytes to a [`Config`] and warnings, or to its errors.
//!
//! Both dialects are read alike: PythonDirector's and txLoadBalancer's. Whether ports are free,
//! names resolve and files exist is not looked at here.

mod element;
mod listens;
mod sections;
#[cfg(test)]
mod tests;
mod xml;

use roxmltree::{Document, Node};

use self::element::{Element, Findings, UniqueNames};
use self::listens::{ListenPlaces, check_control_sockets};
use super::attributes::{CONFIG, LOGGING, RESOLVER};
use super::error::{Errors, Position};
use super::schema::{NOTE, element_schema};
use super::value::{Value, ValueKind};
use super::{Config, CustomNames, Initial};

pub(super) use self::xml::scan;

/// A configuration, with warnings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The configuration.
    pub config: Config,
    /// Warnings, in the file's order.
    pub warnings: Vec<Warning>,
}

/// A warning: valid, but probably a mistake.
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
/// All errors, in the file's order. Text that is no XML has one.
pub fn read(text: &[u8]) -> Result<Reading, Errors> {
    read_with(text, &CustomNames::None)
}

/// Like [`read`], with custom schedulers of these names.
///
/// # Errors
///
/// Those of [`read`].
pub fn read_with(text: &[u8], custom: &CustomNames) -> Result<Reading, Errors> {
    let scanned = scan(text)?;
    let document =
        Document::parse(&scanned.text).map_err(|error| xml::convert_error(&error, &scanned))?;
    // Offsets are the same in the original: the DOCTYPE was blanked byte for byte.
    let mut findings = Findings::new(custom);
    let mut root = Element::root(document.root_element(), scanned.original, &mut findings)?;
    let config = read_config(&mut root, &mut findings);
    if let Some(errors) = Errors::new(std::mem::take(&mut findings.errors)) {
        return Err(errors);
    }
    if let Some(encoding) = scanned.false_encoding {
        findings.warn(
            0,
            format!("the file says it is {encoding} but is read as UTF-8"),
        );
    }
    warn_of_booleans(document.root_element(), scanned.original, &mut findings);
    Ok(Reading {
        config,
        warnings: findings.into_warnings(scanned.original),
    })
}

fn read_config(root: &mut Element<'_>, findings: &mut Findings<'_>) -> Config {
    let mut config = Config {
        general: root.read(&CONFIG, (CONFIG.new)(), findings),
        ..Config::default()
    };
    let mut names = UniqueNames::default();
    let mut listens = ListenPlaces::default();
    let (mut manager, mut check_time, mut control) = (None, None, None);
    for mut child in root.children(findings) {
        match child.name() {
            _ if findings.is_full() => break,
            "service" => {
                let service = sections::read_service(&mut child, &mut listens, findings);
                names.claim(&child, &service.name, findings);
                config.services.push(service);
            }
            "admin" => config.admin = Some(sections::read_admin(&mut child, findings)),
            "manager" => manager = Some(child),
            "checktime" => check_time = Some(child),
            "control" => {
                config.control = sections::read_control(&child, findings);
                control = Some(child);
            }
            "resolver" => config.resolver = child.read(&RESOLVER, (RESOLVER.new)(), findings),
            _ => config.logging = child.read(&LOGGING, (LOGGING.new)(), findings),
        }
    }
    config.manager = sections::read_manager(manager.as_mut(), check_time.as_ref(), findings);
    if let (Some(sockets), Some(element)) = (&config.control, &control) {
        check_control_sockets(sockets, element, &listens, findings);
    }
    let element = manager.as_ref().or(check_time.as_ref());
    warn_of_unchecked_hosts(&config, element.unwrap_or(root).offset(), findings);
    if config.services.is_empty() {
        findings.warn(
            root.offset(),
            "there is no <service>: nothing is balanced".to_owned(),
        );
    }
    config
}

/// Warns of hosts that wait for a check which nothing makes.
fn warn_of_unchecked_hosts(config: &Config, offset: usize, findings: &mut Findings<'_>) {
    if config.manager.host_check.enable {
        return;
    }
    let groups = config.services.iter().flat_map(|service| &service.groups);
    for group in groups.filter(|group| group.initial == Initial::Down) {
        let name = &group.name;
        let text = format!(
            "new hosts of group \"{name}\" wait for a check (initial=\"down\"), but hostCheck is off"
        );
        findings.warn(offset, text);
    }
}

/// Warns of booleans that are neither true nor false, where the ancestors took them for false.
fn warn_of_booleans(root: Node<'_, '_>, original: &str, findings: &mut Findings<'_>) {
    let is_named = |node: &Node<'_, '_>, name| node.tag_name().name() == name;
    // On <admin>, any word is true.
    let elements = root.descendants().filter(|node| !is_named(node, "admin"));
    for node in elements {
        let known = element_schema(node.tag_name().name());
        let attributes = known.iter().flat_map(|known| &known.attributes);
        let booleans = attributes.filter(|it| it.value_kind == ValueKind::LooseFlag);
        for of in booleans.map(|it| it.name) {
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
                findings.warn(value.offset, odd);
            }
        }
    }
}
