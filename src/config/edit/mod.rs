//! Changes a file's text so that it reads as another configuration, and leaves the rest of it
//! alone.
//!
//! What has the same meaning is not touched, however it is spelled: comments, spacing and line ends
//! stay byte for byte. `text` knows how to change the text, `list` which elements come, go or move.

mod list;
mod sections;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;

use roxmltree::Document;

use self::text::{EditMode, Editor, Edits, SourceText};
use super::error::{Error, ErrorKind, Errors};
use super::read::scan;
use super::{Config, CustomNames, Reading, read_with};

/// Why a text cannot be edited.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EditError {
    /// The text is no configuration.
    Unreadable(Errors),
    /// With the changes it would exceed a limit.
    TooMuch(Error),
    /// No file can express the wanted configuration, such as two hosts of one name.
    Inexpressible,
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EditError::Unreadable(errors) => errors.fmt(f),
            EditError::TooMuch(error) => {
                write!(f, "the file cannot take the changes: {}", error.kind)
            }
            EditError::Inexpressible => f.write_str("no file can say what is in force"),
        }
    }
}

impl std::error::Error for EditError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            EditError::Unreadable(errors) => Some(errors),
            EditError::TooMuch(error) => Some(error),
            EditError::Inexpressible => None,
        }
    }
}

/// Edits `text`, a configuration, so that it reads as `wanted`.
///
/// Attributes change in place. New elements go beside those of their kind; removed ones take their
/// line with them. Comments outside of removed elements, notes, spacing, line ends and spellings
/// stay. A host without a name gets its name written when its number would change.
///
/// # Errors
/// The text is no configuration, would exceed a limit, or no file can express `wanted`. The result
/// has always been read again and compared.
pub fn edit(text: &[u8], wanted: &Config) -> Result<Vec<u8>, EditError> {
    let have = read(text).map_err(EditError::Unreadable)?.config;
    if have == *wanted {
        return Ok(text.to_vec());
    }
    for mode in [EditMode::InPlace, EditMode::Whole] {
        let edited = edited(text, &have, wanted, mode)?.into_bytes();
        let errors = match read(&edited) {
            Ok(reading) if reading.config == *wanted => return Ok(edited),
            Ok(_) => continue,
            Err(errors) => errors,
        };
        // No second try: it would drop comments only to save room.
        let is_too_much = |error: &&Error| matches!(error.kind, ErrorKind::TooMuch(_));
        if let Some(error) = errors.iter().find(is_too_much) {
            return Err(EditError::TooMuch(error.clone()));
        }
    }
    Err(EditError::Inexpressible)
}

fn edited(
    text: &[u8],
    have: &Config,
    wanted: &Config,
    mode: EditMode,
) -> Result<String, EditError> {
    let scanned = scan(text).map_err(|error| EditError::Unreadable(error.into()))?;
    let document = Document::parse(&scanned.text).map_err(|_| EditError::Inexpressible)?;
    let root = document.root_element();
    let editor = Editor {
        source: SourceText::new(scanned.original, root),
        mode,
    };
    let mut edits = Edits::default();
    editor.edit_config(root, have, wanted, &mut edits);
    Ok(edits.apply(scanned.original, 0..scanned.original.len()))
}

/// Reads the text. Custom schedulers need not exist.
fn read(text: &[u8]) -> Result<Reading, Errors> {
    read_with(text, &CustomNames::Any)
}
