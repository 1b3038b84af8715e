//! The words for each kind of error.

use std::fmt::{self, Write as _};

use super::ErrorKind;
use crate::config::mask::hide_hashes;
use crate::non_printing::letters;

impl fmt::Display for ErrorKind {
    #[expect(
        clippy::too_many_lines,
        reason = "one short arm a kind, and none can be forgotten"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorKind::NotUtf8 { encoding } => write!(
                f,
                "the file is not UTF-8: convert it with 'iconv -f {encoding} -t UTF-8 FILE > NEW'"
            ),
            ErrorKind::TooMuch(limit) => limit.fmt(f),
            ErrorKind::InternalSubset => f.write_str(
                "a DOCTYPE with declarations of its own is not read: remove its [...] part",
            ),
            ErrorKind::Xml(text) => f.write_str(text),
            ErrorKind::Unfinished => f.write_str("the file ends inside what begins here"),
            ErrorKind::WrongRoot(found) => {
                write!(
                    f,
                    "the outermost element is <{}> but must be <config>",
                    Shown(found)
                )
            }
            ErrorKind::UnknownElement {
                found,
                parent,
                nearest,
                allowed,
            } => {
                write!(f, "<{}> is unknown in <{parent}>", Shown(found))?;
                suggest(f, *nearest, allowed, ["<", ">"])
            }
            ErrorKind::UnknownAttribute {
                found,
                element,
                nearest,
                allowed,
            } => {
                write!(f, "<{element}> has no attribute {}", Shown(found))?;
                suggest(f, *nearest, allowed, ["", ""])
            }
            ErrorKind::UnknownScheduler { found, nearest } => {
                write!(f, "there is no scheduler {}", Quoted(found))?;
                suggest(f, nearest.as_deref(), &[], ["", ""])
            }
            ErrorKind::MissingAttribute { element, attribute } => {
                write!(f, "<{element}> needs the attribute {attribute}")
            }
            ErrorKind::MissingElement { parent, element } => {
                write!(f, "<{parent}> needs at least one <{element}>")
            }
            ErrorKind::DuplicateElement { element, parent } => {
                write!(
                    f,
                    "a second <{element}> in <{parent}>: only one may be there"
                )
            }
            ErrorKind::OldFormToo { old, element } => {
                write!(
                    f,
                    "{old} is an old form of <{element}>, which is there too: remove it"
                )
            }
            ErrorKind::DuplicateName { element, name } => {
                write!(
                    f,
                    "a second {element} named {}: names must differ",
                    Quoted(name)
                )
            }
            ErrorKind::DuplicateListen { address, first } => {
                write!(f, "{address} is listened on already, at {first}")
            }
            ErrorKind::NoGroupEnabled { service } => no_group_enabled(f, service),
            ErrorKind::TwoGroupsEnabled { first, second } => two_groups_enabled(f, first, second),
            ErrorKind::NoSuchGroup {
                group,
                service,
                nearest,
                allowed,
            } => {
                let (service, group) = (Quoted(service), Quoted(group));
                write!(f, "service {service} has no group {group}")?;
                let quoted = |name| Quoted(name).to_string();
                let nearest = nearest.as_deref().map(quoted);
                let allowed: Vec<_> = allowed.iter().map(|it| quoted(it)).collect();
                let allowed: Vec<_> = allowed.iter().map(String::as_str).collect();
                suggest(f, nearest.as_deref(), &allowed, ["", ""])
            }
            ErrorKind::BadAddress {
                attribute,
                found,
                error,
            } => {
                write!(f, "{attribute} is {}: {error}", Quoted(found))
            }
            ErrorKind::BadValue {
                of,
                found,
                expected,
            } => {
                write!(f, "{of} is {} but must be {expected}", Quoted(found))
            }
            ErrorKind::HalfAPair { attribute, other } => {
                write!(
                    f,
                    "{attribute} is there without {other}: give both or neither"
                )
            }
            ErrorKind::NoCredentials { user } => no_credentials(f, user),
        }
    }
}

fn no_group_enabled(f: &mut fmt::Formatter<'_>, service: &str) -> fmt::Result {
    let service = Quoted(service);
    write!(
        f,
        "no group of service {service} is enabled: write enable=\"true\" on one"
    )
}

fn two_groups_enabled(f: &mut fmt::Formatter<'_>, first: &str, second: &str) -> fmt::Result {
    let (first, second) = (Quoted(first), Quoted(second));
    write!(
        f,
        "group {second} is enabled although {first} is: only one may be"
    )
}

fn no_credentials(f: &mut fmt::Formatter<'_>, user: &str) -> fmt::Result {
    let user = Quoted(user);
    write!(
        f,
        "user {user} can never log in: give a password attribute or a <key>"
    )
}

/// The longest list of what is allowed that still helps.
const LONGEST_LIST: usize = 8;

fn suggest(
    f: &mut fmt::Formatter<'_>,
    nearest: Option<&str>,
    allowed: &[&str],
    [open, close]: [&str; 2],
) -> fmt::Result {
    if let Some(nearest) = nearest {
        return write!(f, ": is {open}{nearest}{close} meant?");
    }
    if allowed.is_empty() || allowed.len() > LONGEST_LIST {
        return Ok(());
    }
    f.write_str(": allowed here:")?;
    for (index, word) in allowed.iter().enumerate() {
        let separator = if index == 0 { " " } else { ", " };
        write!(f, "{separator}{open}{word}{close}")?;
    }
    Ok(())
}

/// Text from the file, made fit for one line on a terminal.
pub(in crate::config) struct Shown<'a>(pub(in crate::config) &'a str);

impl Shown<'_> {
    /// How many characters are shown before `...`.
    const LONGEST: usize = 64;
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Errors are shown to whoever may only read, too.
        let text = hide_hashes(self.0);
        for (index, (character, hidden)) in letters(&text).enumerate() {
            if index == Self::LONGEST {
                return f.write_str("...");
            }
            match hidden {
                true => write!(f, "{}", character.escape_default())?,
                false => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// As `Shown`, in quotes.
pub(in crate::config) struct Quoted<'a>(pub(in crate::config) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", Shown(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_says_cannot_upset_the_terminal() {
        assert_eq!(
            Shown("a\u{1b}[2J\u{9b}b\n").to_string(),
            "a\\u{1b}[2J\\u{9b}b\\n"
        );
        assert_eq!(Shown("a\u{202e}b").to_string(), "a\\u{202e}b");
        let long = "ä".repeat(65);
        assert_eq!(Shown(&long).to_string(), format!("{}...", "ä".repeat(64)));
        assert_eq!(Quoted("x").to_string(), "\"x\"");
    }

    #[test]
    fn a_long_list_of_what_is_allowed_is_left_out() {
        let unknown = |allowed| ErrorKind::UnknownAttribute {
            found: "x".into(),
            element: "web",
            nearest: None,
            allowed,
        };
        let short = unknown(vec!["listen", "enable"]).to_string();
        assert_eq!(
            short,
            "<web> has no attribute x: allowed here: listen, enable"
        );
        assert_eq!(
            unknown(vec!["a"; 9]).to_string(),
            "<web> has no attribute x"
        );
    }
}
