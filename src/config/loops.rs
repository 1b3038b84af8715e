//! Finds loops: hosts that lead back to the service whose sessions they get.
//!
//! Services are numbers here; the caller knows which address leads to which service.

use std::collections::{BTreeMap, BTreeSet};

/// A host that is a listener of a service of this configuration: from which service sessions come,
/// and to which they go.
pub type Hop = (usize, usize);

/// Indices of the hops that close a loop with hops before them. Without these there is no loop;
/// chains of services stay.
pub fn find_closing_hops(hops: &[Hop]) -> Vec<usize> {
    let mut chains: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    let mut find_closing_hops = Vec::new();
    for (index, (from, to)) in hops.iter().enumerate() {
        if is_reachable(&chains, *to, *from) {
            find_closing_hops.push(index);
        } else {
            chains.entry(*from).or_default().insert(*to);
        }
    }
    find_closing_hops
}

fn is_reachable(chains: &BTreeMap<usize, BTreeSet<usize>>, from: usize, to: usize) -> bool {
    let (mut seen, mut next) = (BTreeSet::from([from]), vec![from]);
    while let Some(service) = next.pop() {
        if service == to {
            return true;
        }
        let further = chains.get(&service).into_iter().flatten();
        next.extend(further.copied().filter(|it| seen.insert(*it)));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::arbitrary::Random;

    #[test]
    fn a_chain_is_no_circle_and_the_hop_that_closes_one_is_told() {
        assert_eq!(find_closing_hops(&[(0, 1), (1, 2), (0, 2)]), []);
        assert_eq!(find_closing_hops(&[(0, 0)]), [0]);
        assert_eq!(find_closing_hops(&[(0, 1), (1, 0), (1, 2)]), [1]);
        assert_eq!(
            find_closing_hops(&[(0, 1), (1, 2), (2, 0), (2, 1), (2, 3)]),
            [2, 3]
        );
        // Two hosts of a group that are the same listener.
        assert_eq!(find_closing_hops(&[(0, 1), (0, 1), (1, 0), (1, 0)]), [2, 3]);
    }

    /// Without the hops that are reported, services can be put in an order; with any of them
    /// they cannot.
    #[test]
    fn what_is_left_has_no_circle_and_nothing_is_told_in_vain() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let (services, count) = (1 + random.below(6), random.below(12));
            let mut hop = || (random.below(services), random.below(services));
            let hops: Vec<Hop> = (0..count).map(|_| hop()).collect();
            let closing = find_closing_hops(&hops);
            let kept = |index: &usize| !closing.contains(index);
            let left: Vec<Hop> = (0..count).filter(kept).map(|index| hops[index]).collect();
            assert!(has_order(&left, services), "seed {seed}: {hops:?}");
            for index in &closing {
                let mut more = left.clone();
                more.push(hops[*index]);
                assert!(!has_order(&more, services), "seed {seed}: {hops:?}");
            }
        }
    }

    /// Takes away services that lead nowhere, until none is left.
    fn has_order(hops: &[Hop], services: usize) -> bool {
        let mut left: BTreeSet<usize> = (0..services).collect();
        loop {
            let is_reachable =
                |it: &usize| hops.iter().any(|hop| hop.0 == *it && left.contains(&hop.1));
            let Some(last) = left.iter().copied().find(|it| !is_reachable(it)) else {
                return left.is_empty();
            };
            left.remove(&last);
        }
    }
}
