//! Which hosts a view shows, and in which order: filter, problems, sorting, and parts of many.

use std::cmp::Reverse;
use std::fmt::Write;
use std::ptr;

use super::host::host_label;
use super::query::{Query, Sort};
use super::state::State;
use crate::config::HostAddress;
use crate::control::{GroupStatus, Health, HostStatus, ServiceStatus, Status};

/// Hosts that are shown at once. A page of them is about a megabyte.
pub(super) const MAX_ROWS: usize = 500;

/// From so many shown hosts on, groups are folded to those with a problem and some others.
const FOLDED_FROM: usize = 100;

/// Hosts of a folded group that are in sight, if none has a problem.
const UNFOLDED: usize = 10;

/// Groups without a shown host that are shown at once.
const MAX_EMPTY: usize = 50;

/// The hosts of a view.
#[derive(Debug)]
pub(super) struct Listing<'a> {
    pub(super) services: Vec<ListedService<'a>>,
    /// The hosts that match, on all parts.
    pub(super) found: usize,
    /// All hosts.
    pub(super) hosts: usize,
    /// The part that is shown, from 0.
    pub(super) part: usize,
}

/// A service with what is shown of it.
#[derive(Debug)]
pub(super) struct ListedService<'a> {
    pub(super) service: &'a ServiceStatus,
    pub(super) groups: Vec<ListedGroup<'a>>,
}

/// A group with what is shown of it.
#[derive(Debug)]
pub(super) struct ListedGroup<'a> {
    pub(super) group: &'a GroupStatus,
    pub(super) hosts: Vec<&'a HostStatus>,
    is_folded: bool,
}

impl ListedGroup<'_> {
    /// Whether the host at `index` is folded.
    pub(super) fn folds(&self, index: usize) -> bool {
        let host = self.hosts.get(index);
        self.is_folded && index >= UNFOLDED && host.is_some_and(|it| !it.has_problem())
    }

    /// The number of folded hosts.
    pub(super) fn folded(&self) -> usize {
        let hosts = 0..self.hosts.len();
        hosts.filter(|index| self.folds(*index)).count()
    }
}

impl<'a> Listing<'a> {
    /// The hosts that `query` asks for.
    pub(super) fn of(status: &'a Status, query: &Query) -> Listing<'a> {
        let words: Vec<_> = query
            .filter
            .split_whitespace()
            .map(str::to_lowercase)
            .collect();
        let is_wanted = |service: &str, group: &str, host: &HostStatus| {
            (!query.problems || host.has_problem())
                && (words.is_empty() || has_all(&words, &text_of(service, group, host)))
        };
        let mut listing = Listing {
            services: Vec::new(),
            found: 0,
            hosts: 0,
            part: 0,
        };
        for service in &status.services {
            let groups = service.groups.iter().map(|group| {
                listing.hosts += group.hosts.len();
                let hosts = group.hosts.iter();
                let hosts = hosts.filter(|it| is_wanted(&service.name, &group.name, it));
                ListedGroup {
                    group,
                    hosts: hosts.collect(),
                    is_folded: false,
                }
            });
            let groups = groups.collect();
            listing.services.push(ListedService { service, groups });
        }
        listing.found = listing.shown().count();
        if listing.found > MAX_ROWS {
            listing.cut(query.part);
        }
        if listing.found > MAX_ROWS || query.is_narrowed() {
            listing.leave_out(|group| group.hosts.is_empty());
        } else {
            let mut empty = 0;
            listing.leave_out(|group| {
                empty += usize::from(group.hosts.is_empty());
                group.hosts.is_empty() && empty > MAX_EMPTY
            });
        }
        let is_folded = !query.is_narrowed() && listing.found >= FOLDED_FROM;
        for group in listing.services.iter_mut().flat_map(|it| &mut it.groups) {
            sort(&mut group.hosts, query.sort);
            group.is_folded = is_folded;
        }
        listing
    }

    /// The number of parts.
    pub(super) fn parts(&self) -> usize {
        self.found.div_ceil(MAX_ROWS)
    }

    /// The hosts that are shown.
    pub(super) fn shown(&self) -> impl Iterator<Item = &'a HostStatus> + '_ {
        let groups = self.services.iter().flat_map(|it| &it.groups);
        groups.flat_map(|group| group.hosts.iter().copied())
    }

    /// Whether a service is shown.
    pub(super) fn shows(&self, service: &ServiceStatus) -> bool {
        let mut services = self.services.iter();
        services.any(|it| ptr::eq(it.service, service))
    }

    /// Keeps one part. Hosts that have a problem are in the first parts.
    fn cut(&mut self, part: usize) {
        self.part = part.min(self.parts().saturating_sub(1));
        let (mut problems, mut others) = (0, self.shown().filter(|it| it.has_problem()).count());
        let shown = self.part * MAX_ROWS..(self.part + 1) * MAX_ROWS;
        for group in self.services.iter_mut().flat_map(|it| &mut it.groups) {
            group.hosts.retain(|host| {
                let next = match host.has_problem() {
                    true => &mut problems,
                    false => &mut others,
                };
                *next += 1;
                shown.contains(&(*next - 1))
            });
        }
    }

    /// Leaves out groups, and services of which no group is left.
    fn leave_out(&mut self, mut is_left_out: impl FnMut(&ListedGroup<'_>) -> bool) {
        for service in &mut self.services {
            service.groups.retain(|group| !is_left_out(group));
        }
        self.services.retain(|service| !service.groups.is_empty());
    }
}

fn sort(hosts: &mut [&HostStatus], order: Sort) {
    match order {
        Sort::State => hosts.sort_by_key(|it| match State::of(it) {
            State::Failed => 0,
            _ if it.has_problem() => 1,
            _ => 2,
        }),
        Sort::Name => hosts.sort_by_key(|it| natural(&it.name)),
        Sort::Open => hosts.sort_by_key(|it| Reverse(it.open)),
        Sort::Rate => hosts.sort_by_key(|it| Reverse(it.per_ten_seconds)),
        Sort::Total => hosts.sort_by_key(|it| Reverse(it.total)),
        Sort::Failures => hosts.sort_by_key(|it| Reverse(it.failures)),
        Sort::Connect => hosts.sort_by_key(|it| Reverse(it.totals.mean_connect_us())),
    }
}

/// A name in lower case, with its numbers in the order of their values: `web-9`, then `web-10`.
fn natural(name: &str) -> String {
    let mut key = String::new();
    let mut digits = String::new();
    for letter in name.chars().flat_map(char::to_lowercase).chain(['\0']) {
        if letter.is_ascii_digit() {
            digits.push(letter);
            continue;
        }
        if !digits.is_empty() {
            let _ = write!(key, "{:0>20}", digits.trim_start_matches('0'));
            digits.clear();
        }
        key.push(letter);
    }
    key
}

/// What the filter looks at, in lower case.
fn text_of(service: &str, group: &str, host: &HostStatus) -> String {
    let address = host.address.as_ref().map(|it| HostAddress(it).to_string());
    let why = match &host.health {
        Health::Failed(why) => why.to_string(),
        _ => String::new(),
    };
    let parts = [
        &host_label(service, group, &host.name),
        &host.endpoint,
        address.as_deref().unwrap_or_default(),
        State::of(host).words(),
        &why,
    ];
    parts.join(" ").to_lowercase()
}

fn has_all(words: &[String], text: &str) -> bool {
    words.iter().all(|word| text.contains(word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::samples;
    use super::*;
    use crate::admin::http::request::fields;

    fn query(text: &str) -> Query {
        Query::new(None, &fields(text.as_bytes()).unwrap())
    }

    /// Service, group and host of all that is shown.
    fn shown(status: &Status, text: &str) -> Vec<String> {
        let listing = Listing::of(status, &query(text));
        let services = listing.services.iter();
        let hosts = services.flat_map(|service| {
            service.groups.iter().flat_map(|group| {
                let hosts = group.hosts.iter();
                hosts.map(|it| host_label(&service.service.name, &group.group.name, &it.name))
            })
        });
        hosts.collect()
    }

    #[test]
    fn all_words_must_be_found() {
        let status = samples::trouble();
        let all = shown(&status, "").len();
        assert_eq!(all, 7);
        let one = ["web:main/two"];
        for text in [
            "q=main/two",
            "q=TWO+refused",
            "q=failed+web",
            "q=two+10.0.0.1",
        ] {
            assert_eq!(shown(&status, text), one, "{text}");
        }
        assert_eq!(shown(&status, "q=web%3Amain%2F").len(), 4);
        assert_eq!(shown(&status, "q=two+db").len(), 0);
        let problems = ["web:main/two", "database:primary/standby"];
        assert_eq!(shown(&status, "problems"), problems);
        // A group that has nothing to show is left out.
        assert_eq!(Listing::of(&status, &query("q=db")).services.len(), 1);
        assert_eq!(Listing::of(&status, &query("")).services.len(), 2);
    }

    #[test]
    fn those_with_a_problem_are_first_unless_another_order_is_wanted() {
        let mut hosts: Vec<_> = ["w10", "w9", "W1"].map(samples::host).to_vec();
        hosts[1] = samples::failed("w9");
        (hosts[0].open, hosts[2].open) = (5, 7);
        let status = samples::status(hosts);
        let names = |text: &str| shown(&status, text).join(" ").replace("web:main/", "");
        assert_eq!(names(""), "w9 w10 W1");
        assert_eq!(names("sort=name"), "W1 w9 w10");
        assert_eq!(names("sort=open"), "W1 w10 w9");
    }

    #[test]
    fn of_many_hosts_each_part_has_so_many_and_problems_come_first() {
        let mut hosts: Vec<_> = (0..MAX_ROWS + 7)
            .map(|number| samples::host(&format!("h{number}")))
            .collect();
        *hosts.last_mut().unwrap() = samples::failed("last");
        let status = samples::status(hosts);
        let (first, second) = (shown(&status, ""), shown(&status, "part=1"));
        assert_eq!((first.len(), second.len()), (MAX_ROWS, 7));
        assert_eq!(first[0], "web:main/last");
        assert!(!second.contains(&first[0]) && !second.contains(&first[1]));
        assert_eq!(shown(&status, "part=99"), second);
        let listing = Listing::of(&status, &query("part=1"));
        assert_eq!((listing.found, listing.parts()), (MAX_ROWS + 7, 2));
    }

    #[test]
    fn of_many_hosts_those_without_a_problem_are_folded_unless_they_are_looked_for() {
        let hosts = |number| (0..number).map(|it| samples::host(&format!("h{it}")));
        let folded = |hosts: Vec<HostStatus>, asked: &str| {
            let status = samples::status(hosts);
            let listing = Listing::of(&status, &query(asked));
            listing.services[0].groups[0].folded()
        };
        assert_eq!(folded(hosts(FOLDED_FROM - 1).collect(), ""), 0);
        assert_eq!(
            folded(hosts(FOLDED_FROM).collect(), ""),
            FOLDED_FROM - UNFOLDED
        );
        assert_eq!(folded(hosts(FOLDED_FROM).collect(), "q=h"), 0);
        // All with a problem are in sight, whatever the order.
        let mut many: Vec<_> = hosts(FOLDED_FROM).collect();
        many[50..80].fill(samples::failed("bad"));
        assert_eq!(folded(many.clone(), ""), FOLDED_FROM - 30);
        assert_eq!(folded(many, "sort=open"), FOLDED_FROM - 30 - UNFOLDED);
    }

    #[test]
    fn a_group_without_hosts_is_shown_unless_there_are_very_many() {
        let empty = |number: usize| GroupStatus::example(&format!("g{number}"), Vec::new());
        let mut status = samples::status(Vec::new());
        status.services[0].groups = (0..MAX_EMPTY + 3).map(empty).collect();
        let listing = Listing::of(&status, &query(""));
        assert_eq!(listing.services[0].groups.len(), MAX_EMPTY);
        assert!(listing.shows(&status.services[0]));
    }
}
