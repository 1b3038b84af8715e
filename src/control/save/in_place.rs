//! Writing a file where it is, for one that nothing can be renamed to: a mount of its own,
//! as a container has it of a single file.
//!
//! Whoever reads meanwhile, or after a crash, may see a mix: there must be a backup before.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::path::Path;

/// What can be written anew from its start.
pub(super) trait Content: Write + Seek {
    /// Ends here, and is on the disk then.
    fn end(&mut self, length: u64) -> io::Result<()>;
}

impl Content for File {
    fn end(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        self.sync_all()
    }
}

/// Why it was not written.
#[derive(Debug)]
pub(super) struct NotWritten {
    pub(super) error: io::Error,
    /// Whether what was there before is there again.
    pub(super) restored: bool,
}

/// Writes `new` into the file at `path`, or else `old`, which is there now.
pub(super) fn write(path: &Path, old: &[u8], new: &[u8]) -> Result<(), NotWritten> {
    let opened = OpenOptions::new().write(true).open(path);
    let mut file = opened.map_err(|error| NotWritten {
        error,
        restored: true,
    })?;
    put_or_restore(&mut file, old, new)
}

fn put_or_restore(file: &mut impl Content, old: &[u8], new: &[u8]) -> Result<(), NotWritten> {
    put(file, new).map_err(|error| NotWritten {
        error,
        // It has room for what it had.
        restored: put(file, old).is_ok(),
    })
}

fn put(file: &mut impl Content, bytes: &[u8]) -> io::Result<()> {
    file.rewind()?;
    file.write_all(bytes)?;
    file.end(bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// A disk that has room for so many bytes, or for none any more.
    struct Disk {
        file: Cursor<Vec<u8>>,
        room: usize,
        breaks: bool,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let at = usize::try_from(self.file.position()).unwrap();
            let count = bytes.len().min(self.room - at);
            if count == 0 {
                self.room *= usize::from(!self.breaks);
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.file.write(&bytes[..count])
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Disk {
        fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
            self.file.seek(to)
        }
    }

    impl Content for Disk {
        fn end(&mut self, length: u64) -> io::Result<()> {
            self.file
                .get_mut()
                .truncate(usize::try_from(length).unwrap());
            Ok(())
        }
    }

    fn outcome(new: &str, breaks: bool) -> (String, Option<bool>) {
        let file = Cursor::new(b"the old one".to_vec());
        let room = 16;
        let mut disk = Disk { file, room, breaks };
        let failed = put_or_restore(&mut disk, b"the old one", new.as_bytes()).err();
        let text = String::from_utf8(disk.file.into_inner()).unwrap();
        (text, failed.map(|it| it.restored))
    }

    #[test]
    fn it_is_the_new_text_or_else_the_old_one() {
        for new in ["", "new", "a longer one, 16"] {
            assert_eq!(outcome(new, false), (new.to_owned(), None));
        }
        let too_long = "one that there is no room for";
        assert_eq!(
            outcome(too_long, false),
            ("the old one".to_owned(), Some(true))
        );
        assert_eq!(outcome(too_long, true).1, Some(false));
    }
}
