//! `<admin>`: the doors for operators, and who may pass them.

use std::collections::HashSet;

use super::element::Element;
use super::value::NOWHERE;
use super::{Warned, unique};
use crate::config::error::{Error, ErrorKind};
use crate::config::{Admin, ListenAddress, Ssh, User, Web};

/// Reads an `<admin>`.
pub(super) fn admin(element: &Element<'_>, warned: &mut Warned) -> Result<Admin, Error> {
    let mut admin = Admin::default();
    let mut names = HashSet::new();
    for child in element.children() {
        let child = child?;
        match child.name() {
            "web" => admin.web = Some(web(&child)?),
            "ssh" => admin.ssh = Some(ssh(&child)?),
            _ => {
                let user = user(&child, warned)?;
                unique(&mut names, &child, &user.name)?;
                admin.users.push(user);
            }
        }
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
        Some(password) if !is_crypt(password) => warned.push(
            element,
            format!(
                "the password of user \"{}\" is not a crypt(3) hash and fits nothing",
                user.name
            ),
        ),
        Some(password) if is_weak(password) => warned.push(
            element,
            format!(
                "the password of user \"{}\" is a weak hash: txlb passwd makes a better one",
                user.name
            ),
        ),
        _ => {}
    }
    Ok(user)
}

/// Whether a hash is of a kind that is guessed too fast: DES, which moreover looks at
/// eight characters only, and `$1$`.
fn is_weak(hash: &str) -> bool {
    !hash.starts_with('$') || hash.starts_with("$1$")
}

/// Whether it looks like a hash that can be checked: DES, `$1$`, `$5$`, `$6$` or bcrypt.
fn is_crypt(password: &str) -> bool {
    const DES_LENGTH: usize = 13;
    let known = ["$1$", "$5$", "$6$", "$2a$", "$2b$", "$2y$"];
    let is_des = |byte: u8| byte.is_ascii_alphanumeric() || b"./".contains(&byte);
    known.iter().any(|prefix| password.starts_with(prefix))
        || (password.len() == DES_LENGTH && password.bytes().all(is_des))
}
