//! `ctl`: sends commands to the control socket, and prints the responses.

use std::borrow::Cow;
use std::io::{self, BufRead, IsTerminal};

use txlb::config::verb::Command;
use txlb::non_printing::{escape_non_printing, is_non_printing};

use client::{ControlConnection, in_columns, wait};

use crate::cli::CtlOptions;
use crate::exit::{self, Exit};

mod client;
mod prompt;

const PROMPT: &str = "txlb> ";

/// Runs one command, a script on standard input, or the prompt.
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

/// The words as a line of the protocol.
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

/// The line with the width of the terminal, if standard output is one.
fn fit_terminal(line: &str, json: bool) -> String {
    match prompt::terminal_size() {
        Some(size) if !json => in_columns(line, size.columns),
        _ => line.to_owned(),
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
