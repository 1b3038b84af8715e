//! `ctl`: sends commands to the control socket, and prints the responses.
//!
//! While a response is late, a second connection checks now and then that txlb still answers.

mod prompt;

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, ErrorKind, IsTerminal, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};
use txlb::config::verb::{Command, Question};
use txlb::non_printing::{escape_non_printing, is_non_printing};

use crate::cli::CtlOptions;
use crate::exit::{self, Exit};
use crate::terminal::is_interactive;

const PROMPT: &str = "txlb> ";

/// Runs one command, a script on standard input, or the prompt.
pub(crate) fn run(options: &CtlOptions) -> Result<(), Exit> {
    let line = match options.words.is_empty() {
        true => None,
        false => Some(line(&options.words)?),
    };
    if let Some(line) = line.as_deref().filter(|line| is_completion(line, options)) {
        return complete(&options.socket, line);
    }
    let mut client = CtlClient::begin(options)?;
    match line {
        Some(line) => match client.ask(fit_terminal(&line, options.json).as_bytes())? {
            Ok(()) => Ok(()),
            Err(error) => Err(Exit::new(Exit::OTHER, &error)),
        },
        None if is_interactive() => prompt::run(options, client.connection),
        None if io::stdin().is_terminal() => client.prompt(),
        None => client.run_script(io::stdin().lock()),
    }
}

/// Sends one line over a connection that is open already, and prints what comes back.
pub(crate) fn ask(connection: ControlConnection, line: &str) -> Result<(), Exit> {
    let mut client = CtlClient {
        connection,
        json: false,
    };
    let answer = client.ask(line.as_bytes())?;
    answer.map_err(|error| Exit::new(Exit::OTHER, &error))
}

/// The words as a line of the protocol.
fn line(words: &[String]) -> Result<String, Exit> {
    let is_watch = |word: &String| word.eq_ignore_ascii_case("watch");
    match Command::from_words(words) {
        Ok(Command::Batch(_)) => {
            let message = "txlb: a batch is several lines: give them on standard input";
            Err(Exit::new(Exit::USAGE, message))
        }
        Ok(command) => Ok(command.line()),
        Err(_) if words.first().is_some_and(is_watch) => {
            let message = "error: watch goes on until a key is pressed: it is for the prompt, which \
                           'txlb ctl' alone begins";
            Err(Exit::new(Exit::OTHER, message))
        }
        Err(error) => Err(Exit::new(Exit::OTHER, &format!("error: {error}"))),
    }
}

/// Whether a shell asks how a line may go on.
fn is_completion(line: &str, options: &CtlOptions) -> bool {
    let command = line.parse();
    !options.json && matches!(command, Ok(Command::Question(Question::Complete { .. })))
}

/// How long a shell waits for completions, for each step.
const COMPLETION_TIMEOUT: Duration = Duration::from_millis(300);

/// Bytes of completions that are read.
const MAX_COMPLETIONS: u64 = 1 << 20;

/// Prints completions. A person is typing: without a quick answer there are none, and no message.
fn complete(socket: &Path, line: &str) -> Result<(), Exit> {
    let ask = || -> io::Result<String> {
        let mut stream = connected(socket, COMPLETION_TIMEOUT)?;
        stream.write_all(format!("{line}\n").as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        let mut text = String::new();
        stream.take(MAX_COMPLETIONS).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = ask().map_err(|_| Exit::new(Exit::NO_ANSWER, ""))?;
    for choice in text.lines().filter_map(|line| line.strip_prefix("  ")) {
        exit::print(&format!("{}\n", without_controls(choice)))?;
    }
    Ok(())
}

/// The line with the width of the terminal, if standard output is one. A program gets names uncut.
fn fit_terminal(line: &str, json: bool) -> String {
    let columns = prompt::terminal_size().map_or(u16::MAX, |size| size.columns);
    match json {
        true => line.to_owned(),
        false => in_columns(line, columns),
    }
}

/// Sends commands and prints responses.
struct CtlClient {
    connection: ControlConnection,
    json: bool,
}

impl CtlClient {
    fn begin(options: &CtlOptions) -> Result<CtlClient, Exit> {
        Ok(CtlClient {
            connection: ControlConnection::connect(&options.socket)?,
            json: options.json,
        })
    }

    /// Sends one command and prints its data; returns the error of the response, if it is one.
    fn ask(&mut self, line: &[u8]) -> Result<Result<(), String>, Exit> {
        let form: &[u8] = if self.json { b"json " } else { b"" };
        self.connection.send(&[form, line].concat());
        let answer = self.read_response()?;
        answer.ok_or_else(|| self.connection.lost_reason())
    }

    /// Prints the data of the next response; returns its error, if it is one. `None` at the end.
    fn read_response(&mut self) -> Result<Option<Result<(), String>>, Exit> {
        let mut data = false;
        while let Some(line) = self.connection.line(&mut wait)? {
            if let Some(line) = line.strip_prefix("  ") {
                data = true;
                exit::print(&format!("{}\n", self.printable(line)))?;
                continue;
            }
            if line.starts_with("error:") {
                return Ok(Some(Err(line)));
            }
            // A program sees the exit status; a person wants to read that it is done.
            if !data && io::stdout().is_terminal() {
                exit::print(&format!("{}\n", escape_non_printing(&line)))?;
            }
            return Ok(Some(Ok(())));
        }
        Ok(None)
    }

    /// A line of data without terminal escapes, whatever txlb sent. For programs, other characters
    /// that do not print stay as they are.
    fn printable<'a>(&self, line: &'a str) -> Cow<'a, str> {
        let speaks = |it: char| it.is_control() && it != '\t';
        match (self.json, io::stdout().is_terminal()) {
            (true, _) if line.contains(is_non_printing) => json_escaped(line).into(),
            (false, true) if line.contains(is_non_printing) => escape_non_printing(line).into(),
            (false, false) if line.contains(speaks) => without_controls(line).into(),
            _ => line.into(),
        }
    }

    /// Ends the input. It is an error if a batch is still open.
    fn end(&mut self) -> Result<Result<(), String>, Exit> {
        self.connection.end();
        Ok(self.read_response()?.unwrap_or(Ok(())))
    }

    /// Runs all lines, also after an error.
    fn run_script(&mut self, lines: impl BufRead) -> Result<(), Exit> {
        let mut failed = 0;
        for (number, line) in (1..).zip(lines.split(b'\n')) {
            let line = line.map_err(|error| {
                Exit::new(
                    Exit::OTHER,
                    &format!("txlb: cannot read the lines: {error}"),
                )
            })?;
            // A UTF-8 byte order mark, which some editors write.
            let mark = "\u{feff}".as_bytes();
            let line = match number {
                1 => line.strip_prefix(mark).unwrap_or(&line),
                _ => &line,
            };
            if let Err(error) = self.ask_unless_blank(line)? {
                failed += 1;
                exit::print_error(&error.replacen("error:", &format!("error: line {number}:"), 1))?;
            }
        }
        if let Err(error) = self.end()? {
            failed += 1;
            exit::print_error(&error)?;
        }
        match failed {
            0 => Ok(()),
            1 => Err(Exit::new(Exit::OTHER, "txlb: there was an error")),
            _ => Err(Exit::new(
                Exit::OTHER,
                &format!("txlb: there were {failed} errors"),
            )),
        }
    }

    /// A plain prompt for terminals that cannot do more: until the input ends or a line says
    /// `exit`.
    fn prompt(&mut self) -> Result<(), Exit> {
        let mut lines = io::stdin().lock().split(b'\n');
        loop {
            exit::print(PROMPT)?;
            let Some(Ok(line)) = lines.next() else {
                exit::print("\n")?;
                break;
            };
            if [&b"exit"[..], b"quit"].contains(&line.trim_ascii()) {
                break;
            }
            if let Err(error) = self.ask_unless_blank(&line)? {
                exit::print_error(&error)?;
            }
        }
        self.end()?.or_else(|error| exit::print_error(&error))
    }

    /// A blank line gets no response.
    fn ask_unless_blank(&mut self, line: &[u8]) -> Result<Result<(), String>, Exit> {
        // Lines from Windows end in CR LF.
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.iter().all(|byte| *byte == b' ') {
            true => Ok(Ok(())),
            false => self.ask(line),
        }
    }
}

/// The same JSON with all non-printing characters escaped. They are in strings only.
fn json_escaped(line: &str) -> String {
    let escaped = |it: char| {
        let halves = it.encode_utf16(&mut [0; 2]).to_vec();
        halves
            .iter()
            .map(|half| format!("\\u{half:04x}"))
            .collect::<String>()
    };
    let letter = |it: char| match is_non_printing(it) {
        true => escaped(it),
        false => it.to_string(),
    };
    line.chars().map(letter).collect()
}

fn without_controls(line: &str) -> String {
    let letter = |it: char| match it.is_control() && it != '\t' {
        true => it.escape_default().to_string(),
        false => it.to_string(),
    };
    line.chars().map(letter).collect()
}

/// Time without a byte of the response before a second connection checks that txlb answers.
const CHECK_AFTER: Duration = Duration::from_secs(3);

/// Timeout of that check: it does not wait for the controller.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Checks before a response is given up: a minute in all. Resolving names and closing listeners
/// takes less.
const MAX_CHECKS: usize = 20;

/// Maximum bytes of a response: four times the status of 17,000 hosts as JSON.
const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// A connection to the control socket.
pub(crate) struct ControlConnection {
    stream: BufReader<UnixStream>,
    path: PathBuf,
    /// The error of the last write. The response may say why txlb closed the connection.
    unsent: Option<io::Error>,
    /// Bytes of the current response.
    read: usize,
    /// Checks before the current response is given up.
    checks: usize,
}

/// Waits for input of a stream; returns whether it came in time.
type Wait<'a> = dyn FnMut(&UnixStream, Duration) -> Result<bool, Exit> + 'a;

impl ControlConnection {
    pub(crate) fn connect(path: &Path) -> Result<ControlConnection, Exit> {
        let stream = connected(path, CHECK_AFTER + CHECK_TIMEOUT)
            .map_err(|error| cannot_reach(path, &error))?;
        // A blank line gets no response. It ends the server's wait for the first line: the first
        // command may be typed much later. A client that is rejected gets a response.
        let _ = (&stream).write_all(b"\n");
        Ok(ControlConnection {
            stream: BufReader::new(stream),
            path: path.to_owned(),
            unsent: None,
            read: 0,
            checks: MAX_CHECKS,
        })
    }

    fn stream(&self) -> &UnixStream {
        self.stream.get_ref()
    }

    /// Sends a line; `line` has no newline.
    fn send(&mut self, line: &[u8]) {
        self.read = 0;
        self.checks = MAX_CHECKS + waiting_checks(line);
        let line = [line, b"\n"].concat();
        self.unsent = self.stream.get_mut().write_all(&line).err();
    }

    /// Ends the input of the server.
    fn end(&mut self) {
        self.read = 0;
        // If it has closed the connection, there is no more to read.
        let _ = self.stream.get_ref().shutdown(Shutdown::Write);
    }

    /// The next line without its newline; `None` at the end of the connection.
    fn line(&mut self, wait: &mut Wait<'_>) -> Result<Option<String>, Exit> {
        let mut line = Vec::new();
        loop {
            if self.stream.buffer().is_empty() {
                self.wait(wait)?;
            }
            let piece = self.stream.fill_buf().map_err(|error| lost(&error))?;
            if piece.is_empty() {
                return Ok(None);
            }
            let end = piece.iter().position(|byte| *byte == b'\n');
            let length = end.map_or(piece.len(), |end| end + 1);
            line.extend_from_slice(&piece[..length]);
            self.stream.consume(length);
            self.read += length;
            if self.read > MAX_RESPONSE_BYTES {
                let mib = MAX_RESPONSE_BYTES >> 20;
                let message = format!(
                    "txlb: the response has more than {mib} MiB: this is not txlb's socket"
                );
                return Err(Exit::new(Exit::OTHER, &message));
            }
            if end.is_some() {
                line.pop();
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
        }
    }

    /// The error for a connection that ended without a response.
    fn lost_reason(&mut self) -> Exit {
        let ended = || io::Error::from(ErrorKind::UnexpectedEof);
        lost(&self.unsent.take().unwrap_or_else(ended))
    }

    fn wait(&self, wait: &mut Wait<'_>) -> Result<(), Exit> {
        for _ in 0..self.checks {
            if wait(self.stream(), CHECK_AFTER)? {
                return Ok(());
            }
            // The response may have come during the check.
            if !is_there(&self.path) && !wait(self.stream(), Duration::ZERO)? {
                return Err(no_answer());
            }
        }
        let seconds = (CHECK_AFTER * u32::try_from(self.checks).unwrap_or(1)).as_secs();
        let message = format!(
            "txlb: txlb answers, but has not done this within {seconds} s: it may be \
             waiting for a disk; see its log"
        );
        Err(Exit::new(Exit::NO_ANSWER, &message))
    }
}

/// How many more checks a response may take that waits until a host is empty.
fn waiting_checks(line: &[u8]) -> usize {
    let line = String::from_utf8_lossy(line);
    let words = line.trim_start();
    let command = words.strip_prefix("json ").unwrap_or(words).parse();
    let wait = match command {
        Ok(Command::Change(verb)) => verb.drain_wait().map(|(_, wait)| wait),
        _ => None,
    };
    let checks = wait.map_or(0, |wait| wait.as_secs() / CHECK_AFTER.as_secs());
    usize::try_from(checks).unwrap_or(0)
}

/// Waits for one stream.
fn wait(stream: &UnixStream, timeout: Duration) -> Result<bool, Exit> {
    let timeout = Timespec::try_from(timeout).ok();
    loop {
        match poll(&mut [PollFd::new(stream, PollFlags::IN)], timeout.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(lost(&error.into())),
        }
    }
}

/// Whether txlb answers `abort`, which does not wait for the controller.
fn is_there(path: &Path) -> bool {
    let ask = || {
        let mut stream = connected(path, CHECK_TIMEOUT)?;
        stream.write_all(b"abort\n")?;
        stream.read(&mut [0])
    };
    // A closed connection is an answer, too: something has accepted it.
    ask().is_ok()
}

fn connected(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let descriptor = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
    // connect(2) waits as well, if the accept backlog is full.
    set_socket_timeout(&descriptor, Timeout::Send, Some(timeout))?;
    set_socket_timeout(&descriptor, Timeout::Recv, Some(timeout))?;
    connect(&descriptor, &address)?;
    Ok(UnixStream::from(descriptor))
}

fn cannot_reach(socket: &Path, error: &io::Error) -> Exit {
    let path = socket.display();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => Exit::new(
            Exit::NO_SOCKET,
            &format!(
                "txlb: no txlb answers at {path}: is txlb running, and does its configuration \
                 have <control socket=\"{path}\"/>? (-C says where the socket is)"
            ),
        ),
        ErrorKind::PermissionDenied => Exit::new(
            Exit::NO_PERMISSION,
            &format!("txlb: {path} is for the user and the group of the txlb that runs"),
        ),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => no_answer(),
        _ => Exit::new(Exit::NO_SOCKET, &format!("txlb: {path}: {error}")),
    }
}

/// The error for a connection that broke.
fn lost(error: &io::Error) -> Exit {
    let what = match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => return no_answer(),
        ErrorKind::UnexpectedEof => "left without an answer".to_owned(),
        _ => format!("left without an answer: {error}"),
    };
    Exit::new(Exit::OTHER, &format!("txlb: the txlb that runs {what}"))
}

fn no_answer() -> Exit {
    let message = "txlb: the txlb that runs does not answer: it may be stopped (SIGSTOP, a debugger, \
                   a frozen container); 'ps -o pid,stat,args -C txlb' shows a T then, and SIGCONT has \
                   it go on";
    Exit::new(Exit::NO_ANSWER, message)
}

/// Adds the width to a command whose response has tables.
fn in_columns(line: &str, columns: u16) -> String {
    match line.parse() {
        Ok(Command::Question(Question::Status(_) | Question::Sessions(_))) if columns > 0 => {
            format!("columns {columns} {line}")
        }
        _ => line.to_owned(),
    }
}
