//! Whether the workers go round: asked by who must know even while the desk is busy.
//!
//! What is done about one that does not is for who asks to know.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::relay::Pulse;

/// The pulses of all workers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pulses(Arc<[Pulse]>);

impl Pulses {
    pub(super) fn new(pulses: impl Iterator<Item = Pulse>) -> Pulses {
        Pulses(pulses.collect())
    }

    /// Whether every worker gives a sign of life within `patience`: each has its turn
    /// to end first, which takes milliseconds.
    pub fn beat(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let signs: Vec<_> = self.0.iter().map(Pulse::ask).collect();
        let left = || deadline.saturating_duration_since(Instant::now());
        signs
            .into_iter()
            .all(|sign| sign.recv_timeout(left()).is_ok())
    }
}
