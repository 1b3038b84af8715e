//! Tests of the log's thread with an output that is stuck, full or gone.

use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};

use log::Level;

use super::format::{EntryKind, LineFormat};
use super::writer::{MAX_QUEUED, MAX_QUEUED_BYTES};
use super::*;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

/// An output that lets each write through on request, and reports what was written.
struct Gate {
    /// How many bytes pass; 0 is an error.
    pass: Receiver<usize>,
    written: Sender<String>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = self.pass.recv().map_err(io::Error::other)?;
        let taken = bytes.get(..most).unwrap_or(bytes);
        let text = String::from_utf8_lossy(taken).into_owned();
        self.written.send(text).map_err(io::Error::other)?;
        match most {
            0 => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(taken.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The output, the sender that lets writes through, and what was written. Each number sent is
/// the bytes that one write may take.
fn gate() -> (LogOutput, Sender<usize>, Receiver<String>) {
    let ((open, pass), (written, log)) = (channel(), channel());
    let output = LogOutput::stream(LineFormat::File, Gate { pass, written });
    (output, open, log)
}

/// An output that takes everything and reports it.
fn open_gate() -> (LogOutput, Receiver<String>) {
    let (output, open, log) = gate();
    open_wide(&open);
    (output, log)
}

fn open_wide(open: &Sender<usize>) {
    for _ in 0..100 {
        open.send(usize::MAX).unwrap();
    }
}

fn start(output: LogOutput) -> Arc<Queue> {
    let queue = Arc::new(Queue::default());
    let work = Arc::clone(&queue);
    thread::spawn(move || writer::run(&work, output));
    queue
}

fn entry(kind: EntryKind, text: &str) -> Entry {
    Entry {
        wall_ms: 0,
        level: Level::Error,
        kind,
        text: text.to_owned(),
    }
}

fn say(queue: &Queue, text: &str) {
    queue.push(entry(EntryKind::Session, text));
}

/// What was written, without dates and levels.
fn read(log: &Receiver<String>) -> String {
    let text: String = log.try_iter().collect();
    text.replace("1970-01-01T00:00:00.000Z ERROR ", "")
}

#[test]
fn everything_is_written_once_it_has_settled() {
    let (output, log) = open_gate();
    let queue = start(output);
    say(&queue, "one");
    say(&queue, "two");
    assert!(queue.wait_idle(LONG));
    assert_eq!(read(&log), "one\ntwo\n");
    // Also if there is nothing to do.
    assert!(queue.wait_idle(LONG));
}

#[test]
fn a_log_that_is_stuck_keeps_nobody_waiting() {
    let (stuck, open, log) = gate();
    let queue = start(stuck);
    say(&queue, "stuck");
    assert!(!queue.wait_idle(Duration::from_millis(10)));
    // As many as the queue holds, and three more.
    for _ in 0..MAX_QUEUED + 3 {
        say(&queue, "more");
    }
    let (output, next) = open_gate();
    queue.switch(output);
    assert!(!queue.wait_idle(Duration::from_millis(10)));

    open_wide(&open);
    assert!(queue.wait_idle(LONG));
    assert_eq!(
        read(&log),
        "stuck\n".to_owned() + &"more\n".repeat(MAX_QUEUED)
    );
    let texts = read(&next);
    assert!(texts.ends_with(" WARN  3 log lines were lost\n"), "{texts}");
}

#[test]
fn long_lines_fill_the_queue_sooner() {
    let (stuck, open, log) = gate();
    let queue = start(stuck);
    say(&queue, "stuck");
    assert!(!queue.wait_idle(Duration::from_millis(10)));
    let long = "x".repeat(MAX_QUEUED_BYTES / 4);
    for _ in 0..6 {
        say(&queue, &long);
    }
    open_wide(&open);
    assert!(queue.wait_idle(LONG));
    let texts = read(&log);
    assert!(texts.ends_with(" WARN  2 log lines were lost\n"), "{texts}");
}

#[test]
fn lines_go_where_the_log_was_when_they_were_logged() {
    let (one, old) = open_gate();
    let (two, new) = open_gate();
    let queue = Arc::new(Queue::default());
    say(&queue, "old");
    // Before the thread starts, so that it takes both at once.
    queue.switch(two);
    say(&queue, "new");
    let work = Arc::clone(&queue);
    thread::spawn(move || writer::run(&work, one));
    assert!(queue.wait_idle(LONG));
    assert_eq!((read(&old), read(&new)), ("old\n".into(), "new\n".into()));
}

#[test]
fn what_a_full_disk_does_not_take_is_counted() {
    let (full, ..) = gate();
    let queue = start(full);
    for _ in 0..4 {
        say(&queue, "nowhere");
    }
    assert!(queue.wait_idle(LONG));
    let (output, log) = open_gate();
    queue.switch(output);
    say(&queue, "here");
    assert!(queue.wait_idle(LONG));
    let written = read(&log);
    assert!(written.contains("4 log lines were lost\n"), "{written}");
    assert!(written.contains("here\n"), "{written}");
}

#[test]
fn a_line_of_which_a_disk_took_half_is_no_part_of_the_next() {
    let (output, open, log) = gate();
    let queue = Arc::new(Queue::default());
    for text in ["whole", "torn", "gone"] {
        say(&queue, text);
    }
    // Date and level take 31 bytes.
    open.send(31 + 6 + 31 + 2).unwrap();
    open.send(0).unwrap();
    let work = Arc::clone(&queue);
    thread::spawn(move || writer::run(&work, output));
    assert!(queue.wait_idle(LONG));
    assert_eq!(read(&log), "whole\nto");

    open_wide(&open);
    say(&queue, "next");
    assert!(queue.wait_idle(LONG));
    let written = read(&log);
    assert!(written.starts_with('\n'), "{written}");
    assert!(written.contains("\nnext\n"), "{written}");
    assert!(written.contains(" 2 log lines were lost\n"), "{written}");
}

#[test]
fn a_log_that_works_again_says_what_it_lost_without_being_asked() {
    let (output, open, log) = gate();
    open.send(0).unwrap();
    let queue = start(output);
    say(&queue, "nowhere");
    open_wide(&open);
    let texts = std::iter::from_fn(|| log.recv_timeout(LONG).ok());
    let texts: Vec<String> = texts.take(2).collect();
    assert_eq!(texts[0], "");
    assert!(texts[1].ends_with(" 1 log lines were lost\n"), "{texts:?}");
}

#[test]
fn complaints_come_once_and_sessions_each_time() {
    let (output, log) = open_gate();
    let queue = start(output);
    for _ in 0..3 {
        for kind in [EntryKind::Repeatable, EntryKind::Event, EntryKind::Session] {
            queue.push(entry(kind, "again"));
        }
    }
    assert!(queue.wait_idle(LONG));
    assert_eq!(read(&log), "again\n".repeat(7));
    // The end writes the counts, too.
    assert!(queue.flush(LONG));
    let written = read(&log);
    assert!(
        written.ends_with(" ERROR said 2 more times: again\n"),
        "{written}"
    );
}

#[test]
fn a_pipe_without_a_reader_is_not_waited_for() {
    let path = env::temp_dir().join(format!("txlb-pipe-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let opened = LogOutput::open(LogDestination::File(&path));
    std::fs::remove_file(&path).unwrap();
    assert!(opened.is_err());
}

#[test]
fn names_of_descriptors_are_known_also_through_links() {
    use super::output::named_descriptor;
    let folder = env::temp_dir().join(format!("txlb-links-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let link = |name: &str, to: &str| {
        let path = folder.join(name);
        std::os::unix::fs::symlink(to, &path).unwrap();
        path
    };
    let (stdout, again) = (link("stdout", "/dev/stdout"), link("again", "stdout"));
    let (file, round) = (link("file", "/etc/passwd"), link("round", "round"));
    let found = [&stdout, &again, &file, &round].map(|path| named_descriptor(path));
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(found, [Some(1), Some(1), None, None]);
    for (name, number) in [
        ("/dev/stderr", 2),
        ("/proc/self/fd/1", 1),
        ("/dev/fd/63", 63),
    ] {
        assert_eq!(named_descriptor(Path::new(name)), Some(number), "{name}");
    }
    for name in ["/dev/null", "/dev/fd", "stdout", "/dev/fd/x"] {
        assert_eq!(named_descriptor(Path::new(name)), None, "{name}");
    }
}

#[test]
fn rust_log_changes_levels_and_leaves_sessions_to_the_configuration() {
    let wanted = |level, rust_log: &str, target: &str| {
        let logger = Logger {
            filter: build_filter(level, rust_log).0,
            queue: Arc::default(),
        };
        let record = Record::builder()
            .target(target)
            .level(Level::Info)
            .args(format_args!("text"))
            .build();
        log::Log::log(&logger, &record);
        !logger.queue.take().is_empty()
    };
    let (usual, quiet) = (LevelFilter::Info, LevelFilter::Warn);
    assert!(wanted(usual, "", "txlb::serve") && !wanted(quiet, "", "txlb::serve"));
    assert!(wanted(quiet, "info", "txlb::serve"));
    assert!(wanted(quiet, "txlb::health=debug", log_targets::HEALTH));
    assert!(!wanted(quiet, "txlb::health=debug", "txlb::serve"));
    assert!(!wanted(usual, "txlb::health=off", log_targets::HEALTH));
    assert!(wanted(usual, "/ext", "txlb::serve") && !wanted(usual, "/other", "txlb::serve"));
    for rust_log in ["", "off", "txlb::session=off", "off/other"] {
        assert!(wanted(quiet, rust_log, log_targets::SESSIONS), "{rust_log}");
    }
    assert!(!wanted(usual, "debug", "russh") && wanted(usual, "russh", "russh"));
    // What is wrong is ignored, and the rest is not.
    let (_, ignored) = build_filter(usual, "warn,txlb=loud, a=b=c");
    assert_eq!(ignored, ["txlb=loud", " a=b=c"]);
    assert!(!wanted(usual, "warn,txlb=loud", "txlb::serve"));
    assert_eq!(build_filter(usual, "a/b/c").1, ["a/b/c"]);
}
