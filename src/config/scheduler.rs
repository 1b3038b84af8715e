//! Which scheduler a group uses, and how each is spelled.
//!
//! Only the names: how a scheduler picks is `balance`'s business.

use std::fmt;
use std::str::FromStr;

/// A group's scheduler: an algorithm, and whether clients stay where they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scheduler {
    /// Who gets a client that has no place yet.
    pub algorithm: Algorithm,
    /// Whether a client goes where it went before (`,sticky`).
    pub sticky: bool,
}

/// How a host is picked for a new session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// Any host, evenly.
    Random,
    /// In the file's order.
    RoundRobin,
    /// Fewest open sessions; among equals the longest without a new one.
    LeastConns,
    /// Fewest open sessions; among equals the next in order.
    LeastConnsRoundRobin,
    /// At random, in proportion to weight.
    Weighted,
    /// Round robin in proportion to weight, smoothly.
    WeightedRoundRobin,
    /// Fewest open sessions for its weight.
    WeightedLeastConns,
    /// The less loaded of two picked at random.
    PowerOfTwo,
    /// By the client's address, consistently.
    Maglev,
}

impl Algorithm {
    /// Every one.
    pub const ALL: [Algorithm; 9] = [
        Algorithm::Random,
        Algorithm::RoundRobin,
        Algorithm::LeastConns,
        Algorithm::LeastConnsRoundRobin,
        Algorithm::Weighted,
        Algorithm::WeightedRoundRobin,
        Algorithm::WeightedLeastConns,
        Algorithm::PowerOfTwo,
        Algorithm::Maglev,
    ];
}

/// Every spelling, each algorithm's own name first: the ancestors' follow it.
const SPELLINGS: &[(&str, Algorithm)] = &[
    ("rand", Algorithm::Random),
    ("random", Algorithm::Random),
    ("roundr", Algorithm::RoundRobin),
    ("roundrobin", Algorithm::RoundRobin),
    ("leastc", Algorithm::LeastConns),
    ("leastconns", Algorithm::LeastConns),
    ("leastcrr", Algorithm::LeastConnsRoundRobin),
    ("leastconnsrr", Algorithm::LeastConnsRoundRobin),
    ("weightr", Algorithm::Weighted),
    ("weighted", Algorithm::Weighted),
    ("lweighted", Algorithm::Weighted),
    ("weightrr", Algorithm::WeightedRoundRobin),
    ("weightlc", Algorithm::WeightedLeastConns),
    ("p2c", Algorithm::PowerOfTwo),
    ("maglev", Algorithm::Maglev),
];

/// What follows the name of a scheduler that remembers its clients.
const STICKY: &str = ",sticky";

impl Scheduler {
    /// Every spelling that is understood, without `,sticky`.
    pub fn spellings() -> impl Iterator<Item = &'static str> {
        SPELLINGS.iter().map(|(spelling, _)| *spelling)
    }
}

impl From<Algorithm> for Scheduler {
    fn from(algorithm: Algorithm) -> Self {
        Scheduler {
            algorithm,
            sticky: false,
        }
    }
}

impl Algorithm {
    /// Its name in files, verbs and pages.
    pub fn as_str(self) -> &'static str {
        SPELLINGS
            .iter()
            .find(|(_, algorithm)| *algorithm == self)
            .map_or("", |(spelling, _)| spelling)
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm.as_str())?;
        f.write_str(if self.sticky { STICKY } else { "" })
    }
}

/// That a word names no scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownScheduler;

impl FromStr for Scheduler {
    type Err = UnknownScheduler;

    fn from_str(text: &str) -> Result<Self, UnknownScheduler> {
        let (name, sticky) = match text.strip_suffix(STICKY) {
            Some(name) => (name, true),
            None => (text, false),
        };
        SPELLINGS
            .iter()
            .find(|(spelling, _)| *spelling == name)
            .map(|&(_, algorithm)| Scheduler { algorithm, sticky })
            .ok_or(UnknownScheduler)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_read_and_printed_by_its_first_name() {
        for (spelling, algorithm) in SPELLINGS {
            let plain: Scheduler = spelling.parse().unwrap();
            assert_eq!(plain, Scheduler::from(*algorithm));
            let sticky: Scheduler = format!("{spelling},sticky").parse().unwrap();
            assert_eq!(
                sticky,
                Scheduler {
                    algorithm: *algorithm,
                    sticky: true
                }
            );
            assert_eq!(sticky.to_string(), format!("{},sticky", algorithm.as_str()));
        }
    }

    #[test]
    fn all_algorithms_are_those_that_can_be_spelled() {
        let spelled = |all: &Algorithm| SPELLINGS.iter().any(|(_, algorithm)| algorithm == all);
        assert!(Algorithm::ALL.iter().all(spelled));
        let listed = |(_, algorithm): &(_, _)| Algorithm::ALL.contains(algorithm);
        assert!(SPELLINGS.iter().all(listed));
    }

    #[test]
    fn anything_else_is_unknown() {
        for text in [
            "",
            "leastcon",
            "LEASTC",
            ",sticky",
            "leastc,",
            "leastc,sticky,sticky",
        ] {
            assert_eq!(text.parse::<Scheduler>(), Err(UnknownScheduler), "{text}");
        }
    }
}
