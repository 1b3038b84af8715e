//! The sandbox: limits the process to the files and system calls that it needs.
//!
//! It binds the thread that enters it and later threads, so it is entered while there is one.
//! It does not replace a change of user. Where the kernel lacks it, txlb logs that and runs
//! without.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf, absolute};

use rustix::process::getegid;
use txlb::config::{Config, Control};
use txlb::os::rights::ReachablePaths;

#[cfg(all(
    feature = "sandbox",
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
))]
mod confine;

/// On other systems and without the feature: does nothing.
#[cfg(not(all(
    feature = "sandbox",
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
)))]
mod confine {
    use txlb::os::rights::ReachablePaths;

    use super::Owner;

    pub(super) fn confine(
        _allowed: ReachablePaths,
        _owner: Option<Owner>,
        _uses_client_addresses: bool,
    ) {
        log::debug!("this txlb has no sandbox");
    }
}

/// The users and groups to which root may give files: its own, and those of the configuration
/// file.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "sandbox"), expect(dead_code, reason = "there is none"))]
pub(crate) struct Owner {
    pub(crate) users: [u32; 2],
    pub(crate) groups: [u32; 2],
}

/// Enters the sandbox for good. Open descriptors stay usable.
pub(crate) fn enter(needs: &Needs<'_>) {
    let uses_client_addresses = needs.config.is_some_and(Config::uses_client_addresses);
    confine::confine(needs.allowed(), needs.owner(), uses_client_addresses);
}

/// What C libraries read, and where certificates usually are.
const READ: &[&str] = &[
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/etc",
    "/lib",
    "/lib64",
    "/opt",
    "/run",
    "/sys/devices/system/cpu",
    "/usr",
    "/var/lib",
];

/// Where a later configuration may write.
const WRITE: &[&str] = &["/dev/null", "/run/txlb", "/tmp", "/var/log"];

/// More such folders, unless txlb is root: a user's rights limit it there. Root could leave
/// programs in them for others to run.
const WRITE_UNLESS_ROOT: &[&str] = &["/run", "/srv", "/var"];

/// Often a link to another folder, which differs between systems.
const RESOLVER: &str = "/etc/resolv.conf";

/// What the sandbox must leave usable.
#[derive(Debug, Default)]
pub(crate) struct Needs<'a> {
    /// The configuration file.
    pub(crate) file: Option<&'a Path>,
    /// Its content.
    pub(crate) config: Option<&'a Config>,
    /// The log file.
    pub(crate) log: Option<&'a Path>,
    /// The PID file, unless it is outside of the chroot.
    pub(crate) pid_file: Option<&'a Path>,
    /// The state folder, with keys.
    pub(crate) state: Option<&'a Path>,
    /// Root ignores file modes.
    pub(crate) is_root: bool,
}

impl Needs<'_> {
    /// The allowed paths that exist.
    pub(crate) fn allowed(&self) -> ReachablePaths {
        let config = self.config;
        let control = config.and_then(|config| config.control.as_ref());
        let sockets = control.into_iter().flat_map(Control::sockets);
        let web = config.and_then(|config| config.admin.as_ref()?.web.as_ref());
        let certificate = web.map(|web| [&web.cert, &web.key]).into_iter().flatten();
        let certificate = certificate.filter_map(|path| path.as_deref());

        let mut read: Vec<PathBuf> = READ.iter().map(PathBuf::from).collect();
        read.extend(certificate.flat_map(folders));
        read.extend(folders(Path::new(RESOLVER)));
        let left_to_modes = match self.is_root {
            true => &[][..],
            false => WRITE_UNLESS_ROOT,
        };
        let write = WRITE.iter().chain(left_to_modes);
        let mut write: Vec<PathBuf> = write.map(PathBuf::from).collect();
        let files = [self.file, self.pid_file].into_iter().flatten();
        let services = config.into_iter().flat_map(|config| &config.services);
        let listens = services.flat_map(|service| &service.listens);
        let listeners = listens.filter_map(|listen| Some(&**listen.address.unix_path()?));
        write.extend(files.chain(sockets).chain(listeners).flat_map(folders));
        write.extend(self.log.into_iter().flat_map(log_paths));
        write.extend(self.state.map(Path::to_owned));
        ReachablePaths {
            read: existing(&read),
            write: existing(&write),
        }
    }

    /// The users and groups to which files may be given; `None` if txlb is not root, since the
    /// kernel then forbids it.
    pub(crate) fn owner(&self) -> Option<Owner> {
        let found = self.file.and_then(|file| file.metadata().ok());
        let (user, group) = found.map_or((0, 0), |found| (found.uid(), found.gid()));
        self.is_root.then_some(Owner {
            users: [0, user],
            groups: [getegid().as_raw(), group],
        })
    }
}

/// The folder of a file, and the folder of the file that a link leads to.
fn folders(file: &Path) -> Vec<PathBuf> {
    let paths = [absolute(file), file.canonicalize()];
    let folder = |path: PathBuf| path.parent().map(Path::to_owned);
    paths.into_iter().flatten().filter_map(folder).collect()
}

/// For devices and `/proc`, only the file itself, since its folder has others.
fn log_paths(file: &Path) -> Vec<PathBuf> {
    match ["/dev", "/proc"]
        .iter()
        .any(|folder| file.starts_with(folder))
    {
        true => vec![file.to_owned()],
        false => folders(file),
    }
}

/// The canonical paths that exist, each once.
fn existing(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut found: Vec<_> = paths
        .iter()
        .filter_map(|path| path.canonicalize().ok())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_configuration_names_is_within_reach() {
        let folder = std::env::temp_dir().canonicalize().unwrap();
        let folder = folder.join(format!("txlb-paths-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("config.xml");
        let text = format!(
            "<config><admin><web listen='1' cert='{0}/c.pem' key='{0}/k.pem'/></admin></config>",
            folder.display()
        );
        let config = txlb::config::read(text.as_bytes()).unwrap().config;
        let needs = Needs {
            config: Some(&config),
            log: Some(Path::new("/dev/null")),
            ..Needs::default()
        };
        let allowed = needs.allowed();
        assert!(allowed.read.contains(&folder));
        assert!(!allowed.write.contains(&folder));
        assert!(allowed.write.contains(&PathBuf::from("/dev/null")));
        assert!(!allowed.write.contains(&PathBuf::from("/dev")));
        let needs = Needs {
            file: Some(&file),
            ..needs
        };
        assert!(needs.allowed().write.contains(&folder));
        std::fs::remove_dir(&folder).unwrap();
    }

    #[test]
    fn root_writes_in_fewer_places() {
        let allowed = |is_root| {
            let needs = Needs {
                is_root,
                ..Needs::default()
            };
            needs.allowed().write
        };
        let var = Path::new("/var").canonicalize().unwrap();
        assert!(allowed(false).contains(&var));
        assert!(!allowed(true).contains(&var));
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        let needs = Needs {
            state: Some(Path::new("/nowhere/at/all")),
            log: Some(Path::new("/nowhere/log")),
            ..Needs::default()
        };
        let reached = needs.allowed().write;
        assert!(reached.iter().all(|path| !path.starts_with("/nowhere")));
    }
}
