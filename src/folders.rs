//! Folders and files that root makes for whom txlb will be, while it still can.
//!
//! Only what is not there yet, and the one folder that is txlb's by its name. What
//! belongs to somebody else is never given away; errors later say what to do.

use std::fs::{DirBuilder, OpenOptions, Permissions, set_permissions, symlink_metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use rustix::fs::OFlags;
use txlb::config::Config;
use txlb::os::state;

use crate::exit::Exit;
use crate::privileges::Identity;

/// Where PID file and control socket are unless told otherwise.
pub(crate) const RUNTIME: &str = "/run/txlb";

/// Root's, so that nobody but root removes the PID file; whoever txlb is may make its
/// socket there.
const RUNTIME_MODE: u32 = 0o1770;

/// Makes the folder of `file`, if that is txlb's own below `/run`.
pub(crate) fn make_runtime_folder(file: &Path, owner: Option<&Identity>) -> Result<(), Exit> {
    if file.parent() != Some(Path::new(RUNTIME)) || !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let folder = Path::new(RUNTIME);
    make_runtime(folder, owner).map_err(|error| cannot(folder, &error))
}

fn make_runtime(folder: &Path, owner: Option<&Identity>) -> io::Result<()> {
    make(folder)?;
    let Some(owner) = owner else { return Ok(()) };
    let opened = open_folder(folder)?;
    // Who has made it other than root's own has thought of something.
    if opened.metadata()?.uid() == 0 {
        fchown(&opened, None, Some(owner.gid.as_raw()))?;
        opened.set_permissions(Permissions::from_mode(RUNTIME_MODE))?;
    }
    Ok(())
}

/// What the doors and the log of `config` need. What is there already stays as it is.
pub(crate) fn prepare(
    config: &Config,
    log: Option<&Path>,
    owner: Option<&Identity>,
) -> Result<(), Exit> {
    if let Some(control) = &config.control {
        make_runtime_folder(&control.socket, owner)?;
    }
    // What it is asked for later must not depend on who asks.
    let state = state::settle("txlb").ok();
    let state = state.as_deref();
    let Some(owner) = owner else {
        // Later it would be out of the sandbox. If it cannot be made, who needs it says so.
        let missing = state.filter(|it| has_secrets(config) && !it.exists());
        let _ = missing.map(make_for_its_owner);
        return Ok(());
    };
    // Root makes it for doors that a change may open, too: nobody else could then.
    if let Some(folder) = state.filter(|_| HAVE_SECRETS && config.admin.is_some()) {
        give(folder, owner, make_for_its_owner).map_err(|error| cannot(folder, &error))?;
    }
    if let Some(file) = log.filter(|file| !can_plant(file, Some(owner))) {
        give(file, owner, make_log).map_err(|error| cannot(file, &error))?;
    }
    Ok(())
}

/// Whether whoever txlb will be could have put a link in the place of `file`, which root
/// would follow.
pub(crate) fn can_plant(file: &Path, owner: Option<&Identity>) -> bool {
    let Some(owner) = owner else { return false };
    let folder = file.parent().filter(|it| !it.as_os_str().is_empty());
    let Ok(metadata) = std::fs::metadata(folder.unwrap_or(Path::new("."))) else {
        return false;
    };
    let writes = |bit: u32| metadata.mode() & bit != 0;
    metadata.uid() == owner.uid.as_raw()
        || (metadata.gid() == owner.gid.as_raw() && writes(0o020))
        || writes(0o002)
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

/// Gives what was not there before to its owner.
fn give(
    path: &Path,
    owner: &Identity,
    make: impl FnOnce(&Path) -> io::Result<std::fs::File>,
) -> io::Result<()> {
    if symlink_metadata(path).is_ok() {
        return Ok(());
    }
    let made = make(path)?;
    fchown(made, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))
}

/// The folder alone is its owner's, not those that it is in.
fn make_for_its_owner(folder: &Path) -> io::Result<std::fs::File> {
    if let Some(parent) = folder.parent() {
        make(parent)?;
    }
    DirBuilder::new().mode(0o700).create(folder)?;
    open_folder(folder)
}

fn open_folder(folder: &Path) -> io::Result<std::fs::File> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags.bits().cast_signed());
    options.open(folder)
}

fn make_log(file: &Path) -> io::Result<std::fs::File> {
    // Never what is there by now, a link least of all.
    let mut options = OpenOptions::new();
    options.append(true).create_new(true).mode(0o640);
    options.open(file)
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
