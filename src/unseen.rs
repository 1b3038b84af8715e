//! Characters that do something else than be seen.
//!
//! Which they are; what is shown in their place is for whoever shows it to say.

/// Whether a character ends a line, speaks to a terminal, turns the direction of writing
/// around, or is not there to be seen.
///
/// Joiners are: some scripts, and some emoji, are not written without.
pub fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{200b}'
                | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}
