//! Tests of the PID file: taking it, its holder, and signals to it.

use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};

use super::*;

/// A path for this test only.
fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("txlb-{}-{name}.pid", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

/// Fails to take the file, and returns the message.
fn refused(path: &Path) -> String {
    let refused = take(path, 2).unwrap_err();
    assert_eq!(refused.status, Exit::CANNOT_CREATE);
    refused.message
}

/// A process that is not a txlb.
struct OtherProcess(Child);

impl OtherProcess {
    fn new() -> OtherProcess {
        let mut command = Command::new("sleep");
        OtherProcess(command.arg("600").stdin(Stdio::null()).spawn().unwrap())
    }

    fn is_there(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn another_process_file_in_its_place_is_left_there() {
    let path = path("replaced");
    let first = PidFile::take(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let second = PidFile::take(&path).unwrap();
    drop(first);
    assert!(path.exists());
    refused(&path);
    drop(second);
    assert!(!path.exists());
}

#[test]
fn only_a_regular_file_is_taken() {
    let (link, target) = (path("link"), path("target"));
    std::fs::write(&target, "17\n").unwrap();
    symlink(&target, &link).unwrap();
    assert!(refused(&link).contains("it is a link"));
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "17\n");
    std::fs::remove_file(&link).unwrap();
    // A dangling link is not followed, either.
    std::fs::remove_file(&target).unwrap();
    symlink(&target, &link).unwrap();
    assert!(refused(&link).contains("it is a link"));
    assert!(!target.exists());
    std::fs::remove_file(&link).unwrap();
    for other in [&std::env::temp_dir(), Path::new("/dev/null")] {
        assert!(refused(other).contains("no regular file"));
        assert_eq!(RunningProcess::find(other).unwrap_err().status, Exit::OTHER);
    }
}

#[test]
fn what_is_no_pid_file_is_left_as_it_is() {
    let path = path("precious");
    let long = "1".repeat(MAX_BYTES + 1);
    for precious in [
        "root:x:0:0:",
        "1\nand more",
        "-1",
        "+5",
        "0x10",
        "\0\0",
        &long,
    ] {
        std::fs::write(&path, precious).unwrap();
        assert!(refused(&path).contains("something else"), "{precious:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), precious);
    }
    for stale in ["", "17", "17\n", " 17\n", "0\n"] {
        std::fs::write(&path, stale).unwrap();
        drop(PidFile::take(&path).unwrap());
    }
    assert!(!path.exists());
}

#[test]
fn a_file_with_a_second_name_is_replaced_and_not_written_to() {
    let (path, other) = (path("first-name"), path("second-name"));
    std::fs::write(&other, "17\n").unwrap();
    std::fs::hard_link(&other, &path).unwrap();
    assert!(
        RunningProcess::find(&path)
            .unwrap_err()
            .message
            .contains("another name")
    );
    let taken = PidFile::take(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "17\n");
    assert!(is_at(&path, &taken.file));
    assert!(!is_at(&other, &taken.file));
    drop(taken);
    std::fs::remove_file(&other).unwrap();
}

#[test]
fn the_descriptor_that_is_kept_cannot_write() {
    let path = path("reading");
    let taken = PidFile::take(&path).unwrap();
    assert!((&*taken.file).write_all(b"1").is_err());
    assert!(taken.file.set_len(0).is_err());
    let number = format!("{}\n", std::process::id());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), number);
    let mode = taken.file.metadata().unwrap().mode();
    assert_eq!(mode & 0o777, 0o644);
}

#[test]
fn a_readers_lock_is_waited_for_and_named_if_it_stays() {
    let path = path("looked-at");
    std::fs::write(&path, "17\n").unwrap();
    let reader = File::open(&path).unwrap();
    reader.lock_shared().unwrap();
    assert!(refused(&path).contains("another process has kept a lock"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "17\n");
    let waiting = thread::spawn({
        let path = path.clone();
        move || PidFile::take(&path).map(drop)
    });
    drop(reader);
    waiting.join().unwrap().unwrap();
}

#[test]
fn a_number_is_one_to_the_letter_and_above_1() {
    let number = |text: &str| pid_in(text.as_bytes()).map(|it| it.as_raw_nonzero().get());
    assert_eq!(number("17\n"), Some(17));
    assert_eq!(number("2"), Some(2));
    for text in [
        "",
        "\n",
        "0",
        "1",
        "1\n",
        "-1",
        "-17\n",
        "+5",
        " 5",
        "5 ",
        "05",
        "5\n\n",
        "5\r\n",
        "5x",
        "99999999999",
        "4294967297",
        "\u{0665}",
    ] {
        assert_eq!(number(text), None, "{text:?}");
    }
}

#[test]
fn only_the_holder_of_the_file_is_signalled() {
    let path = path("innocent");
    let mut innocent = OtherProcess::new();
    // flock(2) does not say who holds its lock.
    std::fs::write(&path, format!("{}\n", innocent.0.id())).unwrap();
    let locked = File::open(&path).unwrap();
    locked.lock().unwrap();
    for signal in [Signal::TERM, Signal::HUP] {
        let refused = RunningProcess::find(&path)
            .and_then(|it| it.send(signal))
            .unwrap_err();
        assert!(refused.message.contains("none is running"), "{refused:?}");
    }
    assert!(innocent.is_there());
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_lock_on_what_is_gone_is_not_enough() {
    let path = path("gone");
    let held = PidFile::take(&path).unwrap();
    assert!(is_at(&path, &held.file));
    std::fs::remove_file(&path).unwrap();
    assert!(!is_at(&path, &held.file));
    std::fs::write(&path, "").unwrap();
    assert!(!is_at(&path, &held.file));
    drop(held);
    std::fs::remove_file(&path).unwrap();
}
