//! Text for people: numbers with their nouns.

/// A number with its noun: `1 host`, `2 hosts`. Only for nouns whose plural ends in `s`.
pub fn plural(number: usize, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {one}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_none_is_plural() {
        let hosts = [0, 1, 2].map(|number| plural(number, "host"));
        assert_eq!(hosts, ["0 hosts", "1 host", "2 hosts"]);
    }
}
