//! Drawing among the candidates that are left when some have been tried.

use super::{HostId, Hosts, PickContext};

/// The candidates that a client has tried, as gaps in the row of candidates.
///
/// A number drawn as if these did not exist is moved past them: exact, without
/// drawing twice and without a list of the rest.
#[derive(Debug)]
pub(super) struct Excluded {
    /// Their indices among the candidates, rising.
    indices: [usize; PickContext::MAX_TRIED],
    len: usize,
}

impl Excluded {
    /// Of those in `tried` that are candidates.
    pub(super) fn new(hosts: &Hosts, tried: &[HostId]) -> Self {
        let mut gaps = Excluded {
            indices: [0; PickContext::MAX_TRIED],
            len: 0,
        };
        for index in tried.iter().filter_map(|id| hosts.candidate_index(*id)) {
            if gaps.len < PickContext::MAX_TRIED && !gaps.iter().any(|gap| gap == index) {
                gaps.indices[gaps.len] = index;
                gaps.len += 1;
            }
        }
        gaps.indices[..gaps.len].sort_unstable();
        gaps
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Their indices, rising.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.indices[..self.len].iter().copied()
    }

    /// The index among all candidates of the `nth` that is left.
    pub(super) fn skip(&self, nth: usize) -> usize {
        self.iter().fold(
            nth,
            |index, gap| if index >= gap { index + 1 } else { index },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_counted_past_the_gaps() {
        let mut gaps = Excluded {
            indices: [0; PickContext::MAX_TRIED],
            len: 3,
        };
        gaps.indices[..3].copy_from_slice(&[0, 1, 4]);
        let left: Vec<usize> = (0..4).map(|nth| gaps.skip(nth)).collect();
        assert_eq!(left, [2, 3, 5, 6]);
    }
}
