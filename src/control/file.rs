//! The file a configuration comes from, and whether it has changed since.
//!
//! What it says is `config`'s business, putting it in force the director's, writing
//! it that of `save`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{self, CustomNames, Reading};
use crate::os::files::{read_file, read_file_or_pipe};
use crate::os::rights::{self, Need};

/// More than this is not read: the limit of a configuration, and a byte to show
/// that it was passed.
pub(super) const READ_LIMIT: u64 = 1024 * 1024 + 1;

/// A configuration file, as it was when it was last read or saved.
#[derive(Debug, Clone)]
pub struct File {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    /// The schedulers that it may name besides txlb's.
    pub(super) own: CustomNames,
}

/// Why a file gives no configuration.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be read.
    Unreadable(PathBuf, io::Error),
    /// What it says is wrong.
    Wrong(PathBuf, config::Error),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileError::Unreadable(path, error) => {
                let advice = rights::advice(error, Need::Read, path);
                write!(f, "{}: {error}{advice}", path.display())
            }
            FileError::Wrong(path, error) => write!(f, "{}:{error}", path.display()),
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FileError::Unreadable(_, error) => Some(error),
            FileError::Wrong(_, error) => Some(error),
        }
    }
}

/// What reading a file again came to.
#[derive(Debug)]
pub enum Changed {
    /// Its bytes are as they were.
    No,
    /// It says this now; the file is to be replaced by the new one once that is
    /// in force.
    Yes(Box<(File, Reading)>),
}

impl File {
    /// Reads a configuration.
    ///
    /// # Errors
    /// A file that cannot be read, or is wrong.
    pub fn read(path: &Path) -> Result<(File, Reading), FileError> {
        File::read_with(path, CustomNames::None)
    }

    /// As [`File::read`], of a file in which schedulers may have the names of `own` too.
    ///
    /// # Errors
    /// As [`File::read`].
    pub fn read_with(path: &Path, own: CustomNames) -> Result<(File, Reading), FileError> {
        let bytes = read_file(path, READ_LIMIT).map_err(unreadable(path))?;
        let reading = parse(path, &bytes, &own)?;
        let path = path.to_owned();
        Ok((File { path, bytes, own }, reading))
    }

    /// As [`File::read`], of a file that is read only once: a pipe that this process was given
    /// may stand for it (see [`read_file_or_pipe`]), and is waited for while it says something at least
    /// once in `patience`.
    ///
    /// # Errors
    /// As [`File::read`].
    pub fn read_once(
        path: &Path,
        patience: Option<Duration>,
    ) -> Result<(File, Reading), FileError> {
        let most = usize::try_from(READ_LIMIT).unwrap_or(usize::MAX);
        let bytes = read_file_or_pipe(path, most, patience).map_err(unreadable(path))?;
        let (path, own) = (path.to_owned(), CustomNames::None);
        let reading = parse(&path, &bytes, &own)?;
        Ok((File { path, bytes, own }, reading))
    }

    /// Reads the file again.
    ///
    /// # Errors
    /// As [`File::read`].
    pub fn read_again(&self) -> Result<Changed, FileError> {
        let bytes = read_file(&self.path, READ_LIMIT).map_err(unreadable(&self.path))?;
        if bytes == self.bytes {
            return Ok(Changed::No);
        }
        let reading = parse(&self.path, &bytes, &self.own)?;
        let file = File {
            bytes,
            ..self.clone()
        };
        Ok(Changed::Yes(Box::new((file, reading))))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    |error| FileError::Unreadable(path.to_owned(), error)
}

fn parse(path: &Path, bytes: &[u8], own: &CustomNames) -> Result<Reading, FileError> {
    config::read_with(bytes, own).map_err(|error| FileError::Wrong(path.to_owned(), error))
}
