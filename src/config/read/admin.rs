//! `<admin>`: the doors for operators, and who may pass them.

use std::collections::HashSet;

use super::element::Element;
use super::value::NOWHERE;
use super::{Warned, unique};
use crate::config::crypt::Crypt;
use crate::config::error::{Error, ErrorKind, Quoted};
use crate::config::{Admin, ListenAddress, Ssh, User, Web};

/// Reads an `<admin>`.
pub(super) fn admin(element: &Element<'_>, warned: &mut Warned) -> Result<Admin, Error> {
    let mut admin = Admin::default();
    let mut names = HashSet::new();
    let mut ssh_element = None;
    for child in element.children() {
        let child = child?;
        match child.name() {
            "web" => admin.web = Some(web(&child)?),
            "ssh" => {
                admin.ssh = Some(ssh(&child)?);
                ssh_element = Some(child);
            }
            _ => {
                let user = user(&child, warned)?;
                unique(&mut names, &child, &user.name)?;
                admin.users.push(user);
            }
        }
    }
    let is_open = admin.ssh.as_ref().is_some_and(|ssh| ssh.enable);
    if let Some(element) = ssh_element.filter(|_| is_open && admin.users.is_empty()) {
        let text = "there is no <user>: nobody can log in here";
        warned.push(&element, text.to_owned());
    }
    if let Some(old) = old_web(element, admin.web.is_some())? {
        admin.web = Some(old);
    }
    Ok(admin)
}

/// The attributes of `<admin>` that are an old form of `<web>`, with which each of them is
/// an attribute of that name.
pub(in crate::config) const OLD_WEB: [&str; 3] = ["listen", "secure", "refresh"];

/// Reads the old form of `<web>`, if it is there.
fn old_web(element: &Element<'_>, has_web: bool) -> Result<Option<Web>, Error> {
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
    // Here, whatever it said made it HTTPS; samples say secure="secure".
    web.secure = secure.is_some_and(|value| value.word() != Some(false));
    if let Some(refresh) = refresh {
        web.refresh = refresh.refresh()?;
    }
    Ok(Some(web))
}

fn web(element: &Element<'_>) -> Result<Web, Error> {
    let enable = element.value("enable").is_none_or(|value| value.flag());
    let path = |attribute| {
        element
            .value(attribute)
            .map(|value| value.path())
            .transpose()
    };
    for [attribute, other] in [["cert", "key"], ["key", "cert"]] {
        if let (Some(value), None) = (element.value(attribute), element.value(other)) {
            return Err(value.error(ErrorKind::HalfAPair { attribute, other }));
        }
    }
    Ok(Web {
        listen: door(element, enable)?,
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

fn ssh(element: &Element<'_>) -> Result<Ssh, Error> {
    let enable = element.value("enable").is_none_or(|value| value.flag());
    Ok(Ssh {
        listen: door(element, enable)?,
        enable,
    })
}

/// Where a door listens. The ancestor wrote `None` for one that it had not opened.
fn door(element: &Element<'_>, enable: bool) -> Result<Option<ListenAddress>, Error> {
    match element.value("listen") {
        Some(value) if !enable && value.text == NOWHERE => Ok(None),
        Some(value) => value.address().map(Some),
        None if !enable => Ok(None),
        None => element.required("listen").map(|_| None),
    }
}

fn user(element: &Element<'_>, warned: &mut Warned) -> Result<User, Error> {
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
            if let Some(doubt) = doubt(password) {
                let text = format!("the password of user {} {doubt}", Quoted(&user.name));
                warned.push(element, text);
            }
        }
        None => {}
    }
    Ok(user)
}

/// What is wrong with a password, if something is.
fn doubt(password: &str) -> Option<String> {
    match Crypt::read(password) {
        Err(why) => Some(format!("fits nothing: {why}")),
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
