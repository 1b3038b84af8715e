//! The verb of txlb that does what a command of HAProxy's that writes does: such a command is refused
//! with it.

/// What HAProxy's commands that write mean, word by word: `*` is any word, and `$1` in the verb the
/// first of these. A server is named `BACKEND/SERVER`, which is a place of txlb's.
const VERBS: &[(&[&str], &str)] = &[
    (&["disable", "server", "*"], "hostAdminDown $1"),
    (&["enable", "server", "*"], "hostAdminUp $1"),
    (&["set", "server", "*", "state", "ready"], "hostAdminUp $1"),
    (&["set", "server", "*", "state", "drain"], "drainHost $1"),
    (
        &["set", "server", "*", "state", "maint"],
        "hostAdminDown $1",
    ),
    (&["set", "server", "*", "health", "up"], "retryHost $1"),
    (
        &["set", "server", "*", "health", "down"],
        "hostAdminDown $1",
    ),
    (
        &["set", "server", "*", "health", "stopping"],
        "drainHost $1",
    ),
    (
        &["set", "server", "*", "weight", "*"],
        "setWeight $1 weight=$2",
    ),
    (
        &["set", "server", "*", "addr", "*", "port", "*"],
        "setHost $1 ip=$2:$3",
    ),
    (
        &["set", "server", "*", "addr", "*"],
        "setHost $1 ip=$2:PORT",
    ),
    (
        &["set", "server", "*", "fqdn", "*"],
        "setHost $1 ip=$2:PORT",
    ),
    (&["set", "server", "*"], "setHost $1"),
    (&["set", "weight", "*", "*"], "setWeight $1 weight=$2"),
    (&["shutdown", "session", "*"], "endSession id=$1"),
    (&["shutdown", "sessions", "server", "*"], "endSessions $1"),
    (&["add", "server", "*", "*"], "addHost $1 ip=$2"),
    (&["del", "server", "*"], "delHost $1"),
    (&["disable", "health", "*"], "help delCheck"),
    (&["enable", "health", "*"], "help addCheck"),
    // There is no such verb.
    (&["clear", "counters"], "help"),
    (&["clear", "table"], "help"),
    (&["disable", "agent"], "help"),
    (&["disable", "frontend"], "help"),
    (&["enable", "agent"], "help"),
    (&["enable", "frontend"], "help"),
    (&["set", "maxconn"], "help"),
    (&["set", "rate-limit"], "help"),
    (&["set", "table"], "help"),
    (&["shutdown", "frontend"], "help"),
];

/// Whether a command of HAProxy's begins with these words that changes something. A line with an
/// equals sign is a verb of txlb's: those may be shortened, and a service be called `server`.
pub(super) fn is_command(words: &[&str]) -> bool {
    let first = words.get(..2);
    let mut patterns = VERBS.iter().map(|(pattern, _)| pattern.get(..2));
    let is_known = first.is_some() && patterns.any(|known| known == first);
    is_known && !words.iter().any(|word| word.contains('='))
}

/// The verb that does what such a command does, as far as there is one.
pub(super) fn verb(words: &[&str]) -> String {
    let mut verbs = VERBS.iter();
    let found = verbs.find_map(|(pattern, verb)| Some((values(pattern, words)?, *verb)));
    let (values, verb) = found.unwrap_or((Vec::new(), "help"));
    let mut filled = verb.to_owned();
    for (value, number) in values.into_iter().zip(1..) {
        // An id of HAProxy's is written so.
        let value = value.strip_prefix("0x").unwrap_or(value);
        filled = filled.replace(&format!("${number}"), value);
    }
    filled.escape_debug().to_string()
}

/// What the words are where the pattern has any; `None` if they do not begin with it.
fn values<'a>(pattern: &[&str], words: &[&'a str]) -> Option<Vec<&'a str>> {
    let mut values = Vec::new();
    for (index, wanted) in pattern.iter().enumerate() {
        let word = *words.get(index)?;
        match *wanted {
            "*" => values.push(word),
            wanted if wanted == word => {}
            _ => return None,
        }
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::verb::table;

    fn split(line: &str) -> Vec<&str> {
        line.split_whitespace().collect()
    }

    #[test]
    fn the_verb_has_the_names_that_were_given() {
        for (line, expected) in [
            ("disable server web:main/one", "hostAdminDown web:main/one"),
            (
                "set server web:main/one state drain",
                "drainHost web:main/one",
            ),
            (
                "set server web:main/one weight 5",
                "setWeight web:main/one weight=5",
            ),
            (
                "set server web:main/one addr 10.0.0.9 port 81",
                "setHost web:main/one ip=10.0.0.9:81",
            ),
            (
                "set weight web:main/one 50%",
                "setWeight web:main/one weight=50%",
            ),
            ("shutdown session 0x1a", "endSession id=1a"),
            (
                "shutdown sessions server web:main/one",
                "endSessions web:main/one",
            ),
            ("clear counters all", "help"),
            ("disable server", "help"),
        ] {
            let words = split(line);
            assert!(is_command(&words), "{line}");
            assert_eq!(verb(&words), expected, "{line}");
        }
    }

    #[test]
    fn verbs_of_txlb_are_no_commands_of_haproxy() {
        for line in [
            "enable server group=main",
            "enable web:main",
            "shutdown grace=5",
            "shutdown",
            "set",
        ] {
            assert!(!is_command(&split(line)), "{line}");
        }
        for (pattern, verb) in VERBS {
            let name = verb.split(' ').next().unwrap();
            assert!(table::command(name).is_some(), "{verb}");
            assert!(is_command(pattern), "{pattern:?}");
        }
    }
}
