//! Where log lines go: through a bounded queue to one thread that writes them.
//!
//! Who logs never waits, least of all a worker: when the disk is slower than
//! the lines come, lines are dropped, counted, and the number is logged.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::thread;
use std::time::SystemTime;

use env_logger::fmt::Formatter;
use env_logger::{Builder, Target};
use log::{LevelFilter, Record};
use txlb::calendar::Moment;
use txlb::relay::SESSION_LOG;

/// Lines that may wait to be written.
const QUEUE: usize = 8192;

/// The log, as the main thread holds it.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    orders: SyncSender<Order>,
}

#[derive(Debug)]
enum Order {
    Line(Vec<u8>),
    /// Write to this from now on; `None` is standard error.
    Open(Option<PathBuf>, std::sync::mpsc::Sender<io::Result<()>>),
    /// Open the file again: somebody has moved it away.
    Reopen,
    /// Tell when everything before this is written.
    Flush(std::sync::mpsc::Sender<()>),
}

impl Log {
    /// Logs everything from `level` up to standard error; `open` changes where.
    ///
    /// # Errors
    /// The system's, if it has no thread for it.
    pub(crate) fn start(level: LevelFilter) -> io::Result<Log> {
        let (orders, receiver) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let queue = Queue {
            orders: orders.clone(),
            dropped: Arc::clone(&dropped),
        };
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write(&receiver, &dropped))?;
        Builder::new()
            .filter_level(level)
            // Whether sessions are logged is for the configuration to say.
            .filter_module(SESSION_LOG, LevelFilter::Info)
            .format(line)
            .target(Target::Pipe(Box::new(queue)))
            .try_init()
            .map_err(io::Error::other)?;
        Ok(Log { orders })
    }

    /// Logs to this file from now on, or to standard error.
    ///
    /// # Errors
    /// If the file cannot be opened: the log stays where it was.
    pub(crate) fn open(&self, path: Option<&Path>) -> io::Result<()> {
        let (done, answer) = channel();
        self.post(Order::Open(path.map(Path::to_owned), done));
        answer
            .recv()
            .unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
    }

    /// Opens the file again.
    pub(crate) fn reopen(&self) {
        self.post(Order::Reopen);
    }

    /// Waits until everything that was logged is written.
    pub(crate) fn flush(&self) {
        let (done, answer) = channel();
        self.post(Order::Flush(done));
        // If the thread is no more, there is nothing to wait for.
        let _ = answer.recv();
    }

    fn post(&self, order: Order) {
        // If the thread is no more, the process is about to end as well.
        let _ = self.orders.send(order);
    }
}

/// What the logger writes to: one line a call.
struct Queue {
    orders: SyncSender<Order>,
    dropped: Arc<AtomicU64>,
}

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Err(TrySendError::Full(_)) = self.orders.try_send(Order::Line(line.to_vec())) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One line: when, how bad, what. What came from outside cannot break it.
fn line(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let date = Moment::of(wall_ms()).iso();
    let mut message = record.args().to_string();
    if message.contains(char::is_control) {
        let escape = |character: char| match character.is_control() {
            true => character.escape_default().to_string(),
            false => character.to_string(),
        };
        message = message.chars().map(escape).collect();
    }
    match record.target() {
        SESSION_LOG => writeln!(out, "{date} {message}"),
        _ => writeln!(out, "{date} {:5} {message}", record.level()),
    }
}

fn wall_ms() -> u64 {
    let since_1970 = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

/// What the thread does.
fn write(orders: &Receiver<Order>, dropped: &AtomicU64) {
    let mut path = None;
    let mut out: Box<dyn Write> = Box::new(io::stderr());
    for order in orders {
        let result = match order {
            Order::Line(line) => {
                let lost = dropped.swap(0, Ordering::Relaxed);
                let told = if lost > 0 {
                    writeln!(out, "{lost} log lines were lost")
                } else {
                    Ok(())
                };
                told.and_then(|()| out.write_all(&line))
            }
            Order::Open(new_path, done) => {
                let opened = open(new_path.as_deref()).map(|new| {
                    out = new;
                    path = new_path;
                });
                // Nobody waits any more: all the same.
                let _ = done.send(opened);
                Ok(())
            }
            Order::Reopen => open(path.as_deref()).map(|new| out = new),
            Order::Flush(done) => {
                let _ = done.send(());
                Ok(())
            }
        };
        if let Err(error) = result {
            // The last resort; where this fails too, nobody is listening.
            let _ = writeln!(io::stderr(), "txlb: cannot write to the log: {error}");
        }
    }
}

fn open(path: Option<&Path>) -> io::Result<Box<dyn Write>> {
    Ok(match path {
        None => Box::new(io::stderr()),
        Some(path) => Box::new(OpenOptions::new().append(true).create(true).open(path)?),
    })
}
