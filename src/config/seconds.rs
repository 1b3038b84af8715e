//! Times as text: seconds with a point, or with a unit, exact to the nanosecond.

use std::time::Duration;

/// Seconds as in a file, exact to the nanosecond; 0 for `None`.
pub(super) fn seconds_text(duration: Option<Duration>) -> String {
    let duration = duration.unwrap_or_default();
    let text = format!("{}.{:09}", duration.as_secs(), duration.subsec_nanos());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Parses digits with at most one point and an optional unit, exact to the nanosecond. Smaller
/// parts are dropped; `None` if nothing but 0 would be left.
pub(super) fn parse_seconds(text: &str) -> Option<Duration> {
    const NANOSECOND_DIGITS: usize = 9;
    const SECOND_NS: u128 = 1_000_000_000;
    const UNITS: [(&str, u128); 5] = [
        ("ms", SECOND_NS / 1000),
        ("s", SECOND_NS),
        ("m", 60 * SECOND_NS),
        ("h", 3600 * SECOND_NS),
        ("d", 86_400 * SECOND_NS),
    ];
    let units = UNITS.into_iter();
    let mut with_unit = units.filter_map(|(unit, ns)| Some((text.strip_suffix(unit)?, ns)));
    let (number, unit_ns) = with_unit.next().unwrap_or((text, SECOND_NS));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let whole: u64 = match whole {
        "" => 0,
        whole => whole.parse().ok()?,
    };
    let kept = &fraction[..fraction.len().min(NANOSECOND_DIGITS)];
    let fraction: u128 = format!("{kept:0<NANOSECOND_DIGITS$}").parse().ok()?;
    let all_ns = u128::from(whole) * unit_ns + fraction * unit_ns / SECOND_NS;
    let seconds = u64::try_from(all_ns / SECOND_NS).ok()?;
    let duration = Duration::new(seconds, u32::try_from(all_ns % SECOND_NS).ok()?);
    let says_zero = number.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    (says_zero || !duration.is_zero()).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_exact() {
        let cases = [
            ("0", Duration::ZERO),
            ("5", Duration::from_secs(5)),
            ("10.0", Duration::from_secs(10)),
            ("0.000", Duration::ZERO),
            (".5", Duration::from_millis(500)),
            ("5.", Duration::from_secs(5)),
            ("300000000.000000001", Duration::new(300_000_000, 1)),
            ("0.30000000000000004", Duration::from_millis(300)),
            ("5s", Duration::from_secs(5)),
            ("500ms", Duration::from_millis(500)),
            (".5ms", Duration::from_micros(500)),
            ("1.5m", Duration::from_secs(90)),
            ("2h", Duration::from_secs(7200)),
            ("1d", Duration::from_secs(86_400)),
            ("0ms", Duration::ZERO),
        ];
        for (text, duration) in cases {
            assert_eq!(parse_seconds(text), Some(duration), "{text}");
        }
        let wrong = [
            "",
            ".",
            "-1",
            "+1",
            "NaN",
            "inf",
            "1e3",
            "s",
            ".ms",
            "5 s",
            "5S",
            "5sm",
            "5us",
            "0.0000001ms",
            " 5",
            "1.2.3",
            "0.0000000001",
        ];
        for text in wrong {
            assert_eq!(parse_seconds(text), None, "{text}");
        }
        assert_eq!(parse_seconds(&"9".repeat(400)), None);
    }
}
