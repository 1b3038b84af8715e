//! The nearest known spelling of a word that is not known.

/// The candidate that is closest to `word`, if any is close enough to have been meant.
pub(super) fn nearest<T: AsRef<str>>(
    word: &str,
    candidates: impl IntoIterator<Item = T>,
) -> Option<T> {
    let word: Vec<char> = lowercase(word)?;
    let bound = match word.len() {
        0..=3 => 1,
        4..=7 => 2,
        _ => 3,
    };
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let distance = distance(&word, &lowercase(candidate.as_ref())?);
            (distance <= bound).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Case is the commonest slip, so it costs nothing. `None` for words too long to be a slip.
fn lowercase(word: &str) -> Option<Vec<char>> {
    const LONGEST: usize = 64;
    (word.len() <= LONGEST).then(|| word.chars().flat_map(char::to_lowercase).collect())
}

/// How many letters must be put in, left out, changed or swapped with their
/// neighbour (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_understood() {
        let words = ["host", "hostCheck", "listen", "enable", "ip"];
        let cases = [
            ("hots", Some("host")),
            ("hostcheck", Some("hostCheck")),
            ("HOST", Some("host")),
            ("lisen", Some("listen")),
            ("enabled", Some("enable")),
            ("pi", Some("ip")),
            ("", None),
            ("group", None),
            ("timeout", None),
        ];
        for (word, meant) in cases {
            assert_eq!(nearest(word, words), meant, "{word}");
        }
        assert_eq!(nearest(&"h".repeat(1 << 20), words), None);
    }

    #[test]
    fn the_closest_of_several_wins() {
        assert_eq!(
            nearest("leastcr", ["leastc", "leastcrr", "leastconns"]),
            Some("leastc")
        );
        assert_eq!(
            nearest("leastcr", ["leastconns", "leastcrr"]),
            Some("leastcrr")
        );
    }
}
