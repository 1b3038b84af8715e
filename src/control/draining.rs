//! Earlier processes, which serve their last sessions: what they tell, and how it comes here.

use std::collections::HashMap;
use std::fmt;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use super::history::{Line, ReadLine};
use crate::calendar::UtcTime;
use crate::os::handed_over::{self, Shared};
use crate::sync::lock;
use crate::text::plural;

/// The most earlier processes that may drain at the same time.
pub const MAX_DRAINING: usize = 8;

/// A process that serves its last sessions, after another one has taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainingProcess {
    /// Its process id.
    pub process: u32,
    /// Its open sessions.
    pub open: usize,
    /// Since when it drains, in milliseconds since 1970.
    pub since_wall_ms: u64,
}

impl fmt::Display for DrainingProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (process, open) = (self.process, plural(self.open, "session"));
        let since = UtcTime::of(self.since_wall_ms).iso();
        write!(f, "process {process}, {open}, since {since}")
    }
}

/// The earlier processes that drain. Clones share the list.
///
/// Each tells of itself and of those before it, to the one after it. When that one ends first, the
/// channel by which it was told is needed here: so channels are handed over, too.
#[derive(Debug, Clone, Default)]
pub struct Predecessors(Arc<Mutex<PredecessorState>>);

#[derive(Debug, Default)]
struct PredecessorState {
    /// By what tells of them.
    told: HashMap<u32, Vec<DrainingProcess>>,
    /// By which each tells, the oldest first.
    channels: Vec<(u32, Arc<UnixStream>)>,
}

/// Begins the names of these channels when they are handed over. The number by age and that of the
/// process follow.
const CHANNEL: &str = "draining ";

impl DrainingProcess {
    /// A process that has just begun to drain.
    pub fn new(process: u32, open: usize, since_wall_ms: u64) -> DrainingProcess {
        DrainingProcess {
            process,
            open,
            since_wall_ms,
        }
    }

    /// As lines, for the process that took over.
    pub fn encode(all: &[DrainingProcess]) -> String {
        all.iter()
            .map(|it| {
                Line::new("draining")
                    .with("process", it.process)
                    .with("sessions", it.open)
                    .with("since", it.since_wall_ms)
                    .end()
            })
            .collect()
    }

    /// The reverse of [`DrainingProcess::encode`], [`MAX_DRAINING`] at most. Other lines are skipped.
    pub fn decode(text: &str) -> Vec<DrainingProcess> {
        let lines = text.lines().filter_map(ReadLine::parse);
        lines
            .filter(|line| line.word == "draining")
            .filter_map(|line| {
                Some(DrainingProcess {
                    process: line.parsed("process")?,
                    open: line.parsed("sessions")?,
                    since_wall_ms: line.number("since"),
                })
            })
            .take(MAX_DRAINING)
            .collect()
    }
}

impl Predecessors {
    /// Adds the process that this one replaces, and those before it whose channels it has handed
    /// over. Returns all channels, the oldest first: each is silent until those after it have ended.
    pub fn add(&self, process: u32, channel: UnixStream) -> Vec<(u32, Arc<UnixStream>)> {
        let earlier = handed_over::take_where(|name| name.starts_with(CHANNEL)).into_iter();
        let earlier = earlier.filter_map(|(name, channel)| {
            let (_, process) = name.rsplit_once(' ')?;
            Some((process.parse().ok()?, UnixStream::from(channel)))
        });
        let all = earlier.chain([(process, channel)]);
        let all = all.map(|(process, channel)| (process, Arc::new(channel)));
        let mut state = lock(&self.0);
        state.channels = all.collect();
        state.channels.clone()
    }

    /// The channels, for the next process.
    pub(super) fn hand_over(&self) -> Vec<(String, Shared)> {
        let state = lock(&self.0);
        let channels = state.channels.iter().enumerate();
        channels
            .map(|(index, (process, channel))| {
                let channel: Shared = Arc::<UnixStream>::clone(channel);
                (format!("{CHANNEL}{index} {process}"), channel)
            })
            .collect()
    }

    /// What the predecessor `process` tells: of itself, and of those before it.
    pub fn set(&self, process: u32, draining: Vec<DrainingProcess>) {
        lock(&self.0).told.insert(process, draining);
    }

    /// The predecessor `process` has ended.
    pub fn remove(&self, process: u32) {
        let mut state = lock(&self.0);
        state.told.remove(&process);
        state.channels.retain(|(it, _)| *it != process);
    }

    /// All of them, the oldest first.
    pub fn list(&self) -> Vec<DrainingProcess> {
        let state = lock(&self.0);
        let mut all: Vec<DrainingProcess> = state.told.values().flatten().cloned().collect();
        all.sort_by_key(|it| (it.since_wall_ms, it.process));
        all
    }

    /// Whose sessions may be on any host, as text for people; `None` if there are none.
    pub(super) fn open_sessions(&self) -> Option<String> {
        let all = self.list().into_iter().filter(|it| it.open > 0);
        let of = |it: DrainingProcess| {
            format!("{} of process {}", plural(it.open, "session"), it.process)
        };
        let texts: Vec<String> = all.map(of).collect();
        (!texts.is_empty()).then(|| format!("{}, which an upgrade replaced", texts.join(" and ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drains_is_told_by_those_that_follow_and_forgotten_at_its_end() {
        let all: Vec<_> = (0..10)
            .map(|number| DrainingProcess::new(number, 3, 100 - u64::from(number)))
            .collect();
        let text = DrainingProcess::encode(&all) + "draining process=x\nother a=b\n";
        let decoded = DrainingProcess::decode(&text);
        assert_eq!(decoded, all[..MAX_DRAINING]);
        let predecessors = Predecessors::default();
        predecessors.set(1, all[..2].to_vec());
        predecessors.set(5, all[5..6].to_vec());
        let order: Vec<_> = predecessors.list().iter().map(|it| it.process).collect();
        assert_eq!(order, [5, 1, 0]);
        predecessors.remove(1);
        assert_eq!(predecessors.list(), all[5..6]);
    }
}
