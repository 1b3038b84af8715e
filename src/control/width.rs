//! How many columns of a terminal a character takes: none, one or two.
//!
//! As terminals mostly have it, not as Unicode has it in full: whoever shows more than
//! letters is drawn anew after every key, so that a mistake does not last.

/// Marks that are shown with the letter before them, and what is not shown at all.
const NONE: &[(u32, u32)] = &[
    (0x0300, 0x036f),
    (0x0483, 0x0489),
    (0x0591, 0x05bd),
    (0x05bf, 0x05c7),
    (0x0610, 0x061a),
    (0x064b, 0x065f),
    (0x06d6, 0x06dc),
    (0x06df, 0x06e4),
    (0x0900, 0x0902),
    (0x093c, 0x093c),
    (0x0941, 0x0948),
    (0x094d, 0x094d),
    (0x0e31, 0x0e31),
    (0x0e34, 0x0e3a),
    (0x0e47, 0x0e4e),
    (0x1ab0, 0x1aff),
    (0x1dc0, 0x1dff),
    (0x200b, 0x200f),
    (0x2028, 0x202e),
    (0x2060, 0x206f),
    (0x20d0, 0x20f0),
    (0xfe00, 0xfe0f),
    (0xfe20, 0xfe2f),
    (0xfeff, 0xfeff),
    (0xe0001, 0xe01ef),
];

/// Letters of East Asia, and pictures.
const TWO: &[(u32, u32)] = &[
    (0x1100, 0x115f),
    (0x231a, 0x231b),
    (0x23e9, 0x23ec),
    (0x2614, 0x2615),
    (0x26a1, 0x26a1),
    (0x2705, 0x2705),
    (0x274c, 0x274c),
    (0x2e80, 0x303e),
    (0x3041, 0x33ff),
    (0x3400, 0x4dbf),
    (0x4e00, 0x9fff),
    (0xa000, 0xa4cf),
    (0xa960, 0xa97f),
    (0xac00, 0xd7a3),
    (0xf900, 0xfaff),
    (0xfe30, 0xfe6f),
    (0xff00, 0xff60),
    (0xffe0, 0xffe6),
    (0x1f300, 0x1f64f),
    (0x1f680, 0x1f6ff),
    (0x1f900, 0x1f9ff),
    (0x20000, 0x3fffd),
];

/// The columns of a character that is no control character.
pub(crate) fn width(character: char) -> usize {
    let number = u32::from(character);
    if number < 0x300 {
        return 1;
    }
    let is_in = |ranges: &[(u32, u32)]| {
        let behind = ranges.partition_point(|(_, last)| *last < number);
        ranges
            .get(behind)
            .is_some_and(|(first, _)| *first <= number)
    };
    match (is_in(NONE), is_in(TWO)) {
        (true, _) => 0,
        (false, true) => 2,
        (false, false) => 1,
    }
}

/// The columns of a text.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(width).sum()
}

/// The longest beginning of `text` that has room in so many columns.
pub(crate) fn fitting(text: &str, most: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, character)| {
        used += width(*character);
        used > most
    });
    end.map_or(text, |(end, _)| &text[..end])
}

/// Whether all of `text` has room in so many columns; of a long one, only as much is
/// looked at.
pub(crate) fn fits(text: &str, most: usize) -> bool {
    fitting(text, most).len() == text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_take_one_column_marks_none_and_pictures_two() {
        for (text, expected) in [
            ("", 0),
            ("abc ~", 5),
            ("äöü", 3),
            ("e\u{301}", 1),
            ("東京", 4),
            ("💾", 2),
            ("한", 2),
            ("\u{202e}\u{200d}", 0),
            ("…", 1),
        ] {
            assert_eq!(columns(text), expected, "{text:?}");
        }
        assert_eq!(fitting("a東b", 2), "a");
        assert_eq!(fitting("a東b", 3), "a東");
        assert_eq!(fitting("e\u{301}x", 1), "e\u{301}");
        for ranges in [NONE, TWO] {
            assert!(ranges.is_sorted_by(|one, next| one.1 < next.0));
        }
    }
}
