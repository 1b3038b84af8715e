//! Waiting probes, of one group after the other: one group with many silent hosts delays no other.

use std::collections::{HashMap, HashSet, VecDeque};

use super::Probe;

/// The queue.
#[derive(Debug)]
pub(super) struct FairQueue<K> {
    /// The groups that have waiting probes, the next one first.
    groups: VecDeque<usize>,
    probes: HashMap<usize, VecDeque<Probe<K>>>,
}

impl<K> FairQueue<K> {
    pub(super) fn push(&mut self, probe: Probe<K>) {
        let probes_of_group = self.probes.entry(probe.group).or_default();
        if probes_of_group.is_empty() {
            self.groups.push_back(probe.group);
        }
        probes_of_group.push_back(probe);
    }

    pub(super) fn pop(&mut self) -> Option<Probe<K>> {
        let group = self.groups.pop_front()?;
        let probes_of_group = self.probes.get_mut(&group)?;
        let probe = probes_of_group.pop_front();
        if probes_of_group.is_empty() {
            self.probes.remove(&group);
        } else {
            self.groups.push_back(group);
        }
        probe
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Makes a group without running probes the next one. Returns whether there is such a group.
    pub(super) fn move_idle_first(&mut self, running: &HashSet<usize>) -> bool {
        let index = self.groups.iter().position(|it| !running.contains(it));
        if let Some(group) = index.and_then(|index| self.groups.remove(index)) {
            self.groups.push_front(group);
        }
        index.is_some()
    }
}

impl<K> Default for FairQueue<K> {
    fn default() -> Self {
        FairQueue {
            groups: VecDeque::new(),
            probes: HashMap::new(),
        }
    }
}
