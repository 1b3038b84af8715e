//! A configuration's own text with its password hashes hidden, for views of it.
//!
//! Whatever else stands there is shown as it is. Files themselves keep the hashes.

use super::print::HIDDEN;
use super::{Config, User};

const ATTRIBUTE: &str = "password";

/// The text of a configuration, each password in it as `***`: also those in
/// comments and notes, for a user who has been commented out has a hash all the
/// same.
pub fn hide_passwords(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(ATTRIBUTE) {
        let (before, behind) = rest.split_at(at + ATTRIBUTE.len());
        shown.push_str(before);
        rest = behind;
        if let Some((lead, quote)) = up_to_quote(behind) {
            shown.push_str(&behind[..lead]);
            shown.push_str(HIDDEN);
            let value = &behind[lead..];
            rest = value.find(quote).map_or("", |end| &value[end..]);
        }
    }
    shown + rest
}

/// Makes two configurations equal in the passwords that a view has masked in one of them:
/// a mask does not say what it hides. Returns how many there are.
///
/// A user who is masked in `to` and not in `from` at all is left out.
pub fn leave_out_masked(from: &mut Config, to: &mut Config) -> usize {
    let is_masked = |user: &User| user.password.as_deref() == Some(HIDDEN);
    let Some(to) = &mut to.admin else { return 0 };
    let before: &mut [User] = match &mut from.admin {
        Some(admin) => &mut admin.users,
        None => &mut [],
    };
    let mut masked = 0;
    to.users.retain_mut(|user| {
        let same = before.iter_mut().find(|other| other.name == user.name);
        let is_left_out = is_masked(user) || same.as_deref().is_some_and(is_masked);
        masked += usize::from(is_left_out);
        match same {
            Some(other) if is_left_out => other.password.clone_from(&user.password),
            Some(_) => {}
            None => return !is_left_out,
        }
        true
    });
    masked
}

/// How far it is into the value of an attribute whose name ends here, and what
/// quotes it.
fn up_to_quote(text: &str) -> Option<(usize, char)> {
    let value = text.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|it| matches!(it, '"' | '\''))?;
    Some((text.len() - value.len() + 1, quote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_hidden_and_nothing_else_is_touched() {
        let text = "<!-- <user name=\"c\" password=\"abc\"/> the password -->\n\
            <user  access='full' name=\"a\" password\n= 'x&amp;\"y'/>\n\
            <user name=\"password\" password=\"$6$salt$hash\" access=\"readonly\"/>\n\
            <user password=\"no end";
        let expected = text
            .replace("abc", "***")
            .replace("x&amp;\"y", "***")
            .replace("$6$salt$hash", "***")
            .replace("no end", "***");
        assert_eq!(hide_passwords(text), expected);
    }

    #[test]
    fn a_text_without_passwords_is_shown_as_it_is() {
        for text in [
            "",
            "password",
            "passwords = 1",
            "password =",
            "a\npassword = b",
        ] {
            assert_eq!(hide_passwords(text), text);
        }
    }
}
