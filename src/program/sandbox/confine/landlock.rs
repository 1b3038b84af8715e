//! Landlock: limits file access to allowed paths, and since Linux 6.12 signals and abstract
//! Unix sockets to this process.
//!
//! Nothing can be executed. File modes still apply.

use landlock::{
    ABI, Access, AccessFs, BitFlags, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope, make_bitflags, path_beneath_rules,
};
use txlb::os::rights::ReachablePaths;

/// The version of landlock that is used; older kernels enforce the part they know. Version 9
/// would limit Unix sockets with paths, but C libraries connect to daemons at paths that txlb
/// does not know.
const LANDLOCK_ABI: ABI = ABI::V6;

/// Confines this thread and later ones. Returns whether the kernel can.
///
/// # Errors
/// The kernel's.
pub(super) fn confine(allowed: &ReachablePaths) -> Result<bool, RulesetError> {
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
            if !confine(&allowed).unwrap() {
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
            if !confine(&allowed).unwrap() || !has_scopes {
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
            let confined = confine(&ReachablePaths {
                read: Vec::new(),
                write: vec![std::env::temp_dir()],
            });
            assert!(!confined.unwrap());
            File::open("/etc/hosts").unwrap();
        });
    }
}
