//! `<manager>`, `<control>` and `<logging>`: how to run, rather than what to balance.

use super::element::Element;
use super::value::NOWHERE;
use crate::config::error::{Error, ErrorKind};
use crate::config::{Control, Logging, Manager, PeriodicTask};

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
    if let Some(value) = element.value(HOST_CHECK_INTERVAL) {
        if has_host_check {
            return Err(value.error(ErrorKind::OldFormToo {
                old: HOST_CHECK_INTERVAL,
                element: "hostCheck",
            }));
        }
        manager.host_check = at_interval(value.seconds()?, manager.host_check);
    }
    Ok(manager)
}

/// txLoadBalancer's old form of `<hostCheck>`, an attribute of `<manager>`.
pub(in crate::config) const HOST_CHECK_INTERVAL: &str = "hostCheckInterval";

/// PythonDirector's form of `<hostCheck>`, an element of the root.
pub(in crate::config) const CHECK_TIME: &str = "checktime";

/// Reads a `<checktime>` into what `element`, the
/// `<manager>`, says.
pub(super) fn check_time(
    check_time: &Element<'_>,
    element: Option<&Element<'_>>,
    manager: &mut Manager,
) -> Result<(), Error> {
    let says_it_too = element.is_some_and(|element| {
        let mut children = element.children().flatten();
        element.value(HOST_CHECK_INTERVAL).is_some()
            || children.any(|child| child.name() == "hostCheck")
    });
    if says_it_too {
        return Err(check_time.error(ErrorKind::OldFormToo {
            old: "<checktime>",
            element: "hostCheck",
        }));
    }
    let interval = check_time.required("time")?.seconds()?;
    manager.host_check = at_interval(interval, manager.host_check);
    Ok(())
}

fn chore(element: &Element<'_>, default: PeriodicTask) -> Result<PeriodicTask, Error> {
    let enable = element
        .value("enable")
        .map_or(default.enable, |value| value.flag());
    let chore = PeriodicTask { enable, ..default };
    match element.value("interval") {
        Some(value) => Ok(at_interval(value.seconds()?, chore)),
        None => Ok(chore),
    }
}

/// An interval of 0 switches a chore off.
pub(in crate::config) fn at_interval(
    interval: Option<std::time::Duration>,
    chore: PeriodicTask,
) -> PeriodicTask {
    match interval {
        Some(interval) => PeriodicTask { interval, ..chore },
        None => PeriodicTask {
            enable: false,
            ..chore
        },
    }
}

/// Reads a `<control>`. txLoadBalancer wrote one that is nowhere where it had none.
pub(super) fn control(element: &Element<'_>) -> Result<Option<Control>, Error> {
    let mut control = match element.value("socket") {
        Some(value) if value.text == NOWHERE => return Ok(None),
        Some(value) => Control::at(value.path()?),
        None => Control::default(),
    };
    if let Some(value) = element.value("amp") {
        control.amp = value.boolean()?;
    }
    if let Some(value) = element.value("ampSocket") {
        control.amp_socket = Some(value.path_other_than(&control.socket)?);
    }
    if let Some(value) = element.value("ampMode") {
        control.amp_mode = value.mode()?;
    }
    Ok(Some(control))
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
            .map_or(Ok(false), |value| value.boolean())?,
    })
}
