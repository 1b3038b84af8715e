//! What programs know a group and its hosts by, in HAProxy's words: the log has it
//! in every line, and the doors in what they show.
//!
//! Frontend is the service, backend is `service:group`, server is the host.
//! Only the spelling: quotes and commas are for whoever writes them to see to.

use std::fmt::{self, Write};

/// A name with what would break a line apart as `%XX`: spaces, slashes, control
/// characters, and the percent sign itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if matches!(character, ' ' | '/' | '%') || character.is_control() {
                let mut bytes = [0; 4];
                for byte in character.encode_utf8(&mut bytes).bytes() {
                    write!(f, "%{byte:02X}")?;
                }
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// A group, by its service's name and its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backend<'a>(pub(crate) &'a str, pub(crate) &'a str);

impl fmt::Display for Backend<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Escaped(self.0), Escaped(self.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_word_and_tells_itself_from_any_other() {
        let backend = Backend("a b/c\n%", "ü\u{85}\"\\,").to_string();
        assert_eq!(backend, "a%20b%2Fc%0A%25:ü%C2%85\"\\,");
    }
}
