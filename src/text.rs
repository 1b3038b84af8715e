//! Text for people: numbers with their nouns, durations, sizes, counts, and lines cut or wrapped to
//! terminal columns. Percent-decoding.

use unicode_width::UnicodeWidthChar;

use crate::non_printing::escape_non_printing;
use crate::os::address::Address;

/// A number with its noun: `1 host`, `2 hosts`. Only for nouns whose plural ends in `s`.
pub fn plural(number: usize, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {one}s"),
    }
}

/// Ports in a row of one address that are shown as a range.
const RANGE: usize = 8;

/// Addresses as text; eight and more ports in a row as a range, such as `[::]:5000-5099`.
pub(crate) fn address_ranges(addresses: &[Address]) -> Vec<String> {
    let follows = |one: &Address, next: &Address| {
        let port = one.port().map(|port| port.wrapping_add(1));
        port.is_some_and(|port| one.with_port(port) == *next)
    };
    let mut shown = Vec::new();
    for row in addresses.chunk_by(follows) {
        match (row.first(), row.last()) {
            (Some(first), Some(Address::Ip(last))) if row.len() >= RANGE => {
                shown.push(format!("{first}-{}", last.port()));
            }
            _ => shown.extend(row.iter().map(Address::to_string)),
        }
    }
    shown
}

/// A duration in its largest unit: at most 6 columns up to 9,999 days.
pub(crate) fn age(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A size in three digits or less: at most 7 columns.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    scaled(number, 1024, &UNITS).unwrap_or_else(|| format!("{number} B"))
}

/// A count: in full up to 99,999, in three digits or less above.
pub(crate) fn count(number: u64) -> String {
    match number {
        0..100_000 => number.to_string(),
        _ => scaled(number, 1000, &["k", "M", "G", "T", "P", "E"]).unwrap_or_default(),
    }
}

/// In the unit that leaves three digits before the point, with one decimal below ten. Rounded
/// down: what is shown has been reached.
fn scaled(number: u64, base: u64, units: &[&str]) -> Option<String> {
    let mut unit_size = 1;
    let mut unit = None;
    for name in units {
        if number / unit_size < 1000 {
            break;
        }
        (unit_size, unit) = (unit_size * base, Some(name));
    }
    let (whole, unit) = (number / unit_size, unit?);
    let tenth = u128::from(number % unit_size) * 10 / u128::from(unit_size);
    Some(match whole {
        0..10 => format!("{whole}.{tenth} {unit}"),
        _ => format!("{whole} {unit}"),
    })
}

/// The text in `most` columns at most. A longer one ends in `…`.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if fits(text, most) {
        return text.to_owned();
    }
    format!("{}…", fitting(text, most.saturating_sub(1)))
}

/// The text in exactly `most` columns, padded with blanks. Characters that do not print are
/// spelled out.
pub(crate) fn fill(text: &str, most: usize) -> String {
    let mut filled = cut(&escape_non_printing(text), most);
    let blanks = most.saturating_sub(columns(&filled));
    filled.extend(std::iter::repeat_n(' ', blanks));
    filled
}

/// The text in lines of `most` columns at most, broken at blanks; all but the first are indented.
/// A word that is too long is broken at the end of the line, a few columns behind the indentation.
/// Characters that do not print are spelled out.
pub fn wrap(text: &str, most: usize, indent: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = escape_non_printing(text);
    while !fits(&rest, most) {
        let fitting = fitting(&rest, most).len();
        let blank = match rest[fitting..].starts_with(' ') {
            true => Some(fitting),
            false => rest[..fitting].rfind(' '),
        };
        let blank = blank.filter(|at| *at > indent.len());
        let tail = rest.split_off(blank.unwrap_or(fitting));
        let tail = &tail[usize::from(blank.is_some())..];
        lines.push(std::mem::replace(&mut rest, format!("{indent}{tail}")));
    }
    lines.push(rest);
    lines
}

/// The terminal columns of a character: none, one or two. A control character has none.
pub(crate) fn width(character: char) -> usize {
    character.width().unwrap_or(0)
}

/// Terminal columns of a text, character by character, as `fitting` counts.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(width).sum()
}

/// The longest beginning of `text` that fits in `most` columns.
pub(crate) fn fitting(text: &str, most: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, character)| {
        used += width(*character);
        used > most
    });
    end.map_or(text, |(end, _)| &text[..end])
}

/// Whether `text` fits in `most` columns. Looks at no more of a long text than fits.
pub(crate) fn fits(text: &str, most: usize) -> bool {
    fitting(text, most).len() == text.len()
}

/// A text in which `%XX` stands for bytes. `None` for half an escape, or for bytes that are not
/// UTF-8.
pub(crate) fn decode_percent(text: &[u8]) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text);
    while let [first, after @ ..] = rest {
        let (byte, after) = match (first, after) {
            (b'%', [high, low, after @ ..]) => (digit(*high)? << 4 | digit(*low)?, after),
            (b'%', _) => return None,
            (byte, after) => (*byte, after),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

fn digit(letter: u8) -> Option<u8> {
    let digit = char::from(letter).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_bytes_and_half_of_one_for_nothing() {
        for (text, expected) in [
            ("", Some("")),
            ("a%20b+c%2F%C3%a4", Some("a b+c/ä")),
            ("%", None),
            ("%4", None),
            ("%4g", None),
            ("%+1", None),
            ("%ff", None),
        ] {
            assert_eq!(
                decode_percent(text.as_bytes()).as_deref(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn many_ports_in_a_row_are_a_range() {
        let at = |ip: &str, ports: std::ops::Range<u16>| -> Vec<Address> {
            let ip: std::net::IpAddr = ip.parse().unwrap();
            let at_port = |port| std::net::SocketAddr::new(ip, port).into();
            ports.map(at_port).collect()
        };
        let addresses = [
            at("10.0.0.1", 80..82),
            at("10.0.0.1", 5000..5008),
            at("10.0.0.2", 5008..5009),
            at("::1", 1..65_000),
        ];
        assert_eq!(
            address_ranges(&addresses.concat()),
            [
                "10.0.0.1:80",
                "10.0.0.1:81",
                "10.0.0.1:5000-5007",
                "10.0.0.2:5008",
                "[::1]:1-64999"
            ]
        );
        assert_eq!(address_ranges(&[]), [] as [String; 0]);
    }

    #[test]
    fn one_is_singular_and_none_is_plural() {
        let hosts = [0, 1, 2].map(|number| plural(number, "host"));
        assert_eq!(hosts, ["0 hosts", "1 host", "2 hosts"]);
    }

    #[test]
    fn ages_are_in_their_largest_unit() {
        let cases = [
            (0, "0 ms"),
            (999, "999 ms"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (3_599_999, "59 min"),
            (86_399_999, "23 h"),
            (86_400_000 * 365, "365 d"),
        ];
        for (ms, words) in cases {
            assert_eq!(age(ms), words);
        }
    }

    #[test]
    fn large_numbers_are_short_and_never_more_than_there_is() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "0.9 KiB"),
            (1024, "1.0 KiB"),
            (10_239, "9.9 KiB"),
            (10_240, "10 KiB"),
            (1_023_999, "999 KiB"),
            (1_048_575, "0.9 MiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "15 EiB"),
        ];
        for (number, words) in cases {
            assert_eq!(bytes(number), words);
        }
        for (number, words) in [
            (99_999, "99999"),
            (100_000, "100 k"),
            (1_999_999, "1.9 M"),
            (u64::MAX, "18 E"),
        ] {
            assert_eq!(count(number), words);
        }
    }

    #[test]
    fn what_is_cut_shows_it() {
        assert_eq!(cut("äöüß", 4), "äöüß");
        assert_eq!(cut("äöüßx", 4), "äöü…");
        assert_eq!(cut("東京都", 5), "東京…");
        assert_eq!(cut("東京都", 4), "東…");
        assert_eq!(fill("東京", 6), "東京  ");
        assert_eq!(fill("e\u{301}", 2), "e\u{301} ");
    }

    #[test]
    fn lines_are_broken_at_blanks_if_there_are_any() {
        assert_eq!(wrap("aaa bbb cc", 7, "  "), ["aaa bbb", "  cc"]);
        assert_eq!(wrap("aaa bbb cc", 10, "  "), ["aaa bbb cc"]);
        assert_eq!(wrap("abcdefgh i", 5, " "), ["abcde", " fgh", " i"]);
        assert_eq!(wrap("", 5, ""), [""]);
        assert_eq!(wrap("東京 大阪市", 6, " "), ["東京", " 大阪", " 市"]);
    }

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
    }
}
