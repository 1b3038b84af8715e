//! `-s reload`: checks the configuration of the running txlb, and only then sends SIGHUP.
//!
//! Without `-f`, the running process's own command line says which file that is. A process
//! can change what is seen of that, so it decides what is read here and nothing else, and
//! it is read with no more rights than that process has.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, geteuid};

use crate::check;
use crate::cli::{self, Command, Footing, Show, Source};
use crate::exit::{self, Exit};
use crate::pidfile::Running;

/// A longer command line, or environment, is not looked at.
const MOST_BYTES: u64 = 1 << 20;

/// What the configuration of another process is, seen from here.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    File(PathBuf, Footing),
    /// It has none: a reload opens its log anew.
    NoFile,
}

/// Tells the process that holds the PID file to reload, if its configuration is good.
/// `given` is the file, and how to read it, where the user says so.
pub(crate) fn run(pid_file: &Path, given: Option<(PathBuf, Footing)>) -> Result<(), Exit> {
    let running = Running::find(pid_file)?;
    let seen = match given {
        Some((file, footing)) => Ok(Seen::File(file, footing)),
        None => see(running.pid()),
    };
    match seen {
        Ok(Seen::File(file, footing)) => check::run(&file, &footing, Show::Warnings)?,
        Ok(Seen::NoFile) => {}
        Err(why) => exit::note(&format!(
            "txlb: the configuration is not checked first: {why} (-f names it)"
        ))?,
    }
    running.send(Signal::HUP)
}

/// What `/proc` tells of the process, or why that is not enough.
fn see(pid: Pid) -> Result<Seen, String> {
    let folder = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    let told = |name: &str, error: &io::Error| format!("{}: {error}", folder.join(name).display());
    let words = words(&folder.join("cmdline")).map_err(|error| told("cmdline", &error))?;
    let (file, mut footing) = match understood(words)? {
        Some(it) => it,
        None => return Ok(Seen::NoFile),
    };
    let is_root = geteuid().is_root();
    if is_root && footing.user.is_none() {
        let status = fs::read_to_string(folder.join("status"));
        let status = status.map_err(|error| told("status", &error))?;
        footing.user = effective(&status, "Uid:").filter(|user| user != "0");
        footing.group = effective(&status, "Gid:").filter(|_| footing.user.is_some());
    }
    if footing.jail.is_some() {
        if !is_root {
            return Err("it is in a jail (-j), which only root can enter".to_owned());
        }
        // Wherever that is by now. In a jail, paths begin at its root.
        footing.jail = Some(folder.join("root"));
        return Ok(Seen::File(file, footing));
    }
    if file.is_absolute() {
        return Ok(Seen::File(file, footing));
    }
    let start = match footing.detach {
        // A daemon has left that folder.
        true => start_folder(&folder.join("environ")).map_err(|error| told("environ", &error))?,
        false => fs::read_link(folder.join("cwd")).map_err(|error| told("cwd", &error))?,
    };
    Ok(Seen::File(start.join(file), footing))
}

/// The file, and how it is read, of a txlb that was started with these words.
fn understood(words: Vec<OsString>) -> Result<Option<(PathBuf, Footing)>, String> {
    match cli::parse(words.into_iter().skip(1)) {
        Ok(Command::Serve(job)) => Ok(match job.source {
            Source::File(file) => Some((file, job.footing)),
            Source::CommandLine(_) | Source::Demo => None,
        }),
        _ => Err("the command line of the running process is not understood".to_owned()),
    }
}

/// Where a daemon was started, which its first process has told it.
fn start_folder(environment: &Path) -> io::Result<PathBuf> {
    let variables = words(environment)?.into_iter();
    variables
        .filter_map(|variable| {
            let bytes = variable.into_vec();
            let folder = bytes.strip_prefix(b"PWD=")?;
            Some(PathBuf::from(OsString::from_vec(folder.to_vec())))
        })
        .find(|folder| folder.is_absolute())
        .ok_or_else(|| io::Error::other("it does not tell in which folder txlb was started"))
}

/// Words that end with a byte of 0 each.
fn words(path: &Path) -> io::Result<Vec<OsString>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    let Some(words) = bytes.strip_suffix(&[0]) else {
        return Err(io::Error::other("nothing can be seen there"));
    };
    let words = words.split(|byte| *byte == 0);
    Ok(words
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect())
}

/// The second number of a line in Linux's `status`, after the real one.
fn effective(status: &str, name: &str) -> Option<String> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(line: &str) -> Result<Option<(PathBuf, Footing)>, String> {
        super::understood(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn a_command_line_tells_the_file_and_how_it_is_read() {
        let (file, footing) = understood("txlb -D -u www -fweb.xml -p x.pid -q")
            .unwrap()
            .unwrap();
        assert_eq!(file.to_str(), Some("web.xml"));
        assert_eq!(
            (footing.user.as_deref(), footing.detach),
            (Some("www"), true)
        );
        assert_eq!(understood("txlb -L 127.0.0.1:0 -B 127.0.0.1:9"), Ok(None));
        for other in ["txlb -t", "sshd: root", "txlb --from-a-later-version"] {
            assert!(understood(other).is_err(), "{other}");
        }
    }

    #[test]
    fn the_effective_user_is_the_second_number() {
        let status = "Name:\ttxlb\nUid:\t0\t998\t0\t0\nGid:\t7\t8\t7\t7\n";
        assert_eq!(effective(status, "Uid:").as_deref(), Some("998"));
        assert_eq!(effective(status, "Gid:").as_deref(), Some("8"));
        assert_eq!(effective(status, "Pid:"), None);
    }
}
