//! The listeners of a file so far: none is there twice, and there are not too many.

use std::collections::{BTreeMap, HashMap};

use super::element::{Element, Findings};
use crate::config::error::ErrorKind;
use crate::config::{Control, Limit, ListenAddress, ListenHost};

/// Where the listeners of a file so far stand in it.
#[derive(Debug, Default)]
pub(super) struct ListenPlaces {
    /// By host and first port: the last port, and the byte offset of the address. No two share a
    /// port.
    by_host: HashMap<ListenHost, BTreeMap<u16, (u16, usize)>>,
    /// How many listeners there are, each port of a range for itself.
    count: usize,
}

/// Why a listener cannot be added.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It shares a port with the one at this byte offset.
    Taken(usize),
    /// There would be too many.
    TooMany,
}

impl ListenPlaces {
    /// Adds a listener whose address stands at this byte offset.
    pub(super) fn add(&mut self, address: &ListenAddress, offset: usize) -> Result<(), Refused> {
        let ranges = self.by_host.entry(address.host.clone()).or_default();
        // The last one that begins before its end: those before it end before it begins.
        let before = ranges.range(..=address.last_port).next_back();
        if let Some((_, (last, first_offset))) = before
            && *last >= address.port
            && !address.is_chosen_by_system()
        {
            return Err(Refused::Taken(*first_offset));
        }
        let count = self.count + address.ports().count();
        if count > Limit::Listeners.max() {
            return Err(Refused::TooMany);
        }
        self.count = count;
        if !address.is_chosen_by_system() {
            ranges.insert(address.port, (address.last_port, offset));
        }
        Ok(())
    }
}

/// Finds the places where control sockets, those of `element`, would take a service's.
pub(super) fn check_control_sockets(
    control: &Control,
    element: &Element<'_>,
    listens: &ListenPlaces,
    findings: &mut Findings<'_>,
) {
    for path in control.sockets() {
        let ranges = listens.by_host.get(&ListenHost::Unix(path.into()));
        for (_, first) in ranges.into_iter().flat_map(BTreeMap::values) {
            findings.error(element.error(ErrorKind::DuplicateListen {
                address: format!("unix:{}, wanted for <control>,", path.display()),
                first: element.position_of(*first),
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(places: &mut ListenPlaces, address: &str, offset: usize) -> Result<(), Refused> {
        places.add(&address.parse().unwrap(), offset)
    }

    #[test]
    fn a_port_that_is_listened_on_is_found_wherever_it_is_in_a_range() {
        let mut places = ListenPlaces::default();
        for (index, free) in ["*:10-19", "*:30-39", "*:20", "[::1]:10-19", "*:0", "*:0"]
            .iter()
            .enumerate()
        {
            assert_eq!(add(&mut places, free, index), Ok(()), "{free}");
        }
        for (taken, by) in [
            ("*:10", 0),
            ("*:15", 0),
            ("*:19-20", 2),
            ("*:20", 2),
            ("*:1-10", 0),
            ("*:29-30", 1),
            ("*:1-65", 1),
            ("[::1]:1-65", 3),
        ] {
            assert_eq!(
                add(&mut places, taken, 99),
                Err(Refused::Taken(by)),
                "{taken}"
            );
        }
        assert_eq!(add(&mut places, "*:21-29", 99), Ok(()));
    }

    #[test]
    fn each_port_of_a_range_counts() {
        let mut places = ListenPlaces::default();
        assert_eq!(add(&mut places, "*:1-4095", 0), Ok(()));
        assert_eq!(add(&mut places, "*:5000-5001", 0), Err(Refused::TooMany));
        assert_eq!(add(&mut places, "*:0", 0), Ok(()));
        assert_eq!(add(&mut places, "*:0", 0), Err(Refused::TooMany));
    }
}
