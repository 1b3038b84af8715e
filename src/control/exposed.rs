//! Password hashes that others on the machine may read: in the configuration file, and in what lies beside
//! it under its name, such as backups.
//!
//! Only looks; what is said of it, and to whom, is for others.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::file::{File, READ_LIMIT};
use crate::config::has_hashes;
use crate::os::files::read_file;

/// What those may do who are neither the owner nor in the group: to read.
const OTHERS_READ: u32 = 0o004;

/// So many names in the folder are looked at, and so many of the files that are meant.
const MOST_NAMES: usize = 10_000;
const MOST_FILES: usize = 100;

impl File {
    /// The files with hashes that others may read, each with what to do: the configuration, and those
    /// beside it whose names begin with its name.
    pub fn exposed(&self) -> Vec<(PathBuf, String)> {
        let Ok(target) = fs::canonicalize(&self.path) else {
            return Vec::new();
        };
        let mut beside = beside(&target);
        beside.retain(|path| *path != target);
        beside.sort();
        let own = (is_open(&target) && in_bytes(&self.bytes)).then(|| self.path.clone());
        let others = beside.into_iter().filter(|path| {
            is_open(path) && read_file(path, READ_LIMIT).is_ok_and(|bytes| in_bytes(&bytes))
        });
        let told = |path: PathBuf| {
            let shown = path.display();
            let advice = format!("others may read the password hashes in it: 'chmod o= {shown}'");
            (path, advice)
        };
        own.into_iter()
            .chain(others.take(MOST_FILES))
            .map(told)
            .collect()
    }
}

fn beside(target: &Path) -> Vec<PathBuf> {
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

/// Also of users who have been commented out.
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
    fn files_that_others_may_read_are_told_if_there_are_hashes_in_them() {
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
