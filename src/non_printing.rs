//! Non-printing characters, and text with these escaped: control characters, Unicode's
//! `Default_Ignorable_Code_Point`, bidirectional controls, and a few others that terminals leave blank.

/// Ranges in ascending order, both ends included.
const NON_PRINTING: &[(char, char)] = &[
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    // The fillers of Hangul.
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    // With the two line separators, which are not ignorable.
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    // Braille without dots, which looks like a blank.
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    // With the interlinear annotation characters.
    ('\u{fff0}', '\u{fffb}'),
    // Format controls of Egyptian hieroglyphs and shorthand.
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Letters of scripts that need joiners.
const JOINED: &[(char, char)] = &[
    ('\u{600}', '\u{dff}'),
    ('\u{1000}', '\u{109f}'),
    ('\u{1780}', '\u{18af}'),
    ('\u{a840}', '\u{a87f}'),
    ('\u{fb50}', '\u{fdff}'),
    ('\u{fe70}', '\u{fefc}'),
];

/// Characters that a variation selector makes a text sign or an emoji, and that joiners combine.
const PICTURES: &[(char, char)] = &[
    ('\u{a9}', '\u{a9}'),
    ('\u{ae}', '\u{ae}'),
    ('\u{2122}', '\u{2122}'),
    ('\u{2139}', '\u{2139}'),
    ('\u{2190}', '\u{21ff}'),
    ('\u{2300}', '\u{23ff}'),
    ('\u{25a0}', '\u{27bf}'),
    ('\u{2900}', '\u{297f}'),
    ('\u{2b00}', '\u{2bff}'),
    ('\u{1f000}', '\u{1faff}'),
];

const MONGOLIAN: &[(char, char)] = &[('\u{1820}', '\u{18aa}')];

/// The variation selector that makes the character before it an emoji.
const AS_PICTURE: char = '\u{fe0f}';

/// Whether a character is non-printing: a control character, a bidirectional control, or invisible.
pub fn is_non_printing(character: char) -> bool {
    character.is_control() || is_in(NON_PRINTING, character)
}

/// The characters of a text, each with whether it is to be escaped. Non-printing characters are, except
/// joiners and selectors between letters or emoji that need them.
pub fn letters(text: &str) -> impl Iterator<Item = (char, bool)> {
    let mut before = None;
    let mut characters = text.chars().peekable();
    std::iter::from_fn(move || {
        let character = characters.next()?;
        let after = characters.peek().copied();
        let is_escaped = is_non_printing(character) && !is_needed(before, character, after);
        before = Some(character);
        Some((character, is_escaped))
    })
}

/// A text with its non-printing characters escaped, such as `\n` and `\u{202e}`. Backslashes stay.
pub fn escape_non_printing(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_escaped(text, &mut out);
    out
}

/// Appends a text to `out`, escaped as by [`escape_non_printing`].
pub fn push_escaped(text: &str, out: &mut String) {
    if !text.contains(is_non_printing) {
        return out.push_str(text);
    }
    for (character, is_escaped) in letters(text) {
        match is_escaped {
            true => out.extend(character.escape_default()),
            false => out.push(character),
        }
    }
}

/// Whether the characters around it need this one, so that it has a visible effect.
fn is_needed(before: Option<char>, character: char, after: Option<char>) -> bool {
    let is = |neighbour: Option<char>, ranges| neighbour.is_some_and(|it| is_in(ranges, it));
    let joined = |it: Option<char>| is(it, JOINED) && !it.is_some_and(is_non_printing);
    match character {
        '\u{200c}' => joined(before) && joined(after),
        '\u{200d}' => {
            let pictures = before == Some(AS_PICTURE) || is(before, PICTURES);
            joined(before) && joined(after) || pictures && is(after, PICTURES)
        }
        '\u{fe0e}' | AS_PICTURE => is(before, PICTURES),
        '\u{180b}'..='\u{180d}' | '\u{180f}' => is(before, MONGOLIAN),
        _ => false,
    }
}

fn is_in(ranges: &[(char, char)], character: char) -> bool {
    let behind = ranges.partition_point(|(_, last)| *last < character);
    ranges
        .get(behind)
        .is_some_and(|(first, _)| *first <= character)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unicode 16, `DerivedCoreProperties.txt` and, at the end, `PropList.txt`'s `Bidi_Control`.
    const IGNORABLE_AND_BIDI: &[(u32, u32)] = &[
        (0x00ad, 0x00ad),
        (0x034f, 0x034f),
        (0x061c, 0x061c),
        (0x115f, 0x1160),
        (0x17b4, 0x17b5),
        (0x180b, 0x180d),
        (0x180e, 0x180e),
        (0x180f, 0x180f),
        (0x200b, 0x200f),
        (0x202a, 0x202e),
        (0x2060, 0x2064),
        (0x2065, 0x2065),
        (0x2066, 0x206f),
        (0x3164, 0x3164),
        (0xfe00, 0xfe0f),
        (0xfeff, 0xfeff),
        (0xffa0, 0xffa0),
        (0xfff0, 0xfff8),
        (0x1bca0, 0x1bca3),
        (0x1d173, 0x1d17a),
        (0xe0000, 0xe0fff),
        (0x061c, 0x061c),
        (0x200e, 0x200f),
        (0x202a, 0x202e),
        (0x2066, 0x2069),
    ];

    #[test]
    fn all_that_unicode_ignores_or_turns_around_is_spelled_out_between_latin_letters() {
        for number in IGNORABLE_AND_BIDI
            .iter()
            .flat_map(|(first, last)| *first..=*last)
        {
            let character = char::from_u32(number).unwrap();
            assert!(is_non_printing(character), "{number:x}");
            let name = format!("we{character}b");
            assert_eq!(escape_non_printing(&name), format!("we\\u{{{number:x}}}b"));
        }
        for ranges in [NON_PRINTING, JOINED, PICTURES, MONGOLIAN] {
            assert!(ranges.is_sorted_by(|one, next| one.1 < next.0));
        }
    }

    #[test]
    fn controls_are_spelled_out_and_letters_of_all_scripts_are_left_as_they_are() {
        for number in (0..0x20).chain(0x7f..0xa0).chain([0x2028, 0x2029, 0xfff9]) {
            assert!(
                is_non_printing(char::from_u32(number).unwrap()),
                "{number:x}"
            );
        }
        assert_eq!(
            escape_non_printing("a\n\u{1b}[2J\u{9b}\\"),
            "a\\n\\u{1b}[2J\\u{9b}\\"
        );
        for text in [
            "grüße 日本 한 \u{0e01}",
            "\u{645}\u{6cc}\u{200c}\u{62e}",
            "\u{915}\u{94d}\u{200d}\u{937}",
        ] {
            assert_eq!(escape_non_printing(text), text);
        }
        for text in [
            "\u{1f468}\u{200d}\u{1f373}",
            "\u{2764}\u{fe0f}\u{200d}\u{1f525}",
            "\u{1820}\u{180b}",
        ] {
            assert_eq!(escape_non_printing(text), text);
        }
    }

    #[test]
    fn a_joiner_that_joins_nothing_is_spelled_out() {
        for (text, shown) in [
            ("\u{200d}", "\\u{200d}"),
            ("ü\u{200c}ü", "ü\\u{200c}ü"),
            ("\u{645}\u{200c}", "\u{645}\\u{200c}"),
            (
                "\u{1f468}\u{200d}\u{200d}\u{1f373}",
                "\u{1f468}\\u{200d}\\u{200d}\u{1f373}",
            ),
            ("\u{2764}\u{fe0f}\u{fe0f}", "\u{2764}\u{fe0f}\\u{fe0f}"),
            ("1\u{fe0f}", "1\\u{fe0f}"),
        ] {
            assert_eq!(escape_non_printing(text), shown);
        }
    }
}
