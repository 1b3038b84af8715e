//! The interactive prompt of `ctl`: runs the console's line editor on the local terminal.
//!
//! The library edits and completes lines. This file has the terminal, the clock and the
//! connection.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetwinsize,
};
use signal_hook::consts::{SIGCONT, SIGWINCH};
use txlb::admin::{Backend, Reaction, Reply, Shell, Size};
use txlb::config::Access;
use txlb::config::verb::{Command, Question, words};
use txlb::control::{LineProtocol, ParsedLine};
use txlb::non_printing::escape_non_printing;
use txlb::os::resources::machine_name;

use super::{ControlConnection, in_columns, lost};
use crate::cli::CtlOptions;
use crate::exit::{self, Exit};
use crate::terminal::{Terminal, Woken, catch_signals};

const UNKNOWN_SIZE: Size = Size {
    columns: 0,
    rows: 0,
};

/// Reads and runs lines until the user ends it.
pub(super) fn run(options: &CtlOptions, connection: ControlConnection) -> Result<(), Exit> {
    let error = |error: io::Error| {
        Exit::new(
            Exit::OTHER,
            &format!("txlb: cannot use the terminal: {error}"),
        )
    };
    let resized = catch_signals(&[SIGWINCH, SIGCONT]).map_err(error)?;
    resized.set_nonblocking(true).map_err(error)?;
    let terminal = Terminal::with_modes(OptionalActions::Now, set_raw).map_err(error)?;
    let mut backend = RemoteBackend {
        options,
        connection,
        terminal: &terminal,
        parser: LineProtocol::new(Access::Full),
        error: None,
    };
    let mut shell = Shell::new(terminal_size().unwrap_or(UNKNOWN_SIZE), has_colours());
    let (start, mut out) = (Instant::now(), Vec::new());
    shell.set_name(&backend.name());
    shell.greet("", &mut out);
    loop {
        let now_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let next_ms = shell.tick(now_ms, &mut backend, &mut out);
        show(&mut out)?;
        if let Some(error) = backend.error.take() {
            return leave(&mut shell, Err(error));
        }
        let next = next_ms.map(Duration::from_millis);
        match terminal.wait(Some(&resized), next).map_err(error)? {
            Woken::Ready => {
                let mut buffer = [0; 4096];
                // An error means that the terminal is gone.
                let length = terminal.read(&mut buffer).unwrap_or(0);
                let reaction = shell.input(&buffer[..length], &mut backend, &mut out);
                if length == 0 {
                    return leave(&mut shell, Ok(()));
                }
                if reaction == Reaction::End {
                    show(&mut out)?;
                    return backend.error.map_or(Ok(()), Err);
                }
            }
            Woken::Other => {
                // The size is read anew; how many signals came does not matter.
                let _ = (&resized).read(&mut [0; 64]);
                terminal.set_modes(set_raw).map_err(error)?;
                shell.resize(terminal_size().unwrap_or(UNKNOWN_SIZE), &mut out);
            }
            Woken::Signalled => return leave(&mut shell, Err(interrupted())),
            Woken::TimedOut => {}
        }
    }
}

/// Passes on keys one by one, without echo.
fn set_raw(modes: &mut Termios) {
    modes.input_modes -= InputModes::ICRNL | InputModes::INLCR | InputModes::IGNCR;
    modes.input_modes -= InputModes::IXON | InputModes::ISTRIP;
    modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ECHONL;
    modes.local_modes -= LocalModes::ISIG | LocalModes::IEXTEN;
    modes.special_codes[SpecialCodeIndex::VMIN] = 1;
    modes.special_codes[SpecialCodeIndex::VTIME] = 0;
}

/// While a response is late, ^C ends the program.
fn set_raw_with_signals(modes: &mut Termios) {
    set_raw(modes);
    modes.local_modes |= LocalModes::ISIG;
}

/// The size of the terminal at standard output, if it is one.
pub(super) fn terminal_size() -> Option<Size> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    Some(Size {
        columns: size.ws_col,
        rows: size.ws_row,
    })
}

fn has_colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn show(out: &mut Vec<u8>) -> Result<(), Exit> {
    if out.is_empty() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(out).into_owned();
    out.clear();
    exit::print(&text)
}

/// Restores the terminal's line and returns `outcome`.
fn leave(shell: &mut Shell, outcome: Result<(), Exit>) -> Result<(), Exit> {
    let mut out = Vec::new();
    shell.leave(&mut out);
    out.extend_from_slice(b"\r\n");
    show(&mut out)?;
    outcome
}

fn interrupted() -> Exit {
    Exit::new(Exit::OTHER, "txlb: interrupted")
}

/// The connection as the line editor's partner.
struct RemoteBackend<'a> {
    options: &'a CtlOptions,
    connection: ControlConnection,
    terminal: &'a Terminal,
    /// Parses the same lines, to know whether a batch is open.
    parser: LineProtocol,
    /// Why the connection is lost.
    error: Option<Exit>,
}

impl Backend for RemoteBackend<'_> {
    fn ask(&mut self, line: &str, columns: u16) -> Option<Reply> {
        let parsed = self.parser.parse_line(line);
        if parsed == ParsedLine::Blank {
            return Some(Reply {
                ok: true,
                ..Reply::default()
            });
        }
        let question = match self.options.json {
            true => format!("json {line}"),
            false => in_columns(line, columns),
        };
        self.try_to_ask(&question)
    }

    fn complete(&mut self, line: &str) -> Vec<String> {
        let line = line.to_owned();
        let question = Command::Question(Question::Complete { line }).line();
        let reply = self.try_to_ask(&question).filter(|reply| reply.ok);
        // Choices become part of the line. A txlb that runs has spelled out what does not print.
        let mut choices = reply.map_or_else(Vec::new, |reply| reply.lines);
        choices.retain(|choice| escape_non_printing(choice) == *choice);
        choices
    }

    fn is_in_batch(&self) -> bool {
        self.parser.is_in_batch()
    }

    /// A line that is refused here is part of the batch there: it must refuse it as well.
    fn reject_line(&mut self, why: &str) {
        self.parser.reject_line(why);
        if self.is_in_batch() {
            self.try_to_ask("watch");
        }
    }
}

impl RemoteBackend<'_> {
    /// What the txlb is called: the value of its option, or the name of the machine, which is the
    /// same at both ends of the socket.
    fn name(&mut self) -> String {
        let choices = self.complete("setOption name=config.name value=");
        let line = choices.first().and_then(|choice| words(choice).ok());
        let word = line.and_then(|words| words.into_iter().next());
        let value = word.and_then(|word| Some(word.strip_prefix("value=")?.to_owned()));
        value.unwrap_or_else(|| machine_name().to_owned())
    }

    /// Sends a line; `None` if the connection is lost, which `error` then explains.
    fn try_to_ask(&mut self, question: &str) -> Option<Reply> {
        if self.error.is_some() {
            return None;
        }
        let reply = self.exchange(question);
        reply.map_err(|exit| self.error = Some(exit)).ok()
    }

    fn exchange(&mut self, question: &str) -> Result<Reply, Exit> {
        self.reconnect_if_closed()?;
        self.modes(set_raw_with_signals)?;
        self.connection.send(question.as_bytes());
        let mut reply = Reply::default();
        loop {
            let line = self.line()?;
            match line.strip_prefix("  ") {
                Some(line) => reply.lines.push(line.to_owned()),
                None => {
                    reply.ok = !line.starts_with("error:");
                    reply.last = line;
                    break;
                }
            }
        }
        self.modes(set_raw)?;
        Ok(reply)
    }

    fn modes(&self, modes: impl FnOnce(&mut Termios)) -> Result<(), Exit> {
        let changed = self.terminal.set_modes(modes);
        changed.map_err(|error| Exit::from_io(&error))
    }

    /// The server closes idle connections. Without an open batch, a new one does as well.
    fn reconnect_if_closed(&mut self) -> Result<(), Exit> {
        let stream = self.connection.stream();
        let woken = self.terminal.wait_for(stream, None, Some(Duration::ZERO));
        if woken.map_err(|error| lost(&error))? == Woken::Ready && !self.is_in_batch() {
            self.connection = ControlConnection::connect(&self.options.socket)?;
        }
        Ok(())
    }

    /// The next line of the response.
    fn line(&mut self) -> Result<String, Exit> {
        let terminal = self.terminal;
        let mut wait = |stream: &UnixStream, most| {
            let woken = terminal.wait_for(stream, None, Some(most));
            match woken.map_err(|error| lost(&error))? {
                Woken::Signalled => Err(interrupted()),
                Woken::TimedOut => Ok(false),
                Woken::Ready | Woken::Other => Ok(true),
            }
        };
        let line = self.connection.line(&mut wait)?;
        line.ok_or_else(|| self.connection.lost_reason())
    }
}
