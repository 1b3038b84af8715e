//! A running txlb with a control socket, and clients of that.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::TIMEOUT;
use super::txlb::{Finished, Folder, Txlb, command, run, text};

/// A running txlb with a control socket in its own folder.
pub(crate) struct Controlled {
    pub(crate) txlb: Txlb,
    pub(crate) socket: PathBuf,
    pub(crate) place: Folder,
}

impl Controlled {
    /// Starts txlb with this configuration and a control socket.
    pub(crate) fn start(config: &str) -> Controlled {
        let place = Folder::new();
        let socket = place.file("control");
        Controlled {
            txlb: Txlb::start(&with_control(config, &socket)),
            socket,
            place,
        }
    }

    /// Runs `txlb ctl` with these words.
    pub(crate) fn ctl(&self, words: &[&str]) -> Finished {
        ctl(&self.socket, words)
    }

    /// The output of `txlb ctl`, which must succeed.
    pub(crate) fn tell(&self, words: &[&str]) -> String {
        let finished = self.ctl(words);
        assert_eq!(finished.status, Some(0), "{words:?}: {finished:?}");
        assert_eq!(finished.stderr, "", "{words:?}");
        finished.stdout
    }

    /// The error of `txlb ctl`, which must fail.
    pub(crate) fn refused(&self, words: &[&str]) -> String {
        let finished = self.ctl(words);
        assert_eq!(finished.status, Some(1), "{words:?}: {finished:?}");
        assert_eq!(finished.stdout, "", "{words:?}");
        assert!(finished.stderr.starts_with("error: "), "{finished:?}");
        finished.stderr
    }

    /// Runs `txlb ctl` with these lines on standard input.
    pub(crate) fn feed(&self, lines: &str) -> Finished {
        let mut ctl = command(&["ctl", "-C", text(&self.socket)]);
        ctl.stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = ctl.spawn().unwrap();
        // Responses fit into the pipes.
        let mut input = child.stdin.take().unwrap();
        input.write_all(lines.as_bytes()).unwrap();
        drop(input);
        let output = child.wait_with_output().unwrap();
        Finished {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs `txlb ctl` with this socket.
pub(crate) fn ctl(socket: &Path, words: &[&str]) -> Finished {
    let mut arguments = vec!["ctl", "-C", text(socket)];
    arguments.extend_from_slice(words);
    run(&arguments)
}

/// The configuration with a control socket.
pub(crate) fn with_control(config: &str, socket: &Path) -> String {
    let control = format!("<control socket=\"{}\"/></config>", text(socket));
    config.replace("</config>", &control)
}

/// A client of the control socket that is not `txlb ctl`.
pub(crate) struct Caller(BufReader<UnixStream>);

impl Caller {
    pub(crate) fn new(socket: &Path) -> Caller {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        Caller(BufReader::new(stream))
    }

    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// The lines of the next response; the last begins with `ok` or `error:`.
    pub(crate) fn answer(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let line = line.strip_suffix('\n').expect("an answer without an end");
            lines.push(line.to_owned());
            if line.starts_with("ok") || line.starts_with("error: ") {
                return lines;
            }
            assert!(line.starts_with("  "), "{lines:?}");
        }
    }

    /// The last line of the response to this line.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.say(format!("{line}\n"));
        self.answer().pop().unwrap()
    }

    /// Shuts down writing, and reads to the end.
    pub(crate) fn end(mut self) -> String {
        self.0.get_mut().shutdown(Shutdown::Write).unwrap();
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        rest
    }
}
