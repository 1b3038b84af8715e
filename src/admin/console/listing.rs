//! Choices in columns, as a second Tab shows them.

use crate::control::text::columns as columns_of;

/// Choices that are shown at most.
const MOST: usize = 200;

/// What is between two columns.
const GAP: usize = 2;

/// The choices in lines of at most so many columns, one below the other and then the
/// next column. Of `key=value` only the values, where all are of one key.
pub(super) fn columns(choices: &[String], most: usize) -> Vec<String> {
    let shown = &choices[..choices.len().min(MOST)];
    let texts = without_key(shown);
    let widest = texts.iter().map(|text| columns_of(text)).max().unwrap_or(0);
    let across = ((most + GAP) / (widest + GAP)).max(1);
    let down = texts.len().div_ceil(across);
    let mut lines = vec![String::new(); down];
    for (index, text) in texts.iter().enumerate() {
        let line = &mut lines[index % down];
        let place = index / down * (widest + GAP);
        let blanks = place.saturating_sub(columns_of(line));
        line.extend(std::iter::repeat_n(' ', blanks));
        line.push_str(text);
    }
    if choices.len() > MOST {
        lines.push(format!("and {} more", choices.len() - MOST));
    }
    lines
}

fn without_key(choices: &[String]) -> Vec<&str> {
    let key = choices.first().and_then(|first| first.split_once('='));
    let values = key.map(|(key, _)| {
        let values = choices.iter().map(|choice| {
            let (own, value) = choice.split_once('=')?;
            (own == key && !value.is_empty()).then_some(value)
        });
        values.collect::<Option<Vec<_>>>()
    });
    values
        .flatten()
        .unwrap_or_else(|| choices.iter().map(String::as_str).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(choices: &[&str], most: usize) -> Vec<String> {
        let choices: Vec<_> = choices.iter().map(|it| (*it).to_owned()).collect();
        columns(&choices, most)
    }

    #[test]
    fn choices_go_down_and_then_across() {
        let verbs = ["one", "two", "three", "four", "five"];
        assert_eq!(lines(&verbs, 12), ["one    four", "two    five", "three"]);
        assert_eq!(lines(&verbs, 11), verbs);
        assert_eq!(lines(&["東", "ab", "c"], 10), ["東  ab  c"]);
        assert_eq!(lines(&["a long one"], 3), ["a long one"]);
        assert_eq!(lines(&[], 3), [""; 0]);
    }

    #[test]
    fn values_are_shown_without_their_key() {
        assert_eq!(lines(&["name=a", "name=\"b c\""], 20), ["a      \"b c\""]);
        assert_eq!(lines(&["name=", "ip="], 20), ["name=  ip="]);
        assert_eq!(lines(&["name=a", "ip=b"], 20), ["name=a  ip=b"]);
    }

    #[test]
    fn of_very_many_some_are_shown() {
        let many: Vec<_> = (0..250)
            .map(|number| format!("name=host.{number}"))
            .collect();
        let lines = columns(&many, 80);
        assert_eq!(lines.last().unwrap(), "and 50 more");
        assert!(lines.iter().all(|line| line.len() <= 80));
    }
}
