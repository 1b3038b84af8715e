//! What root opens itself and what it leaves to the user: logs, configurations, PID files,
//! folders. SECURITY.md has the list.
//!
//! All of it needs root.
#![cfg(target_os = "linux")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use crate::support::client::who;
use crate::support::daemon::start_command;
use crate::support::host::Host;
use crate::support::txlb::{command, finish, run, text};
use crate::support::user::{
    GID, UID, USER, as_user, everywhere, folder_for, log_to, start, started, state_of,
};

#[test]
#[ignore = "needs root"]
fn a_log_that_the_configuration_names_is_opened_by_the_user_alone() {
    let host = Host::new("a");
    let folder = folder_for(&host);
    let precious = folder.write("precious", "root:x:0:0\n");
    fs::set_permissions(&precious, Permissions::from_mode(0o600)).unwrap();
    let before = state_of(&precious);
    log_to(&folder, &precious);
    let refused = finish(start_command(&folder, &USER));
    assert_eq!(refused.status, Some(73), "{refused:?}");
    let advice = format!("'chown 54321 {}'", text(&precious));
    assert!(refused.stderr.contains(&advice), "{refused:?}");
    assert_eq!(state_of(&precious), before);

    let folder = folder_for(&host);
    let new = folder.file("ld.so.preload");
    log_to(&folder, &new);
    let refused = finish(start_command(&folder, &USER));
    assert_eq!(refused.status, Some(73), "{refused:?}");
    assert!(!new.exists());

    // Lines from before the log is open are in it.
    let folder = folder_for(&host);
    let daemon = start(&folder, &USER);
    assert_eq!(fs::metadata(&daemon.log).unwrap().uid(), UID);
    daemon.wait_for(" service web listens at ");
    daemon.stop();
}

#[test]
#[ignore = "needs root"]
fn root_opens_no_log_where_others_decide_what_it_is() {
    let host = Host::new("a");
    let folder = folder_for(&host);
    let (own, precious) = (folder.file("own"), folder.write("precious", ""));
    fs::set_permissions(&precious, Permissions::from_mode(0o600)).unwrap();
    let before = state_of(&precious);
    let roots = folder.file("roots");
    fs::create_dir(&roots).unwrap();
    let log = |name: &str| roots.join(name);
    symlink(&precious, log("link")).unwrap();
    fs::hard_link(&precious, log("name")).unwrap();
    fs::create_dir(log("folder")).unwrap();
    // A folder of the path is the user's.
    symlink(&roots, own.join("way")).unwrap();
    symlink(&precious, own.join("link")).unwrap();
    for file in [
        log("link"),
        log("name"),
        log("folder"),
        own.join("link"),
        own.join("way").join("new"),
    ] {
        let refused = finish(start_command(
            &folder,
            &[&USER[..], &["-l", text(&file)]].concat(),
        ));
        assert_eq!(refused.status, Some(73), "{refused:?}");
        assert_eq!(state_of(&precious), before, "{}", file.display());
        assert!(!log("new").exists());
    }
    // In their own folder, users make the file themselves.
    let file = own.join("other");
    let mut daemon = start(&folder, &[&USER[..], &["-l", text(&file)]].concat());
    daemon.log = file;
    assert_eq!(who(daemon.address()), "a");
    assert_eq!(fs::metadata(&daemon.log).unwrap().uid(), UID);
    daemon.stop();
}

#[test]
#[ignore = "needs root"]
fn a_configuration_that_the_user_can_replace_is_read_by_the_user() {
    let host = Host::new("a");
    let folder = folder_for(&host);
    let config = fs::read_to_string(folder.file("config.xml")).unwrap();
    let secret = folder.write("secret.xml", &config);
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let link = folder.file("own").join("config.xml");
    symlink(&secret, &link).unwrap();
    for options in [&["-t"][..], &["-D", "-p", text(&folder.file("pid"))]] {
        let options = [options, &USER[..], &["-f", text(&link)]].concat();
        let refused = run(&options);
        assert_eq!(refused.status, Some(77), "{refused:?}");
        assert!(refused.stderr.contains("read as 54321"), "{refused:?}");
    }
    fs::remove_file(&link).unwrap();
    as_user("cat >\"$0\" </dev/null", &link);
    fs::write(&link, config).unwrap();
    let pid_file = folder.file("pid");
    let options = ["-D", "-p", text(&pid_file), "-f", text(&link)];
    let finished = run(&[&options[..], &USER[..]].concat());
    let daemon = started(&folder, &finished);
    // txlb becomes root again for the start, and gives it up at the end.
    assert_eq!(everywhere(&daemon, "Uid"), "54321 54321 54321 54321");
    assert_eq!(everywhere(&daemon, "Groups"), "");
    daemon.stop();
}

#[test]
#[ignore = "needs root"]
fn the_pid_file_is_roots_and_no_descriptor_can_write_to_it() {
    let host = Host::new("a");
    let folder = folder_for(&host);
    // As for root's own file: the user may make files there, too.
    let place = folder.file("run");
    fs::create_dir(&place).unwrap();
    chown(&place, Some(0), Some(GID)).unwrap();
    fs::set_permissions(&place, Permissions::from_mode(0o1770)).unwrap();
    let pid_file = place.join("pid");
    as_user("echo 17 >\"$0\"", &pid_file);
    let mut daemon = {
        let options = [&USER[..], &["-p", text(&pid_file)]].concat();
        let mut start = command(&["-D", "-w", "1", "-f", text(&folder.file("config.xml"))]);
        start
            .args(&options)
            .env("STATE_DIRECTORY", folder.file("state"));
        let finished = finish(start);
        fs::copy(&pid_file, folder.file("pid")).unwrap();
        started(&folder, &finished)
    };
    daemon.pid_file = pid_file.clone();
    assert_eq!(fs::metadata(&pid_file).unwrap().uid(), 0);
    for entry in fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap() {
        let (path, name) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name());
        let info = format!("/proc/{}/fdinfo/{}", daemon.pid(), name.to_str().unwrap());
        let info = fs::read_to_string(info).unwrap();
        let flags = info
            .lines()
            .find_map(|it| it.strip_prefix("flags:"))
            .unwrap();
        let writes = u32::from_str_radix(flags.trim(), 8).unwrap() & 3 != 0;
        let about = fs::metadata(&path).unwrap();
        assert!(
            !writes || !about.is_file() || about.uid() == UID,
            "{:?}",
            fs::read_link(path)
        );
    }
    let told = run(&["-s", "pid", "-p", text(&pid_file)]);
    assert_eq!(told.stdout, format!("{}\n", daemon.pid()));
    let number = fs::read(&pid_file).unwrap();
    daemon.stop();
    // Neither file nor folder is the user's: the number stays, and counts for nothing.
    assert_eq!(fs::read(&pid_file).unwrap(), number);
    let gone = run(&["-s", "stop", "-p", text(&pid_file)]);
    assert!(gone.stderr.contains("none is running"), "{gone:?}");
}

#[test]
#[ignore = "needs root"]
fn admin_interfaces_make_nothing_where_root_alone_may() {
    let host = Host::new("a");
    let folder = folder_for(&host);
    let config = fs::read_to_string(folder.file("config.xml")).unwrap();
    let own = folder.file("own").join("control.sock");
    let socket = folder.file("cron.d").join("job");
    fs::create_dir(folder.file("cron.d")).unwrap();
    folder.write("config.xml", config.replace(text(&own), text(&socket)));
    let refused = finish(start_command(&folder, &USER));
    assert_eq!(refused.status, Some(77), "{refused:?}");
    assert!(!socket.exists());

    // A state folder behind the user's link.
    folder.write(
        "config.xml",
        config.replace("</config>", "<admin/></config>"),
    );
    symlink(folder.file("cron.d"), folder.file("own").join("link")).unwrap();
    let mut start = start_command(&folder, &USER);
    start.env("STATE_DIRECTORY", folder.file("own").join("link/state"));
    let daemon = started(&folder, &finish(start));
    assert_eq!(fs::read_dir(folder.file("cron.d")).unwrap().count(), 0);
    daemon.stop();
}
