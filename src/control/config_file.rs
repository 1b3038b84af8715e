//! The configuration file: reads it, finds out whether it has changed, and warns of password
//! hashes that others may read.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::upgrade::checksum;
use crate::config::{self, CustomNames, Reading, has_hashes};
use crate::os::files::{read_file, read_file_or_pipe};
use crate::os::rights::{self, Need};

/// Limit of reading: that of a configuration, and one byte to notice a longer file.
pub(super) const READ_LIMIT: u64 = 1024 * 1024 + 1;

/// A configuration file as it was last read or saved.
#[derive(Debug, Clone)]
pub struct File {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    /// Names of the program's own schedulers, which the file may use.
    pub(super) custom_schedulers: CustomNames,
}

/// Why a file gives no configuration.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be read.
    Unreadable(PathBuf, io::Error),
    /// Its contents are wrong.
    Wrong(PathBuf, config::Errors),
}

impl FileError {
    /// A line for each error: a file can have several.
    pub fn lines(&self) -> Vec<String> {
        match self {
            FileError::Unreadable(..) => vec![self.to_string()],
            FileError::Wrong(path, errors) => errors.lines(&format!("{}:", path.display())),
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileError::Unreadable(path, error) => {
                let advice = rights::advice(error, Need::Read, path);
                write!(f, "{}: {error}{advice}", path.display())
            }
            FileError::Wrong(..) => f.write_str(&self.lines().join("\n")),
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FileError::Unreadable(_, error) => Some(error),
            FileError::Wrong(_, errors) => Some(errors),
        }
    }
}

/// The result of [`File::reread`].
#[derive(Debug)]
pub enum Changed {
    /// The file has the same bytes.
    No,
    /// The file has other bytes. Replace the old `File` by this one once it is in force.
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

    /// As [`File::read`], with names of the program's own schedulers.
    ///
    /// # Errors
    /// As [`File::read`].
    pub fn read_with(
        path: &Path,
        custom_schedulers: CustomNames,
    ) -> Result<(File, Reading), FileError> {
        let bytes = read_file(path, READ_LIMIT).map_err(unreadable(path))?;
        let reading = parse(path, &bytes, &custom_schedulers)?;
        let path = path.to_owned();
        Ok((
            File {
                path,
                bytes,
                custom_schedulers,
            },
            reading,
        ))
    }

    /// As [`File::read`], for a file that is read only once. It may be a pipe that this process
    /// was given (see [`read_file_or_pipe`]). Each read waits `timeout` at most.
    ///
    /// # Errors
    /// As [`File::read`].
    pub fn read_once(path: &Path, timeout: Option<Duration>) -> Result<(File, Reading), FileError> {
        let most = usize::try_from(READ_LIMIT).unwrap_or(usize::MAX);
        let bytes = read_file_or_pipe(path, most, timeout).map_err(unreadable(path))?;
        let (path, custom_schedulers) = (path.to_owned(), CustomNames::None);
        let reading = parse(&path, &bytes, &custom_schedulers)?;
        Ok((
            File {
                path,
                bytes,
                custom_schedulers,
            },
            reading,
        ))
    }

    /// Reads the file again.
    ///
    /// # Errors
    /// As [`File::read`].
    pub fn reread(&self) -> Result<Changed, FileError> {
        let bytes = read_file(&self.path, READ_LIMIT).map_err(unreadable(&self.path))?;
        if bytes == self.bytes {
            return Ok(Changed::No);
        }
        let reading = parse(&self.path, &bytes, &self.custom_schedulers)?;
        let file = File {
            bytes,
            ..self.clone()
        };
        Ok(Changed::Yes(Box::new((file, reading))))
    }

    /// A checksum of its bytes as they were last read or saved.
    pub fn checksum(&self) -> u32 {
        checksum(&self.bytes)
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    |error| FileError::Unreadable(path.to_owned(), error)
}

fn parse(path: &Path, bytes: &[u8], own: &CustomNames) -> Result<Reading, FileError> {
    config::read_with(bytes, own).map_err(|errors| FileError::Wrong(path.to_owned(), errors))
}

/// Mode bit: others may read.
const OTHERS_READ: u32 = 0o004;

/// Limits of the search: names in the folder, and files among them.
const MOST_NAMES: usize = 10_000;
const MOST_FILES: usize = 100;

impl File {
    /// Files with hashes that others may read, each with advice: the configuration, and files
    /// beside it whose names begin with its name, such as backups.
    pub fn exposed(&self) -> Vec<(PathBuf, String)> {
        let Ok(target) = fs::canonicalize(&self.path) else {
            return Vec::new();
        };
        let mut siblings = siblings(&target);
        siblings.retain(|path| *path != target);
        siblings.sort();
        let own = (is_open(&target) && in_bytes(&self.bytes)).then(|| self.path.clone());
        let others = siblings.into_iter().filter(|path| {
            is_open(path) && read_file(path, READ_LIMIT).is_ok_and(|bytes| in_bytes(&bytes))
        });
        let warning = |path: PathBuf| {
            let shown = path.display();
            let advice = format!("others may read the password hashes in it: 'chmod o= {shown}'");
            (path, advice)
        };
        own.into_iter()
            .chain(others.take(MOST_FILES))
            .map(warning)
            .collect()
    }
}

fn siblings(target: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (target.parent(), target.file_name()) else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let of_it = entries.take(MOST_NAMES).flatten().filter(|entry| {
        let own = entry.file_name();
        own.as_encoded_bytes().starts_with(name.as_encoded_bytes())
            && entry.file_type().is_ok_and(|kind| kind.is_file())
    });
    of_it.map(|entry| entry.path()).collect()
}

fn is_open(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & OTHERS_READ != 0)
}

/// Finds hashes of users in comments, too.
fn in_bytes(bytes: &[u8]) -> bool {
    has_hashes(&String::from_utf8_lossy(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$6$salt$aaaaaaaaaaaaaaaa";

    fn write(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn files_that_others_may_read_are_reported_if_there_are_hashes_in_them() {
        let name = format!("txlb-{}-exposed", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let file = folder.join("lb.xml");
        let with = format!(
            "<config><admin><user name='a' access='full' password='{HASH}'/></admin></config>"
        );
        let exposed = || {
            let (file, _) = File::read(&file).unwrap();
            let names = file.exposed().into_iter().map(|(path, advice)| {
                assert!(advice.contains(&format!("chmod o= {}", path.display())));
                path.file_name().unwrap().to_str().unwrap().to_owned()
            });
            names.collect::<Vec<_>>()
        };
        for (text, mode, is_exposed) in [
            (&*with, 0o644, true),
            (&with, 0o604, true),
            (&with, 0o640, false),
            (&with, 0o660, false),
            ("<config/>", 0o644, false),
            ("<config><!-- password='$6$...' --></config>", 0o644, false),
        ] {
            write(&file, text, mode);
            assert_eq!(exposed().len(), usize::from(is_exposed), "{mode:o}");
        }
        write(&folder.join("lb.xml.txlb-20261122170258"), &with, 0o644);
        write(&folder.join("lb.xml.txlb-20261122170259"), &with, 0o640);
        write(&folder.join("lb.xml~"), &format!("<!-- {HASH} -->"), 0o666);
        write(&folder.join("lb.xml.old"), "<config/>", 0o644);
        write(&folder.join("other.xml"), &with, 0o644);
        assert_eq!(exposed(), ["lb.xml.txlb-20261122170258", "lb.xml~"]);
        fs::remove_dir_all(folder).unwrap();
    }
}
