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
use crate::cli::{self, CheckOutput, Command, ConfigSource, StartupOptions};
use crate::exit::{self, Exit};
use crate::pidfile::RunningProcess;

/// A longer command line, or environment, is not looked at.
const MAX_BYTES: u64 = 1 << 20;

/// What the configuration of another process is, seen from here.
#[derive(Debug, PartialEq, Eq)]
enum RunningConfig {
    File(PathBuf, StartupOptions),
    /// It has none: a reload opens its log anew.
    NoFile,
}

/// Tells the process that holds the PID file to reload, if its configuration is good.
/// `given` is the file, and how to read it, where the user says so.
pub(crate) fn run(pid_file: &Path, given: Option<(PathBuf, StartupOptions)>) -> Result<(), Exit> {
    let running = RunningProcess::find(pid_file)?;
    let config = match given {
        Some((file, startup)) => Ok(RunningConfig::File(file, startup)),
        None => find_config(running.pid()),
    };
    match config {
        Ok(RunningConfig::File(file, startup)) => {
            check::run(&file, &startup, CheckOutput::Warnings)?
        }
        Ok(RunningConfig::NoFile) => {}
        Err(why) => exit::print_error(&format!(
            "txlb: the configuration is not checked first: {why} (-f names it)"
        ))?,
    }
    running.send(Signal::HUP)
}

/// What `/proc` tells of the process, or why that is not enough.
fn find_config(pid: Pid) -> Result<RunningConfig, String> {
    let folder = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    let read_error =
        |name: &str, error: &io::Error| format!("{}: {error}", folder.join(name).display());
    let words =
        read_words(&folder.join("cmdline")).map_err(|error| read_error("cmdline", &error))?;
    let (file, mut startup) = match parse_command_line(words)? {
        Some(it) => it,
        None => return Ok(RunningConfig::NoFile),
    };
    let is_root = geteuid().is_root();
    if is_root && startup.user.is_none() {
        let status = fs::read_to_string(folder.join("status"));
        let status = status.map_err(|error| read_error("status", &error))?;
        startup.user = effective_id(&status, "Uid:").filter(|user| user != "0");
        startup.group = effective_id(&status, "Gid:").filter(|_| startup.user.is_some());
    }
    if startup.chroot.is_some() {
        if !is_root {
            return Err("it is in a jail (-j), which only root can enter".to_owned());
        }
        // Wherever that is by now. In a jail, paths begin at its root.
        startup.chroot = Some(folder.join("root"));
        return Ok(RunningConfig::File(file, startup));
    }
    if file.is_absolute() {
        return Ok(RunningConfig::File(file, startup));
    }
    let start = match startup.detach {
        // A daemon has left that folder.
        true => {
            start_folder(&folder.join("environ")).map_err(|error| read_error("environ", &error))?
        }
        false => fs::read_link(folder.join("cwd")).map_err(|error| read_error("cwd", &error))?,
    };
    Ok(RunningConfig::File(start.join(file), startup))
}

/// The file, and how it is read, of a txlb that was started with these words.
fn parse_command_line(words: Vec<OsString>) -> Result<Option<(PathBuf, StartupOptions)>, String> {
    match cli::parse(words.into_iter().skip(1)) {
        Ok(Command::Serve(options)) => Ok(match options.source {
            ConfigSource::File(file) => Some((file, options.startup)),
            ConfigSource::CommandLine(_) | ConfigSource::Demo => None,
        }),
        _ => Err("the command line of the running process is not understood".to_owned()),
    }
}

/// Where a daemon was started, which its first process has told it.
fn start_folder(environment: &Path) -> io::Result<PathBuf> {
    let variables = read_words(environment)?.into_iter();
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
fn read_words(path: &Path) -> io::Result<Vec<OsString>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    let Some(words) = bytes.strip_suffix(&[0]) else {
        return Err(io::Error::other("nothing can be seen there"));
    };
    let words = words.split(|byte| *byte == 0);
    Ok(words
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect())
}

/// The second number of a line in Linux's `status`, after the real one.
fn effective_id(status: &str, name: &str) -> Option<String> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().nth(1).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_command_line(line: &str) -> Result<Option<(PathBuf, StartupOptions)>, String> {
        super::parse_command_line(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn a_command_line_tells_the_file_and_how_it_is_read() {
        let (file, startup) = parse_command_line("txlb -D -u www -fweb.xml -p x.pid -q")
            .unwrap()
            .unwrap();
        assert_eq!(file.to_str(), Some("web.xml"));
        assert_eq!(
            (startup.user.as_deref(), startup.detach),
            (Some("www"), true)
        );
        assert_eq!(
            parse_command_line("txlb -L 127.0.0.1:0 -B 127.0.0.1:9"),
            Ok(None)
        );
        for other in ["txlb -t", "sshd: root", "txlb --from-a-later-version"] {
            assert!(parse_command_line(other).is_err(), "{other}");
        }
    }

    #[test]
    fn the_effective_user_is_the_second_number() {
        let status = "Name:\ttxlb\nUid:\t0\t998\t0\t0\nGid:\t7\t8\t7\t7\n";
        assert_eq!(effective_id(status, "Uid:").as_deref(), Some("998"));
        assert_eq!(effective_id(status, "Gid:").as_deref(), Some("8"));
        assert_eq!(effective_id(status, "Pid:"), None);
    }
}
