//! Reads `<service>`: listeners, groups and hosts.

use std::collections::{HashMap, HashSet};

use super::element::{Element, WarningList, claim_name};
use super::value::Value;
use crate::config::error::{Error, ErrorKind, nearest};
use crate::config::{Algorithm, CustomNames, Group, Host, ListenAddress, Service, Timeouts};

/// Byte offset of the first `<listen>` of each address.
pub(super) type ListenOffsets = HashMap<ListenAddress, usize>;

/// Reads a `<service>`; `listens` has the addresses of earlier services.
pub(super) fn read_service(
    element: &Element<'_>,
    listens: &mut ListenOffsets,
    custom: &CustomNames,
    warnings: &mut WarningList,
) -> Result<Service, Error> {
    let mut service = Service {
        name: element.required("name")?.name()?,
        timeouts: read_timeouts(element)?,
        listens: Vec::new(),
        groups: Vec::new(),
        enabled: String::new(),
    };
    let mut names = HashSet::new();
    let mut enabled_group = EnabledGroup::default();
    let mut group_elements = Vec::new();
    for child in element.children() {
        let child = child?;
        match child.name() {
            "listen" => service.listens.push(read_listen(&child, listens)?),
            "group" => {
                let group = read_group(&child, custom)?;
                claim_name(&mut names, &child, &group.name)?;
                enabled_group.add_group(&child, &group.name)?;
                service.groups.push(group);
                group_elements.push(child);
            }
            _ => enabled_group.enable = Some(child),
        }
    }
    service.enabled = enabled_group.resolve(element, &service)?;
    for (group, element) in service.groups.iter().zip(&group_elements) {
        warn_of_no_sessions(group, group.name == service.enabled, element, warnings);
        warn_of_hosts(group, element, warnings);
    }
    Ok(service)
}

/// Warns of a group that gets no session, or would get none if enabled.
fn warn_of_no_sessions(
    group: &Group,
    enabled: bool,
    element: &Element<'_>,
    warnings: &mut WarningList,
) {
    let name = &group.name;
    if group.hosts.is_empty() {
        warnings.push(element, format!("group \"{name}\" has no hosts"));
    } else if group.hosts.iter().all(|host| host.weight == 0) {
        let text = format!("every host of group \"{name}\" has weight 0: none gets sessions");
        warnings.push(element, text);
    } else if enabled && !group.hosts.iter().any(Host::in_service) {
        let text = format!(
            "group \"{name}\" is enabled, but no host of it is in service: all sessions end"
        );
        warnings.push(element, text);
    }
}

/// Warns of weights that the scheduler ignores, and of an address that occurs twice.
fn warn_of_hosts(group: &Group, element: &Element<'_>, warnings: &mut WarningList) {
    let (name, scheduler) = (&group.name, &group.scheduler);
    if !scheduler.algorithm.uses_weights() && group.hosts.iter().any(|host| host.weight > 1) {
        let instead = match scheduler.algorithm {
            Algorithm::RoundRobin => "weightrr",
            Algorithm::Random => "weightr",
            _ => "weightlc",
        };
        let text = format!(
            "group \"{name}\" has weights, which {scheduler} does not look at: {instead} does"
        );
        warnings.push(element, text);
    }
    let mut addresses = HashMap::new();
    for host in &group.hosts {
        if let Some(first) = addresses.insert(&host.address, &host.name) {
            let (address, second) = (&host.address, &host.name);
            let text = format!(
                "group \"{name}\" has {address} twice, as \"{first}\" and \"{second}\": \
                 it gets twice the sessions"
            );
            warnings.push(element, text);
        }
    }
}

fn read_timeouts(element: &Element<'_>) -> Result<Timeouts, Error> {
    let seconds = |attribute, default| match element.value(attribute) {
        Some(value) => value.seconds(),
        None => Ok(default),
    };
    let default = Timeouts::default();
    Ok(Timeouts {
        connect: seconds("connectTimeout", default.connect)?,
        idle: seconds("idleTimeout", default.idle)?,
        half_closed: seconds("halfClosedTimeout", default.half_closed)?,
    })
}

fn read_listen(element: &Element<'_>, listens: &mut ListenOffsets) -> Result<ListenAddress, Error> {
    let value = element.required("ip")?;
    let address: ListenAddress = value.address()?;
    // With port 0 the system chooses a port, never the same twice.
    if let Some(first) = listens.get(&address).filter(|_| address.port != 0) {
        let (address, first) = (address.to_string(), value.position_of(*first));
        let kind = ErrorKind::DuplicateListen { address, first };
        return Err(value.error(kind));
    }
    listens.insert(address.clone(), value.offset);
    Ok(address)
}

/// The enabled group, by its `enable` attribute or by an `<enable>` beside the groups.
#[derive(Default)]
struct EnabledGroup<'a> {
    marked: Option<String>,
    enable: Option<Element<'a>>,
}

impl EnabledGroup<'_> {
    fn add_group(&mut self, element: &Element<'_>, name: &str) -> Result<(), Error> {
        let Some(mark) = element.value("enable").filter(Value::flag) else {
            return Ok(());
        };
        match self.marked.replace(name.to_owned()) {
            None => Ok(()),
            Some(first) => Err(mark.error(ErrorKind::TwoGroupsEnabled {
                first,
                second: name.to_owned(),
            })),
        }
    }

    fn resolve(self, element: &Element<'_>, service: &Service) -> Result<String, Error> {
        let Some(enable) = self.enable else {
            let service = service.name.clone();
            return self
                .marked
                .ok_or_else(|| element.error(ErrorKind::NoGroupEnabled { service }));
        };
        let value = enable.required("group")?;
        if !service.groups.iter().any(|group| group.name == value.text) {
            let names = service.groups.iter().map(|group| &group.name);
            return Err(value.error(ErrorKind::NoSuchGroup {
                group: value.text.to_owned(),
                service: service.name.clone(),
                nearest: nearest(value.text, names.clone()).cloned(),
                allowed: names.cloned().collect(),
            }));
        }
        match self.marked {
            Some(first) if first != value.text => {
                let second = value.text.to_owned();
                Err(value.error(ErrorKind::TwoGroupsEnabled { first, second }))
            }
            _ => Ok(value.text.to_owned()),
        }
    }
}

fn read_group(element: &Element<'_>, custom: &CustomNames) -> Result<Group, Error> {
    let mut group = Group {
        name: element.required("name")?.name()?,
        scheduler: match element.value("scheduler") {
            Some(value) => value.scheduler(custom)?,
            None => Algorithm::LeastConns.into(),
        },
        sticky_prefix: element
            .value("stickyPrefix")
            .map_or(Ok(Group::WHOLE_ADDRESS), |value| value.prefix())?,
        hosts: Vec::new(),
    };
    let mut names = HashSet::new();
    for (number, child) in element.children().enumerate() {
        let child = child?;
        let host = read_host(&child, number)?;
        claim_name(&mut names, &child, &host.name)?;
        group.hosts.push(host);
    }
    Ok(group)
}

/// Reads a `<host>`, number `number` of its group, from 0.
fn read_host(element: &Element<'_>, number: usize) -> Result<Host, Error> {
    Ok(Host {
        name: match element.value("name") {
            Some(value) => value.name()?,
            None => format!("host.{number}"),
        },
        address: element.required("ip")?.address()?,
        weight: element
            .value("weight")
            .map_or(Ok(1), |value| value.weight())?,
        state: element
            .value("state")
            .map_or(Ok(Default::default()), |value| value.state())?,
    })
}
