//! `ctl`: has a running txlb told, through its control socket.
//!
//! What can be asked for, and what it means, is known to the library and to the
//! txlb that is asked: here it is carried there, and what comes back is shown.

mod prompt;

use std::io::{self, BufRead, BufReader, ErrorKind, IsTerminal, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use txlb::config::verb::{Command, Question};

use crate::exit::Exit;
use crate::output;

/// What is to be told, and to whom.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(crate) socket: PathBuf,
    pub(crate) json: bool,
    /// One command, taken as it is; without it, there are lines on standard input.
    pub(crate) words: Vec<String>,
}

/// How long an answer may take; names are waited for, and listeners closed, in less.
const PATIENCE: Duration = Duration::from_secs(60);

const PROMPT: &str = "txlb> ";

/// Asks, and shows what is answered.
pub(crate) fn run(errand: &Errand) -> Result<(), Exit> {
    let line = match errand.words.is_empty() {
        true => None,
        false => Some(line(&errand.words)?),
    };
    let mut talk = Talk::begin(errand)?;
    match line {
        Some(line) => match talk.ask(fitting(&line, errand.json).as_bytes())? {
            Ok(()) => Ok(()),
            Err(error) => Err(Exit::new(Exit::OTHER, &error)),
        },
        None if prompt::is_possible() => prompt::run(errand, talk),
        None if io::stdin().is_terminal() => talk.prompt(),
        None => talk.carry(io::stdin().lock()),
    }
}

/// Words as a line that says the same.
fn line(words: &[String]) -> Result<String, Exit> {
    match Command::from_words(words) {
        Ok(Command::Batch(_)) => {
            let message = "txlb: a batch is several lines: give them on standard input";
            Err(Exit::new(Exit::USAGE, message))
        }
        Ok(command) => Ok(command.line()),
        Err(error) => Err(Exit::new(Exit::OTHER, &format!("error: {error}"))),
    }
}

/// A line whose answer is as wide as the terminal that it is for, if it is for one.
fn fitting(line: &str, json: bool) -> String {
    match prompt::size() {
        Some(size) if !json => in_columns(line, size.columns),
        _ => line.to_owned(),
    }
}

/// A line whose answer, if it has tables, has them so wide.
fn in_columns(line: &str, columns: u16) -> String {
    match line.parse() {
        Ok(Command::Question(Question::Status | Question::Sessions)) if columns > 0 => {
            format!("columns {columns} {line}")
        }
        _ => line.to_owned(),
    }
}

/// A conversation with a running txlb.
struct Talk {
    stream: BufReader<UnixStream>,
    json: bool,
}

impl Talk {
    fn begin(errand: &Errand) -> Result<Talk, Exit> {
        let stream = UnixStream::connect(&errand.socket)
            .and_then(|mut stream| {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                // A blank line is not answered, but whoever says nothing at all is not waited
                // for: what is to be asked may be typed only now. Who is turned away is told.
                let _ = stream.write_all(b"\n");
                Ok(stream)
            })
            .map_err(|error| cannot_reach(&errand.socket, &error))?;
        Ok(Talk {
            stream: BufReader::new(stream),
            json: errand.json,
        })
    }

    /// Asks for one thing, prints the data that is answered, and returns the error
    /// that it was answered with, if it was.
    fn ask(&mut self, line: &[u8]) -> Result<Result<(), String>, Exit> {
        let form: &[u8] = if self.json { b"json " } else { b"" };
        let question = [form, line, b"\n"].concat();
        // Who does not listen any more may have said why.
        let written = self.stream.get_mut().write_all(&question);
        let answer = self.answer()?;
        answer.ok_or_else(|| {
            let ended = io::Error::from(ErrorKind::UnexpectedEof);
            lost(&written.err().unwrap_or(ended))
        })
    }

    /// Prints the data of the next answer, and returns the error that it is, if it is
    /// one. `None` if there is no more.
    fn answer(&mut self) -> Result<Option<Result<(), String>>, Exit> {
        let mut data = false;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).map_err(|it| lost(&it))? == 0 {
                return Ok(None);
            }
            if let Some(line) = line.strip_prefix("  ") {
                data = true;
                output::print(line)?;
                continue;
            }
            let line = line.trim_end_matches('\n');
            if line.starts_with("error:") {
                return Ok(Some(Err(line.to_owned())));
            }
            // People want to hear that it is done; programs have the status.
            if !data && io::stdout().is_terminal() {
                output::print(&format!("{line}\n"))?;
            }
            return Ok(Some(Ok(())));
        }
    }

    /// Says that this is all. A batch may be open then, which is an error.
    fn end(&mut self) -> Result<Result<(), String>, Exit> {
        // Who has left already has no more to say.
        let _ = self.stream.get_ref().shutdown(Shutdown::Write);
        Ok(self.answer()?.unwrap_or(Ok(())))
    }

    /// Has everything done that the lines ask for, errors or not.
    fn carry(&mut self, lines: impl BufRead) -> Result<(), Exit> {
        let mut failed = 0;
        for (number, line) in (1..).zip(lines.split(b'\n')) {
            let line = line.map_err(|error| {
                Exit::new(
                    Exit::OTHER,
                    &format!("txlb: cannot read the lines: {error}"),
                )
            })?;
            if let Err(error) = self.ask_unless_blank(&line)? {
                failed += 1;
                output::note(&error.replacen("error:", &format!("error: line {number}:"), 1))?;
            }
        }
        if let Err(error) = self.end()? {
            failed += 1;
            output::note(&error)?;
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

    /// Asks line by line as somebody types them, until there are no more, or one
    /// of them says so: the prompt for terminals that can do nothing.
    fn prompt(&mut self) -> Result<(), Exit> {
        let mut lines = io::stdin().lock().split(b'\n');
        loop {
            output::print(PROMPT)?;
            let Some(Ok(line)) = lines.next() else {
                output::print("\n")?;
                break;
            };
            if [&b"exit"[..], b"quit"].contains(&line.trim_ascii()) {
                break;
            }
            if let Err(error) = self.ask_unless_blank(&line)? {
                output::note(&error)?;
            }
        }
        self.end()?.or_else(|error| output::note(&error))
    }

    /// A line of blanks is not answered.
    fn ask_unless_blank(&mut self, line: &[u8]) -> Result<Result<(), String>, Exit> {
        match line.iter().all(|byte| *byte == b' ') {
            true => Ok(Ok(())),
            false => self.ask(line),
        }
    }
}

fn cannot_reach(socket: &Path, error: &io::Error) -> Exit {
    let path = socket.display();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => Exit::new(
            Exit::NO_SOCKET,
            &format!(
                "txlb: nobody answers at {path}: is txlb running, and does its configuration \
                 have <control socket=\"{path}\"/>? (-C says where the socket is)"
            ),
        ),
        ErrorKind::PermissionDenied => Exit::new(
            Exit::NO_PERMISSION,
            &format!("txlb: {path} is for the user and the group of the txlb that runs"),
        ),
        _ => Exit::new(Exit::NO_SOCKET, &format!("txlb: {path}: {error}")),
    }
}

fn lost(error: &io::Error) -> Exit {
    let what = match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "does not answer".to_owned(),
        ErrorKind::UnexpectedEof => "left without an answer".to_owned(),
        _ => format!("left without an answer: {error}"),
    };
    Exit::new(Exit::OTHER, &format!("txlb: the txlb that runs {what}"))
}
