//! The table of schedulers: one for each algorithm, and custom ones of an embedding
//! program.

mod least_connections;
mod maglev;
mod random;
mod round_robin;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use self::least_connections::{LeastConns, LeastConnsRoundRobin};
use self::maglev::Maglev;
use self::random::{PowerOfTwo, Rand, Weighted};
use self::round_robin::{RoundRobin, WeightedRoundRobin};
use super::Scheduler;
use crate::config::{self, Algorithm, CustomNames, is_custom_name};

/// Makes a scheduler for a group.
type Make = Arc<dyn Fn() -> Box<dyn Scheduler> + Send + Sync>;

/// Makes the scheduler of an algorithm; custom ones by their names.
#[derive(Clone, Default)]
pub struct Schedulers {
    custom: BTreeMap<Arc<str>, Make>,
}

impl Schedulers {
    /// Adds a custom scheduler. Returns whether the name is valid and was free.
    pub fn add(
        &mut self,
        name: &str,
        make: impl Fn() -> Box<dyn Scheduler> + Send + Sync + 'static,
    ) -> bool {
        is_custom_name(name) && self.custom.insert(name.into(), Arc::new(make)).is_none()
    }

    /// Makes the scheduler of `algorithm`, which must be rebuilt before its first pick.
    /// `None` if there is no custom scheduler of that name.
    pub fn make(&self, algorithm: &Algorithm) -> Option<Box<dyn Scheduler>> {
        Some(match algorithm {
            Algorithm::Random => Box::new(Rand),
            Algorithm::RoundRobin => Box::<RoundRobin>::default(),
            Algorithm::LeastConns => Box::new(LeastConns::unweighted()),
            Algorithm::LeastConnsRoundRobin => Box::new(LeastConnsRoundRobin::new()),
            Algorithm::Weighted => Box::<Weighted>::default(),
            Algorithm::WeightedRoundRobin => Box::<WeightedRoundRobin>::default(),
            Algorithm::WeightedLeastConns => Box::new(LeastConns::weighted()),
            Algorithm::PowerOfTwo => Box::<PowerOfTwo>::default(),
            Algorithm::Maglev => Box::<Maglev>::default(),
            Algorithm::Custom(name) => self.custom.get(name)?(),
        })
    }

    /// Makes the default scheduler, `weightlc`.
    pub(super) fn make_default() -> Box<dyn Scheduler> {
        Box::new(LeastConns::weighted())
    }

    /// Whether a group may have this scheduler: it is built in, or was added.
    pub fn supports(&self, scheduler: &config::Scheduler) -> bool {
        match &scheduler.algorithm {
            Algorithm::Custom(name) => self.custom.contains_key(name),
            _ => true,
        }
    }

    /// The names of the custom schedulers.
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
