//! Saving on a full disk, in a read-only folder, and under SIGKILL: the file is the old one or
//! the new one.
//!
//! Each case runs in a child: this program again, with a variable that selects a part below.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, SystemTime};

use crate::support::rerun::{only, own_program};
use crate::support::txlb::Folder;
use crate::support::{noise, pause, until};
use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};
use txlb::config::{self, Config};
use txlb::control::File;

const PART: &str = "TXLB_TEST_PART";
const PATH: &str = "TXLB_TEST_PATH";

/// The user and group nobody on most systems.
const NOBODY: u32 = 65_534;

/// Two configurations that are long enough for half of one to be noticed.
fn text(weight: u32) -> String {
    let hosts: String = (0..40)
        .map(|number| format!("<host name='{number}' ip='a:1' weight='{weight}'/> <!-- -->\n"))
        .collect();
    format!(
        "<config><service name='s'><listen ip='1'/>\n\
         <group name='g' enable='1'>\n{hosts}</group></service></config>"
    )
}

fn parsed(weight: u32) -> Config {
    config::read(text(weight).as_bytes()).unwrap().config
}

/// The child's part; without the variable this is not a child.
#[test]
#[ignore = "a part of the others"]
fn child() {
    let (Ok(part), Some(path)) = (std::env::var(PART), std::env::var_os(PATH)) else {
        return;
    };
    let (mut file, _) = File::read(Path::new(&path)).unwrap();
    let configs = [parsed(1), parsed(22)];
    if part == "until killed" {
        println!("going");
        for config in configs.iter().cycle() {
            file.save(config, false, SystemTime::now()).unwrap();
        }
    }
    if part == "with a full disk" {
        // Beyond the limit a write fails once the signal is caught.
        let caught = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGXFSZ, caught).unwrap();
        let maximum = getrlimit(Resource::Fsize).maximum;
        let limit = Rlimit {
            current: Some(1000),
            maximum,
        };
        setrlimit(Resource::Fsize, limit).unwrap();
    }
    match file.save(&configs[1], false, SystemTime::now()) {
        Ok(saved) => println!("saved: {:?}", saved.notes),
        Err(error) => println!("error: {error}"),
    }
}

fn child_command(program: &Path, part: &str, path: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .args(only(module_path!(), "child"))
        .env(PART, part)
        .env(PATH, path)
        .stdout(Stdio::piped());
    command
}

/// What a child prints after its save.
fn answer(command: &mut Command) -> String {
    let mut output = None;
    // Another thread may just have forked with the copy open for writing.
    until("the program can be run", || match command.output() {
        Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => false,
        result => output.replace(result.unwrap()).is_none(),
    });
    let output = String::from_utf8(output.unwrap().stdout).unwrap();
    let mut lines = output.lines();
    let line = lines.find(|line| ["saved: ", "error: "].iter().any(|it| line.contains(it)));
    line.unwrap_or_else(|| panic!("no answer: {output}"))
        .to_owned()
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// A copy that another user may run.
fn program_for_all(folder: &Folder) -> PathBuf {
    let program = folder.file("program");
    fs::copy(own_program(), &program).unwrap();
    for path in [folder.path(), &program] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    program
}

#[test]
fn a_full_disk_leaves_the_file_and_nothing_else() {
    let folder = Folder::new();
    let path = folder.write("lb.xml", text(1));
    let answer = answer(&mut child_command(
        &own_program(),
        "with a full disk",
        &path,
    ));
    assert!(answer.contains("error: cannot write to "), "{answer}");
    assert!(
        answer.contains(" (see ulimit -f); the file is as it was"),
        "{answer}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), text(1));
    assert_eq!(names(folder.path()), [path]);
}

#[test]
fn a_folder_that_is_shut_leaves_the_file() {
    let folder = Folder::new();
    let program = program_for_all(&folder);
    let shut = folder.file("shut");
    fs::create_dir(&shut).unwrap();
    let path = folder.write("shut/lb.xml", text(1));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = child_command(&program, "once", &path);
    if geteuid().is_root() {
        // Root may write to any folder.
        command.uid(NOBODY).gid(NOBODY);
    }
    let answer = answer(&mut command);
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(answer.contains("error: cannot write to "), "{answer}");
    assert!(
        answer.contains("(txlb's user must be able to write to the folder)"),
        "{answer}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), text(1));
    assert_eq!(names(&shut), [path]);
}

#[test]
fn an_owner_that_cannot_be_kept_is_told_and_its_group_shut_out() {
    if !geteuid().is_root() {
        eprintln!("left out: only root can make a file that is another's");
        return;
    }
    let folder = Folder::new();
    let program = program_for_all(&folder);
    let open = folder.file("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    chown(&open, Some(NOBODY), Some(NOBODY)).unwrap();
    let path = folder.write("open/lb.xml", text(1));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
    let answer = answer(
        child_command(&program, "once", &path)
            .uid(NOBODY)
            .gid(NOBODY),
    );
    assert!(
        answer.contains("the file's owner is now user 65534"),
        "{answer}"
    );
    assert!(
        answer.contains("its group 65534, who may not open it"),
        "{answer}"
    );
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (NOBODY, NOBODY));
    assert_eq!(metadata.mode() & 0o777, 0o604);
    assert_eq!(
        config::read(&fs::read(&path).unwrap()).unwrap().config,
        parsed(22)
    );
}

/// What was found after some kills.
#[derive(Default)]
struct Found {
    /// How often the file was the old one and the new one.
    files: [u32; 2],
    /// How often a save was under way.
    half_done: u32,
}

/// Kills a child after each of these times of saving.
fn kill_again_and_again(moments_us: &[u64]) -> Found {
    let folder = Folder::new();
    let path = folder.write("lb.xml", text(1));
    let texts = [text(1), text(22)];
    let mut found = Found::default();
    for moment_us in moments_us {
        let mut child = child_command(&own_program(), "until killed", &path)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("going")));
        pause(Duration::from_micros(*moment_us));
        child.kill().unwrap();
        child.wait().unwrap();
        let after = fs::read_to_string(&path).unwrap();
        let which = texts.iter().position(|text| *text == after);
        found.files[which.unwrap_or_else(|| panic!("neither: {after}"))] += 1;
        config::read(after.as_bytes()).unwrap();
        let is_draft = |path: &PathBuf| path.to_str().unwrap().contains(".txlb-new-");
        found.half_done += u32::from(names(folder.path()).iter().any(is_draft));
    }
    // The next save removes the rest.
    let (mut file, _) = File::read(&path).unwrap();
    for config in [parsed(1), parsed(22)] {
        file.save(&config, false, SystemTime::now()).unwrap();
    }
    let left = names(folder.path()).len();
    assert!(left <= 11, "{left} files");
    for name in names(folder.path()) {
        let text = fs::read_to_string(name).unwrap();
        assert!(texts.contains(&text), "a backup is neither: {text}");
    }
    found
}

#[test]
fn a_kill_at_any_moment_leaves_the_old_file_or_the_new_one() {
    const KILLS: usize = 200;
    const LANES: usize = 4;
    let noise = noise(5, 2 * KILLS);
    let moments: Vec<u64> = noise
        .chunks_exact(2)
        .map(|pair| u64::from(u16::from_le_bytes([pair[0], pair[1]])) % 20_000)
        .collect();
    let lanes: Vec<_> = moments
        .chunks(KILLS / LANES)
        .map(|moments| {
            let moments = moments.to_vec();
            thread::spawn(move || kill_again_and_again(&moments))
        })
        .collect();
    let found: Vec<Found> = lanes.into_iter().map(|lane| lane.join().unwrap()).collect();
    let count = |of: fn(&Found) -> u32| found.iter().map(of).sum::<u32>();
    let (one, other) = (count(|it| it.files[0]), count(|it| it.files[1]));
    let half_done = count(|it| it.half_done);
    println!("{one} times the one, {other} times the other; {half_done} during a save");
    // Otherwise the test would prove nothing.
    assert!(
        one > 0 && other > 0 && half_done > 0,
        "{one} {other} {half_done}"
    );
}

/// As in a container that has only the file mounted.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs root"]
fn a_file_that_is_a_mount_is_written_in_place_after_its_backup() {
    let folder = Folder::new();
    let path = folder.write("lb.xml", "");
    let outside = folder.write("outside.xml", text(1));
    let inode = fs::metadata(&outside).unwrap().ino();
    let child = child_command(&own_program(), "in a mount", &path);
    let mut mounted = Command::new("unshare");
    let script = "mount --bind \"$1\" \"$2\" && shift 2 && exec \"$@\"";
    mounted.args(["-m", "sh", "-c", script, "sh"]);
    mounted.args([&outside, &path]).arg(child.get_program());
    mounted.args(child.get_args()).stdout(Stdio::piped());
    mounted.env(PART, "in a mount").env(PATH, &path);
    let answer = answer(&mut mounted);
    assert!(answer.contains("was written in place"), "{answer}");
    let saved = config::read(&fs::read(&outside).unwrap()).unwrap().config;
    assert_eq!(saved, parsed(22));
    assert_eq!(fs::metadata(&outside).unwrap().ino(), inode);
    let mut others = names(folder.path());
    others.retain(|it| ![&path, &outside].contains(&it));
    let [backup] = &others[..] else {
        panic!("{others:?}")
    };
    assert_eq!(fs::read_to_string(backup).unwrap(), text(1));
}
