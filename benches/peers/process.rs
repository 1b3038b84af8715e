//! A child process that ends with its guard.
//!
//! However the run ends (done, failed, Ctrl-C, a panic), the guard is dropped, and kills only
//! its own process.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::Outcome;

/// How long a program may take to listen or to stop.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Pause between two polls.
const LOOK: Duration = Duration::from_millis(5);

/// A running program with its own log file.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; its output goes to `log`. It gets its own process group: Ctrl-C reaches
    /// the bench only, which then stops it in order.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Outcome<Process> {
        use std::os::unix::process::CommandExt;
        let file = File::create(log)?;
        command.process_group(0).stdin(Stdio::null());
        command.stdout(file.try_clone()?).stderr(file);
        let child = command
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        Ok(Process {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Its output so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The process and its children: nginx works in these.
    pub(crate) fn family(&self) -> Vec<Pid> {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        let children = children.split_whitespace().filter_map(|it| it.parse().ok());
        std::iter::once(pid)
            .chain(children.filter_map(Pid::from_raw))
            .collect()
    }

    /// # Errors
    /// If it has ended, with its output; or if the run was interrupted.
    pub(crate) fn check(&mut self) -> Outcome<()> {
        check_interrupted()?;
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(self.died(status)),
        }
    }

    fn died(&self, status: std::process::ExitStatus) -> Box<dyn std::error::Error + Send + Sync> {
        format!(
            "{} has ended ({status}), saying:\n{}",
            self.name,
            self.log()
        )
        .into()
    }

    /// Waits until `address` accepts; returns when that was seen.
    pub(crate) fn wait_listening(&mut self, address: SocketAddr) -> Outcome<Instant> {
        let start = Instant::now();
        loop {
            if TcpStream::connect(address).is_ok() {
                return Ok(Instant::now());
            }
            self.check()?;
            if start.elapsed() > TIMEOUT {
                let (name, log) = (&self.name, self.log());
                return Err(format!("{name} does not listen at {address}:\n{log}").into());
            }
            // Short beside what is measured, which is milliseconds.
            sleep(Duration::from_micros(100));
        }
    }

    /// Waits for its end without a timeout.
    ///
    /// # Errors
    /// If it did not end well.
    pub(crate) fn wait_done(mut self) -> Outcome<String> {
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            check_interrupted()?;
            sleep(LOOK);
        };
        match status.success() {
            true => Ok(self.log()),
            false => Err(self.died(status)),
        }
    }

    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(self.pid(), signal)?)
    }

    /// Waits a short time for its end.
    pub(crate) fn has_ended_soon(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < TIMEOUT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            sleep(LOOK);
        }
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // SIGTERM first: a killed master of nginx leaves its workers behind.
        let family = self.family();
        let _ = self.signal(Signal::TERM);
        if !self.has_ended_soon() {
            for pid in family {
                let _ = kill_process(pid, Signal::KILL);
            }
            let _ = self.child.wait();
        }
    }
}

/// From here on Ctrl-C ends the run in order: see [`check_interrupted`].
pub(crate) fn catch_signals() -> io::Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(interrupted()))?;
    }
    Ok(())
}

/// # Errors
/// If the run was interrupted. Call it while waiting.
pub(crate) fn check_interrupted() -> Outcome<()> {
    match interrupted().load(Ordering::Relaxed) {
        true => Err("interrupted".into()),
        false => Ok(()),
    }
}

fn interrupted() -> &'static Arc<AtomicBool> {
    static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    INTERRUPTED.get_or_init(Arc::default)
}

/// Sleeps for `time`.
pub(crate) fn pause(time: Duration) -> Outcome<()> {
    sleep(time);
    check_interrupted()
}
