//! Reads `<admin>`, `<manager>`, `<control>` and `<logging>`: how to run, rather than what to
//! balance.

use std::collections::HashSet;

use super::element::{Element, WarningList, claim_name};
use super::schema::{HOST_CHECK_INTERVAL, OLD_WEB};
use super::value::NO_ADDRESS;
use crate::config::credentials::PasswordHash;
use crate::config::error::{Error, ErrorKind};
use crate::config::redact::Quoted;
use crate::config::{
    Admin, Control, ListenAddress, Logging, Manager, PeriodicTask, Ssh, User, Web,
};

/// Reads an `<admin>`.
pub(super) fn read_admin(
    element: &Element<'_>,
    warnings: &mut WarningList,
) -> Result<Admin, Error> {
    let mut admin = Admin::default();
    let mut names = HashSet::new();
    let mut ssh_element = None;
    for child in element.children() {
        let child = child?;
        match child.name() {
            "web" => admin.web = Some(read_web(&child)?),
            "ssh" => {
                admin.ssh = Some(read_ssh(&child)?);
                ssh_element = Some(child);
            }
            _ => {
                let user = read_user(&child, warnings)?;
                claim_name(&mut names, &child, &user.name)?;
                admin.users.push(user);
            }
        }
    }
    let is_open = admin.ssh.as_ref().is_some_and(|ssh| ssh.enable);
    if let Some(element) = ssh_element.filter(|_| is_open && admin.users.is_empty()) {
        let text = "there is no <user>: all logins are rejected";
        warnings.push(&element, text.to_owned());
    }
    if let Some(old) = read_old_web(element, admin.web.is_some())? {
        admin.web = Some(old);
    }
    Ok(admin)
}

/// Reads the old form of `<web>`, if it is there.
fn read_old_web(element: &Element<'_>, has_web: bool) -> Result<Option<Web>, Error> {
    let [listen, secure, refresh] = OLD_WEB.map(|attribute| element.value(attribute));
    let Some(first) = listen.or(secure).or(refresh) else {
        return Ok(None);
    };
    if has_web {
        let old = match first.of {
            "listen" => "listen of <admin>",
            "secure" => "secure of <admin>",
            _ => "refresh of <admin>",
        };
        return Err(first.error(ErrorKind::OldFormToo {
            old,
            element: "web",
        }));
    }
    let mut web = Web::new(Some(element.required("listen")?.address()?));
    // Here any word but a false one enables HTTPS; samples have secure="secure".
    web.secure = secure.is_some_and(|value| value.boolean_word() != Some(false));
    if let Some(refresh) = refresh {
        web.refresh = refresh.refresh()?;
    }
    Ok(Some(web))
}

fn read_web(element: &Element<'_>) -> Result<Web, Error> {
    let enable = element.value("enable").is_none_or(|value| value.flag());
    let path = |attribute| {
        element
            .value(attribute)
            .map(|value| value.path())
            .transpose()
    };
    for [attribute, other] in [["cert", "key"], ["key", "cert"]] {
        if let (Some(value), None) = (element.value(attribute), element.value(other)) {
            return Err(value.error(ErrorKind::IncompletePair { attribute, other }));
        }
    }
    Ok(Web {
        listen: read_listen_address(element, enable)?,
        enable,
        secure: element.value("secure").is_some_and(|value| value.flag()),
        refresh: element
            .value("refresh")
            .map_or(Ok(Some(Web::REFRESH)), |value| value.refresh())?,
        cert: path("cert")?,
        key: path("key")?,
        names: element
            .value("names")
            .map_or(Ok(Vec::new()), |value| value.host_names())?,
    })
}

fn read_ssh(element: &Element<'_>) -> Result<Ssh, Error> {
    let enable = element.value("enable").is_none_or(|value| value.flag());
    Ok(Ssh {
        listen: read_listen_address(element, enable)?,
        enable,
    })
}

/// The listen address of an admin interface. txLoadBalancer wrote `None` for one that was off.
fn read_listen_address(
    element: &Element<'_>,
    enable: bool,
) -> Result<Option<ListenAddress>, Error> {
    match element.value("listen") {
        Some(value) if !enable && value.text == NO_ADDRESS => Ok(None),
        Some(value) => value.address().map(Some),
        None if !enable => Ok(None),
        None => element.required("listen").map(|_| None),
    }
}

fn read_user(element: &Element<'_>, warnings: &mut WarningList) -> Result<User, Error> {
    let mut keys = Vec::new();
    if let Some(value) = element.value("key") {
        keys.push(value.key()?);
    }
    for child in element.children() {
        keys.push(child?.with_text(|value| value.key())?);
    }
    let password = element
        .value("password")
        .map(|value| value.text)
        .filter(|text| !text.is_empty());
    let user = User {
        name: element.required("name")?.name()?,
        password: password.map(str::to_owned),
        access: element.required("access")?.access()?,
        keys,
    };
    match &user.password {
        None if user.keys.is_empty() => {
            return Err(element.error(ErrorKind::NoCredentials { user: user.name }));
        }
        Some(password) => {
            if let Some(password_problem) = password_problem(password) {
                let text = format!(
                    "the password of user {} {password_problem}",
                    Quoted(&user.name)
                );
                warnings.push(element, text);
            }
        }
        None => {}
    }
    Ok(user)
}

/// A warning about a password hash, if there is one.
fn password_problem(password: &str) -> Option<String> {
    match PasswordHash::read(password) {
        Err(why) => Some(format!("matches nothing: {why}")),
        Ok(crypt) if crypt.is_weak() => {
            Some("is a weak hash: txlb passwd makes a better one".to_owned())
        }
        Ok(crypt) if crypt.is_long() => Some(format!(
            "takes about {} ms to check on a slow processor, and only two are checked at a time: \
             txlb passwd makes one that takes less",
            crypt.check_ms
        )),
        Ok(_) => None,
    }
}

/// Reads a `<manager>`.
pub(super) fn read_manager(element: &Element<'_>) -> Result<Manager, Error> {
    let mut manager = Manager::default();
    let mut has_host_check = false;
    for child in element.children() {
        let child = child?;
        match child.name() {
            "hostCheck" => {
                has_host_check = true;
                manager.host_check = read_task(&child, manager.host_check)?;
            }
            "configCheck" => manager.config_check = read_task(&child, manager.config_check)?,
            _ => manager.heartbeat = read_task(&child, manager.heartbeat)?,
        }
    }
    if let Some(value) = element.value(HOST_CHECK_INTERVAL) {
        if has_host_check {
            return Err(value.error(ErrorKind::OldFormToo {
                old: HOST_CHECK_INTERVAL,
                element: "hostCheck",
            }));
        }
        manager.host_check = with_interval(value.seconds()?, manager.host_check);
    }
    Ok(manager)
}

/// Reads a `<checktime>` into `manager`; `element` is the `<manager>`, if any.
pub(super) fn read_check_time(
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
    manager.host_check = with_interval(interval, manager.host_check);
    Ok(())
}

fn read_task(element: &Element<'_>, default: PeriodicTask) -> Result<PeriodicTask, Error> {
    let enable = element
        .value("enable")
        .map_or(default.enable, |value| value.flag());
    let task = PeriodicTask { enable, ..default };
    match element.value("interval") {
        Some(value) => Ok(with_interval(value.seconds()?, task)),
        None => Ok(task),
    }
}

/// The task with this interval; an interval of 0 (`None`) disables it, whatever `enable` says.
pub(in crate::config) fn with_interval(
    interval: Option<std::time::Duration>,
    task: PeriodicTask,
) -> PeriodicTask {
    match interval {
        Some(interval) => PeriodicTask { interval, ..task },
        None => PeriodicTask {
            enable: false,
            ..task
        },
    }
}

/// Reads a `<control>`. txLoadBalancer wrote `socket="None"` where it had none.
pub(super) fn read_control(element: &Element<'_>) -> Result<Option<Control>, Error> {
    let mut control = match element.value("socket") {
        Some(value) if value.text == NO_ADDRESS => return Ok(None),
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
pub(super) fn read_logging(element: &Element<'_>) -> Result<Logging, Error> {
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
