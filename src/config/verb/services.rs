//! Verbs that change services and their listeners.

use super::apply::{service, service_mut};
use super::list::{find_index, insert_item, move_item};
use super::table::{CommandSchema, adds, before, replaces, required, service_key};
use super::{CommandError, ListenChoice};
use crate::config::attributes::{LISTENER, SERVICE};
use crate::config::value::Value;
use crate::config::{Config, Group, ListenAddress, ListenHost, Listener, Service, ValueKind};

/// Name of the group of a new service.
const FIRST_GROUP: &str = "main";

pub(super) static NEW_SERVICE: CommandSchema = adds(
    "newService",
    || {
        vec![
            required("service", ValueKind::NewName),
            required("listen", ValueKind::ListenAddress),
            before(ValueKind::Service),
        ]
    },
    "add a service with the empty, enabled group main",
    |values, config| {
        let listen = values.get("listen", Value::address)?;
        check_listen_free(config, &listen, None)?;
        let service = Service {
            name: values.name("service"),
            listens: vec![Listener::at(listen)],
            groups: vec![Group {
                name: FIRST_GROUP.to_owned(),
                ..Group::default()
            }],
            enabled: FIRST_GROUP.to_owned(),
            ..Service::default()
        };
        insert_item(&mut config.services, service, values.place().as_ref(), "")
    },
);

pub(super) static DEL_SERVICE: CommandSchema = adds(
    "delService",
    || vec![service_key()],
    "remove a service with all its groups; its sessions live on",
    |values, config| {
        let index = find_index(&config.services, &values.name("service"), "")?;
        config.services.remove(index);
        Ok(())
    },
);

pub(super) static SET_SERVICE: CommandSchema = replaces(
    "setService",
    || {
        [
            vec![service_key()],
            SERVICE.keys_to_set(),
            vec![before(ValueKind::Service)],
        ]
        .concat()
    },
    "change a service's timeouts or place",
    |values, config| {
        let index = find_index(&config.services, &values.name("service"), "")?;
        values.set(&SERVICE, &mut config.services[index])?;
        let place = values.place();
        move_item(&mut config.services, index, place.as_ref(), "").map(drop)
    },
    |values, config| {
        let service = service(config, values.text("service")?)?;
        Some(values.previous(&SERVICE, service))
    },
);

pub(super) static ADD_LISTEN: CommandSchema = adds(
    "addListen",
    || {
        [
            vec![service_key()],
            LISTENER.keys_to_add(),
            vec![before(ValueKind::ListenAddress)],
        ]
        .concat()
    },
    "add a listener to a service",
    |values, config| {
        let name = values.name("service");
        let mut listener = (LISTENER.new)();
        values.set(&LISTENER, &mut listener)?;
        let service = service_mut(config, &name)?;
        let index = match values.text("before") {
            None | Some("") => service.listens.len(),
            Some(_) => {
                let next = values.get("before", Value::address)?;
                listen_index(service, &ListenChoice::Address(next))?
            }
        };
        check_listen_free(config, &listener.address, None)?;
        let service = service_mut(config, &name)?;
        service.listens.insert(index, listener);
        Ok(())
    },
);

pub(super) static SET_LISTEN: CommandSchema = replaces(
    "setListen",
    || {
        let address = required("ip", ValueKind::ListenAddress);
        [vec![service_key(), address], LISTENER.keys_to_set()].concat()
    },
    "change a listener; where its socket need not change, it stays open",
    |values, config| {
        let service = service_mut(config, &values.name("service"))?;
        let address = values.get("ip", Value::address)?;
        let index = listen_index(service, &ListenChoice::Address(address))?;
        Ok(values.set(&LISTENER, &mut service.listens[index])?)
    },
    |values, config| {
        let service = service(config, values.text("service")?)?;
        let address = values.get("ip", Value::address).ok()?;
        let index = listen_index(service, &ListenChoice::Address(address)).ok()?;
        let previous = values.previous(&LISTENER, &service.listens[index]);
        Some(
            previous
                .into_iter()
                .filter(|(key, _)| *key != "ip")
                .collect(),
        )
    },
);

pub(super) static DEL_LISTEN: CommandSchema = adds(
    "delListen",
    || vec![service_key(), required("ip", ValueKind::ListenAddress)],
    "remove a listener from a service",
    |values, config| {
        let (name, address) = (values.name("service"), values.get("ip", Value::address)?);
        let service = service_mut(config, &name)?;
        let index = listen_index(service, &ListenChoice::Address(address))?;
        if service.listens.len() == 1 {
            return Err(CommandError::LastListen { service: name });
        }
        service.listens.remove(index);
        Ok(())
    },
);

pub(super) static SWITCH_PORT: CommandSchema = adds(
    "switchPort",
    || {
        vec![
            service_key(),
            required("from", ValueKind::ListenAddressOrPort),
            required("to", ValueKind::ListenAddressOrPort),
        ]
    },
    "move a listener to another port or address",
    |values, config| {
        let name = values.name("service");
        let service = service_mut(config, &name)?;
        let index = listen_index(service, &values.get("from", Value::listen_choice)?)?;
        let before = &service.listens[index].address;
        let after = match values.get("to", Value::listen_choice)? {
            ListenChoice::Address(address) => address,
            ListenChoice::Port(port) => match &before.host {
                ListenHost::Unix(_) => ListenAddress::new(ListenHost::Any, port),
                host => ListenAddress::new(host.clone(), port),
            },
        };
        if after != *before {
            let own = (name.as_str(), index);
            check_listen_free(config, &after, Some(own))?;
            service_mut(config, &name)?.listens[index].address = after;
        }
        Ok(())
    },
);

/// Checks that no service listens there, nor at a port of the range, apart from a listener that
/// moves there: its service and its place.
fn check_listen_free(
    config: &Config,
    address: &ListenAddress,
    moving: Option<(&str, usize)>,
) -> Result<(), CommandError> {
    let mut services = config.services.iter();
    let taken = services.find(|service| {
        let mut listens = service.listens.iter().enumerate();
        let moves = |index| moving == Some((service.name.as_str(), index));
        listens.any(|(index, it)| it.address.overlaps(address) && !moves(index))
    });
    match taken {
        None => Ok(()),
        Some(service) => Err(CommandError::ListenTaken {
            address: address.clone(),
            service: service.name.clone(),
        }),
    }
}

/// Index of a listener. Only those with port 0 can be equal: then the last.
fn listen_index(service: &Service, choice: &ListenChoice) -> Result<usize, CommandError> {
    let listens = &service.listens;
    let found = match choice {
        ListenChoice::Address(address) => listens.iter().rposition(|it| it.address == *address),
        ListenChoice::Port(port) => {
            let mut there = listens.iter().enumerate().filter(|(_, it)| {
                let has_port = it.address.unix_path().is_none() && !it.address.is_range();
                has_port && it.address.port == *port
            });
            let first = there.next().map(|(index, _)| index);
            first.filter(|_| there.next().is_none())
        }
    };
    found.ok_or_else(|| CommandError::NoListen {
        service: service.name.clone(),
        listen: choice.clone(),
        listens: listens.iter().map(|it| it.address.clone()).collect(),
    })
}
