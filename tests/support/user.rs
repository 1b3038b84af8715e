//! A txlb that root starts for another user.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::config::web_service;
use super::daemon::{Daemon, start_command, write_config};
use super::host::Host;
use super::txlb::{Finished, Folder, finish, text};

/// A user without files and without an entry in the user database.
pub(crate) const UID: u32 = 54_321;
pub(crate) const GID: u32 = 54_322;
pub(crate) const USER: [&str; 4] = ["-u", "54321", "-g", "54322"];

/// A folder with a configuration for this host. It is root's; the folders of control socket and
/// log are the user's.
pub(crate) fn folder_for(host: &Host) -> Folder {
    let folder = Folder::new();
    let own = folder.file("own");
    fs::create_dir(&own).unwrap();
    chown(&own, Some(UID), Some(GID)).unwrap();
    fs::set_permissions(&own, Permissions::from_mode(0o2770)).unwrap();
    let file = write_config(&folder, &web_service("", "roundr", &[host.address()]));
    let mut config = fs::read_to_string(&file).unwrap();
    for name in ["control.sock", "log"] {
        config = config.replace(
            &format!("\"{}\"", text(&folder.file(name))),
            &format!("\"{}\"", text(&own.join(name))),
        );
    }
    folder.write("config.xml", config);
    folder
}

pub(crate) fn start(folder: &Folder, options: &[&str]) -> Daemon {
    started(folder, &finish(start_command(folder, options)))
}

pub(crate) fn started(folder: &Folder, finished: &Finished) -> Daemon {
    let mut daemon = Daemon::started(folder, finished);
    let own = folder.file("own");
    (daemon.socket, daemon.log) = (own.join("control.sock"), own.join("log"));
    daemon
}

/// Changes the log of that configuration.
pub(crate) fn log_to(folder: &Folder, log: &Path) {
    let config = fs::read_to_string(folder.file("config.xml")).unwrap();
    let own = folder.file("own").join("log");
    folder.write("config.xml", config.replace(text(&own), text(log)));
}

/// Owner, mode and content, to check that a file was not touched.
pub(crate) fn state_of(file: &Path) -> (u32, u32, u32, Vec<u8>) {
    let it = fs::metadata(file).unwrap();
    (it.uid(), it.gid(), it.mode(), fs::read(file).unwrap())
}

/// Runs a script as the user.
pub(crate) fn as_user(script: &str, file: &Path) {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(file).uid(UID).gid(GID);
    assert!(shell.status().unwrap().success(), "{script}");
}

/// A line of the status, which must be the same for all threads.
pub(crate) fn everywhere(daemon: &Daemon, name: &str) -> String {
    let mut values = daemon.statuses(name);
    values.dedup();
    assert_eq!(values.len(), 1, "{name}: {values:?}");
    values.remove(0)
}
