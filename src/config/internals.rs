//! Checks for the fuzz targets: what must hold for any bytes read as a configuration, as verbs or
//! as a key.
//!
//! Behind the feature `internals`, not part of the public interface. Each check panics on failure.

use super::redact::PASSWORD_MASK;
use super::verb::{Command, apply_all, complete, diff, script};
use super::{Config, CustomNames, EditError, credentials, edit, hide_passwords, print, read};
use super::{public_key_bytes, verb::Verb};

/// Separates a configuration from the change to make.
const SEPARATOR: char = '\0';

/// A configuration's print reads as the same configuration, editing it into itself changes no byte,
/// and no password shows once they are masked.
pub fn xml(text: &[u8]) {
    let Ok(reading) = read(text) else { return };
    let config = reading.config;
    assert_eq!(edit(text, &config).as_deref(), Ok(text));
    let printed = print(&config);
    let hidden = with_hidden_passwords(&config);
    assert_eq!(parsed(&printed), hidden, "{printed}");

    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let passwords = config.users().iter().filter(|it| it.password.is_some());
    // Skipped where the word occurs elsewhere, too, such as in a comment.
    if text.matches("password").count() == passwords.count() {
        assert_eq!(parsed(&hide_passwords(text)), hidden);
    }
}

/// Takes a configuration, a NUL, and another configuration or lines of verbs. `diff` and `edit`
/// must both lead from the first to the second.
pub fn change(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let Some((text, change)) = text.split_once(SEPARATOR) else {
        return;
    };
    let Ok(reading) = read(text.as_bytes()) else {
        return;
    };
    let (from, to) = (&reading.config, changed(&reading.config, change));
    let verbs = diff(from, &to);
    let lines = script(&verbs);
    let after = apply_all(&verbs, from)
        .unwrap_or_else(|(index, error)| panic!("{}: {error}\n{lines}", verbs[index]));
    assert_eq!(after, to, "{lines}");
    let again: Vec<_> = lines.lines().filter_map(verb).collect();
    assert_eq!(again, verbs, "{lines}");
    match edit(text.as_bytes(), &to) {
        Ok(edited) => assert_eq!(parsed(&String::from_utf8_lossy(&edited)), to),
        Err(EditError::TooMuch(_)) => {}
        Err(error) => panic!("{error}\n{lines}"),
    }
}

/// A line that parses is encoded as a line that parses alike. Errors contain no control characters.
/// Completion does not panic.
pub fn line(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    match text.parse::<Command>() {
        Ok(command) => assert_eq!(command.line().parse(), Ok(command)),
        Err(error) => {
            let words = error.to_string();
            assert!(!words.contains(char::is_control), "{words}");
        }
    }
    drop(complete(text, &Config::default(), &CustomNames::Any, &[]));
}

/// A usable public key has bytes to compare, which begin with its type.
pub fn key(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let bytes = public_key_bytes(text);
    if credentials::check_public_key(text).is_ok() {
        let (bytes, kind) = (bytes.unwrap_or_default(), text.split(' ').next());
        let kind = kind.unwrap_or_default().as_bytes();
        let length = u32::try_from(kind.len()).unwrap_or_default().to_be_bytes();
        assert!(bytes.starts_with(&[&length, kind].concat()), "{text}");
    }
}

/// The second configuration: the text read as one, or the lines applied to `config`.
fn changed(config: &Config, change: &str) -> Config {
    if let Ok(reading) = read(change.as_bytes()) {
        return reading.config;
    }
    let verbs = change.lines().filter_map(verb);
    verbs.fold(config.clone(), |config, verb| {
        verb.apply(&config).unwrap_or(config)
    })
}

fn verb(line: &str) -> Option<Verb> {
    line.parse::<Command>().ok()?.into_change().ok()
}

fn parsed(text: &str) -> Config {
    let reading = read(text.as_bytes());
    reading
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
        .config
}

fn with_hidden_passwords(config: &Config) -> Config {
    let mut config = config.clone();
    let users = config.admin.iter_mut().flat_map(|admin| &mut admin.users);
    for password in users.filter_map(|user| user.password.as_mut()) {
        PASSWORD_MASK.clone_into(password);
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    type Target = fn(&[u8]);

    #[test]
    fn the_seeds_of_fuzzing_hold() {
        let targets: [(&str, Target); 4] = [
            ("xml", xml),
            ("change", change),
            ("line", line),
            ("key", key),
        ];
        for (name, target) in targets {
            let folder = format!("{}/fuzz/seeds/{name}", env!("CARGO_MANIFEST_DIR"));
            for seed in std::fs::read_dir(folder).unwrap() {
                target(&std::fs::read(seed.unwrap().path()).unwrap());
            }
        }
    }
}
