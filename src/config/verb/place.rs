//! Places in one word, as the log writes them: `SERVICE`, `SERVICE:GROUP` or `SERVICE:GROUP/HOST`.

use super::table::CommandSchema;
use crate::config::ValueKind;
use crate::text::decode_percent;

/// The keys and values that a word stands for in a command; `None` if it is no place, or the command
/// has no keys for it. What the log escapes (`%20`) is decoded.
///
/// A name with a colon is not split, since it could be split in several ways: it needs `service=`
/// and `group=`.
pub(super) fn place_pairs(
    schema: &'static CommandSchema,
    word: &str,
) -> Option<Vec<(&'static str, String)>> {
    let (rest, host) = match word.rsplit_once('/') {
        Some((rest, host)) => (rest, Some(host)),
        None => (word, None),
    };
    let names: Vec<&str> = rest.split(':').collect();
    let (service, group) = match names[..] {
        [service] if host.is_none() => (service, None),
        [service, group] => (service, Some(group)),
        _ => return None,
    };
    let parts = [
        (ValueKind::Service, Some(service)),
        (ValueKind::Group, group),
        (ValueKind::Host, host),
    ];
    let given = parts
        .into_iter()
        .filter_map(|(kind, name)| Some((kind, name?)));
    given
        .map(|(kind, name)| Some((key_of(schema, kind)?, decoded(name)?)))
        .collect()
}

/// The key for this part of a place. A new group or host is named by a place, too.
fn key_of(schema: &'static CommandSchema, kind: ValueKind) -> Option<&'static str> {
    let names: &[&str] = match kind {
        ValueKind::Service => &["service"],
        ValueKind::Group => &["group"],
        _ => &["name", "host"],
    };
    let is_of = |name: &str, of: ValueKind| {
        names.contains(&name) && (of == kind || of == ValueKind::NewName)
    };
    let mut keys = schema.keys().iter();
    // A user's name is no part of a place.
    let has_service = schema.key("service").is_some();
    let key = keys.find(|key| has_service && is_of(key.name, key.value_kind))?;
    Some(key.name)
}

/// A name as the log writes it; `None` if it is none, or empty.
fn decoded(name: &str) -> Option<String> {
    decode_percent(name.as_bytes()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use crate::config::verb::{Command, ParseError};

    fn line(text: &str) -> String {
        let command: Command = text
            .parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        command.line()
    }

    #[test]
    fn a_place_stands_for_its_keys() {
        for (short, whole) in [
            (
                "drainHost web:main/one",
                "drainHost service=web group=main name=one",
            ),
            (
                "setWeight web:main/one weight=2",
                "setWeight service=web group=main name=one weight=2",
            ),
            (
                "addHost web:main/new ip=10.0.0.1:80",
                "addHost service=web group=main name=new ip=10.0.0.1:80",
            ),
            ("enableGroup web:main", "enableGroup service=web group=main"),
            ("delService web", "delService service=web"),
            (
                "endSessions web:main/one",
                "endSessions service=web group=main host=one",
            ),
            ("status web:main", "status service=web group=main"),
            ("status problems web", "status service=web only=problems"),
            ("stat Prob web", "status service=web only=problems"),
            ("status pro", "status service=pro"),
            ("status only=problem", "status only=problems"),
            (
                "sessions web:main/one client=10.0.0.9",
                "sessions service=web group=main host=one client=10.0.0.9",
            ),
            (
                "retryHost a%20b:c%2Fd/e%25",
                "retryHost service=\"a b\" group=c/d name=e%",
            ),
        ] {
            assert_eq!(line(short), whole);
            assert_eq!(line(whole), whole);
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for (text, wanted) in [
            ("drainHost a:b:c/one", "no pair"),
            ("drainHost web/one", "no pair"),
            ("drainHost web:main/%zz", "no pair"),
            ("drainHost web:main/", "no pair"),
            ("enableGroup web:main/one", "no pair"),
            ("delUser web:main/one", "no pair"),
            ("drainHost web:main", "missing"),
            ("drainHost web:main/one name=two", "twice"),
            ("drainHost name=two web:main/one", "no pair"),
            ("setWeight web:main/one 5", "no pair"),
            ("drainHost web:main/one two", "no pair"),
            ("undo 3 4", "no pair"),
        ] {
            let error = text.parse::<Command>().unwrap_err();
            let found = match error {
                ParseError::NoPair { .. } => "no pair",
                ParseError::MissingKey { .. } => "missing",
                ParseError::KeyTwice { .. } => "twice",
                other => panic!("{text}: {other}"),
            };
            assert_eq!(found, wanted, "{text}");
        }
    }
}
