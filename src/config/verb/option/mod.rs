//! `setOption`: the attributes outside of services and users, and the elements that may be there
//! or not.
//!
//! An option is named by its path in the file (`logging.file`). An empty value takes it out of the
//! file: its default holds then.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::LazyLock;

use super::{CommandError, ParseError};
use crate::config::attributes::{
    Attribute, CONFIG, CONFIG_CHECK, CONTROL, ElementTable, HEARTBEAT, HOST_CHECK, LOGGING, SSH,
    WEB,
};
use crate::config::error::nearest;
use crate::config::value::{NO_ADDRESS, Value, ValueKind};
use crate::config::{
    Admin, Config, Control, CustomNames, Error, General, ListenAddress, Logging, PeriodicTask, Ssh,
    Web,
};

/// An option that `setOption` sets.
#[non_exhaustive]
pub struct OptionSchema {
    /// Its name: elements and the attribute, separated by points.
    pub path: String,
    /// Kind of its value; for an element, whether it is there.
    pub value_kind: ValueKind,
    is_element: bool,
    access: Box<dyn OptionAccess>,
}

impl fmt::Debug for OptionSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OptionSchema").field(&self.path).finish()
    }
}

/// How an option is read and set.
trait OptionAccess: Send + Sync {
    fn value(&self, config: &Config) -> Option<String>;

    /// Sets it; `None` removes it, which is only asked for where it has a value.
    fn set(&self, config: &mut Config, value: Option<&Value<'_>>) -> Result<(), CommandError>;
}

/// All options, in the order of the file.
pub fn options() -> &'static [OptionSchema] {
    &OPTIONS
}

impl OptionSchema {
    /// Its value in `config`; `None` where there is none.
    pub fn value(&self, config: &Config) -> Option<String> {
        self.access.value(config)
    }

    /// Whether it is an element.
    pub(super) fn is_element(&self) -> bool {
        self.is_element
    }

    /// Checks `text`; `None` if it means no value.
    fn parse_value<'a>(&'static self, text: &'a str) -> Result<Option<Value<'a>>, Error> {
        let value = Value::detached(&self.path, text);
        if text.is_empty() || self.value_kind == ValueKind::ListenAddress && text == NO_ADDRESS {
            return Ok(None);
        }
        self.value_kind.canonical(&value)?;
        Ok(Some(value).filter(|value| !self.is_element || value.flag()))
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
    let value = option.parse_value(text)?;
    match value.is_none() && option.value(config).is_none() {
        true => Ok(()),
        false => option.access.set(config, value.as_ref()),
    }
}

fn option(name: &str) -> Result<&'static OptionSchema, ParseError> {
    let found = options().iter().find(|option| option.path == name);
    found.ok_or_else(|| ParseError::UnknownOption {
        found: name.to_owned(),
        nearest: nearest(name, options().iter().map(|option| option.path.as_str())),
    })
}

/// An element whose attributes are options.
struct Section<T: 'static> {
    /// Its path.
    path: &'static str,
    table: &'static ElementTable<T>,
    get: fn(&Config) -> Option<&T>,
    place: fn(&mut Config) -> Place<'_, T>,
    /// The attributes that add it to the file, the one to set first before all. None if the
    /// element itself does.
    adding: &'static [&'static str],
    /// Checks it after a change of the attribute; the name of the element's own option is empty.
    check: fn(&T, &str) -> Result<(), CommandError>,
}

/// Where a section is in a configuration.
enum Place<'a, T> {
    Always(&'a mut T),
    Optional(&'a mut Option<T>),
}

static GENERAL: Section<General> = Section {
    path: "config",
    table: &CONFIG,
    get: |config| Some(&config.general),
    place: |config| Place::Always(&mut config.general),
    adding: &[],
    check: |_, _| Ok(()),
};

static ADMIN: Section<Admin> = Section {
    path: "admin",
    table: &ElementTable {
        name: "admin",
        attributes: &[],
        new: Admin::default,
    },
    get: |config| config.admin.as_ref(),
    place: |config| Place::Optional(&mut config.admin),
    adding: &[],
    check: |_, _| Ok(()),
};

static ADMIN_WEB: Section<Web> = Section {
    path: "admin.web",
    table: &WEB,
    get: |config| config.admin.as_ref()?.web.as_ref(),
    place: |config| Place::Optional(&mut config.admin.get_or_insert_default().web),
    adding: &["admin.web.listen", "admin.web.enable"],
    check: |web, changed| {
        let options = ["admin.web.listen", "admin.web.enable"];
        check_interface(web.listen.as_ref(), web.enable, changed, options)
    },
};

static ADMIN_SSH: Section<Ssh> = Section {
    path: "admin.ssh",
    table: &SSH,
    get: |config| config.admin.as_ref()?.ssh.as_ref(),
    place: |config| Place::Optional(&mut config.admin.get_or_insert_default().ssh),
    adding: &["admin.ssh.listen", "admin.ssh.enable"],
    check: |ssh, changed| {
        let options = ["admin.ssh.listen", "admin.ssh.enable"];
        check_interface(ssh.listen.as_ref(), ssh.enable, changed, options)
    },
};

/// Checks that an enabled admin interface has an address. `options` are those of both.
fn check_interface(
    listen: Option<&ListenAddress>,
    enable: bool,
    changed: &str,
    options: [&'static str; 2],
) -> Result<(), CommandError> {
    match options {
        _ if listen.is_some() || !enable => Ok(()),
        [listen, enable] if changed == listen => {
            Err(CommandError::InterfaceEnabled { option: enable })
        }
        [option, _] => Err(CommandError::NoListenAddress { option }),
    }
}

static MANAGER_HOST_CHECK: Section<PeriodicTask> = Section {
    path: "manager.hostCheck",
    table: &HOST_CHECK,
    get: |config| Some(&config.manager.host_check),
    place: |config| Place::Always(&mut config.manager.host_check),
    adding: &[],
    check: |_, _| Ok(()),
};

static MANAGER_CONFIG_CHECK: Section<PeriodicTask> = Section {
    path: "manager.configCheck",
    table: &CONFIG_CHECK,
    get: |config| Some(&config.manager.config_check),
    place: |config| Place::Always(&mut config.manager.config_check),
    ..MANAGER_HOST_CHECK
};

static MANAGER_HEARTBEAT: Section<PeriodicTask> = Section {
    path: "manager.heartbeat",
    table: &HEARTBEAT,
    get: |config| Some(&config.manager.heartbeat),
    place: |config| Place::Always(&mut config.manager.heartbeat),
    ..MANAGER_HOST_CHECK
};

static CONTROL_SOCKET: Section<Control> = Section {
    path: "control",
    table: &CONTROL,
    get: |config| config.control.as_ref(),
    place: |config| Place::Optional(&mut config.control),
    adding: &["control.socket"],
    check: |_, _| Ok(()),
};

static LOG: Section<Logging> = Section {
    path: "logging",
    table: &LOGGING,
    get: |config| Some(&config.logging),
    place: |config| Place::Always(&mut config.logging),
    adding: &[],
    check: |_, _| Ok(()),
};

/// Every option, in the order of the file.
static OPTIONS: LazyLock<Vec<OptionSchema>> = LazyLock::new(|| {
    [
        GENERAL.options(),
        ADMIN.options(),
        ADMIN_WEB.options(),
        ADMIN_SSH.options(),
        MANAGER_HOST_CHECK.options(),
        MANAGER_CONFIG_CHECK.options(),
        MANAGER_HEARTBEAT.options(),
        CONTROL_SOCKET.options(),
        LOG.options(),
    ]
    .into_iter()
    .flatten()
    .collect()
});

impl<T> Section<T> {
    /// Its option, if it may be there or not, and those of its attributes.
    fn options(&'static self) -> Vec<OptionSchema> {
        let is_optional = matches!((self.place)(&mut Config::default()), Place::Optional(_));
        let element = is_optional.then(|| OptionSchema {
            path: self.path.to_owned(),
            value_kind: ValueKind::Flag,
            is_element: true,
            access: Box::new(ElementOption(self)),
        });
        let attributes = self.table.attributes.iter().map(|attribute| {
            let section = self;
            OptionSchema {
                path: format!("{}.{}", section.path, attribute.name),
                value_kind: attribute.kind,
                is_element: false,
                access: Box::new(AttributeOption { section, attribute }),
            }
        });
        element.into_iter().chain(attributes).collect()
    }
}

/// Whether an element is there.
struct ElementOption<T: 'static>(&'static Section<T>);

impl<T> OptionAccess for ElementOption<T> {
    fn value(&self, config: &Config) -> Option<String> {
        (self.0.get)(config).map(|_| true.to_string())
    }

    fn set(&self, config: &mut Config, value: Option<&Value<'_>>) -> Result<(), CommandError> {
        let ElementOption(section) = self;
        match ((section.place)(config), value) {
            (Place::Optional(place), None) => *place = None,
            (Place::Optional(place), Some(_)) => {
                (section.check)(place.get_or_insert_with(section.table.new), "")?;
            }
            (Place::Always(_), _) => {}
        }
        Ok(())
    }
}

/// An attribute of a section.
struct AttributeOption<T: 'static> {
    section: &'static Section<T>,
    attribute: &'static Attribute<T>,
}

impl<T> OptionAccess for AttributeOption<T> {
    fn value(&self, config: &Config) -> Option<String> {
        let value = (self.attribute.get)((self.section.get)(config)?);
        value.filter(|text| self.attribute.kind != ValueKind::ListenAddress || text != NO_ADDRESS)
    }

    fn set(&self, config: &mut Config, value: Option<&Value<'_>>) -> Result<(), CommandError> {
        let AttributeOption { section, attribute } = self;
        let path = format!("{}.{}", section.path, attribute.name);
        let is_none = |value: &Value<'_>| value.text == NO_ADDRESS;
        let it = match (section.place)(config) {
            Place::Always(it) => it,
            Place::Optional(place) => {
                if attribute.kind == ValueKind::SocketPath && value.is_some_and(is_none) {
                    *place = None;
                    return Ok(());
                }
                if let Some(first) = section.adding.first()
                    && place.is_none()
                    && !section.adding.contains(&path.as_str())
                {
                    return Err(CommandError::NoListenAddress { option: first });
                }
                place.get_or_insert_with(section.table.new)
            }
        };
        match value {
            Some(value) => (attribute.set)(it, value, &CustomNames::Any)?,
            None => (attribute.copy)(it, &(section.table.new)()),
        }
        (section.check)(it, &path)
    }
}
