//! `setOption`: the table of options, how each is read and set.
//!
//! An option is an attribute outside of services and users, by its path in the file
//! (`logging.file`), or an element that may be there or not. An empty value takes it out of the
//! file: its default holds then.

#[cfg(test)]
mod tests;

use super::table::ValueKind;
use super::{CommandError, ParseError};
use crate::config::error::nearest;
use crate::config::read::{NO_ADDRESS, Value, with_interval};
use crate::config::serialize::{mode, path, seconds};
use crate::config::{
    Admin, Config, Control, Error, ListenAddress, Manager, PeriodicTask, Ssh, Web,
};

/// An option that `setOption` sets.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct OptionSchema {
    /// Its name: elements and the attribute, separated by points.
    pub path: &'static str,
    /// Kind of its value; for an element, whether it is there.
    pub value_kind: ValueKind,
    access: OptionAccess,
}

/// How an option is read and set. Setting `None` removes it; that is only called where it has a
/// value.
#[derive(Debug, Clone, Copy)]
enum OptionAccess {
    /// An optional element.
    Element {
        is_present: fn(&Config) -> bool,
        set: fn(&mut Config, bool) -> Result<(), CommandError>,
    },
    /// An attribute of `<web>`, which must be there.
    Web {
        value: fn(&Web) -> Option<String>,
        set: fn(&mut Web, Option<Value<'_>>) -> Result<(), Error>,
    },
    /// The interval of a periodic task.
    Interval(fn(&mut Manager) -> &mut PeriodicTask),
    /// Whether a periodic task is enabled.
    Enable(fn(&mut Manager) -> &mut PeriodicTask),
    /// Any other attribute.
    Attribute {
        value: fn(&Config) -> Option<String>,
        set: fn(&mut Config, Option<Value<'_>>) -> Result<(), CommandError>,
    },
}

/// All options, in the order of the file.
pub fn options() -> &'static [OptionSchema] {
    OPTIONS
}

impl OptionSchema {
    /// Its value in `config`; `None` where there is none.
    pub fn value(&self, config: &Config) -> Option<String> {
        let mut manager = config.manager;
        match self.access {
            OptionAccess::Element { is_present, .. } => {
                is_present(config).then(|| true.to_string())
            }
            OptionAccess::Web { value, .. } => value(config.admin.as_ref()?.web.as_ref()?),
            OptionAccess::Interval(task) => Some(seconds(Some(task(&mut manager).interval))),
            OptionAccess::Enable(task) => Some(task(&mut manager).enable.to_string()),
            OptionAccess::Attribute { value, .. } => value(config),
        }
    }

    /// Whether it is an element.
    pub(super) fn is_element(&self) -> bool {
        matches!(self.access, OptionAccess::Element { .. })
    }

    /// Checks `text`; `None` if it means no value.
    fn parse_value<'a>(&self, text: &'a str) -> Result<Option<Value<'a>>, Error> {
        let value = Value::detached(self.path, text);
        let is_none = match self.value_kind {
            _ if text.is_empty() => true,
            // txLoadBalancer's word for no address.
            ValueKind::ListenAddress if text == NO_ADDRESS => true,
            ValueKind::ListenAddress => value.address::<ListenAddress>().map(|_| false)?,
            ValueKind::Seconds => value.seconds().map(|_| false)?,
            ValueKind::Path => value.path().map(|_| false)?,
            ValueKind::Mode => value.mode().map(|_| false)?,
            ValueKind::HostNames => value.host_names().map(|_| false)?,
            ValueKind::Flag => !value.boolean()? && self.is_element(),
            _ => false,
        };
        Ok((!is_none).then_some(value))
    }

    fn set(&self, config: &mut Config, value: Option<Value<'_>>) -> Result<(), CommandError> {
        if value.is_none() && self.value(config).is_none() {
            return Ok(());
        }
        match self.access {
            OptionAccess::Element { set, .. } => set(config, value.is_some()),
            OptionAccess::Web { set, .. } => {
                let web = config.admin.as_mut().and_then(|admin| admin.web.as_mut());
                let no_listen_address = CommandError::NoListenAddress { option: WEB_LISTEN };
                Ok(set(web.ok_or(no_listen_address)?, value)?)
            }
            OptionAccess::Interval(task) => {
                let default = *task(&mut Manager::default());
                let task = task(&mut config.manager);
                match value {
                    Some(value) => *task = with_interval(value.seconds()?, *task),
                    None => task.interval = default.interval,
                }
                Ok(())
            }
            OptionAccess::Enable(task) => {
                let default = *task(&mut Manager::default());
                task(&mut config.manager).enable =
                    value.map_or(default.enable, |value| value.flag());
                Ok(())
            }
            OptionAccess::Attribute { set, .. } => set(config, value),
        }
    }
}

/// Checks that the option exists and may have this value.
pub(super) fn check(name: &str, text: &str) -> Result<(), ParseError> {
    let parse_value = option(name)?.parse_value(text);
    parse_value
        .map(drop)
        .map_err(|error| ParseError::Value(error.kind))
}

/// Sets an option, or removes it if `text` is empty.
pub(super) fn set(config: &mut Config, name: &str, text: &str) -> Result<(), CommandError> {
    let option = option(name).map_err(CommandError::Option)?;
    option.set(config, option.parse_value(text)?)
}

fn option(name: &str) -> Result<&'static OptionSchema, ParseError> {
    let found = options().iter().find(|option| option.path == name);
    found.ok_or_else(|| ParseError::UnknownOption {
        found: name.to_owned(),
        nearest: nearest(name, options().iter().map(|option| option.path)),
    })
}

/// The option that a new `<web>` needs first.
const WEB_LISTEN: &str = "admin.web.listen";

/// Every option, in the order of the file.
const OPTIONS: &[OptionSchema] = &[
    element(
        "admin",
        |config| config.admin.is_some(),
        |config, present| {
            config.admin = present.then(|| config.admin.take().unwrap_or_default());
            Ok(())
        },
    ),
    element(
        "admin.web",
        |config| web(config).is_some(),
        |config, present| set_present(&mut admin(config).web, present),
    ),
    attribute(
        WEB_LISTEN,
        ValueKind::ListenAddress,
        |config| listen_text(&web(config)?.listen),
        |config, value| set_listen(&mut admin(config).web, value),
    ),
    attribute(
        "admin.web.enable",
        ValueKind::Flag,
        |config| Some(web(config)?.enable.to_string()),
        |config, value| set_enable(&mut admin(config).web, value),
    ),
    web_attribute(
        "admin.web.secure",
        ValueKind::Flag,
        |web| Some(web.secure.to_string()),
        |web, value| {
            web.secure = is_set(value);
            Ok(())
        },
    ),
    web_attribute(
        "admin.web.refresh",
        ValueKind::Seconds,
        |web| Some(seconds(web.refresh)),
        |web, value| {
            web.refresh = value.map_or(Ok(Some(Web::REFRESH)), |value| value.refresh())?;
            Ok(())
        },
    ),
    web_attribute(
        "admin.web.cert",
        ValueKind::Path,
        |web| web.cert.as_deref().map(path),
        |web, value| {
            web.cert = value.map(|value| value.path()).transpose()?;
            Ok(())
        },
    ),
    web_attribute(
        "admin.web.key",
        ValueKind::Path,
        |web| web.key.as_deref().map(path),
        |web, value| {
            web.key = value.map(|value| value.path()).transpose()?;
            Ok(())
        },
    ),
    web_attribute(
        "admin.web.names",
        ValueKind::HostNames,
        |web| Some(web.names.join(" ")).filter(|names| !names.is_empty()),
        |web, value| {
            web.names = value.map_or(Ok(Vec::new()), |value| value.host_names())?;
            Ok(())
        },
    ),
    element(
        "admin.ssh",
        |config| ssh(config).is_some(),
        |config, present| set_present(&mut admin(config).ssh, present),
    ),
    attribute(
        "admin.ssh.listen",
        ValueKind::ListenAddress,
        |config| listen_text(&ssh(config)?.listen),
        |config, value| set_listen(&mut admin(config).ssh, value),
    ),
    attribute(
        "admin.ssh.enable",
        ValueKind::Flag,
        |config| Some(ssh(config)?.enable.to_string()),
        |config, value| set_enable(&mut admin(config).ssh, value),
    ),
    interval("manager.hostCheck.interval", |manager| {
        &mut manager.host_check
    }),
    enable("manager.hostCheck.enable", |manager| {
        &mut manager.host_check
    }),
    interval("manager.configCheck.interval", |manager| {
        &mut manager.config_check
    }),
    enable("manager.configCheck.enable", |manager| {
        &mut manager.config_check
    }),
    interval("manager.heartbeat.interval", |manager| {
        &mut manager.heartbeat
    }),
    enable("manager.heartbeat.enable", |manager| &mut manager.heartbeat),
    element(
        "control",
        |config| config.control.is_some(),
        |config, present| {
            config.control = present.then(|| config.control.take().unwrap_or_default());
            Ok(())
        },
    ),
    attribute(
        "control.socket",
        ValueKind::Path,
        |config| Some(path(&config.control.as_ref()?.socket)),
        |config, value| {
            config.control = match value {
                Some(value) if value.text == NO_ADDRESS => None,
                value => {
                    let socket = match value {
                        Some(value) => value.path()?,
                        None => Control::default().socket,
                    };
                    let mut control = config.control.take().unwrap_or_default();
                    // Allows two sockets to swap paths, one verb after the other.
                    control.amp_socket.take_if(|other| *other == socket);
                    Some(Control { socket, ..control })
                }
            };
            Ok(())
        },
    ),
    attribute(
        "control.amp",
        ValueKind::Flag,
        |config| Some(config.control.as_ref()?.amp.to_string()),
        |config, value| {
            control(config)?.amp = value.map_or(Ok(true), |value| value.boolean())?;
            Ok(())
        },
    ),
    attribute(
        "control.ampSocket",
        ValueKind::Path,
        |config| config.control.as_ref()?.amp_socket.as_deref().map(path),
        |config, value| {
            let control = control(config)?;
            let other = |value: Value<'_>| value.path_other_than(&control.socket);
            control.amp_socket = value.map(other).transpose()?;
            Ok(())
        },
    ),
    attribute(
        "control.ampMode",
        ValueKind::Mode,
        |config| Some(mode(config.control.as_ref()?.amp_mode)),
        |config, value| {
            let default = Control::default().amp_mode;
            control(config)?.amp_mode = value.map_or(Ok(default), |value| value.mode())?;
            Ok(())
        },
    ),
    attribute(
        "logging.file",
        ValueKind::Path,
        |config| config.logging.file.as_deref().map(path),
        |config, value| {
            config.logging.file = value.map(|value| value.path()).transpose()?;
            Ok(())
        },
    ),
    attribute(
        "logging.connections",
        ValueKind::Flag,
        |config| Some(config.logging.connections.to_string()),
        |config, value| {
            config.logging.connections = is_set(value);
            Ok(())
        },
    ),
];

const fn element(
    path: &'static str,
    is_present: fn(&Config) -> bool,
    set: fn(&mut Config, bool) -> Result<(), CommandError>,
) -> OptionSchema {
    OptionSchema {
        path,
        value_kind: ValueKind::Flag,
        access: OptionAccess::Element { is_present, set },
    }
}

const fn attribute(
    path: &'static str,
    value_kind: ValueKind,
    value: fn(&Config) -> Option<String>,
    set: fn(&mut Config, Option<Value<'_>>) -> Result<(), CommandError>,
) -> OptionSchema {
    OptionSchema {
        path,
        value_kind,
        access: OptionAccess::Attribute { value, set },
    }
}

const fn web_attribute(
    path: &'static str,
    value_kind: ValueKind,
    value: fn(&Web) -> Option<String>,
    set: fn(&mut Web, Option<Value<'_>>) -> Result<(), Error>,
) -> OptionSchema {
    OptionSchema {
        path,
        value_kind,
        access: OptionAccess::Web { value, set },
    }
}

const fn interval(path: &'static str, task: fn(&mut Manager) -> &mut PeriodicTask) -> OptionSchema {
    OptionSchema {
        path,
        value_kind: ValueKind::Seconds,
        access: OptionAccess::Interval(task),
    }
}

const fn enable(path: &'static str, task: fn(&mut Manager) -> &mut PeriodicTask) -> OptionSchema {
    OptionSchema {
        path,
        value_kind: ValueKind::Flag,
        access: OptionAccess::Enable(task),
    }
}

/// The admin section, added if needed.
fn admin(config: &mut Config) -> &mut Admin {
    config.admin.get_or_insert_default()
}

/// The control socket, which must be there.
fn control(config: &mut Config) -> Result<&mut Control, CommandError> {
    let no_listen_address = CommandError::NoListenAddress {
        option: "control.socket",
    };
    config.control.as_mut().ok_or(no_listen_address)
}

fn web(config: &Config) -> Option<&Web> {
    config.admin.as_ref()?.web.as_ref()
}

fn ssh(config: &Config) -> Option<&Ssh> {
    config.admin.as_ref()?.ssh.as_ref()
}

fn listen_text(listen: &Option<ListenAddress>) -> Option<String> {
    listen.as_ref().map(ToString::to_string)
}

fn is_set(value: Option<Value<'_>>) -> bool {
    value.is_some_and(|value| value.flag())
}

/// What `<web>` and `<ssh>` have in common.
trait AdminElement: Sized {
    /// The option of its address.
    const LISTEN: &'static str;
    /// The option that enables it.
    const ENABLE: &'static str;

    /// A new one, enabled if it has an address.
    fn new(listen: Option<ListenAddress>) -> Self;

    /// Its address, and whether it is enabled.
    fn state(&mut self) -> (&mut Option<ListenAddress>, &mut bool);
}

impl AdminElement for Web {
    const LISTEN: &'static str = WEB_LISTEN;
    const ENABLE: &'static str = "admin.web.enable";

    fn new(listen: Option<ListenAddress>) -> Self {
        Web::new(listen)
    }

    fn state(&mut self) -> (&mut Option<ListenAddress>, &mut bool) {
        (&mut self.listen, &mut self.enable)
    }
}

impl AdminElement for Ssh {
    const LISTEN: &'static str = "admin.ssh.listen";
    const ENABLE: &'static str = "admin.ssh.enable";

    fn new(listen: Option<ListenAddress>) -> Self {
        Ssh::new(listen)
    }

    fn state(&mut self) -> (&mut Option<ListenAddress>, &mut bool) {
        (&mut self.listen, &mut self.enable)
    }
}

fn no_listen_address<D: AdminElement>() -> CommandError {
    CommandError::NoListenAddress { option: D::LISTEN }
}

/// Adds or removes the element. A new one needs an address first.
fn set_present<D: AdminElement>(
    element: &mut Option<D>,
    present: bool,
) -> Result<(), CommandError> {
    match (present, &element) {
        (true, None) => return Err(no_listen_address::<D>()),
        (true, Some(_)) => {}
        (false, _) => *element = None,
    }
    Ok(())
}

/// Sets the address; adds the element if needed.
fn set_listen<D: AdminElement>(
    element: &mut Option<D>,
    value: Option<Value<'_>>,
) -> Result<(), CommandError> {
    let address = value.map(|value| value.address()).transpose()?;
    let (listen, enable) = match element {
        None => {
            *element = Some(D::new(address));
            return Ok(());
        }
        Some(element) => element.state(),
    };
    if *enable && address.is_none() {
        return Err(CommandError::InterfaceEnabled { option: D::ENABLE });
    }
    *listen = address;
    Ok(())
}

/// Enables (the default) or disables it.
fn set_enable<D: AdminElement>(
    element: &mut Option<D>,
    value: Option<Value<'_>>,
) -> Result<(), CommandError> {
    let wanted = value.is_none_or(|value| value.flag());
    let (listen, enable) = element.get_or_insert_with(|| D::new(None)).state();
    if wanted && listen.is_none() {
        return Err(no_listen_address::<D>());
    }
    *enable = wanted;
    Ok(())
}
