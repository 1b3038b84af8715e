//! `ctl`: has a running txlb told, through its control socket.
//!
//! What can be asked for, and what it means, is known to the library and to the
//! txlb that is asked: here it is carried there, and what comes back is shown.

use std::borrow::Cow;
use std::io::{self, BufRead, IsTerminal};

use txlb::config::verb::Command;
use txlb::non_printing::{is_unseen, spelled_out};

use client::{ControlConnection, in_columns, wait};

use crate::cli::CtlOptions;
use crate::exit::{self, Exit};

mod client;
mod prompt;

const PROMPT: &str = "txlb> ";

/// Asks, and shows what is answered.
pub(crate) fn run(options: &CtlOptions) -> Result<(), Exit> {
    let line = match options.words.is_empty() {
        true => None,
        false => Some(line(&options.words)?),
    };
    let mut client = CtlClient::begin(options)?;
    match line {
        Some(line) => match client.ask(fit_terminal(&line, options.json).as_bytes())? {
            Ok(()) => Ok(()),
            Err(error) => Err(Exit::new(Exit::OTHER, &error)),
        },
        None if prompt::is_possible() => prompt::run(options, client.connection),
        None if io::stdin().is_terminal() => client.prompt(),
        None => client.run_script(io::stdin().lock()),
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
fn fit_terminal(line: &str, json: bool) -> String {
    match prompt::terminal_size() {
        Some(size) if !json => in_columns(line, size.columns),
        _ => line.to_owned(),
    }
}

/// A conversation with a running txlb.
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

    /// Asks for one thing, prints the data that is answered, and returns the error
    /// that it was answered with, if it was.
    fn ask(&mut self, line: &[u8]) -> Result<Result<(), String>, Exit> {
        let form: &[u8] = if self.json { b"json " } else { b"" };
        self.connection.send(&[form, line].concat());
        let answer = self.read_response()?;
        answer.ok_or_else(|| self.connection.lost_reason())
    }

    /// Prints the data of the next answer, and returns the error that it is, if it is
    /// one. `None` if there is no more.
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
            // People want to hear that it is done; programs have the status.
            if !data && io::stdout().is_terminal() {
                exit::print(&format!("{}\n", spelled_out(&line)))?;
            }
            return Ok(Some(Ok(())));
        }
        Ok(None)
    }

    /// A line of data as it may be printed, whoever sent it: nothing in it speaks to a
    /// terminal. What merely cannot be seen stays what it is for programs.
    fn printable<'a>(&self, line: &'a str) -> Cow<'a, str> {
        let speaks = |it: char| it.is_control() && it != '\t';
        match (self.json, io::stdout().is_terminal()) {
            (true, _) if line.contains(is_unseen) => json_escaped(line).into(),
            (false, true) if line.contains(is_unseen) => spelled_out(line).into(),
            (false, false) if line.contains(speaks) => without_controls(line).into(),
            _ => line.into(),
        }
    }

    /// Says that this is all. A batch may be open then, which is an error.
    fn end(&mut self) -> Result<Result<(), String>, Exit> {
        self.connection.end();
        Ok(self.read_response()?.unwrap_or(Ok(())))
    }

    /// Has everything done that the lines ask for, errors or not.
    fn run_script(&mut self, lines: impl BufRead) -> Result<(), Exit> {
        let mut failed = 0;
        for (number, line) in (1..).zip(lines.split(b'\n')) {
            let line = line.map_err(|error| {
                Exit::new(
                    Exit::OTHER,
                    &format!("txlb: cannot read the lines: {error}"),
                )
            })?;
            // Some editors put a mark in front of UTF-8.
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

    /// Asks line by line as somebody types them, until there are no more, or one
    /// of them says so: the prompt for terminals that can do nothing.
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

    /// A line of blanks is not answered.
    fn ask_unless_blank(&mut self, line: &[u8]) -> Result<Result<(), String>, Exit> {
        // As Windows ends lines.
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.iter().all(|byte| *byte == b' ') {
            true => Ok(Ok(())),
            false => self.ask(line),
        }
    }
}

/// JSON as the same JSON, with nothing in it that cannot be seen: that is in strings, where
/// it may be written by its number.
fn json_escaped(line: &str) -> String {
    let escaped = |it: char| {
        let halves = it.encode_utf16(&mut [0; 2]).to_vec();
        halves
            .iter()
            .map(|half| format!("\\u{half:04x}"))
            .collect::<String>()
    };
    let letter = |it: char| match is_unseen(it) {
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
