//! The schedulers there are: txlb's, and those that a program brings itself.
//!
//! Makes them; how each picks is its own business.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{Scheduler, leastc, leastcrr, maglev, p2c, rand, roundr, weightlc, weightr, weightrr};
use crate::config::{self, Algorithm, CustomNames, is_custom_name};

/// Makes a scheduler for each group that wants one.
type Make = Arc<dyn Fn() -> Box<dyn Scheduler> + Send + Sync>;

/// The schedulers there are, by name: txlb's, and a program's own.
#[derive(Clone, Default)]
pub struct Schedulers {
    own: BTreeMap<Arc<str>, Make>,
}

impl Schedulers {
    /// One more, by this name. Whether it may be called so, and no other is.
    pub fn add(
        &mut self,
        name: &str,
        make: impl Fn() -> Box<dyn Scheduler> + Send + Sync + 'static,
    ) -> bool {
        is_custom_name(name) && self.own.insert(name.into(), Arc::new(make)).is_none()
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
            Algorithm::Custom(name) => self.own.get(name)?(),
        })
    }

    /// Whether a group can have this one.
    pub fn has(&self, scheduler: &config::Scheduler) -> bool {
        match &scheduler.algorithm {
            Algorithm::Custom(name) => self.own.contains_key(name),
            _ => true,
        }
    }

    /// What the program's own are called.
    pub fn own_names(&self) -> CustomNames {
        match self.own.is_empty() {
            true => CustomNames::None,
            false => CustomNames::These(Arc::new(self.own.keys().cloned().collect())),
        }
    }
}

impl fmt::Debug for Schedulers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.own.keys()).finish()
    }
}
