//! The sandbox on Linux: drops capabilities, limits files (landlock), and denies system calls
//! (seccomp).

mod denied;
mod seccomp;

use landlock::{
    ABI, Access, AccessFs, BitFlags, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope, make_bitflags, path_beneath_rules,
};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use txlb::os::rights::{self, ReachablePaths};

use super::Owner;

/// Capabilities that root keeps: low ports, and saving files of other owners.
const KEPT: CapabilitySet = CapabilitySet::NET_BIND_SERVICE
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER);

/// Confines this thread and later ones for good. `owner` has the users and groups to which
/// files may be given. `uses_client_addresses`: connections come from addresses of clients.
pub(super) fn confine(allowed: ReachablePaths, owner: Option<Owner>, uses_client_addresses: bool) {
    if let Err(error) = drop_capabilities(uses_client_addresses) {
        log::warn!("the sandbox does not drop capabilities: {error}");
    }
    match restrict_files(&allowed) {
        Ok(true) => {
            log::debug!("the sandbox keeps to files that txlb needs (landlock)");
            rights::record_sandbox(allowed);
        }
        Ok(false) => log::info!("the sandbox does not limit files: this kernel has no landlock"),
        Err(error) => log::warn!("the sandbox does not limit files: {error}"),
    }
    match seccomp::deny(owner) {
        Ok(()) => log::debug!("the sandbox denies system calls that txlb has no use for (seccomp)"),
        Err(error) => log::info!("the sandbox does not deny system calls: {error}"),
    }
}

/// Runs before the filter, which denies capset(2). Skipped if there is nothing to drop: a
/// supervisor may deny the call.
fn drop_capabilities(uses_client_addresses: bool) -> rustix::io::Result<()> {
    let permitted = capabilities(None)?.permitted;
    let wanted = match uses_client_addresses {
        true => KEPT | CapabilitySet::NET_RAW,
        false => KEPT,
    };
    let kept = CapabilitySets {
        effective: permitted & wanted,
        permitted: permitted & wanted,
        inheritable: CapabilitySet::empty(),
    };
    match wanted.contains(permitted) {
        true => Ok(()),
        false => set_capabilities(None, kept),
    }
}

/// The version of landlock that is used; older kernels enforce the part they know. Version 9
/// would limit Unix sockets with paths, but C libraries connect to daemons at paths that txlb
/// does not know.
const LANDLOCK_ABI: ABI = ABI::V6;

/// Landlock: limits file access of this thread and later ones to allowed paths, and since Linux
/// 6.12 signals and abstract Unix sockets to this process. Nothing can be executed. File modes
/// still apply. Returns whether the kernel has it.
///
/// # Errors
/// The kernel's.
fn restrict_files(allowed: &ReachablePaths) -> Result<bool, RulesetError> {
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK_ABI))?
        .scope(Scope::from_all(LANDLOCK_ABI))?
        .create()?
        // Paths that do not exist are skipped; they need a restart.
        .add_rules(path_beneath_rules(&allowed.read, read()))?
        .add_rules(path_beneath_rules(&allowed.write, write()))?
        .restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

fn read() -> BitFlags<AccessFs> {
    make_bitflags!(AccessFs::{ReadFile | ReadDir})
}

fn write() -> BitFlags<AccessFs> {
    let change = make_bitflags!(AccessFs::{WriteFile | Truncate | RemoveFile});
    read() | change | make_bitflags!(AccessFs::{MakeDir | MakeReg | MakeSock})
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::io::ErrorKind;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
    use std::thread;

    use seccompiler::{SeccompAction, SeccompFilter, apply_filter};

    /// Runs a test in a thread of its own, which alone is confined.
    fn on_a_thread(what: impl FnOnce() + Send + 'static) {
        thread::spawn(what).join().unwrap();
    }

    #[test]
    fn what_is_not_allowed_is_out_of_reach() {
        let folder = std::env::temp_dir().join(format!("txlb-files-{}", std::process::id()));
        let (inside, outside) = (folder.join("inside"), folder.join("outside"));
        fs::create_dir_all(&inside).unwrap();
        fs::write(&outside, "").unwrap();
        let allowed = ReachablePaths {
            read: vec![folder.join("nowhere")],
            write: vec![inside.clone()],
        };
        on_a_thread(move || {
            if !restrict_files(&allowed).unwrap() {
                eprintln!("left out: this kernel has no landlock");
                return;
            }
            fs::write(inside.join("new"), "x").unwrap();
            fs::rename(inside.join("new"), inside.join("old")).unwrap();
            fs::remove_file(inside.join("old")).unwrap();
            let refused = File::open(&outside).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        });
        fs::remove_dir_all(&folder).unwrap();
    }

    /// Whether the kernel has scopes (Linux 6.12).
    fn has_scopes() -> bool {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
        let mut next = || numbers.next().unwrap().unwrap();
        (next(), next()) >= (6, 12)
    }

    #[test]
    fn abstract_sockets_of_others_are_out_of_reach() {
        let name = format!("txlb-scope-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let _listener = UnixListener::bind_addr(&address).unwrap();
        UnixStream::connect_addr(&address).unwrap();
        let has_scopes = has_scopes();
        on_a_thread(move || {
            let allowed = ReachablePaths {
                read: Vec::new(),
                write: vec![std::env::temp_dir()],
            };
            if !restrict_files(&allowed).unwrap() || !has_scopes {
                eprintln!("left out: this kernel has no scopes");
                return;
            }
            let refused = UnixStream::connect_addr(&address).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        });
    }

    #[test]
    fn a_kernel_without_it_is_no_error() {
        on_a_thread(|| {
            // Simulates a kernel without landlock.
            let calls = [libc::SYS_landlock_create_ruleset];
            let filter = SeccompFilter::new(
                calls.map(|call| (call, Vec::new())).into_iter().collect(),
                SeccompAction::Allow,
                SeccompAction::Errno(libc::ENOSYS.cast_unsigned()),
                std::env::consts::ARCH.try_into().unwrap(),
            );
            let program: seccompiler::BpfProgram = filter.unwrap().try_into().unwrap();
            apply_filter(&program).unwrap();
            let confined = restrict_files(&ReachablePaths {
                read: Vec::new(),
                write: vec![std::env::temp_dir()],
            });
            assert!(!confined.unwrap());
            File::open("/etc/hosts").unwrap();
        });
    }
}
