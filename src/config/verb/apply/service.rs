//! The verbs about services and where they listen.

use super::service_of;
use crate::config::verb::named::{find, insert, move_to};
use crate::config::verb::{CommandError, InsertAt, ListenChoice, Verb};
use crate::config::{Algorithm, Config, Group, ListenAddress, Service, Timeouts};

/// The group that a new service has.
const FIRST_GROUP: &str = "main";

/// Changes the services, or one of them.
pub(super) fn change(verb: &Verb, config: &mut Config) -> Result<(), CommandError> {
    match verb {
        Verb::NewService {
            service,
            listen,
            place,
        } => {
            check_free(config, listen)?;
            let service = new_service(service, listen);
            insert(&mut config.services, service, place.as_ref(), "")
        }
        Verb::DelService { service } => {
            let index = find(&config.services, service, "")?;
            config.services.remove(index);
            Ok(())
        }
        Verb::SetService {
            service,
            connect,
            idle,
            half_closed,
            place,
        } => {
            let index = find(&config.services, service, "")?;
            let timeouts = &mut config.services[index].timeouts;
            timeouts.connect = connect.unwrap_or(timeouts.connect);
            timeouts.idle = idle.unwrap_or(timeouts.idle);
            timeouts.half_closed = half_closed.unwrap_or(timeouts.half_closed);
            move_to(&mut config.services, index, place.as_ref(), "").map(drop)
        }
        Verb::AddListen {
            service,
            address,
            place,
        } => add_listen(config, service, address, place.as_ref()),
        Verb::DelListen { service, address } => del_listen(config, service, address),
        Verb::SwitchPort { service, from, to } => switch_port(config, service, from, to),
        _ => Ok(()),
    }
}

fn new_service(name: &str, listen: &ListenAddress) -> Service {
    Service {
        name: name.to_owned(),
        timeouts: Timeouts::default(),
        listens: vec![listen.clone()],
        groups: vec![Group {
            name: FIRST_GROUP.to_owned(),
            scheduler: Algorithm::LeastConns.into(),
            sticky_prefix: Group::WHOLE_ADDRESS,
            hosts: Vec::new(),
        }],
        enabled: FIRST_GROUP.to_owned(),
    }
}

/// That nobody listens there yet. With port 0 the system chooses, and never the
/// same one twice.
fn check_free(config: &Config, address: &ListenAddress) -> Result<(), CommandError> {
    let mut services = config.services.iter();
    let taken = services.find(|service| service.listens.contains(address));
    match taken.filter(|_| address.port != 0) {
        None => Ok(()),
        Some(service) => Err(CommandError::ListenTaken {
            address: address.clone(),
            service: service.name.clone(),
        }),
    }
}

fn add_listen(
    config: &mut Config,
    name: &str,
    address: &ListenAddress,
    place: Option<&InsertAt<ListenAddress>>,
) -> Result<(), CommandError> {
    let service = service_of(config, name)?;
    let index = match place {
        Some(InsertAt::Before(next)) => position(service, &ListenChoice::Address(next.clone()))?,
        Some(InsertAt::Last) | None => service.listens.len(),
    };
    check_free(config, address)?;
    let listens = &mut service_of(config, name)?.listens;
    listens.insert(index, address.clone());
    Ok(())
}

fn del_listen(
    config: &mut Config,
    name: &str,
    address: &ListenAddress,
) -> Result<(), CommandError> {
    let service = service_of(config, name)?;
    let index = position(service, &ListenChoice::Address(address.clone()))?;
    if service.listens.len() == 1 {
        return Err(CommandError::LastListen {
            service: name.to_owned(),
        });
    }
    service.listens.remove(index);
    Ok(())
}

fn switch_port(
    config: &mut Config,
    name: &str,
    from: &ListenChoice,
    to: &ListenChoice,
) -> Result<(), CommandError> {
    let service = service_of(config, name)?;
    let index = position(service, from)?;
    let before = &service.listens[index];
    let after = match to {
        ListenChoice::Address(address) => address.clone(),
        ListenChoice::Port(port) => ListenAddress {
            host: before.host.clone(),
            port: *port,
        },
    };
    if after != *before {
        check_free(config, &after)?;
        service_of(config, name)?.listens[index] = after;
    }
    Ok(())
}

/// Where a service's listener is in its list: of several equal ones, which only
/// those with port 0 can be, the last.
fn position(service: &Service, choice: &ListenChoice) -> Result<usize, CommandError> {
    let listens = &service.listens;
    let found = match choice {
        ListenChoice::Address(address) => listens.iter().rposition(|listen| listen == address),
        ListenChoice::Port(port) => {
            let mut there = listens
                .iter()
                .enumerate()
                .filter(|(_, it)| it.port == *port);
            let first = there.next().map(|(index, _)| index);
            first.filter(|_| there.next().is_none())
        }
    };
    found.ok_or_else(|| CommandError::NoListen {
        service: service.name.clone(),
        listen: choice.clone(),
        listens: listens.clone(),
    })
}
