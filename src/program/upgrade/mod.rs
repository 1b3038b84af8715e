//! Upgrade: the program at the same path is started, takes over everything, and this one drains.
//!
//! Three processes take part. `helper` starts the new one: it was started before this one gave up
//! rights, and has those that txlb was started with. `takeover` is the new one's part. The old and
//! the new one talk over a Unix socket, the new one's standard input:
//!
//! 1. The old one sends an offer: lines of text, then the descriptors that they name.
//! 2. The new one has read its configuration and bound its listeners, and says `prepared`; or
//!    `failed` and why.
//! 3. The old one sends what it knows (`control/history`).
//! 4. The new one serves, and says `ready`; in further lines, if the offer asks for that, which
//!    descriptors it has no use for.
//! 5. The old one lets go of everything, and says `yours`. Or it says `no`: then the new one ends,
//!    even if the helper is gone, which would end it.
//! 6. Once a second the old one tells how many sessions it has left, and what those before it told,
//!    until it ends. Its connections to these are among the descriptors, for the time after that.
//!
//! Decision 0034 says why.

mod helper;
mod takeover;

use std::io::{BufRead, BufReader, PipeReader, Read, pipe};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use std::{io, process};

use txlb::calendar::since_1970_ms;
use txlb::control::{DrainingProcess, Handle, Offer, Predecessors, Successor};
use txlb::non_printing::escape_non_printing;
use txlb::os::passing::{receive_message, send_descriptor, send_message};
use txlb::sync::lock;

pub(crate) use helper::{Helper, is_helper, run as run_helper};
pub(crate) use takeover::{Takeover, is_successor};

use crate::supervisor::Supervisor;

/// How long the new process may take until it serves.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How often the old process tells of its sessions.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// How long the end of the program waits for that of an upgrade.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a process that is not wanted may take to read that.
const REFUSE_TIMEOUT: Duration = Duration::from_millis(100);

/// Says that the new process is not wanted.
const REFUSAL: &[u8] = b"no";

/// The version of the protocol. A higher one may have more lines, which older ones skip.
const VERSION: u32 = 1;

/// The line of an offer that asks which of the descriptors are not wanted.
const ASKS_UNWANTED: &str = "asks unwanted";

/// The longest text of an error, or of a report, in bytes.
const MAX_TEXT: usize = 64 * 1024;

/// How long the last line of the new process's standard error is waited for.
const LAST_LINE_TIMEOUT: Duration = Duration::from_millis(500);

/// What upgrades need, until one succeeds. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Upgrades {
    helper: Arc<Mutex<Helper>>,
    supervisor: Supervisor,
    predecessors: Predecessors,
    /// Whether one is under way, and its end.
    under_way: Arc<(Mutex<bool>, Condvar)>,
}

impl Upgrades {
    pub(crate) fn new(
        helper: Helper,
        supervisor: &Supervisor,
        predecessors: &Predecessors,
    ) -> Upgrades {
        Upgrades {
            helper: Arc::new(Mutex::new(helper)),
            supervisor: supervisor.clone(),
            predecessors: predecessors.clone(),
            under_way: Arc::default(),
        }
    }

    /// Waits for the end of the upgrade that is under way: the new process depends on it, and so
    /// does the supervisor.
    pub(crate) fn wait_settled(&self) {
        let (under_way, ended) = &*self.under_way;
        drop(
            ended
                .wait_timeout_while(lock(under_way), SETTLE_TIMEOUT, |under_way| *under_way)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    fn set_under_way(&self, is: bool) {
        let (under_way, ended) = &*self.under_way;
        *lock(under_way) = is;
        ended.notify_all();
    }

    /// Carries out an upgrade on a thread of its own.
    pub(crate) fn start(&self, offer: Offer, handle: &Handle) {
        let (upgrades, handle) = (self.clone(), handle.clone());
        let failed = handle.clone();
        self.set_under_way(true);
        let thread = thread::Builder::new().name("upgrade".to_owned());
        let started = thread.spawn(move || upgrades.carry_out(offer, &handle));
        if let Err(error) = started {
            self.set_under_way(false);
            failed.upgrade_ended(Err(format!("the system has no thread for it: {error}")));
        }
    }

    fn carry_out(&self, offer: Offer, handle: &Handle) {
        let started = self.bring_up(&offer, handle);
        // The PID file among it is locked until the last descriptor of it is closed.
        drop(offer);
        let (successor, channel) = match started {
            Ok(started) => started,
            Err(why) => {
                handle.upgrade_ended(Err(why));
                self.set_under_way(false);
                return;
            }
        };
        // While systemd listens to this process, and before it drains: that this one stops is no
        // stop of the unit.
        let process = successor.process;
        self.supervisor.hand_over(process);
        let owes_reload = handle.upgrade_ended(Ok(successor));
        let last = if owes_reload { "yours reload" } else { "yours" };
        if let Err(error) = send_message(&channel, last.as_bytes()) {
            log::warn!("process {process} is not told that it may go on: {error}");
        }
        self.set_under_way(false);
        self.report(&channel, handle);
    }

    /// Starts the new process, and brings it so far that it serves.
    fn bring_up(&self, offer: &Offer, handle: &Handle) -> Result<(Successor, UnixStream), String> {
        let mut helper = lock(&self.helper);
        let deadline = Instant::now() + TIMEOUT;
        let (ours, theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
        let (stderr, their_stderr) = pipe().map_err(|error| error.to_string())?;
        let last_line = watch_stderr(stderr).map_err(|error| error.to_string())?;
        let process = helper.start(&theirs, &their_stderr)?;
        drop((theirs, their_stderr));
        let covered = ours.try_clone().map(|ours| offer.consent.cover(ours));
        let ready = match covered {
            Ok(true) => converse(&ours, offer, handle, deadline),
            Ok(false) => Err(Failure::Gone),
            Err(error) => Err(Failure::Other(error.to_string())),
        };
        match ready {
            Ok(unwanted) if offer.consent.give() => match helper.commit() {
                Ok(()) => Ok((Successor { process, unwanted }, ours)),
                Err(why) => {
                    refuse(&ours);
                    Err(why)
                }
            },
            ready => {
                refuse(&ours);
                drop(ours);
                let status = helper.abort();
                let failure = match ready {
                    Err(failure) if !offer.consent.is_cancelled() => failure,
                    _ => return Err("txlb is stopping".to_owned()),
                };
                let line = last_line.recv_timeout(LAST_LINE_TIMEOUT).ok();
                Err(failure.explain(&status, line.filter(|line| !line.is_empty())))
            }
        }
    }

    /// Tells the new process what is left of this one and of those before it, until it is gone.
    fn report(&self, channel: &UnixStream, handle: &Handle) {
        let since_ms = since_1970_ms(SystemTime::now());
        let _ = channel.set_write_timeout(Some(TIMEOUT));
        loop {
            let mut all = self.predecessors.list();
            all.push(DrainingProcess::new(process::id(), handle.open(), since_ms));
            let text = DrainingProcess::encode(&all);
            if send_message(channel, text.as_bytes()).is_err() {
                return;
            }
            thread::sleep(REPORT_INTERVAL);
        }
    }
}

/// Tells the new process that it is not wanted. The helper ends it too, if it is there.
fn refuse(channel: &UnixStream) {
    // It may be gone.
    let _ = channel.set_write_timeout(Some(REFUSE_TIMEOUT));
    let _ = send_message(channel, REFUSAL);
}

/// Why the new process does not serve.
enum Failure {
    /// It says so itself.
    Told(String),
    /// It has ended, or closed its standard input.
    Gone,
    /// It has not got ready in time.
    TimedOut,
    /// Another error of the conversation.
    Other(String),
}

impl Failure {
    fn of(error: &io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Failure::TimedOut,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset => Failure::Gone,
            _ => Failure::Other(error.to_string()),
        }
    }

    /// In words, with how the process ended and the last line of its standard error.
    fn explain(self, status: &str, line: Option<String>) -> String {
        let line = line.map_or_else(String::new, |line| {
            format!(": {}", escape_non_printing(&line))
        });
        match self {
            Failure::Told(why) => escape_non_printing(&why),
            Failure::Gone => format!("the new process {status}{line}"),
            Failure::TimedOut => {
                let seconds = TIMEOUT.as_secs();
                format!("the new process did not get ready in {seconds} s, and was ended{line}")
            }
            Failure::Other(error) => format!("the new process: {error}{line}"),
        }
    }
}

/// Returns the names of descriptors that the new process has no use for.
fn converse(
    channel: &UnixStream,
    offer: &Offer,
    handle: &Handle,
    deadline: Instant,
) -> Result<Vec<String>, Failure> {
    let error = |error: io::Error| Failure::of(&error);
    limit_wait(channel, deadline)?;
    send_message(channel, offer_text(offer).as_bytes()).map_err(error)?;
    for (_, descriptor) in &offer.descriptors {
        limit_wait(channel, deadline)?;
        send_descriptor(channel, descriptor.as_fd()).map_err(error)?;
    }
    // What the new process says goes where this one's does.
    for stream in [io::stdout().as_fd(), io::stderr().as_fd()] {
        send_descriptor(channel, stream).map_err(error)?;
    }
    expect(channel, "prepared", deadline)?;
    let history = handle.history();
    limit_wait(channel, deadline)?;
    send_message(channel, history.as_bytes()).map_err(error)?;
    expect(channel, "ready", deadline)
}

fn limit_wait(channel: &UnixStream, deadline: Instant) -> Result<(), Failure> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Failure::TimedOut);
    }
    let limited = channel.set_read_timeout(Some(left));
    let limited = limited.and_then(|()| channel.set_write_timeout(Some(left)));
    limited.map_err(|error| Failure::Other(error.to_string()))
}

/// Waits for a word. Returns the lines after it.
fn expect(channel: &UnixStream, word: &str, deadline: Instant) -> Result<Vec<String>, Failure> {
    limit_wait(channel, deadline)?;
    let message = receive_message(channel, MAX_TEXT).map_err(|error| Failure::of(&error))?;
    let message = String::from_utf8_lossy(&message).into_owned();
    if let Some(why) = message.strip_prefix("failed ") {
        return Err(Failure::Told(why.to_owned()));
    }
    let mut lines = message.lines();
    match lines.next() == Some(word) {
        true => Ok(lines.map(str::to_owned).collect()),
        false => Err(Failure::Other(
            "it answers what is not understood".to_owned(),
        )),
    }
}

/// The lines of an offer. The configuration comes last, since it has lines of its own.
fn offer_text(offer: &Offer) -> String {
    let mut text = format!(
        "txlb-upgrade {VERSION}\nprocess {}\nworkers {}\n{ASKS_UNWANTED}\n",
        process::id(),
        offer.workers
    );
    if let Some(checksum) = offer.file_checksum {
        text += &format!("file {checksum:08x}\n");
    }
    for (name, _) in &offer.descriptors {
        text += &format!("descriptor {}\n", name.replace('\n', " "));
    }
    if let Some(config) = &offer.config {
        text += "config\n";
        text += config;
    }
    text
}

/// Keeps the last line that comes, and sends it at the end of the stream.
fn watch_stderr(stderr: PipeReader) -> io::Result<Receiver<String>> {
    let (sender, receiver) = channel();
    thread::Builder::new()
        .name("upgrade-errors".to_owned())
        .spawn(move || {
            let mut lines = BufReader::new(stderr);
            let (mut last, mut line) = (Vec::new(), Vec::new());
            loop {
                line.clear();
                let read = lines
                    .by_ref()
                    .take(MAX_TEXT as u64)
                    .read_until(b'\n', &mut line);
                match read {
                    Ok(1..) if !line.trim_ascii().is_empty() => {
                        std::mem::swap(&mut last, &mut line);
                    }
                    Ok(1..) => {}
                    _ => break,
                }
            }
            let last = String::from_utf8_lossy(last.trim_ascii()).into_owned();
            // The upgrade may have succeeded: nobody asks.
            let _ = sender.send(last);
        })?;
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_best_that_is_known() {
        let line = || Some("line\u{1b}".to_owned());
        for (failure, line, expected) in [
            (Failure::Told("no\u{7}".to_owned()), line(), "no\\u{7}"),
            (
                Failure::Gone,
                line(),
                "the new process ended with exit status: 3: line\\u{1b}",
            ),
            (
                Failure::Gone,
                None,
                "the new process ended with exit status: 3",
            ),
            (
                Failure::TimedOut,
                None,
                "the new process did not get ready in 30 s, and was ended",
            ),
        ] {
            assert_eq!(failure.explain("ended with exit status: 3", line), expected);
        }
    }

    #[test]
    fn the_last_line_that_says_something_is_kept() {
        use std::io::Write;
        for (said, expected) in [("one\ntwo\n\n  \n", "two"), ("half", "half"), ("", "")] {
            let (reader, mut writer) = pipe().unwrap();
            let last = watch_stderr(reader).unwrap();
            writer.write_all(said.as_bytes()).unwrap();
            drop(writer);
            assert_eq!(last.recv().unwrap(), expected);
        }
    }
}
