//! The new process: takes an offer, and everything from the process that it replaces.

use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use txlb::config::{self, Config};
use txlb::control::{DrainingProcess, File, Handle, Known, Predecessors, Signal};
use txlb::os::passing::{receive_descriptor, receive_message, send_message};
use txlb::os::{handed_over, resources};

use super::{ASKS_UNWANTED, MAX_TEXT, REFUSAL, TIMEOUT};
use crate::exit::Exit;

/// Environment variable that marks the new process. Its value is the process ID of the helper that
/// has started it.
pub(super) const SUCCESSOR_OF: &str = "TXLB_SUCCESSOR_OF";

/// The longest offer: it may have a configuration, and the names of all listeners.
const MAX_OFFER: usize = 256 * 1024 * 1024;

/// The most characters of a reason.
const MAX_WORDS: usize = MAX_TEXT / 4;

/// How long the old process may take to let go.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether this process was started to take over. If the one that has started it is gone, it fails:
/// it must not serve on its own.
pub(crate) fn is_successor() -> bool {
    std::env::var_os(SUCCESSOR_OF).is_some()
}

/// The process that is replaced, and what it offers.
#[derive(Debug)]
pub(crate) struct Takeover {
    channel: UnixStream,
    offer: ReceivedOffer,
}

/// An offer, as far as it is understood.
#[derive(Debug, Default, PartialEq, Eq)]
struct ReceivedOffer {
    process: u32,
    workers: usize,
    file_checksum: Option<u32>,
    descriptors: Vec<String>,
    /// Whether it asks which of these are not wanted.
    asks_unwanted: bool,
    config: Option<String>,
}

impl ReceivedOffer {
    /// # Errors
    /// It is no offer.
    fn parse(text: &str) -> Result<ReceivedOffer, String> {
        let mut offer = ReceivedOffer::default();
        let (head, config) = match text.split_once("\nconfig\n") {
            Some((head, config)) => (head, Some(config.to_owned())),
            None => (text, None),
        };
        let mut lines = head.lines();
        let first = lines.next().and_then(|it| it.strip_prefix("txlb-upgrade "));
        if first.and_then(|it| it.parse::<u32>().ok()).is_none() {
            return Err("the process that is to be replaced is not understood".to_owned());
        }
        for line in lines {
            offer.asks_unwanted |= line == ASKS_UNWANTED;
            match line.split_once(' ') {
                Some(("process", number)) => offer.process = number.parse().unwrap_or_default(),
                Some(("workers", number)) => offer.workers = number.parse().unwrap_or_default(),
                Some(("file", sum)) => offer.file_checksum = u32::from_str_radix(sum, 16).ok(),
                Some(("descriptor", name)) => offer.descriptors.push(name.to_owned()),
                // Of a later version.
                _ => {}
            }
        }
        if offer.descriptors.len() > handed_over::MAX_DESCRIPTORS {
            return Err("too many descriptors are handed over".to_owned());
        }
        Ok(ReceivedOffer { config, ..offer })
    }
}

impl Takeover {
    /// Receives the offer and what belongs to it, if this process is to take over. To be called
    /// once, before anything is read from standard input or written.
    ///
    /// # Errors
    /// Why it cannot take over.
    pub(crate) fn begin() -> Result<Option<Takeover>, Exit> {
        if !is_successor() {
            return Ok(None);
        }
        // For its listeners. The start logs what the limit was before.
        let _ = resources::raise_descriptor_limit();
        let begun = receive().map_err(|error| {
            let why = format!("txlb: the process that is to be replaced: {error}");
            Exit::new(Exit::OTHER, &why)
        })?;
        Ok(Some(begun))
    }

    /// The number of its workers: each has a socket of each listener, so there must be as many.
    pub(crate) fn workers(&self) -> usize {
        self.offer.workers
    }

    /// The configuration to begin with: what was in force and is not in the file, if that has not
    /// changed since; else the file's. `file` is `None` without one.
    pub(crate) fn config(&self, file: Option<&File>, own: Config) -> Config {
        let Some(running) = &self.offer.config else {
            return own;
        };
        if file.map(File::checksum) != self.offer.file_checksum {
            log::warn!(
                "the configuration file has been changed: changes that process {} had not saved \
                 are lost",
                self.offer.process
            );
            return own;
        }
        match config::read(running.as_bytes()) {
            Ok(reading) => reading.config,
            Err(errors) => {
                let why = errors.lines("line ").join("; ");
                log::warn!(
                    "what process {} had in force is not understood, so changes that it had not \
                     saved are lost: {why}",
                    self.offer.process
                );
                own
            }
        }
    }

    /// Everything is prepared that may fail: asks what the other process knows. `None` if that is
    /// not understood.
    ///
    /// # Errors
    /// The other process is gone.
    pub(crate) fn prepared(&self) -> Result<Option<Known>, Exit> {
        self.send("prepared")?;
        let history = self.receive(Known::MAX_BYTES + MAX_TEXT)?;
        match Known::decode(&history) {
            Ok(known) => Ok(Some(known)),
            Err(why) => {
                log::warn!(
                    "what process {} knows of hosts and clients is not understood: {why}",
                    self.offer.process
                );
                Ok(None)
            }
        }
    }

    /// This process serves: waits until the other one has let go, then follows what it tells.
    ///
    /// # Errors
    /// The other process is gone before it could know, or does not want this one.
    pub(crate) fn ready(&self, handle: &Handle, predecessors: &Predecessors) -> Result<(), Exit> {
        let channel = self.channel.try_clone();
        let channels = channel.map(|channel| predecessors.add(self.offer.process, channel));
        let unwanted = match self.offer.asks_unwanted {
            true => handed_over::not_taken(),
            false => Vec::new(),
        };
        self.send(&ready_text(unwanted))?;
        // If it ends without a word nobody else serves, so this process goes on. So it does if the
        // other one is silent: a refusal comes sooner.
        let _ = self.channel.set_read_timeout(Some(RELEASE_TIMEOUT));
        let word = self
            .receive(MAX_TEXT)
            .unwrap_or_else(|Exit { message, .. }| {
                log::warn!("{message}");
                Vec::new()
            });
        if word == REFUSAL {
            let process = self.offer.process;
            let why = format!("txlb: process {process} was to be replaced, and goes on itself");
            return Err(Exit::new(Exit::OTHER, &why));
        }
        for name in handed_over::end_trial() {
            log::debug!("handed over and not wanted: {name}");
        }
        log::info!("took over from process {}", self.offer.process);
        if word == b"yours reload" {
            handle.signal(Signal::Reload);
        }
        let predecessors = predecessors.clone();
        let follower = thread::Builder::new().name("predecessor".to_owned());
        let started =
            channels.and_then(|channels| follower.spawn(move || follow(channels, &predecessors)));
        if let Err(error) = started {
            log::warn!("what the replaced process still serves is not known: {error}");
        }
        Ok(())
    }

    /// Tells the other process why this one cannot take over.
    pub(crate) fn fail(&self, why: impl Display) {
        let text: String = format!("failed {why}").chars().take(MAX_WORDS).collect();
        // It may be gone.
        let _ = send_message(&self.channel, text.as_bytes());
    }

    fn send(&self, word: &str) -> Result<(), Exit> {
        send_message(&self.channel, word.as_bytes()).map_err(|error| self.gone(&error))
    }

    fn receive(&self, most: usize) -> Result<Vec<u8>, Exit> {
        receive_message(&self.channel, most).map_err(|error| self.gone(&error))
    }

    fn gone(&self, error: &io::Error) -> Exit {
        let process = self.offer.process;
        let why = format!("txlb: process {process}, which is to be replaced: {error}");
        Exit::new(Exit::OTHER, &why)
    }
}

/// That this process serves, and what it has no use for, as far as there is room for it.
fn ready_text(unwanted: Vec<String>) -> String {
    let mut text = "ready".to_owned();
    for name in unwanted {
        if text.len() + name.len() < MAX_TEXT {
            text += "\n";
            text += &name;
        }
    }
    text
}

/// Follows what replaced processes tell, the newest until it ends, then the one before it.
fn follow(channels: Vec<(u32, Arc<UnixStream>)>, predecessors: &Predecessors) {
    for (process, channel) in channels.into_iter().rev() {
        let _ = channel.set_read_timeout(None);
        // If one ended while it read what the one before it told, that one is not understood any
        // more, and taken for ended, too.
        while let Ok(report) = receive_message(&channel, MAX_TEXT) {
            let report = String::from_utf8_lossy(&report);
            predecessors.set(process, DrainingProcess::decode(&report));
        }
        predecessors.remove(process);
        log::info!("the replaced process {process} has ended");
    }
}

fn receive() -> io::Result<Takeover> {
    if io::stdin().is_terminal() {
        return Err(io::Error::other("standard input is a terminal"));
    }
    let channel = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    channel.set_read_timeout(Some(TIMEOUT))?;
    channel.set_write_timeout(Some(TIMEOUT))?;
    let text = receive_message(&channel, MAX_OFFER)?;
    let offer = ReceivedOffer::parse(&String::from_utf8_lossy(&text)).map_err(io::Error::other)?;
    let mut descriptors = Vec::new();
    for name in &offer.descriptors {
        descriptors.push((name.clone(), receive_descriptor(&channel)?));
    }
    let (stdout, stderr) = (receive_descriptor(&channel)?, receive_descriptor(&channel)?);
    dup2_stdin(std::fs::File::open("/dev/null")?)?;
    dup2_stdout(stdout)?;
    dup2_stderr(stderr)?;
    handed_over::keep(descriptors);
    Ok(Takeover { channel, offer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_taken_as_far_as_it_is_understood() {
        let text = "txlb-upgrade 7\nprocess 12\nworkers 2\nnews a b\nfile 0000abcd\nasks unwanted\n\
                    descriptor web 127.0.0.1:80\ndescriptor x\nconfig\n<config>\n</config>\nconfig\n";
        let offer = ReceivedOffer::parse(text).unwrap();
        let expected = ReceivedOffer {
            process: 12,
            workers: 2,
            file_checksum: Some(0xabcd),
            descriptors: vec!["web 127.0.0.1:80".to_owned(), "x".to_owned()],
            asks_unwanted: true,
            config: Some("<config>\n</config>\nconfig\n".to_owned()),
        };
        assert_eq!(offer, expected);
        for wrong in ["", "txlb-upgrade", "txlb-upgrade x", "GET / HTTP/1.1"] {
            assert!(ReceivedOffer::parse(wrong).is_err(), "{wrong}");
        }
        let older = ReceivedOffer::parse("txlb-upgrade 1\nprocess 12\n").unwrap();
        assert!(!older.asks_unwanted);
    }

    #[test]
    fn what_is_not_wanted_is_told_as_far_as_there_is_room() {
        let names = |lengths: &[usize]| lengths.iter().map(|it| "x".repeat(*it)).collect();
        assert_eq!(ready_text(names(&[])), "ready");
        assert_eq!(ready_text(names(&[1, 2])), "ready\nx\nxx");
        let most = ready_text(names(&[MAX_TEXT, MAX_TEXT - 20, 3, 100]));
        assert!(
            most.len() <= MAX_TEXT && most.ends_with("x\nxxx"),
            "{}",
            most.len()
        );
    }
}
