//! Where log lines go: through a bounded queue to one thread that writes them.
//!
//! Who logs never waits, least of all a worker: when the disk is slower than
//! the lines come, lines are dropped, counted, and the number is logged.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
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
    Open(Option<PathBuf>, Sender<io::Result<()>>),
    /// Open the file again: somebody has moved it away.
    Reopen,
    /// Tell when everything before this is written.
    Flush(Sender<()>),
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
    let mut sink = Sink {
        path: None,
        out: BufWriter::new(Box::new(io::stderr())),
    };
    while let Some(order) = sink.next(orders) {
        let result = match order {
            Order::Line(line) => sink.line(&line, dropped.swap(0, Ordering::Relaxed)),
            Order::Open(path, done) => {
                // Nobody may wait any more: all the same.
                let _ = done.send(sink.open(path));
                Ok(())
            }
            Order::Reopen => sink.open(sink.path.clone()),
            Order::Flush(done) => {
                let flushed = sink.out.flush();
                let _ = done.send(());
                flushed
            }
        };
        complain(result);
    }
}

/// Where lines go, and where that is if it is a file.
struct Sink {
    path: Option<PathBuf>,
    out: BufWriter<Box<dyn Write>>,
}

impl Sink {
    /// The next order. While there are any, lines are gathered; before the
    /// thread waits, they are written.
    fn next(&mut self, orders: &Receiver<Order>) -> Option<Order> {
        orders.try_recv().ok().or_else(|| {
            complain(self.out.flush());
            orders.recv().ok()
        })
    }

    fn line(&mut self, line: &[u8], lost: u64) -> io::Result<()> {
        if lost > 0 {
            writeln!(self.out, "{lost} log lines were lost")?;
        }
        self.out.write_all(line)
    }

    /// Writes to this from now on, if it can be opened.
    fn open(&mut self, path: Option<PathBuf>) -> io::Result<()> {
        let new: Box<dyn Write> = match &path {
            None => Box::new(io::stderr()),
            Some(path) => Box::new(OpenOptions::new().append(true).create(true).open(path)?),
        };
        self.path = path;
        let mut old = std::mem::replace(&mut self.out, BufWriter::new(new));
        old.flush()
    }
}

/// The last resort; where this fails too, nobody is listening.
fn complain(result: io::Result<()>) {
    if let Err(error) = result {
        let _ = writeln!(io::stderr(), "txlb: cannot write to the log: {error}");
    }
}
