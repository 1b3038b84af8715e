//! The nouns as elements: which attributes and children each is written with.
//!
//! How elements become text is `print`'s business; where in an operator's file
//! they go, `edit`'s.

use std::path::Path;
use std::time::Duration;

use super::read::NOWHERE;
use super::{
    Admin, Config, Control, Group, Host, ListenAddress, Logging, Manager, PeriodicTask, Service,
    Ssh, Timeouts, User, Web,
};

/// An element as it is to be written.
#[derive(Debug)]
pub(super) struct Form {
    pub(super) name: &'static str,
    pub(super) attributes: Vec<Attribute>,
    pub(super) content: Content,
}

/// What an element holds.
#[derive(Debug)]
pub(super) enum Content {
    Elements(Vec<Form>),
    Text(String),
}

/// An attribute: two of the same value have the same meaning.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attribute {
    pub(super) name: &'static str,
    /// `None` can only be said by leaving it out.
    pub(super) value: Option<String>,
    /// Whether leaving it out would say the same.
    pub(super) is_default: bool,
}

/// An attribute that is written even where it has its default.
fn said(name: &'static str, value: &impl ToString) -> Attribute {
    Attribute {
        name,
        value: Some(value.to_string()),
        is_default: false,
    }
}

fn unless(name: &'static str, value: &impl ToString, default: &impl ToString) -> Attribute {
    let value = value.to_string();
    Attribute {
        name,
        is_default: value == default.to_string(),
        value: Some(value),
    }
}

fn if_any(name: &'static str, value: Option<String>) -> Attribute {
    Attribute {
        name,
        is_default: value.is_none(),
        value,
    }
}

fn element(name: &'static str, attributes: Vec<Attribute>, children: Vec<Form>) -> Form {
    Form {
        name,
        attributes,
        content: Content::Elements(children),
    }
}

fn leaf(name: &'static str, attributes: Vec<Attribute>) -> Form {
    element(name, attributes, Vec::new())
}

/// All of it, sections that say nothing but defaults included.
pub(super) fn config(config: &Config) -> Form {
    let mut children: Vec<_> = config.services.iter().map(service).collect();
    children.extend(config.admin.as_ref().map(admin));
    children.push(manager(&config.manager));
    children.extend(config.control.as_ref().map(control));
    children.push(logging(&config.logging));
    element("config", Vec::new(), children)
}

pub(super) fn service(service: &Service) -> Form {
    let (timeouts, default) = (service.timeouts, Timeouts::default());
    let timeout = |name, value, default| unless(name, &seconds(value), &seconds(default));
    let attributes = vec![
        said("name", &service.name),
        timeout("connectTimeout", timeouts.connect, default.connect),
        timeout("idleTimeout", timeouts.idle, default.idle),
        timeout(
            "halfClosedTimeout",
            timeouts.half_closed,
            default.half_closed,
        ),
    ];
    let mut children: Vec<_> = service.listens.iter().map(listen).collect();
    let groups = service.groups.iter();
    children.extend(groups.map(|it| group(it, it.name == service.enabled)));
    element("service", attributes, children)
}

pub(super) fn listen(address: &ListenAddress) -> Form {
    leaf("listen", vec![said("ip", address)])
}

/// A group; `enable` is whether it says itself that it is the enabled one.
pub(super) fn group(group: &Group, enable: bool) -> Form {
    let attributes = vec![
        said("name", &group.name),
        said("scheduler", &group.scheduler),
        unless("stickyPrefix", &group.sticky_prefix, &Group::WHOLE_ADDRESS),
        unless("enable", &enable, &false),
    ];
    element("group", attributes, group.hosts.iter().map(host).collect())
}

pub(super) fn host(host: &Host) -> Form {
    let attributes = vec![
        said("name", &host.name),
        said("ip", &host.address),
        unless("weight", &host.weight, &1),
        unless("state", &host.state.as_str(), &"up"),
    ];
    leaf("host", attributes)
}

pub(super) fn admin(admin: &Admin) -> Form {
    let mut children = Vec::new();
    children.extend(admin.web.as_ref().map(web));
    children.extend(admin.ssh.as_ref().map(ssh));
    children.extend(admin.users.iter().map(user));
    element("admin", Vec::new(), children)
}

pub(super) fn web(web: &Web) -> Form {
    let names = Some(web.names.join(" ")).filter(|names| !names.is_empty());
    let attributes = vec![
        said("listen", &door(web.listen.as_ref())),
        unless("enable", &web.enable, &true),
        unless("secure", &web.secure, &false),
        unless(
            "refresh",
            &seconds(web.refresh),
            &seconds(Some(Web::REFRESH)),
        ),
        if_any("cert", web.cert.as_deref().map(path)),
        if_any("key", web.key.as_deref().map(path)),
        if_any("names", names),
    ];
    leaf("web", attributes)
}

pub(super) fn ssh(ssh: &Ssh) -> Form {
    let attributes = vec![
        said("listen", &door(ssh.listen.as_ref())),
        unless("enable", &ssh.enable, &true),
    ];
    leaf("ssh", attributes)
}

pub(super) fn user(user: &User) -> Form {
    let attributes = vec![
        said("name", &user.name),
        if_any("password", user.password.clone()),
        said("access", &user.access.as_str()),
    ];
    element(
        "user",
        attributes,
        user.keys.iter().map(|it| key(it)).collect(),
    )
}

pub(super) fn key(key: &str) -> Form {
    Form {
        name: "key",
        attributes: Vec::new(),
        content: Content::Text(key.to_owned()),
    }
}

pub(super) fn manager(manager: &Manager) -> Form {
    element("manager", Vec::new(), chores(manager).into())
}

/// The chores of a manager, in the order in which they are printed.
pub(super) fn chores(manager: &Manager) -> [Form; 3] {
    let default = Manager::default();
    [
        chore("hostCheck", manager.host_check, default.host_check),
        chore("configCheck", manager.config_check, default.config_check),
        chore("heartbeat", manager.heartbeat, default.heartbeat),
    ]
}

fn chore(name: &'static str, chore: PeriodicTask, default: PeriodicTask) -> Form {
    let interval = |chore: PeriodicTask| seconds(Some(chore.interval));
    let attributes = vec![
        unless("interval", &interval(chore), &interval(default)),
        unless("enable", &chore.enable, &default.enable),
    ];
    leaf(name, attributes)
}

pub(super) fn control(control: &Control) -> Form {
    let attributes = vec![
        said("socket", &path(&control.socket)),
        unless("amp", &control.amp, &true),
        if_any("ampSocket", control.amp_socket.as_deref().map(path)),
        unless(
            "ampMode",
            &mode(control.amp_mode),
            &mode(Control::default().amp_mode),
        ),
    ];
    leaf("control", attributes)
}

pub(super) fn logging(logging: &Logging) -> Form {
    let attributes = vec![
        if_any("file", logging.file.as_deref().map(path)),
        unless("connections", &logging.connections, &false),
    ];
    leaf("logging", attributes)
}

/// Seconds as they are read, exact to the nanosecond; 0 for `None`.
pub(super) fn seconds(duration: Option<Duration>) -> String {
    let duration = duration.unwrap_or_default();
    let text = format!("{}.{:09}", duration.as_secs(), duration.subsec_nanos());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn door(listen: Option<&ListenAddress>) -> String {
    listen.map_or_else(|| NOWHERE.to_owned(), ToString::to_string)
}

/// Permission bits as they are read.
pub(super) fn mode(bits: u32) -> String {
    format!("{bits:04o}")
}

pub(super) fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
