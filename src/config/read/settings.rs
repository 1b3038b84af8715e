//! `<manager>`, `<control>` and `<logging>`: how to run, rather than what to balance.

use super::element::Element;
use crate::config::error::{Error, ErrorKind};
use crate::config::{Chore, Control, Logging, Manager};

/// Reads a `<manager>`.
pub(super) fn manager(element: &Element<'_>) -> Result<Manager, Error> {
    let mut manager = Manager::default();
    let mut has_host_check = false;
    for child in element.children() {
        let child = child?;
        match child.name() {
            "hostCheck" => {
                has_host_check = true;
                manager.host_check = chore(&child, manager.host_check)?;
            }
            "configCheck" => manager.config_check = chore(&child, manager.config_check)?,
            _ => manager.heartbeat = chore(&child, manager.heartbeat)?,
        }
    }
    if let Some(value) = element.value("hostCheckInterval") {
        if has_host_check {
            let old = "hostCheckInterval";
            return Err(value.error(ErrorKind::OldFormToo {
                old,
                element: "hostCheck",
            }));
        }
        manager.host_check = at_interval(value.seconds()?, manager.host_check);
    }
    Ok(manager)
}

fn chore(element: &Element<'_>, default: Chore) -> Result<Chore, Error> {
    let enable = element
        .value("enable")
        .map_or(default.enable, |value| value.flag());
    let chore = Chore { enable, ..default };
    match element.value("interval") {
        Some(value) => Ok(at_interval(value.seconds()?, chore)),
        None => Ok(chore),
    }
}

/// An interval of 0 switches a chore off.
pub(in crate::config) fn at_interval(interval: Option<std::time::Duration>, chore: Chore) -> Chore {
    match interval {
        Some(interval) => Chore { interval, ..chore },
        None => Chore {
            enable: false,
            ..chore
        },
    }
}

/// Reads a `<control>`.
pub(super) fn control(element: &Element<'_>) -> Result<Control, Error> {
    Ok(match element.value("socket") {
        Some(value) => Control {
            socket: value.path()?,
        },
        None => Control::default(),
    })
}

/// Reads a `<logging>`.
pub(super) fn logging(element: &Element<'_>) -> Result<Logging, Error> {
    Ok(Logging {
        file: element
            .value("file")
            .map(|value| value.path())
            .transpose()?,
        connections: element
            .value("connections")
            .is_some_and(|value| value.flag()),
    })
}
