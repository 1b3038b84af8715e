//! Verbs that change the routes of a service. A route has no name: it is known by its number, from 1.

use super::apply::{service, service_label, service_mut};
use super::list::find_index;
use super::numbered::NumberedList;
use super::table::{
    CommandSchema, KeySchema, adds, force, optional, replaces, required, service_key,
};
use super::values::Values;
use super::{CommandError, Verb};
use crate::config::attributes::ROUTE;
use crate::config::error::ErrorKind;
use crate::config::value::Value;
use crate::config::{Config, Route, Service, ValueKind};

const NUMBER: ValueKind = ValueKind::RouteNumber;

fn route_keys() -> Vec<KeySchema> {
    vec![service_key(), required("route", NUMBER)]
}

pub(super) static ADD_ROUTE: CommandSchema = adds(
    "addRoute",
    || {
        let last = vec![optional("before", NUMBER), force()];
        [vec![service_key()], ROUTE.keys_to_add(), last].concat()
    },
    "send TLS clients that ask for a name or a protocol to a group",
    |values, config| {
        let mut route = Route::default();
        values.set(&ROUTE, &mut route)?;
        let service = service_mut(config, &values.name("service"))?;
        check_route(&route, service)?;
        let index = match values.text("before") {
            None => service.routes.len(),
            Some(_) => route_index(values, "before", service)?,
        };
        service.routes.insert(index, route);
        Ok(())
    },
);

pub(super) static DEL_ROUTE: CommandSchema = replaces(
    "delRoute",
    route_keys,
    "remove a route from a service; the numbers of those after it go down by one",
    |values, config| {
        let service = service_mut(config, &values.name("service"))?;
        let index = route_index(values, "route", service)?;
        service.routes.remove(index);
        Ok(())
    },
    |values, config| {
        let route = route(values, config)?;
        let attributes = ROUTE.attributes.iter();
        Some(
            attributes
                .filter_map(|it| Some((it.name, (it.get)(route)?)))
                .collect(),
        )
    },
);

pub(super) static SET_ROUTE: CommandSchema = replaces(
    "setRoute",
    || [route_keys(), ROUTE.keys_to_set(), vec![force()]].concat(),
    "change a route of a service",
    |values, config| {
        let service = service_mut(config, &values.name("service"))?;
        let index = route_index(values, "route", service)?;
        values.set(&ROUTE, &mut service.routes[index])?;
        check_route(&service.routes[index], service)
    },
    |values, config| Some(values.previous(&ROUTE, route(values, config)?)),
);

/// Checks that the route says which clients it is for, and that its group exists.
fn check_route(route: &Route, service: &Service) -> Result<(), CommandError> {
    if !route.is_for_some() {
        return Err(CommandError::Option(ErrorKind::RouteForNobody.into()));
    }
    let owner = service_label(&service.name);
    find_index(&service.groups, &route.group, &owner).map(drop)
}

/// The index of the route with the number in `key`.
fn route_index(
    values: &Values,
    key: &'static str,
    service: &Service,
) -> Result<usize, CommandError> {
    let number = values.get(key, Value::route_number)?;
    let count = service.routes.len();
    match number <= count {
        true => Ok(number - 1),
        false => Err(CommandError::NoRoute {
            service: service.name.clone(),
            number,
            count,
        }),
    }
}

fn route<'a>(values: &Values, config: &'a Config) -> Option<&'a Route> {
    let service = service(config, values.text("service")?)?;
    let number = values.get("route", Value::route_number).ok()?;
    service.routes.get(number.checked_sub(1)?)
}

/// The verbs that change the routes `from` of a service into `to`.
pub(super) fn diff_routes(service: &str, from: &[Route], to: &[Route]) -> Vec<Verb> {
    let routes = NumberedList {
        key: "route",
        table: &ROUTE,
        add: &ADD_ROUTE,
        set: &SET_ROUTE,
        delete: &DEL_ROUTE,
    };
    routes.diff(|verb| verb.with("service", service), from, to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::verb::Command;

    fn config() -> Config {
        let text = "<config><service name='s'><listen ip='1'/><route sni='a.test' group='x'/>\
                    <route alpn='h2' group='y'/><group name='g' enable='1'/><group name='x'/>\
                    <group name='y'/></service></config>";
        crate::config::read(text.as_bytes()).unwrap().config
    }

    fn changed(line: &str) -> Result<Config, CommandError> {
        let command: Command = line.parse().unwrap();
        let mut config = config();
        command.into_change().unwrap().change(&mut config)?;
        Ok(config)
    }

    fn routes(line: &str) -> Vec<String> {
        let service = &changed(line).unwrap().services[0];
        let routes = service.routes.iter();
        routes
            .map(|it| format!("{}|{}|{}", it.sni.join(" "), it.alpn.join(" "), it.group))
            .collect()
    }

    #[test]
    fn routes_are_known_by_their_numbers() {
        assert_eq!(routes("delRoute service=s route=1"), ["|h2|y"]);
        assert_eq!(
            routes("addRoute service=s sni=\"*.B.test, c.test.\" group=g before=2"),
            ["a.test||x", "*.b.test c.test||g", "|h2|y"]
        );
        assert_eq!(
            routes("addRoute service=s sni=a.test alpn=imap group=x"),
            ["a.test||x", "|h2|y", "a.test|imap|x"]
        );
        assert_eq!(
            routes("setRoute service=s route=2 alpn=\"\" sni=d.test group=g"),
            ["a.test||x", "d.test||g"]
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        let refused = |line: &str| changed(line).unwrap_err().to_string();
        assert_eq!(
            refused("delRoute service=s route=3"),
            "service \"s\" has no route 3: it has 2"
        );
        assert_eq!(
            refused("addRoute service=s group=x"),
            "a route needs sni or alpn: which clients it is for"
        );
        assert_eq!(
            refused("setRoute service=s route=1 sni=\"\""),
            "a route needs sni or alpn: which clients it is for"
        );
        assert_eq!(
            refused("addRoute service=s sni=a.test group=xx"),
            "service \"s\" has no group \"xx\": is \"x\" meant?"
        );
        assert_eq!(
            refused("delGroup service=s group=y"),
            "group \"y\" of service \"s\" has a route: change or remove route 2 first (setRoute, \
             delRoute)"
        );
        assert_eq!(
            refused("delGroup service=s group=x force=true"),
            "group \"x\" of service \"s\" has a route: change or remove route 1 first (setRoute, \
             delRoute)"
        );
    }
}
