//! What is to change in a text: ranges of bytes, and what will stand there.

use std::ops::Range;

/// Changes, in whatever order they were thought of.
#[derive(Debug, Default)]
pub(super) struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    /// Puts `text` where `range` is; several at one place stay in their order.
    pub(super) fn replace(&mut self, range: Range<usize>, text: impl Into<String>) {
        self.0.push((range, text.into()));
    }

    /// The part `within` of `text`, changed.
    ///
    /// What is removed may overlap, as two neighbours do that both take the blanks
    /// between them along; what is put inside of something removed comes in its stead.
    pub(super) fn applied(mut self, text: &str, within: Range<usize>) -> String {
        self.0.sort_by_key(|(range, _)| (range.start, range.end));
        let mut result = String::with_capacity(within.len());
        let mut at = within.start;
        for (range, new) in self.0 {
            if at < range.start {
                result.push_str(&text[at..range.start]);
            }
            result.push_str(&new);
            at = at.max(range.end);
        }
        result.push_str(&text[at..within.end]);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(edits: &[(Range<usize>, &str)]) -> String {
        let mut all = Edits::default();
        for (range, text) in edits {
            all.replace(range.clone(), *text);
        }
        all.applied("0123456789", 2..9)
    }

    #[test]
    fn only_the_part_is_taken_and_the_rest_of_it_stays() {
        assert_eq!(applied(&[]), "2345678");
        assert_eq!(applied(&[(5..6, "-"), (2..3, "")]), "34-678");
    }

    #[test]
    fn several_at_one_place_stay_in_order_and_precede_what_is_replaced_there() {
        assert_eq!(
            applied(&[(4..5, "x"), (4..4, "a"), (4..4, "b")]),
            "23abx5678"
        );
    }

    #[test]
    fn what_is_removed_may_overlap_and_be_put_into() {
        assert_eq!(applied(&[(3..6, ""), (5..8, "")]), "28");
        assert_eq!(applied(&[(3..6, ""), (5..5, "new")]), "2new678");
        assert_eq!(applied(&[(3..6, ""), (6..6, "new")]), "2new678");
    }
}
