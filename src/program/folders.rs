//! Folders and files that root makes or opens for the user that txlb becomes.
//!
//! These are the paths that root has named on the command line or in the environment, and
//! `/run/txlb`. Each part of a path must be under root's control. The user opens the paths of
//! the configuration later, since its group may write to that file.

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

/// The default folder of PID file and control socket.
pub(crate) const RUNTIME_FOLDER: &str = "/run/txlb";

/// `/run/txlb` is root's and sticky, so that only root removes the PID file, and the user's
/// group makes its socket there. If it were the user's, a process that took over txlb could put
/// another number into the file for root to signal. So txlb may not remove or empty the file at
/// the end. Tests: the_usual_folders_are_made_for_the_user,
/// the_pid_file_is_roots_and_no_descriptor_can_write_to_it.
const RUNTIME_MODE: u32 = 0o1770;

/// Maximum nested symbolic links of a path.
const MAX_LINKS: u32 = 10;

/// Makes the folder of `file`, if that is `/run/txlb`.
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
    // In a chroot, `/run` may belong to another user, who could put a link there.
    if !only_root_decides(folder.parent().unwrap_or(folder), owner) {
        return Ok(());
    }
    make(folder)?;
    let opened = open_folder(folder)?;
    // A folder of another user is left as it is.
    if opened.metadata()?.uid() == 0 {
        fchown(&opened, None, Some(owner.gid.as_raw()))?;
        opened.set_permissions(Permissions::from_mode(RUNTIME_MODE))?;
    }
    Ok(())
}

/// Makes the folders that control socket, listeners and admin interfaces need. Existing ones stay as they
/// are.
pub(crate) fn prepare(config: &Config, owner: Option<&Identity>) -> Result<(), Exit> {
    let listens = config.services.iter().flat_map(|service| &service.listens);
    let listeners = listens.filter_map(|listen| Some(&**listen.address.unix_path()?));
    let control = config
        .control
        .iter()
        .map(|control| control.socket.as_path());
    for socket in control.chain(listeners) {
        make_runtime_folder(socket, owner)?;
    }
    // Resolved once, so that later calls by another user give the same path.
    let state = state::fix_folder("txlb").ok();
    let missing = state.as_deref().filter(|it| symlink_metadata(it).is_err());
    let Some(owner) = owner else {
        // Before the sandbox, which would prevent it. An error shows when the folder is used.
        let _ = missing.filter(|_| has_secrets(config)).map(make_private);
        return Ok(());
    };
    // Root makes it also for interfaces that a later change may enable, when nobody else could.
    let missing = missing.filter(|_| HAVE_SECRETS && config.admin.is_some());
    match missing.filter(|it| only_root_decides(it, owner)) {
        Some(folder) => make_private(folder)
            .and_then(|made| give_to(&made, owner))
            .map_err(|error| cannot(folder, &error)),
        None => Ok(()),
    }
}

/// Opens or makes the log file of `-l` for `owner`. `None` leaves it to the owner: it is not a
/// regular file, has a second name, or others control its path.
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
            // Others who may write to the folder may have replaced it meanwhile.
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

/// Whether `owner` could replace the file. Then root does not read it, or the owner could make
/// root read any file.
pub(crate) fn can_replace(owner: &Identity, file: &Path) -> bool {
    let harmless = |it: &Metadata, _| {
        it.uid() != owner.uid.as_raw() && (is_sticky(it) || !may_write(it, owner))
    };
    !absolute(file).is_ok_and(|file| all_parts(&file, &harmless, MAX_LINKS))
}

/// Whether others than root may write to this file, or replace it.
pub(crate) fn others_may_replace(file: &Path) -> bool {
    let roots = |it: &Metadata, _| it.uid() == 0 && (it.mode() & 0o022 == 0 || is_sticky(it));
    !absolute(file).is_ok_and(|file| all_parts(&file, &roots, MAX_LINKS))
}

/// Whether only root controls `folder`, which need not exist. A group other than the owner's
/// may write to the last part.
fn only_root_decides(folder: &Path, owner: &Identity) -> bool {
    let roots = |it: &Metadata, is_last: bool| {
        let others = it.mode() & 0o022 != 0 && (!is_last || may_write(it, owner));
        it.uid() == 0 && (!others || is_sticky(it))
    };
    absolute(folder).is_ok_and(|folder| all_parts(&folder, &roots, MAX_LINKS))
}

/// Whether each existing part of the path is `good`, including the parts of links. `good` is
/// told whether it is the last part.
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
        // The mode of a link means nothing. Its folder is checked; in a sticky folder, the owner
        // can replace it.
        if metadata.uid() != 0 {
            return false;
        }
        let target = read_link(part).map(|it| part.parent().unwrap_or(part).join(it));
        links > 0 && target.is_ok_and(|target| all_parts(&target, good, links - 1))
    })
}

/// In a sticky folder only a file's owner can replace it, and that owner is checked.
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

/// Whether an admin interface of this build may have a key of its own.
const HAVE_SECRETS: bool = cfg!(any(feature = "https", feature = "ssh"));

/// Whether one needs it with this configuration.
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

/// Makes the folder with mode 0700; its parents are as `make` has them.
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

/// Makes the folder and its parents with mode 0755. The mode is set explicitly: with a daemon's
/// umask, the user could not pass the parents. Test: the_usual_folders_are_made_for_the_user.
fn make(folder: &Path) -> io::Result<()> {
    let missing = folder.ancestors().take_while(|folder| !folder.exists());
    let missing: Vec<_> = missing.collect();
    for folder in missing.into_iter().rev() {
        DirBuilder::new().create(folder)?;
        set_permissions(folder, Permissions::from_mode(0o755))?;
    }
    Ok(())
}
