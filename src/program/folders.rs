//! Folders and files that root opens or makes for txlb's user, while it still can.
//!
//! Only what root has named itself, on the command line or in the environment, and the one
//! folder that is txlb's by its name; and only where nobody else decides what is found there.
//! What the configuration names is opened later, by the user: its group may write to it.

use std::fs::{
    DirBuilder, File, Metadata, OpenOptions, Permissions, read_link, set_permissions,
    symlink_metadata,
};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, absolute};

use rustix::fs::OFlags;
use txlb::config::Config;
use txlb::os::state;

use crate::exit::Exit;
use crate::privileges::Identity;

/// Where PID file and control socket are unless told otherwise.
pub(crate) const RUNTIME_FOLDER: &str = "/run/txlb";

/// Root's, so that nobody but root removes the PID file; whoever txlb is may make its
/// socket there.
const RUNTIME_MODE: u32 = 0o1770;

/// Links that are followed, one behind the other, before a path counts as nobody's.
const MAX_LINKS: u32 = 10;

/// Makes the folder of `file`, if that is txlb's own below `/run`.
pub(crate) fn make_runtime_folder(file: &Path, owner: Option<&Identity>) -> Result<(), Exit> {
    if file.parent() != Some(Path::new(RUNTIME_FOLDER)) || !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let folder = Path::new(RUNTIME_FOLDER);
    make_runtime(folder, owner).map_err(|error| cannot(folder, &error))
}

fn make_runtime(folder: &Path, owner: Option<&Identity>) -> io::Result<()> {
    let Some(owner) = owner else {
        return make(folder);
    };
    // In a jail `/run` may be somebody else's, who could put a link in its place.
    if !only_root_decides(folder.parent().unwrap_or(folder), owner) {
        return Ok(());
    }
    make(folder)?;
    let opened = open_folder(folder)?;
    // Who has made it other than root's own has thought of something.
    if opened.metadata()?.uid() == 0 {
        fchown(&opened, None, Some(owner.gid.as_raw()))?;
        opened.set_permissions(Permissions::from_mode(RUNTIME_MODE))?;
    }
    Ok(())
}

/// The folders that the doors of `config` need. What is there already stays as it is.
pub(crate) fn prepare(config: &Config, owner: Option<&Identity>) -> Result<(), Exit> {
    if let Some(control) = &config.control {
        make_runtime_folder(&control.socket, owner)?;
    }
    // What it is asked for later must not depend on who asks.
    let state = state::settle("txlb").ok();
    let missing = state.as_deref().filter(|it| symlink_metadata(it).is_err());
    let Some(owner) = owner else {
        // Later it would be out of the sandbox. If it cannot be made, who needs it says so.
        let _ = missing.filter(|_| has_secrets(config)).map(make_private);
        return Ok(());
    };
    // Root makes it for doors that a change may open, too: nobody else could then.
    let missing = missing.filter(|_| HAVE_SECRETS && config.admin.is_some());
    match missing.filter(|it| only_root_decides(it, owner)) {
        Some(folder) => make_private(folder)
            .and_then(|made| give_to(&made, owner))
            .map_err(|error| cannot(folder, &error)),
        None => Ok(()),
    }
}

/// Opens the log that root has named, or makes it for `owner`. `None` leaves it to the owner:
/// it is no plain file, has a second name, or others decide what is found there.
pub(crate) fn open_log(file: &Path, owner: &Identity) -> io::Result<Option<File>> {
    let file = &absolute(file)?;
    let folder = file.parent().unwrap_or(file);
    if !only_root_decides(folder, owner) {
        return Ok(None);
    }
    let mut options = OpenOptions::new();
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    options
        .append(true)
        .custom_flags(flags.bits().cast_signed());
    let is_safe = |it: &Metadata| {
        let is_known = [0, owner.uid.as_raw()].contains(&it.uid());
        it.is_file() && it.nlink() == 1 && is_known
    };
    match symlink_metadata(file) {
        Ok(there) if is_safe(&there) => {
            let opened = options.open(file)?;
            // Who may make files in the folder may have been quick.
            Ok(is_safe(&opened.metadata()?).then_some(opened))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = options.create_new(true).mode(0o640).open(file)?;
            give_to(&made, owner)?;
            Ok(Some(made))
        }
        Err(error) => Err(error),
    }
}

/// Whether `owner` could put another file there: then root does not read the configuration,
/// for it could be had to read any.
pub(crate) fn can_replace(owner: &Identity, file: &Path) -> bool {
    let harmless = |it: &Metadata, _| {
        it.uid() != owner.uid.as_raw() && (is_sticky(it) || !may_write(it, owner))
    };
    !absolute(file).is_ok_and(|file| all_parts(&file, &harmless, MAX_LINKS))
}

/// Whether anybody but root may write to this file, or put another one there.
pub(crate) fn others_may_replace(file: &Path) -> bool {
    let roots = |it: &Metadata, _| it.uid() == 0 && (it.mode() & 0o022 == 0 || is_sticky(it));
    !absolute(file).is_ok_and(|file| all_parts(&file, &roots, MAX_LINKS))
}

/// Whether what is found at `folder`, which need not be there, is up to root alone. A group
/// other than the owner's may make files in the last one.
fn only_root_decides(folder: &Path, owner: &Identity) -> bool {
    let roots = |it: &Metadata, is_last: bool| {
        let others = it.mode() & 0o022 != 0 && (!is_last || may_write(it, owner));
        it.uid() == 0 && (!others || is_sticky(it))
    };
    absolute(folder).is_ok_and(|folder| all_parts(&folder, &roots, MAX_LINKS))
}

/// Whether each part of the path, as far as it is there, is `good`, and so is each part of
/// where links lead. Who is told of a part is told whether it is the last one.
fn all_parts(path: &Path, good: &dyn Fn(&Metadata, bool) -> bool, links: u32) -> bool {
    let Some(last) = path.ancestors().find(|it| symlink_metadata(it).is_ok()) else {
        return false;
    };
    last.ancestors().all(|part| {
        let Ok(metadata) = symlink_metadata(part) else {
            return false;
        };
        if !metadata.is_symlink() {
            return good(&metadata, part == last);
        }
        // Its mode means nothing, and its folder is asked about; in a sticky one it is its
        // owner's to change.
        if metadata.uid() != 0 {
            return false;
        }
        let target = read_link(part).map(|it| part.parent().unwrap_or(part).join(it));
        links > 0 && target.is_ok_and(|target| all_parts(&target, good, links - 1))
    })
}

/// What is in a sticky folder is its owner's to replace, and that one is asked about.
fn is_sticky(metadata: &Metadata) -> bool {
    metadata.is_dir() && metadata.mode() & 0o1000 != 0
}

fn may_write(metadata: &Metadata, owner: &Identity) -> bool {
    let bit = |bit: u32| metadata.mode() & bit != 0;
    bit(0o002) || (bit(0o020) && metadata.gid() == owner.gid.as_raw())
}

fn cannot(path: &Path, error: &io::Error) -> Exit {
    let why = format!("txlb: cannot make {}: {error}", path.display());
    Exit::new(Exit::CANNOT_CREATE, &why)
}

/// Whether any door may have a key of its own.
const HAVE_SECRETS: bool = cfg!(any(feature = "https", feature = "ssh"));

/// Whether a door has one now.
fn has_secrets(config: &Config) -> bool {
    let admin = config.admin.as_ref();
    let web = admin.and_then(|admin| admin.web.as_ref());
    let ssh = admin.and_then(|admin| admin.ssh.as_ref());
    let own = |web: &txlb::config::Web| web.enable && web.secure && web.cert.is_none();
    HAVE_SECRETS && (web.is_some_and(own) || ssh.is_some_and(|ssh| ssh.enable))
}

fn give_to(made: &File, owner: &Identity) -> io::Result<()> {
    fchown(made, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))
}

/// The folder alone is for its owner, not those that it is in.
fn make_private(folder: &Path) -> io::Result<File> {
    if let Some(parent) = folder.parent() {
        make(parent)?;
    }
    DirBuilder::new().mode(0o700).create(folder)?;
    open_folder(folder)
}

fn open_folder(folder: &Path) -> io::Result<File> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags.bits().cast_signed());
    options.open(folder)
}

/// With those that it is in, which anybody may pass through, whatever the umask.
fn make(folder: &Path) -> io::Result<()> {
    let missing = folder.ancestors().take_while(|folder| !folder.exists());
    let missing: Vec<_> = missing.collect();
    for folder in missing.into_iter().rev() {
        DirBuilder::new().create(folder)?;
        set_permissions(folder, Permissions::from_mode(0o755))?;
    }
    Ok(())
}
