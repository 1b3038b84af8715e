//! A file that is written in full before it gets its name.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// The permissions of the group.
const GROUP: u32 = 0o070;

/// A file under a name of its own. It is gone when this is dropped, unless it has
/// been renamed.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    renamed: bool,
    note: Option<String>,
}

impl Draft {
    /// Writes a file as `like` is owned and permitted, and has it on the disk.
    pub(super) fn write(path: &Path, bytes: &[u8], like: &Metadata) -> io::Result<Draft> {
        // There may be hashes in it: nobody else can open it before its mode is right.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        let mut draft = Draft {
            path: path.to_owned(),
            renamed: false,
            note: None,
        };
        draft.note = resemble(&file, like)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(draft)
    }

    /// What the operator should know of its owner or mode.
    pub(super) fn note(&self) -> Option<String> {
        self.note.clone()
    }

    /// Gives it its name.
    pub(super) fn rename(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.renamed {
            // What cannot be removed now is taken for a leftover later.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Gives a file the owner, group and mode of another as far as that is permitted:
/// the owner is usually root's to give, the group also its members'.
fn resemble(file: &File, like: &Metadata) -> io::Result<Option<String>> {
    let own = file.metadata()?;
    let (wanted, mut mode) = ((like.uid(), like.gid()), like.mode() & 0o777);
    let mut note = None;
    if wanted != (own.uid(), own.gid()) && fchown(file, Some(wanted.0), Some(wanted.1)).is_err() {
        let group = own.gid() == wanted.1 || fchown(file, None, Some(wanted.1)).is_ok();
        let mut text = format!("the file's owner is now user {}", own.uid());
        if !group {
            // What one group may read is not for another to read.
            mode &= !GROUP;
            text += &format!(", its group {}, who may not open it", own.gid());
        }
        note = Some(text + ": it was not permitted to keep them");
    }
    file.set_permissions(Permissions::from_mode(mode))?;
    Ok(note)
}
