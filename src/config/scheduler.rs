//! Names of schedulers: txlb's own, the ancestors' spellings, and custom ones.
//!
//! Only the names; `balance/schedulers` has the algorithms.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::error::{ErrorKind, nearest};

/// A group's scheduler: an algorithm, and whether it is sticky.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scheduler {
    /// Picks the host of a client that is not remembered.
    pub algorithm: Algorithm,
    /// Whether a client goes where it went before (`,sticky`).
    pub sticky: bool,
}

/// How a host is picked for a new session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Algorithm {
    /// Any host, evenly.
    Random,
    /// In the file's order.
    RoundRobin,
    /// Fewest busy sessions; among equals the longest without a new one.
    LeastConns,
    /// Fewest busy sessions; among equals the next in order.
    LeastConnsRoundRobin,
    /// At random, in proportion to weight.
    Weighted,
    /// Round robin in proportion to weight, smoothly.
    WeightedRoundRobin,
    /// Fewest busy sessions for its weight; among equals the longest without a new one.
    #[default]
    WeightedLeastConns,
    /// The less loaded for its weight, of two picked at random in proportion to weight.
    PowerOfTwo,
    /// By the client's address, consistently.
    Maglev,
    /// A custom scheduler of the embedding program, by its name.
    Custom(Arc<str>),
}

impl Algorithm {
    /// All built-in algorithms.
    #[doc(hidden)]
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

    /// The algorithm that does the same by weight, if this one looks at no weight but 0.
    pub(crate) fn weighted(&self) -> Option<Algorithm> {
        use Algorithm as A;
        match self {
            A::Random => Some(A::Weighted),
            A::RoundRobin => Some(A::WeightedRoundRobin),
            A::LeastConns | A::LeastConnsRoundRobin => Some(A::WeightedLeastConns),
            A::Weighted | A::WeightedRoundRobin | A::WeightedLeastConns => None,
            // What a custom one looks at is not known.
            A::PowerOfTwo | A::Maglev | A::Custom(_) => None,
        }
    }
}

/// All spellings. The first of an algorithm is its name; the ancestors' follow.
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

/// Suffix of a sticky scheduler.
const STICKY: &str = ",sticky";

impl Scheduler {
    /// Every spelling that is understood, without `,sticky`.
    pub fn spellings() -> impl Iterator<Item = &'static str> {
        SPELLINGS.iter().map(|(spelling, _)| *spelling)
    }
}

/// Names of custom schedulers that are accepted besides the built-in ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CustomNames {
    /// None.
    #[default]
    None,
    /// These.
    These(Arc<BTreeSet<Arc<str>>>),
    /// Any valid name; whether the scheduler exists is checked later.
    Any,
}

impl CustomNames {
    /// All known spellings: built-in and custom.
    pub fn spellings(&self) -> impl Iterator<Item = &str> {
        let custom = match self {
            CustomNames::These(names) => Some(names),
            CustomNames::None | CustomNames::Any => None,
        };
        let custom = custom.into_iter().flat_map(|names| names.iter());
        let built_in = SPELLINGS.iter().map(|(spelling, _)| *spelling);
        built_in.chain(custom.map(AsRef::as_ref))
    }

    fn find(&self, name: &str) -> Option<Arc<str>> {
        match self {
            CustomNames::None => None,
            CustomNames::These(names) => names.get(name).cloned(),
            CustomNames::Any => is_custom_name(name).then(|| name.into()),
        }
    }
}

/// Whether a custom scheduler may have this name: 1 to 255 bytes without blanks, commas and control
/// characters, and no built-in name.
pub fn is_custom_name(name: &str) -> bool {
    const LONGEST: usize = 255;
    let is_odd =
        |character: char| character == ',' || character.is_whitespace() || character.is_control();
    (1..=LONGEST).contains(&name.len())
        && !name.contains(is_odd)
        && !name.contains(['\u{fffe}', '\u{ffff}'])
        && !Scheduler::spellings().any(|spelling| spelling == name)
}

impl Scheduler {
    /// Parses a scheduler, with these custom names.
    ///
    /// # Errors
    /// No scheduler has that name.
    pub fn parse(text: &str, custom: &CustomNames) -> Result<Scheduler, ErrorKind> {
        let (name, sticky) = match text.strip_suffix(STICKY) {
            Some(name) => (name, true),
            None => (text, false),
        };
        let known = SPELLINGS.iter().find(|(spelling, _)| *spelling == name);
        let algorithm = match known {
            Some((_, algorithm)) => Some(algorithm.clone()),
            None => custom.find(name).map(Algorithm::Custom),
        };
        match algorithm {
            Some(algorithm) => Ok(Scheduler { algorithm, sticky }),
            None => Err(Scheduler::unknown_error(text, custom)),
        }
    }

    /// The error for an unknown scheduler, with the nearest known name.
    pub fn unknown_error(text: &str, custom: &CustomNames) -> ErrorKind {
        let name = text.split(',').next().unwrap_or_default();
        ErrorKind::UnknownScheduler {
            found: text.to_owned(),
            nearest: nearest(name, custom.spellings()).map(str::to_owned),
        }
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
    pub fn as_str(&self) -> &str {
        if let Algorithm::Custom(name) = self {
            return name;
        }
        SPELLINGS
            .iter()
            .find(|(_, algorithm)| algorithm == self)
            .map_or("", |(spelling, _)| spelling)
    }

    /// The sticky variant.
    #[cfg(test)]
    pub(crate) fn sticky(self) -> Scheduler {
        Scheduler {
            algorithm: self,
            sticky: true,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm.as_str())?;
        f.write_str(if self.sticky { STICKY } else { "" })
    }
}

impl FromStr for Scheduler {
    type Err = ErrorKind;

    /// Parses a built-in scheduler.
    fn from_str(text: &str) -> Result<Self, ErrorKind> {
        Scheduler::parse(text, &CustomNames::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_read_and_printed_by_its_first_name() {
        for (spelling, algorithm) in SPELLINGS {
            let plain: Scheduler = spelling.parse().unwrap();
            assert_eq!(plain, Scheduler::from(algorithm.clone()));
            let sticky: Scheduler = format!("{spelling},sticky").parse().unwrap();
            assert_eq!(sticky, algorithm.clone().sticky());
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
            let unknown_error = text.parse::<Scheduler>();
            assert!(
                matches!(unknown_error, Err(ErrorKind::UnknownScheduler { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn own_schedulers_are_known_where_they_are_named() {
        let names = ["nearest".into(), "cheap".into()];
        let custom = CustomNames::These(Arc::new(names.into_iter().collect()));
        let nearest = Scheduler::parse("nearest,sticky", &custom).unwrap();
        assert_eq!(nearest, Algorithm::Custom("nearest".into()).sticky());
        assert_eq!(nearest.to_string(), "nearest,sticky");
        assert_eq!(
            Scheduler::parse("neares", &custom),
            Err(ErrorKind::UnknownScheduler {
                found: "neares".to_owned(),
                nearest: Some("nearest".to_owned()),
            })
        );
        assert_eq!(
            Scheduler::parse("neares", &CustomNames::Any),
            Ok(Algorithm::Custom("neares".into()).into())
        );
        for name in ["", "a b", "a,b", "leastc", "roundrobin", "a\u{7f}"] {
            assert!(!is_custom_name(name), "{name}");
        }
    }
}
