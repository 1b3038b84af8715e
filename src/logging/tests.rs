//! Tests of the log's thread: what it does with a log that is stuck or full.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// Nothing here takes that long.
const LONG: Duration = Duration::from_secs(30);

/// A log whose every write waits to be let through, then tells what it was.
struct Gate {
    pass: Receiver<()>,
    written: Sender<String>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pass.recv().map_err(io::Error::other)?;
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.written.send(text).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A log, what lets its writes through, and what was written.
fn gate() -> (Target, Sender<()>, Receiver<String>) {
    let ((open, pass), (written, log)) = (channel(), channel());
    (Target(Box::new(Gate { pass, written })), open, log)
}

/// A log that takes everything and tells what it was.
fn open_gate() -> (Target, Receiver<String>) {
    let (target, open, log) = gate();
    for _ in 0..100 {
        open.send(()).unwrap();
    }
    (target, log)
}

fn start(target: Target) -> Arc<Queue> {
    let queue = Arc::new(Queue::default());
    let work = Arc::clone(&queue);
    thread::spawn(move || write(&work, target));
    queue
}

fn say(queue: &Arc<Queue>, line: &str) {
    Lines(Arc::clone(queue)).write_all(line.as_bytes()).unwrap();
}

#[test]
fn everything_is_written_once_it_has_settled() {
    let (target, log) = open_gate();
    let queue = start(target);
    say(&queue, "one\n");
    say(&queue, "two\n");
    assert!(queue.settle(LONG));
    assert_eq!(log.try_iter().collect::<String>(), "one\ntwo\n");
    // And again, with nothing to do.
    assert!(queue.settle(LONG));
}

#[test]
fn a_log_that_is_stuck_keeps_nobody_waiting() {
    let (stuck, open, log) = gate();
    let queue = start(stuck);
    say(&queue, "stuck\n");
    assert!(!queue.settle(Duration::from_millis(10)));
    // As many as may wait, and three.
    for _ in 0..QUEUE + 3 {
        say(&queue, "more\n");
    }
    let (target, next) = open_gate();
    queue.switch(target);
    assert!(!queue.settle(Duration::from_millis(10)));

    for _ in 0..100 {
        open.send(()).unwrap();
    }
    assert!(queue.settle(LONG));
    let written: String = log.try_iter().collect();
    assert_eq!(written, "stuck\n".to_owned() + &"more\n".repeat(QUEUE));
    let told: String = next.try_iter().collect();
    assert!(told.ends_with(" WARN  3 log lines were lost\n"), "{told}");
}

#[test]
fn lines_go_where_the_log_was_when_they_were_logged() {
    let (one, old) = open_gate();
    let (two, new) = open_gate();
    let queue = Arc::new(Queue::default());
    say(&queue, "old\n");
    // Before anything is written, so that all of it is found at once.
    queue.switch(two);
    say(&queue, "new\n");
    let work = Arc::clone(&queue);
    thread::spawn(move || write(&work, one));
    assert!(queue.settle(LONG));
    assert_eq!(old.try_iter().collect::<String>(), "old\n");
    assert_eq!(new.try_iter().collect::<String>(), "new\n");
}

#[test]
fn what_a_full_disk_does_not_take_is_counted() {
    let (full, ..) = gate();
    let queue = start(full);
    for _ in 0..4 {
        say(&queue, "nowhere\n");
    }
    assert!(queue.settle(LONG));
    let (target, log) = open_gate();
    queue.switch(target);
    say(&queue, "here\n");
    assert!(queue.settle(LONG));
    let written: String = log.try_iter().collect();
    assert!(written.contains("4 log lines were lost\n"), "{written}");
    assert!(written.contains("here\n"), "{written}");
}

#[test]
fn a_pipe_without_a_reader_is_not_waited_for() {
    let path = std::env::temp_dir().join(format!("txlb-pipe-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let opened = Target::open(Some(&path));
    std::fs::remove_file(&path).unwrap();
    assert!(opened.is_err());
}
