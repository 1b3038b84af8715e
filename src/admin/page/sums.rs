//! Figures of several hosts together: of a group, a service, or all.

use super::html::Element;
use super::sparkline::sparkline;
use crate::balance::Totals;
use crate::control::{HostStatus, MINUTES, ServiceStatus, Status};
use crate::text::count;

/// The sums of some hosts.
#[derive(Debug, Clone, Default)]
pub(super) struct Sums {
    pub(super) hosts: usize,
    /// Those that can get new sessions.
    pub(super) up: usize,
    /// Those that have a problem.
    pub(super) problems: usize,
    pub(super) open: u64,
    /// Sessions in ten seconds.
    pub(super) per_ten_seconds: u64,
    pub(super) total: u64,
    pub(super) failures: u64,
    /// Without their histogram.
    pub(super) totals: Totals,
    /// Sessions in each of the last minutes, the oldest first.
    minutes: Vec<u32>,
    /// How many of these there were since the first of the hosts was configured.
    known_minutes: usize,
}

impl Sums {
    pub(super) fn of<'a>(hosts: impl IntoIterator<Item = &'a HostStatus>) -> Sums {
        let mut sums = Sums {
            minutes: vec![0; MINUTES],
            ..Sums::default()
        };
        hosts.into_iter().for_each(|host| sums.add(host));
        sums
    }

    pub(super) fn of_service(service: &ServiceStatus) -> Sums {
        Sums::of(service.groups.iter().flat_map(|group| &group.hosts))
    }

    pub(super) fn of_all(status: &Status) -> Sums {
        let groups = status.services.iter().flat_map(|service| &service.groups);
        Sums::of(groups.flat_map(|group| &group.hosts))
    }

    fn add(&mut self, host: &HostStatus) {
        self.hosts += 1;
        self.up += usize::from(host.is_usable());
        self.problems += usize::from(host.has_problem());
        self.open += u64::from(host.open);
        self.per_ten_seconds += u64::from(host.per_ten_seconds);
        self.total += host.total;
        self.failures += host.failures;
        self.totals.bytes_to_host += host.totals.bytes_to_host;
        self.totals.bytes_to_client += host.totals.bytes_to_client;
        self.totals.connects += host.totals.connects;
        self.totals.connect_ms += host.totals.connect_ms;
        for (sum, sessions) in self.minutes.iter_mut().zip(&host.recent) {
            *sum = sum.saturating_add(*sessions);
        }
        self.known_minutes = self.known_minutes.max(host.known_minutes);
    }

    /// Sessions of the last hour as a line whose peak reaches the top.
    pub(super) fn sparkline(&self) -> Element {
        sparkline(&self.minutes, self.known_minutes, 0)
    }
}

/// A rate a second: with a decimal below a hundred.
pub(super) fn rate(per_ten_seconds: u64) -> String {
    match per_ten_seconds {
        0 => "0".to_owned(),
        1..1000 => format!("{}.{}", per_ten_seconds / 10, per_ten_seconds % 10),
        _ => count(per_ten_seconds / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::samples;
    use super::*;

    #[test]
    fn the_sums_of_hosts_are_those_of_each() {
        let (one, two) = (samples::busy("one", 1), samples::failed("two"));
        let mut new = samples::host("new");
        (new.known_minutes, new.per_ten_seconds) = (3, 25);
        let sums = Sums::of([&one, &two, &new]);
        assert_eq!((sums.hosts, sums.up, sums.problems), (3, 2, 1));
        assert_eq!((sums.open, sums.total), (4, 21_234));
        assert_eq!(sums.failures, 31);
        assert_eq!(sums.per_ten_seconds, u64::from(one.per_ten_seconds) + 25);
        assert_eq!(sums.minutes, one.recent);
        assert_eq!(sums.known_minutes, 60);
        assert_eq!(sums.totals.mean_connect_us(), one.totals.mean_connect_us());
        assert_eq!(Sums::of([&new]).known_minutes, 3);
    }

    #[test]
    fn a_rate_is_short() {
        let rates = [0, 1, 999, 1000, 1_234_567].map(rate);
        assert_eq!(rates, ["0", "0.1", "99.9", "100", "123 k"]);
    }
}
