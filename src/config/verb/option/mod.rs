//! `setOption`: the table of options, how each is read and set.
//!
//! An option is an attribute outside of services and users, by its path in the file (`logging.file`), or an element
//! that may be there or not. An empty value takes it out of the file: its default holds then.

#[cfg(test)]
mod tests;

use super::table::Takes;
use super::{CommandError, ParseError};
use crate::config::error::nearest;
use crate::config::read::{NOWHERE, Value, at_interval};
use crate::config::serialize::{mode, path, seconds};
use crate::config::{
    Admin, Config, Control, Error, ListenAddress, Manager, PeriodicTask, Ssh, Web,
};

/// Something that `setOption` sets.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct OptionSchema {
    /// Its name: elements with points between them, then the attribute.
    pub path: &'static str,
    /// What its value is; of an element, whether it is there.
    pub takes: Takes,
    part: Part,
}

/// How it is read and set. Without a value it is taken out, which only happens
/// where it is there.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// An element that may be there or not.
    Element {
        is_there: fn(&Config) -> bool,
        set: fn(&mut Config, bool) -> Result<(), CommandError>,
    },
    /// An attribute of `<web>`, which must be there to be given one.
    Web {
        value: fn(&Web) -> Option<String>,
        set: fn(&mut Web, Option<Value<'_>>) -> Result<(), Error>,
    },
    /// The interval of a chore.
    Interval(fn(&mut Manager) -> &mut PeriodicTask),
    /// Whether a chore is done.
    Enable(fn(&mut Manager) -> &mut PeriodicTask),
    /// Any other attribute.
    Attribute {
        value: fn(&Config) -> Option<String>,
        set: fn(&mut Config, Option<Value<'_>>) -> Result<(), CommandError>,
    },
}

/// Everything that `setOption` sets, in the order of the file.
pub fn options() -> &'static [OptionSchema] {
    OPTIONS
}

impl OptionSchema {
    /// Its value in `config`; `None` where there is none.
    pub fn value(&self, config: &Config) -> Option<String> {
        let mut manager = config.manager;
        match self.part {
            Part::Element { is_there, .. } => is_there(config).then(|| true.to_string()),
            Part::Web { value, .. } => value(config.admin.as_ref()?.web.as_ref()?),
            Part::Interval(chore) => Some(seconds(Some(chore(&mut manager).interval))),
            Part::Enable(chore) => Some(chore(&mut manager).enable.to_string()),
            Part::Attribute { value, .. } => value(config),
        }
    }

    /// Whether it is an element.
    pub(super) fn is_element(&self) -> bool {
        matches!(self.part, Part::Element { .. })
    }

    /// The value that `text` is, if it is one, and one that may be.
    fn given<'a>(&self, text: &'a str) -> Result<Option<Value<'a>>, Error> {
        let value = Value::alone(self.path, text);
        let is_none = match self.takes {
            _ if text.is_empty() => true,
            // The ancestor's word for a door that is nowhere.
            Takes::ListenAddress if text == NOWHERE => true,
            Takes::ListenAddress => value.address::<ListenAddress>().map(|_| false)?,
            Takes::Seconds => value.seconds().map(|_| false)?,
            Takes::Path => value.path().map(|_| false)?,
            Takes::Mode => value.mode().map(|_| false)?,
            Takes::HostNames => value.host_names().map(|_| false)?,
            Takes::Flag => !value.boolean()? && self.is_element(),
            _ => false,
        };
        Ok((!is_none).then_some(value))
    }

    fn set(&self, config: &mut Config, value: Option<Value<'_>>) -> Result<(), CommandError> {
        if value.is_none() && self.value(config).is_none() {
            return Ok(());
        }
        match self.part {
            Part::Element { set, .. } => set(config, value.is_some()),
            Part::Web { set, .. } => {
                let web = config.admin.as_mut().and_then(|admin| admin.web.as_mut());
                let nowhere = CommandError::NowhereToListen { option: WEB_LISTEN };
                Ok(set(web.ok_or(nowhere)?, value)?)
            }
            Part::Interval(chore) => {
                let default = *chore(&mut Manager::default());
                let chore = chore(&mut config.manager);
                match value {
                    Some(value) => *chore = at_interval(value.seconds()?, *chore),
                    None => chore.interval = default.interval,
                }
                Ok(())
            }
            Part::Enable(chore) => {
                let default = *chore(&mut Manager::default());
                chore(&mut config.manager).enable =
                    value.map_or(default.enable, |value| value.flag());
                Ok(())
            }
            Part::Attribute { set, .. } => set(config, value),
        }
    }
}

/// That there is such an option, and that it may have such a value.
pub(super) fn check(name: &str, text: &str) -> Result<(), ParseError> {
    let given = option(name)?.given(text);
    given
        .map(drop)
        .map_err(|error| ParseError::Value(error.kind))
}

/// Sets an option, or takes it out if `text` says nothing.
pub(super) fn set(config: &mut Config, name: &str, text: &str) -> Result<(), CommandError> {
    let option = option(name).map_err(CommandError::Option)?;
    option.set(config, option.given(text)?)
}

fn option(name: &str) -> Result<&'static OptionSchema, ParseError> {
    let found = options().iter().find(|option| option.path == name);
    found.ok_or_else(|| ParseError::UnknownOption {
        found: name.to_owned(),
        nearest: nearest(name, options().iter().map(|option| option.path)),
    })
}

/// The option that a `<web>` begins with.
const WEB_LISTEN: &str = "admin.web.listen";

/// Every option, in the order of the file.
const OPTIONS: &[OptionSchema] = &[
    element(
        "admin",
        |config| config.admin.is_some(),
        |config, there| {
            config.admin = there.then(|| config.admin.take().unwrap_or_default());
            Ok(())
        },
    ),
    element(
        "admin.web",
        |config| web(config).is_some(),
        |config, there| set_there(&mut admin(config).web, there),
    ),
    attribute(
        WEB_LISTEN,
        Takes::ListenAddress,
        |config| spelled(&web(config)?.listen),
        |config, value| set_listen(&mut admin(config).web, value),
    ),
    attribute(
        "admin.web.enable",
        Takes::Flag,
        |config| Some(web(config)?.enable.to_string()),
        |config, value| set_enable(&mut admin(config).web, value),
    ),
    of_web(
        "admin.web.secure",
        Takes::Flag,
        |web| Some(web.secure.to_string()),
        |web, value| {
            web.secure = is_set(value);
            Ok(())
        },
    ),
    of_web(
        "admin.web.refresh",
        Takes::Seconds,
        |web| Some(seconds(web.refresh)),
        |web, value| {
            web.refresh = value.map_or(Ok(Some(Web::REFRESH)), |value| value.refresh())?;
            Ok(())
        },
    ),
    of_web(
        "admin.web.cert",
        Takes::Path,
        |web| web.cert.as_deref().map(path),
        |web, value| {
            web.cert = value.map(|value| value.path()).transpose()?;
            Ok(())
        },
    ),
    of_web(
        "admin.web.key",
        Takes::Path,
        |web| web.key.as_deref().map(path),
        |web, value| {
            web.key = value.map(|value| value.path()).transpose()?;
            Ok(())
        },
    ),
    of_web(
        "admin.web.names",
        Takes::HostNames,
        |web| Some(web.names.join(" ")).filter(|names| !names.is_empty()),
        |web, value| {
            web.names = value.map_or(Ok(Vec::new()), |value| value.host_names())?;
            Ok(())
        },
    ),
    element(
        "admin.ssh",
        |config| ssh(config).is_some(),
        |config, there| set_there(&mut admin(config).ssh, there),
    ),
    attribute(
        "admin.ssh.listen",
        Takes::ListenAddress,
        |config| spelled(&ssh(config)?.listen),
        |config, value| set_listen(&mut admin(config).ssh, value),
    ),
    attribute(
        "admin.ssh.enable",
        Takes::Flag,
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
        |config, there| {
            config.control = there.then(|| config.control.take().unwrap_or_default());
            Ok(())
        },
    ),
    attribute(
        "control.socket",
        Takes::Path,
        |config| Some(path(&config.control.as_ref()?.socket)),
        |config, value| {
            config.control = match value {
                Some(value) if value.text == NOWHERE => None,
                value => {
                    let socket = match value {
                        Some(value) => value.path()?,
                        None => Control::default().socket,
                    };
                    let mut control = config.control.take().unwrap_or_default();
                    // Two that swap their paths do so one after the other.
                    control.amp_socket.take_if(|other| *other == socket);
                    Some(Control { socket, ..control })
                }
            };
            Ok(())
        },
    ),
    attribute(
        "control.amp",
        Takes::Flag,
        |config| Some(config.control.as_ref()?.amp.to_string()),
        |config, value| {
            control(config)?.amp = value.map_or(Ok(true), |value| value.boolean())?;
            Ok(())
        },
    ),
    attribute(
        "control.ampSocket",
        Takes::Path,
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
        Takes::Mode,
        |config| Some(mode(config.control.as_ref()?.amp_mode)),
        |config, value| {
            let default = Control::default().amp_mode;
            control(config)?.amp_mode = value.map_or(Ok(default), |value| value.mode())?;
            Ok(())
        },
    ),
    attribute(
        "logging.file",
        Takes::Path,
        |config| config.logging.file.as_deref().map(path),
        |config, value| {
            config.logging.file = value.map(|value| value.path()).transpose()?;
            Ok(())
        },
    ),
    attribute(
        "logging.connections",
        Takes::Flag,
        |config| Some(config.logging.connections.to_string()),
        |config, value| {
            config.logging.connections = is_set(value);
            Ok(())
        },
    ),
];

const fn element(
    path: &'static str,
    is_there: fn(&Config) -> bool,
    set: fn(&mut Config, bool) -> Result<(), CommandError>,
) -> OptionSchema {
    OptionSchema {
        path,
        takes: Takes::Flag,
        part: Part::Element { is_there, set },
    }
}

const fn attribute(
    path: &'static str,
    takes: Takes,
    value: fn(&Config) -> Option<String>,
    set: fn(&mut Config, Option<Value<'_>>) -> Result<(), CommandError>,
) -> OptionSchema {
    OptionSchema {
        path,
        takes,
        part: Part::Attribute { value, set },
    }
}

const fn of_web(
    path: &'static str,
    takes: Takes,
    value: fn(&Web) -> Option<String>,
    set: fn(&mut Web, Option<Value<'_>>) -> Result<(), Error>,
) -> OptionSchema {
    OptionSchema {
        path,
        takes,
        part: Part::Web { value, set },
    }
}

const fn interval(
    path: &'static str,
    chore: fn(&mut Manager) -> &mut PeriodicTask,
) -> OptionSchema {
    OptionSchema {
        path,
        takes: Takes::Seconds,
        part: Part::Interval(chore),
    }
}

const fn enable(path: &'static str, chore: fn(&mut Manager) -> &mut PeriodicTask) -> OptionSchema {
    OptionSchema {
        path,
        takes: Takes::Flag,
        part: Part::Enable(chore),
    }
}

/// The admin section, there from now on.
fn admin(config: &mut Config) -> &mut Admin {
    config.admin.get_or_insert_default()
}

/// The control socket, which must be there to be told more of.
fn control(config: &mut Config) -> Result<&mut Control, CommandError> {
    let nowhere = CommandError::NowhereToListen {
        option: "control.socket",
    };
    config.control.as_mut().ok_or(nowhere)
}

fn web(config: &Config) -> Option<&Web> {
    config.admin.as_ref()?.web.as_ref()
}

fn ssh(config: &Config) -> Option<&Ssh> {
    config.admin.as_ref()?.ssh.as_ref()
}

fn spelled(listen: &Option<ListenAddress>) -> Option<String> {
    listen.as_ref().map(ToString::to_string)
}

fn is_set(value: Option<Value<'_>>) -> bool {
    value.is_some_and(|value| value.flag())
}

/// What the doors have in common.
trait Door: Sized {
    /// The option that says where it listens.
    const LISTEN: &'static str;
    /// The option that says whether it is open.
    const ENABLE: &'static str;

    /// A door that is open if it has a place to listen.
    fn new(listen: Option<ListenAddress>) -> Self;

    /// Where it listens, and whether it is open.
    fn state(&mut self) -> (&mut Option<ListenAddress>, &mut bool);
}

impl Door for Web {
    const LISTEN: &'static str = WEB_LISTEN;
    const ENABLE: &'static str = "admin.web.enable";

    fn new(listen: Option<ListenAddress>) -> Self {
        Web::new(listen)
    }

    fn state(&mut self) -> (&mut Option<ListenAddress>, &mut bool) {
        (&mut self.listen, &mut self.enable)
    }
}

impl Door for Ssh {
    const LISTEN: &'static str = "admin.ssh.listen";
    const ENABLE: &'static str = "admin.ssh.enable";

    fn new(listen: Option<ListenAddress>) -> Self {
        Ssh::new(listen)
    }

    fn state(&mut self) -> (&mut Option<ListenAddress>, &mut bool) {
        (&mut self.listen, &mut self.enable)
    }
}

fn nowhere<D: Door>() -> CommandError {
    CommandError::NowhereToListen { option: D::LISTEN }
}

/// Whether there is such a door. A new one begins with where it listens.
fn set_there<D: Door>(door: &mut Option<D>, there: bool) -> Result<(), CommandError> {
    match (there, &door) {
        (true, None) => return Err(nowhere::<D>()),
        (true, Some(_)) => {}
        (false, _) => *door = None,
    }
    Ok(())
}

/// Where it listens; there is such a door from then on.
fn set_listen<D: Door>(door: &mut Option<D>, value: Option<Value<'_>>) -> Result<(), CommandError> {
    let address = value.map(|value| value.address()).transpose()?;
    let (listen, enable) = match door {
        None => {
            *door = Some(D::new(address));
            return Ok(());
        }
        Some(door) => door.state(),
    };
    if *enable && address.is_none() {
        return Err(CommandError::DoorIsOpen { option: D::ENABLE });
    }
    *listen = address;
    Ok(())
}

/// Whether it is open, as it is unless something else is said.
fn set_enable<D: Door>(door: &mut Option<D>, value: Option<Value<'_>>) -> Result<(), CommandError> {
    let wanted = value.is_none_or(|value| value.flag());
    let (listen, enable) = door.get_or_insert_with(|| D::new(None)).state();
    if wanted && listen.is_none() {
        return Err(nowhere::<D>());
    }
    *enable = wanted;
    Ok(())
}
