//! `<route>`: TLS clients that ask for a name or a protocol go to a group of their own. The lookup
//! table for that.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::Service;
use super::address::is_host_name;
use super::error::Error;
use super::value::Value;

/// A route of a service: which TLS clients go to a group, enabled or not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Route {
    /// Names that the client asks for (`sni`): exact ones, or `*.` and a name, for all names that
    /// end in it. In lower case, without a trailing dot. Empty: any name, or none.
    pub sni: Vec<String>,
    /// Protocols that the client offers (`alpn`), such as `h2`: one is enough. Empty: any, or none.
    pub alpn: Vec<String>,
    /// Name of the group that they go to, one of the service.
    pub group: String,
}

impl Route {
    /// Names, and protocols, of one route at most.
    pub const MOST_NAMES: usize = 1024;

    /// The route in words for people: `sni a.test *.b.test, alpn h2: group main`.
    pub(crate) fn words(&self) -> String {
        let sni = (!self.sni.is_empty()).then(|| format!("sni {}", self.sni.join(" ")));
        let alpn = (!self.alpn.is_empty()).then(|| format!("alpn {}", self.alpn.join(" ")));
        let clients: Vec<_> = sni.into_iter().chain(alpn).collect();
        format!("{}: group {}", clients.join(", "), self.group)
    }

    /// Whether it says which clients it is for.
    pub(super) fn is_for_some(&self) -> bool {
        !self.sni.is_empty() || !self.alpn.is_empty()
    }
}

/// The routes of a service, for lookup by name and protocols. Its size does not matter for the time
/// of a lookup, which takes one step for each label of the name and each protocol.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouteTable {
    exact: HashMap<String, Protocols>,
    /// By what follows `*.`.
    wildcards: HashMap<String, Protocols>,
    /// Routes without `sni`.
    any_name: Protocols,
}

/// The routes of one name, by protocol. Of several that fit, the first of the file counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Protocols {
    /// The first route without `alpn`.
    any: Option<usize>,
    /// The first route of each protocol.
    of: HashMap<Vec<u8>, usize>,
}

impl RouteTable {
    /// The table of `routes`.
    pub fn new(routes: &[Route]) -> RouteTable {
        let mut table = RouteTable::default();
        for (index, route) in routes.iter().enumerate().filter(|(_, it)| it.is_for_some()) {
            table.add(index, route);
        }
        table
    }

    fn add(&mut self, index: usize, route: &Route) {
        if route.sni.is_empty() {
            self.any_name.add(index, &route.alpn);
        }
        for name in &route.sni {
            self.names(name).add(index, &route.alpn);
        }
    }

    /// Whether there is no route.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcards.is_empty() && self.any_name.is_empty()
    }

    /// The index of the route of a client that asks for `server_name` and offers `alpn`; `None` if
    /// no route is for it.
    ///
    /// Names are compared without case, and without a trailing dot. An exact name comes before a
    /// wildcard, a longer wildcard before a shorter one, and these before routes without `sni`. Of
    /// those that are left, the first in the file is chosen. A route with both needs both.
    pub fn choose(&self, server_name: Option<&str>, alpn: &[&[u8]]) -> Option<usize> {
        let of_name = server_name.and_then(|name| self.choose_by_name(&canonical(name), alpn));
        of_name.or_else(|| self.any_name.choose(alpn))
    }

    fn choose_by_name(&self, name: &str, alpn: &[&[u8]]) -> Option<usize> {
        let exact = self.exact.get(name).and_then(|it| it.choose(alpn));
        exact.or_else(|| {
            // At least one label stands for the star.
            let dots = name.match_indices('.').filter(|(at, _)| *at > 0);
            let mut suffixes = dots.filter_map(|(at, _)| self.wildcards.get(&name[at + 1..]));
            suffixes.find_map(|it| it.choose(alpn))
        })
    }

    fn names(&mut self, pattern: &str) -> &mut Protocols {
        let (names, name) = match pattern.strip_prefix("*.") {
            Some(suffix) => (&mut self.wildcards, suffix),
            None => (&mut self.exact, pattern),
        };
        names.entry(canonical(name).into_owned()).or_default()
    }
}

impl Protocols {
    fn add(&mut self, index: usize, alpn: &[String]) {
        if alpn.is_empty() {
            self.any.get_or_insert(index);
        }
        for protocol in alpn {
            let first = self.of.entry(protocol.clone().into_bytes());
            first.or_insert(index);
        }
    }

    fn choose(&self, alpn: &[&[u8]]) -> Option<usize> {
        if self.of.is_empty() {
            return self.any;
        }
        let by_protocol = alpn.iter().filter_map(|it| self.of.get(*it).copied());
        by_protocol.chain(self.any).min()
    }

    /// Whether all clients that offer one of `alpn`, or all at all, have a route.
    fn covers(&self, alpn: &[String]) -> bool {
        let mut protocols = alpn.iter().map(String::as_bytes);
        self.any.is_some() || !alpn.is_empty() && protocols.all(|it| self.of.contains_key(it))
    }

    fn is_empty(&self) -> bool {
        self.any.is_none() && self.of.is_empty()
    }
}

/// The name in lower case and without a trailing dot, as names are compared.
fn canonical(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    }
}

/// The names of routes, `None` for those without, whose clients all go to earlier routes; each with
/// the index of its route.
pub(super) fn shadowed_names(routes: &[Route]) -> Vec<(usize, Option<&str>)> {
    let (mut table, mut shadowed) = (RouteTable::default(), Vec::new());
    for (index, route) in routes.iter().enumerate().filter(|(_, it)| it.is_for_some()) {
        if route.sni.is_empty() && table.any_name.covers(&route.alpn) {
            shadowed.push((index, None));
        }
        for name in &route.sni {
            if table.names(name).covers(&route.alpn) {
                shadowed.push((index, Some(name.as_str())));
            }
        }
        table.add(index, route);
    }
    shadowed
}

impl Service {
    /// Whether it has a group of this name.
    pub(super) fn has_group(&self, name: &str) -> bool {
        self.groups.iter().any(|group| group.name == name)
    }

    /// Names of the groups that get new sessions: the enabled one, and those of routes.
    pub fn serving_groups(&self) -> HashSet<&str> {
        let of_routes = self.routes.iter().map(|route| route.group.as_str());
        of_routes.chain([self.enabled.as_str()]).collect()
    }
}

impl Value<'_> {
    /// Names that clients ask for, some with `*.` in front; blanks or commas between them.
    pub(super) fn server_names(&self) -> Result<Vec<String>, Error> {
        let name = |word: &str| {
            let name = word.strip_prefix("*.").unwrap_or(word);
            is_host_name(name).then(|| canonical(word).into_owned())
        };
        let names: Option<Vec<_>> = self.words().map(name).collect();
        names
            .filter(|names| names.len() <= Route::MOST_NAMES)
            .ok_or_else(|| {
                self.bad_value(
                    "names such as a.example.org or *.example.org, blanks between them, \
                     at most 1024, other letters than a to z as in DNS (xn--)",
                )
            })
    }

    /// Protocols that clients offer, blanks or commas between them.
    pub(super) fn protocols(&self) -> Result<Vec<String>, Error> {
        const LONGEST: usize = 255;
        let is_protocol = |word: &String| {
            word.len() <= LONGEST && word.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let protocols: Vec<_> = self.words().map(str::to_owned).collect();
        match protocols.iter().all(is_protocol) && protocols.len() <= Route::MOST_NAMES {
            true => Ok(protocols),
            false => Err(self.bad_value(
                "protocols of ALPN such as h2 or http/1.1, blanks between them, at most 1024, \
                 each of 255 printable ASCII characters at most",
            )),
        }
    }

    /// The number of a route, from 1.
    pub(super) fn route_number(&self) -> Result<usize, Error> {
        let expected = "the number of a route in its service, from 1";
        self.whole_number(1..=usize::MAX, expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::arbitrary::Random;

    fn route(sni: &str, alpn: &str) -> Route {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        Route {
            sni: words(sni),
            alpn: words(alpn),
            group: "g".to_owned(),
        }
    }

    fn chosen(table: &RouteTable, name: &str, alpn: &str) -> Option<usize> {
        let alpn: Vec<&[u8]> = alpn.split_whitespace().map(str::as_bytes).collect();
        table.choose(Some(name).filter(|name| !name.is_empty()), &alpn)
    }

    #[test]
    fn the_nearest_name_wins_and_then_the_first_of_the_file() {
        let table = RouteTable::new(&[
            route("*.example.org", ""),
            route("", "h2"),
            route("a.example.org b.example.org", ""),
            route("*.b.example.org", ""),
            route("a.example.org *.example.org", ""),
        ]);
        for (name, alpn, expected) in [
            ("a.example.org", "", Some(2)),
            ("A.Example.ORG.", "h2", Some(2)),
            ("b.example.org", "", Some(2)),
            ("x.example.org", "", Some(0)),
            ("x.y.example.org", "h2", Some(0)),
            ("x.b.example.org", "", Some(3)),
            ("x.y.b.example.org", "", Some(3)),
            ("example.org", "", None),
            (".example.org", "", None),
            ("xexample.org", "", None),
            ("example.org", "http/1.1 h2", Some(1)),
            ("", "h2", Some(1)),
            ("", "h3", None),
            ("", "", None),
        ] {
            assert_eq!(chosen(&table, name, alpn), expected, "{name} {alpn}");
        }
        assert!(!table.is_empty() && RouteTable::new(&[]).is_empty());
    }

    #[test]
    fn a_route_with_both_needs_both_and_others_are_looked_at_then() {
        let table = RouteTable::new(&[
            route("a.example", "h2"),
            route("a.example", "acme-tls/1 h2"),
            route("*.example", ""),
            route("", "imap"),
        ]);
        for (name, alpn, expected) in [
            ("a.example", "h2", Some(0)),
            ("a.example", "acme-tls/1", Some(1)),
            ("a.example", "acme-tls/1 h2", Some(0)),
            ("a.example", "http/1.1", Some(2)),
            ("a.example", "imap", Some(2)),
            ("b.test", "imap", Some(3)),
            ("b.test", "h2", None),
        ] {
            assert_eq!(chosen(&table, name, alpn), expected, "{name} {alpn}");
        }
    }

    #[test]
    fn a_name_that_an_earlier_route_has_is_shadowed() {
        let shadowed = |routes: &[Route]| -> Vec<_> {
            let names = shadowed_names(routes).into_iter();
            names
                .map(|(index, name)| format!("{index} {}", name.unwrap_or("-")))
                .collect()
        };
        let routes = [
            route("a.test", "h2"),
            route("A.test *.test", ""),
            route("a.test", "h2"),
            route("*.test b.test", "h2 imap"),
            route("", "imap"),
            route("", "imap h2"),
            route("b.test", "imap"),
            route("", "h2"),
        ];
        assert_eq!(
            shadowed(&routes),
            ["2 a.test", "3 *.test", "6 b.test", "7 -"]
        );
        assert_eq!(shadowed(&routes[..2]), [""; 0]);
    }

    /// What `choose` promises, said as a scan over all routes.
    fn scanned(routes: &[Route], name: &str, alpn: &[&[u8]]) -> Option<usize> {
        let rank = |route: &Route| {
            let ranks = route
                .sni
                .iter()
                .filter_map(|pattern| match pattern.strip_prefix("*") {
                    None => (pattern == name).then_some(usize::MAX),
                    Some(end) => {
                        (name.len() > end.len() && name.ends_with(end)).then_some(end.len())
                    }
                });
            match route.sni.is_empty() {
                true => Some(0),
                false => ranks.max(),
            }
        };
        let has_protocol = |route: &Route| {
            let mut offered = alpn.iter();
            route.alpn.is_empty()
                || offered.any(|it| route.alpn.iter().any(|known| known.as_bytes() == *it))
        };
        let fits = |(index, route): (usize, &Route)| {
            let rank = rank(route).filter(|_| has_protocol(route))?;
            Some((std::cmp::Reverse(rank), index))
        };
        routes
            .iter()
            .enumerate()
            .filter_map(fits)
            .min()
            .map(|(_, index)| index)
    }

    #[test]
    fn a_lookup_agrees_with_a_scan_of_all_routes() {
        let mut random = Random::new(31);
        let labels = ["a", "b", "c"];
        let protocols = ["h2", "http/1.1", "imap"];
        let mut found = 0;
        for _ in 0..3000 {
            let name = |random: &mut Random| {
                let labels: Vec<_> = (0..1 + random.below(3))
                    .map(|_| *random.pick(&labels))
                    .collect();
                labels.join(".")
            };
            let routes: Vec<_> = (0..random.below(6))
                .map(|_| {
                    let names = (0..random.below(3)).map(|_| {
                        let star = *random.pick(&["", "*."]);
                        format!("{star}{}", name(&mut random))
                    });
                    let sni = names.collect::<Vec<_>>().join(" ");
                    let alpn = match sni.is_empty() {
                        true => *random.pick(&protocols),
                        false => *random.pick(&["", "", "h2", "imap h2"]),
                    };
                    route(&sni, alpn)
                })
                .collect();
            let table = RouteTable::new(&routes);
            for _ in 0..5 {
                let asked = name(&mut random);
                let alpn: Vec<&[u8]> = (0..random.below(3))
                    .map(|_| random.pick(&protocols).as_bytes())
                    .collect();
                let expected = scanned(&routes, &asked, &alpn);
                assert_eq!(
                    table.choose(Some(&asked), &alpn),
                    expected,
                    "{routes:?} {asked}"
                );
                found += usize::from(expected.is_some());
            }
        }
        assert!(found > 2000, "{found}");
    }
}
