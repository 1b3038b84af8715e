//! Reads each part of a configuration: services with their groups and hosts, admin interfaces,
//! users, periodic tasks, the control socket.

use std::collections::{HashMap, HashSet};

use super::element::{Element, Findings, UniqueNames};
use super::listens::{ListenPlaces, Refused};
use crate::config::attributes::{
    CHECK, CHECK_TIME, CONFIG_CHECK, CONTROL, ENABLE, ElementTable, GROUP, HEARTBEAT, HOST,
    HOST_CHECK, LISTENER, MANAGER, OLD_WEB, ROUTE, SERVICE, SSH, USER, WEB,
};
use crate::config::credentials::PasswordHash;
use crate::config::error::{Error, ErrorKind, nearest};
use crate::config::redact::Quoted;
use crate::config::route::shadowed_names;
use crate::config::value::{NO_ADDRESS, Value};
use crate::config::{
    Admin, Check, CheckKind, Control, Endpoint, Group, Host, Limit, ListenAddress, Listener,
    Manager, PeriodicTask, Route, Service, Source, Ssh, User, Web,
};

/// Reads a `<service>`; `listens` has the addresses of earlier services.
pub(super) fn read_service(
    element: &mut Element<'_>,
    listens: &mut ListenPlaces,
    findings: &mut Findings<'_>,
) -> Service {
    let mut service = element.read(&SERVICE, Service::default(), findings);
    let mut names = UniqueNames::default();
    let mut enabled_group = EnabledGroup::default();
    let (mut group_elements, mut route_elements) = (Vec::new(), Vec::new());
    for mut child in element.children(findings) {
        match child.name() {
            _ if findings.is_full() => break,
            "listen" => service
                .listens
                .extend(read_listen(&child, listens, findings)),
            "route" => {
                service.routes.push(read_route(&child, findings));
                route_elements.push(child);
            }
            "group" => {
                let group = read_group(&mut child, findings);
                names.claim(&child, &group.name, findings);
                enabled_group.add_group(&child, &group.name, findings);
                service.groups.push(group);
                group_elements.push(child);
            }
            _ => enabled_group.enable = Some(child),
        }
    }
    let is_doubtful = element.is_misspelt
        || group_elements.iter().any(|group| group.is_misspelt)
        || service.groups.iter().any(|group| group.name.is_empty());
    // The error of a misspelt name is enough.
    if !is_doubtful {
        service.enabled = enabled_group.resolve(element, &service, findings);
        check_routes(&service, &route_elements, findings);
    }
    let serving = service.serving_groups();
    for (group, element) in service.groups.iter().zip(&group_elements) {
        let is_enabled = group.name == service.enabled;
        let has_route = serving.contains(group.name.as_str()) && !is_enabled;
        warn_of_no_sessions(group, [is_enabled, has_route], element, findings);
        warn_of_hosts(group, element, findings);
        let speaks_first = |check: &Check| check.kind == CheckKind::Send && check.send.is_empty();
        if !service.routes.is_empty() && group.checks.iter().any(speaks_first) {
            let text = format!(
                "a check of group \"{}\" waits for its hosts to speak first, and the routes of the \
                 service wait for clients: one that waits for its host is reset",
                group.name
            );
            findings.warn(element.offset(), text);
        }
    }
    service
}

/// Warns of a group that gets no session, or would get none if enabled.
fn warn_of_no_sessions(
    group: &Group,
    [is_enabled, has_route]: [bool; 2],
    element: &Element<'_>,
    findings: &mut Findings<'_>,
) {
    let name = &group.name;
    if group.hosts.is_empty() {
        findings.warn(element.offset(), format!("group \"{name}\" has no hosts"));
    } else if group.hosts.iter().all(|host| host.weight == 0) {
        let text = format!("every host of group \"{name}\" has weight 0: none gets sessions");
        findings.warn(element.offset(), text);
    } else if (is_enabled || has_route) && !group.hosts.iter().any(Host::in_service) {
        let (is, which) = match is_enabled {
            true => ("is enabled", "all sessions end"),
            false => ("has a route", "all sessions of that end"),
        };
        let text = format!("group \"{name}\" {is}, but no host of it is in service: {which}");
        findings.warn(element.offset(), text);
    }
}

/// Warns of weights that the scheduler ignores, and of an address that occurs twice.
fn warn_of_hosts(group: &Group, element: &Element<'_>, findings: &mut Findings<'_>) {
    let (name, scheduler) = (&group.name, &group.scheduler);
    if let Some(instead) = group.missed_weights() {
        let text = format!(
            "group \"{name}\" has weights, which {scheduler} does not look at: {instead} does"
        );
        findings.warn(element.offset(), text);
    }
    if !group.hosts.is_empty() && group.hosts.iter().all(|host| host.backup) {
        let text = format!("every host of group \"{name}\" is a backup: none is one of another");
        findings.warn(element.offset(), text);
    }
    let has_unix = |host: &Host| matches!(host.address, Endpoint::Unix(_));
    if group.hosts.iter().any(has_unix) && (group.source != Source::Any || group.mptcp) {
        let text = format!(
            "source and mptcp of group \"{name}\" mean nothing for its hosts at Unix sockets"
        );
        findings.warn(element.offset(), text);
    }
    let mut addresses = HashMap::new();
    for host in &group.hosts {
        if let Some(first) = addresses.insert(&host.address, &host.name) {
            let (address, second) = (&host.address, &host.name);
            let text = format!(
                "group \"{name}\" has {address} twice, as \"{first}\" and \"{second}\": \
                 it gets twice the sessions"
            );
            findings.warn(element.offset(), text);
        }
    }
}

fn read_listen(
    element: &Element<'_>,
    listens: &mut ListenPlaces,
    findings: &mut Findings<'_>,
) -> Option<Listener> {
    let listener = element.read(&LISTENER, (LISTENER.new)(), findings);
    if let Some(value) = element.value("proxyFrom").filter(|_| !listener.proxy) {
        let text = "proxyFrom means nothing without proxy=\"require\"".to_owned();
        findings.warn(value.offset, text);
    }
    let value = element.value("ip")?;
    let address: ListenAddress = value.address().ok()?;
    for name in listener.meaningless() {
        let of = match address.unix_path() {
            None => "only a Unix socket has it",
            Some(_) => "a Unix socket does not have it",
        };
        findings.warn(
            element.offset(),
            format!("{name} means nothing at {address}: {of}"),
        );
    }
    let refused = match listens.add(&address, value.offset) {
        Ok(()) => return Some(listener),
        Err(Refused::Taken(first)) => ErrorKind::DuplicateListen {
            address: address.to_string(),
            first: value.position_of(first),
        },
        Err(Refused::TooMany) => ErrorKind::TooMuch(Limit::Listeners),
    };
    findings.error(value.error(refused));
    None
}

/// Reads attributes that have to go together, and whether that can be judged: a value with an error
/// is left at its default.
fn read_whole<T>(
    element: &Element<'_>,
    table: &ElementTable<T>,
    findings: &mut Findings<'_>,
) -> (T, bool) {
    let errors = findings.errors.len();
    let whole = element.read(table, (table.new)(), findings);
    let is_sound = !element.is_misspelt && findings.errors.len() == errors;
    (whole, is_sound)
}

fn read_route(element: &Element<'_>, findings: &mut Findings<'_>) -> Route {
    let (route, is_sound) = read_whole(element, &ROUTE, findings);
    if is_sound && !route.is_for_some() {
        findings.error(element.error(ErrorKind::RouteForNobody));
    }
    route
}

/// Checks that the groups of routes exist. Warns of names that never come to their route.
fn check_routes(service: &Service, elements: &[Element<'_>], findings: &mut Findings<'_>) {
    let groups: HashSet<_> = service.groups.iter().map(|it| it.name.as_str()).collect();
    for element in elements {
        let group = element
            .value("group")
            .filter(|group| !group.text.is_empty());
        if let Some(group) = group.filter(|it| !groups.contains(it.text)) {
            findings.error(no_such_group(&group, service));
        }
    }
    for (index, name) in shadowed_names(&service.routes) {
        let text = match name {
            Some(name) => format!(
                "an earlier route has \"{name}\" already, with all that alpn says here: \
                 its clients go there"
            ),
            None => "an earlier route has all that alpn says here: its clients go there".to_owned(),
        };
        findings.warn(elements[index].offset(), text);
    }
}

fn no_such_group(value: &Value<'_>, service: &Service) -> Error {
    let names = service.groups.iter().map(|group| &group.name);
    value.error(ErrorKind::NoSuchGroup {
        group: value.text.to_owned(),
        service: service.name.clone(),
        nearest: nearest(value.text, names.clone()).cloned(),
        allowed: names.cloned().collect(),
    })
}

/// The enabled group, by its `enable` attribute or by an `<enable>` beside the groups.
#[derive(Default)]
struct EnabledGroup<'a> {
    marked: Option<String>,
    enable: Option<Element<'a>>,
}

impl EnabledGroup<'_> {
    fn add_group(&mut self, element: &Element<'_>, name: &str, findings: &mut Findings<'_>) {
        let Some(mark) = element.value(ENABLE).filter(Value::flag) else {
            return;
        };
        if let Some(first) = self.marked.replace(name.to_owned()) {
            let second = name.to_owned();
            findings.error(mark.error(ErrorKind::TwoGroupsEnabled { first, second }));
        }
    }

    /// The name of the group; an empty one if there is an error.
    fn resolve(
        self,
        element: &Element<'_>,
        service: &Service,
        findings: &mut Findings<'_>,
    ) -> String {
        let Some(enable) = self.enable else {
            return self.marked.unwrap_or_else(|| {
                // Without a group that is the error.
                if !service.groups.is_empty() {
                    let service = service.name.clone();
                    findings.error(element.error(ErrorKind::NoGroupEnabled { service }));
                }
                String::new()
            });
        };
        let Some(value) = enable.value("group") else {
            return String::new();
        };
        if !service.has_group(value.text) {
            findings.error(no_such_group(&value, service));
        } else if let Some(first) = self.marked.filter(|marked| marked != value.text) {
            let second = value.text.to_owned();
            findings.error(value.error(ErrorKind::TwoGroupsEnabled { first, second }));
        }
        value.text.to_owned()
    }
}

fn read_group(element: &mut Element<'_>, findings: &mut Findings<'_>) -> Group {
    let mut group = element.read(&GROUP, Group::default(), findings);
    let mut names = UniqueNames::default();
    for child in element.children(findings) {
        match child.name() {
            _ if findings.is_full() => break,
            "check" => {
                let check = read_check(&child, findings);
                if group.checks.len() == Limit::Checks.max() {
                    findings.error(child.error(ErrorKind::TooMuch(Limit::Checks)));
                    break;
                }
                group.checks.push(check);
            }
            _ => {
                let mut host = read_host(&child, findings);
                if child.value("name").is_none() {
                    host.name = Host::numbered_name(group.hosts.len());
                }
                names.claim(&child, &host.name, findings);
                group.hosts.push(host);
            }
        }
    }
    group
}

fn read_host(element: &Element<'_>, findings: &mut Findings<'_>) -> Host {
    let (host, is_sound) = read_whole(element, &HOST, findings);
    if let Some(mistake) = host.mistake().filter(|_| is_sound)
        && let Some(value) = element.value("each")
    {
        findings.error(value.error(mistake.into()));
    }
    host
}

fn read_check(element: &Element<'_>, findings: &mut Findings<'_>) -> Check {
    let (check, is_sound) = read_whole(element, &CHECK, findings);
    let has_type = element.value("type").is_some();
    if let Some(mistake) = check.mistake().filter(|_| is_sound && has_type) {
        let value = mistake.attribute().and_then(|name| element.value(name));
        findings.error(match value {
            Some(value) => value.error(mistake.into()),
            None => element.error(mistake.into()),
        });
    }
    check
}

/// Reads an `<admin>`.
pub(super) fn read_admin(element: &mut Element<'_>, findings: &mut Findings<'_>) -> Admin {
    let mut admin = Admin::default();
    let mut names = UniqueNames::default();
    let mut ssh_offset = None;
    for mut child in element.children(findings) {
        match child.name() {
            _ if findings.is_full() => break,
            "web" => admin.web = Some(read_web(&child, findings)),
            "ssh" => {
                let ssh: Ssh = child.read(&SSH, (SSH.new)(), findings);
                check_listen_address(&child, ssh.enable, findings);
                ssh_offset = Some(child.offset()).filter(|_| ssh.enable);
                admin.ssh = Some(ssh);
            }
            _ => {
                let user = read_user(&mut child, findings);
                names.claim(&child, &user.name, findings);
                admin.users.push(user);
            }
        }
    }
    if let Some(offset) = ssh_offset.filter(|_| admin.users.is_empty()) {
        let text = "there is no <user>: all logins are rejected";
        findings.warn(offset, text.to_owned());
    }
    read_old_web(element, &mut admin, findings);
    admin
}

/// Reads the old form of `<web>`, if it is there.
fn read_old_web(element: &Element<'_>, admin: &mut Admin, findings: &mut Findings<'_>) {
    let mut values = OLD_WEB.attributes.iter().map(|it| element.value(it.name));
    let Some(first) = values.find_map(|value| value) else {
        return;
    };
    if admin.web.is_some() {
        let old = match first.of {
            "listen" => "listen of <admin>",
            "secure" => "secure of <admin>",
            _ => "refresh of <admin>",
        };
        let element = WEB.name;
        findings.error(first.error(ErrorKind::OldFormToo { old, element }));
        return;
    }
    if element.value("listen").is_none() && !element.is_misspelt {
        findings.error(element.missing("listen"));
    }
    admin.web = Some(element.read(&OLD_WEB, (OLD_WEB.new)(), findings));
}

fn read_web(element: &Element<'_>, findings: &mut Findings<'_>) -> Web {
    let web: Web = element.read(&WEB, (WEB.new)(), findings);
    check_listen_address(element, web.enable, findings);
    for [attribute, other] in [["cert", "key"], ["key", "cert"]] {
        if let (Some(value), None) = (element.value(attribute), element.value(other))
            && !element.is_misspelt
        {
            findings.error(value.error(ErrorKind::IncompletePair { attribute, other }));
        }
    }
    web
}

/// An admin interface that is enabled needs an address.
fn check_listen_address(element: &Element<'_>, enable: bool, findings: &mut Findings<'_>) {
    match element.value("listen") {
        _ if !enable => {}
        Some(value) if value.text == NO_ADDRESS => {
            findings.ok(value.address::<ListenAddress>());
        }
        None if !element.is_misspelt => findings.error(element.missing("listen")),
        _ => {}
    }
}

fn read_user(element: &mut Element<'_>, findings: &mut Findings<'_>) -> User {
    let before = findings.errors.len();
    let mut user = element.read(&USER, (USER.new)(), findings);
    let first = element.value("key");
    user.keys
        .extend(first.and_then(|value| findings.ok(value.key())));
    for child in element.children(findings) {
        if findings.is_full() {
            break;
        }
        user.keys
            .extend(findings.ok(child.with_text(|value| value.key())));
    }
    let is_doubtful = element.is_misspelt || findings.errors.len() > before;
    match &user.password {
        None if user.keys.is_empty() && !is_doubtful => {
            let user = user.name.clone();
            findings.error(element.error(ErrorKind::NoCredentials { user }));
        }
        None => {}
        Some(password) => {
            if let Some(problem) = password_problem(password) {
                let text = format!("the password of user {} {problem}", Quoted(&user.name));
                findings.warn(element.offset(), text);
            }
        }
    }
    user
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

/// Reads the `<manager>` and the `<checktime>`, where there are.
pub(super) fn read_manager(
    manager: Option<&mut Element<'_>>,
    check_time: Option<&Element<'_>>,
    findings: &mut Findings<'_>,
) -> Manager {
    let mut tasks = Manager::default();
    let mut is_said = false;
    if let Some(element) = manager {
        for child in element.children(findings) {
            match child.name() {
                _ if findings.is_full() => break,
                "hostCheck" => {
                    is_said = true;
                    tasks.host_check = read_task(&child, &HOST_CHECK, findings);
                }
                "configCheck" => tasks.config_check = read_task(&child, &CONFIG_CHECK, findings),
                _ => tasks.heartbeat = read_task(&child, &HEARTBEAT, findings),
            }
        }
        let old = MANAGER.attributes[0].name;
        if let Some(value) = element.value(old) {
            if is_said {
                let element = HOST_CHECK.name;
                findings.error(value.error(ErrorKind::OldFormToo { old, element }));
            } else {
                tasks.host_check = element.read(&MANAGER, tasks.host_check, findings);
            }
            is_said = true;
        }
    }
    if let Some(check_time) = check_time {
        if is_said {
            let (old, element) = ("<checktime>", HOST_CHECK.name);
            findings.error(check_time.error(ErrorKind::OldFormToo { old, element }));
        } else {
            tasks.host_check = check_time.read(&CHECK_TIME, tasks.host_check, findings);
        }
    }
    tasks
}

fn read_task(
    element: &Element<'_>,
    table: &ElementTable<PeriodicTask>,
    findings: &mut Findings<'_>,
) -> PeriodicTask {
    let task = element.read(table, (table.new)(), findings);
    let interval = element.value("interval").map(|value| value.seconds());
    match interval {
        // An interval of 0 disables it, whatever `enable` says.
        Some(Ok(None)) => PeriodicTask {
            enable: false,
            ..task
        },
        _ => task,
    }
}

/// Reads a `<control>`. txLoadBalancer wrote `socket="None"` where it had none.
pub(super) fn read_control(element: &Element<'_>, findings: &mut Findings<'_>) -> Option<Control> {
    let socket = element.value("socket");
    let is_there = socket.is_none_or(|value| value.text != NO_ADDRESS);
    is_there.then(|| element.read(&CONTROL, (CONTROL.new)(), findings))
}
