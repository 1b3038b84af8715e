//! The schedulers there are: txlb's, and those that a program brings itself.
//!
//! Makes them; how each picks is its own business.

mod leastc;
mod leastcrr;
mod maglev;
mod p2c;
mod rand;
mod roundr;
mod weightlc;
mod weightr;
mod weightrr;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Scheduler;
use crate::config::{self, Algorithm, CustomNames, is_own_name};

/// Makes a scheduler for each group that wants one.
type Make = Arc<dyn Fn() -> Box<dyn Scheduler> + Send + Sync>;

/// The schedulers there are, by name: txlb's, and a program's own.
#[derive(Clone, Default)]
pub struct Schedulers {
    custom: BTreeMap<Arc<str>, Make>,
}

impl Schedulers {
    /// One more, by this name. Whether it may be called so, and no other is.
    pub fn add(
        &mut self,
        name: &str,
        make: impl Fn() -> Box<dyn Scheduler> + Send + Sync + 'static,
    ) -> bool {
        is_own_name(name) && self.custom.insert(name.into(), Arc::new(make)).is_none()
    }

    /// The one that goes by `algorithm`, yet to be renewed with its hosts; `None` if
    /// there is no such scheduler.
    pub fn make(&self, algorithm: &Algorithm) -> Option<Box<dyn Scheduler>> {
        Some(match algorithm {
            Algorithm::Random => Box::new(rand::Rand),
            Algorithm::RoundRobin => Box::<roundr::RoundRobin>::default(),
            Algorithm::LeastConns => Box::<leastc::LeastConns>::default(),
            Algorithm::LeastConnsRoundRobin => Box::<leastcrr::LeastConnsRoundRobin>::default(),
            Algorithm::Weighted => Box::<weightr::Weighted>::default(),
            Algorithm::WeightedRoundRobin => Box::<weightrr::WeightedRoundRobin>::default(),
            Algorithm::WeightedLeastConns => Box::<weightlc::WeightedLeastConns>::default(),
            Algorithm::PowerOfTwo => Box::new(p2c::PowerOfTwo),
            Algorithm::Maglev => Box::<maglev::Maglev>::default(),
            Algorithm::Custom(name) => self.custom.get(name)?(),
        })
    }

    /// The scheduler of a group that names none.
    pub(super) fn make_default() -> Box<dyn Scheduler> {
        Box::<leastc::LeastConns>::default()
    }

    /// Whether a group can have this one.
    pub fn supports(&self, scheduler: &config::Scheduler) -> bool {
        match &scheduler.algorithm {
            Algorithm::Custom(name) => self.custom.contains_key(name),
            _ => true,
        }
    }

    /// What the program's own are called.
    pub fn custom_names(&self) -> CustomNames {
        match self.custom.is_empty() {
            true => CustomNames::None,
            false => CustomNames::These(Arc::new(self.custom.keys().cloned().collect())),
        }
    }
}

impl fmt::Debug for Schedulers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.custom.keys()).finish()
    }
}
