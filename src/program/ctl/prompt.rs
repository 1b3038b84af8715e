//! The prompt of `txlb ctl`: the library's shell between a terminal and the control
//! socket.
//!
//! What keys do and what is shown is the shell's business; here is what it cannot have:
//! the terminal, the clock, and a partner who asks through the socket.

use std::io::{self, IsTerminal, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetwinsize,
};
use signal_hook::consts::{SIGCONT, SIGWINCH};
use txlb::admin::{Partner, Reaction, Shell, Size, Told};
use txlb::config::Access;
use txlb::config::verb::{Command, Question};
use txlb::control::{LineProtocol, ParsedLine};
use txlb::non_printing::spelled_out;

use super::client::{Wire, in_columns, lost};
use crate::cli::Errand;
use crate::exit::{self, Exit};
use crate::terminal::{Terminal, Woken, signals};

const UNKNOWN: Size = Size {
    columns: 0,
    rows: 0,
};

/// Whether somebody is there who can be shown a line while it is written.
pub(super) fn is_possible() -> bool {
    let both = io::stdin().is_terminal() && io::stdout().is_terminal();
    let term = std::env::var_os("TERM").unwrap_or_default();
    both && !term.is_empty() && term != "dumb"
}

/// Asks line by line as somebody types them, until they end it.
pub(super) fn run(errand: &Errand, wire: Wire) -> Result<(), Exit> {
    let trouble = |error: io::Error| {
        Exit::new(
            Exit::OTHER,
            &format!("txlb: cannot use the terminal: {error}"),
        )
    };
    let looks = signals(&[SIGWINCH, SIGCONT]).map_err(trouble)?;
    looks.set_nonblocking(true).map_err(trouble)?;
    let terminal = Terminal::with_modes(OptionalActions::Now, raw).map_err(trouble)?;
    let mut partner = Asked {
        errand,
        wire,
        terminal: &terminal,
        shadow: LineProtocol::new(Access::Full),
        trouble: None,
    };
    let mut shell = Shell::new(size().unwrap_or(UNKNOWN), has_colours());
    let (start, mut out) = (Instant::now(), Vec::new());
    shell.greet("", &mut out);
    loop {
        let now_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let next_ms = shell.tick(now_ms, &mut partner, &mut out);
        show(&mut out)?;
        if let Some(trouble) = partner.trouble.take() {
            return leave(&mut shell, Err(trouble));
        }
        let next = next_ms.map(Duration::from_millis);
        match terminal.wait(Some(&looks), next).map_err(trouble)? {
            Woken::Ready => {
                let mut piece = [0; 4096];
                // A terminal that is gone is at its end.
                let length = terminal.read(&mut piece).unwrap_or(0);
                let reaction = shell.input(&piece[..length], &mut partner, &mut out);
                if length == 0 {
                    return leave(&mut shell, Ok(()));
                }
                if reaction == Reaction::End {
                    show(&mut out)?;
                    return partner.trouble.map_or(Ok(()), Err);
                }
            }
            Woken::Other => {
                // It is the same, however many there were.
                let _ = (&looks).read(&mut [0; 64]);
                terminal.set_modes(raw).map_err(trouble)?;
                shell.resize(size().unwrap_or(UNKNOWN), &mut out);
            }
            Woken::Ended => return leave(&mut shell, Err(interrupted())),
            Woken::Late => {}
        }
    }
}

/// Keys come one by one, as they are, and nothing is shown that the shell does not show.
fn raw(modes: &mut Termios) {
    modes.input_modes -= InputModes::ICRNL | InputModes::INLCR | InputModes::IGNCR;
    modes.input_modes -= InputModes::IXON | InputModes::ISTRIP;
    modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ECHONL;
    modes.local_modes -= LocalModes::ISIG | LocalModes::IEXTEN;
    modes.special_codes[SpecialCodeIndex::VMIN] = 1;
    modes.special_codes[SpecialCodeIndex::VTIME] = 0;
}

/// While an answer is waited for, ^C is to end the waiting.
fn raw_but_for_signals(modes: &mut Termios) {
    raw(modes);
    modes.local_modes |= LocalModes::ISIG;
}

/// How large the terminal at standard output is, where that is one.
pub(super) fn size() -> Option<Size> {
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

/// Leaves the terminal in order; `outcome` is what is said then.
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

/// The txlb that runs, as a partner.
struct Asked<'a> {
    errand: &'a Errand,
    wire: Wire,
    terminal: &'a Terminal,
    /// Hears the same lines: so what is known there of a batch is known here.
    shadow: LineProtocol,
    /// Why it cannot be asked any more.
    trouble: Option<Exit>,
}

impl Partner for Asked<'_> {
    fn ask(&mut self, line: &str, columns: u16) -> Option<Told> {
        let heard = self.shadow.hear(line);
        if heard == ParsedLine::Nothing {
            return Some(Told {
                ok: true,
                ..Told::default()
            });
        }
        let question = match self.errand.json {
            true => format!("json {line}"),
            false => in_columns(line, columns),
        };
        self.try_to_ask(&question)
    }

    fn complete(&mut self, line: &str) -> Vec<String> {
        let line = line.to_owned();
        let question = Command::Question(Question::Complete { line }).line();
        let told = self.try_to_ask(&question).filter(|told| told.ok);
        // They become a part of what is typed: an honest one is spelled out already.
        let mut choices = told.map_or_else(Vec::new, |told| told.lines);
        choices.retain(|choice| spelled_out(choice) == *choice);
        choices
    }

    fn is_in_batch(&self) -> bool {
        self.shadow.is_in_batch()
    }

    /// What is not understood here is refused there as well: the batch is one.
    fn refuse(&mut self, why: &str) {
        self.shadow.refuse(why);
        if self.is_in_batch() {
            self.try_to_ask("watch");
        }
    }
}

impl Asked<'_> {
    /// `None`, and why, if that is the end of it.
    fn try_to_ask(&mut self, question: &str) -> Option<Told> {
        if self.trouble.is_some() {
            return None;
        }
        let told = self.exchange(question);
        told.map_err(|exit| self.trouble = Some(exit)).ok()
    }

    fn exchange(&mut self, question: &str) -> Result<Told, Exit> {
        self.begin_anew_if_over()?;
        self.modes(raw_but_for_signals)?;
        self.wire.say(question.as_bytes());
        let mut told = Told::default();
        loop {
            let line = self.line()?;
            match line.strip_prefix("  ") {
                Some(line) => told.lines.push(line.to_owned()),
                None => {
                    told.ok = !line.starts_with("error:");
                    told.last = line;
                    break;
                }
            }
        }
        self.modes(raw)?;
        Ok(told)
    }

    fn modes(&self, modes: impl FnOnce(&mut Termios)) -> Result<(), Exit> {
        let changed = self.terminal.set_modes(modes);
        changed.map_err(|error| Exit::other(&error))
    }

    /// A talk that was silent for too long is over; with no batch in it, nobody need
    /// know.
    fn begin_anew_if_over(&mut self) -> Result<(), Exit> {
        let stream = self.wire.stream();
        let said = self.terminal.wait_for(stream, None, Some(Duration::ZERO));
        if said.map_err(|error| lost(&error))? == Woken::Ready && !self.is_in_batch() {
            self.wire = Wire::connect(&self.errand.socket)?;
        }
        Ok(())
    }

    /// The next line of the answer.
    fn line(&mut self) -> Result<String, Exit> {
        let terminal = self.terminal;
        let mut wait = |stream: &UnixStream, most| {
            let woken = terminal.wait_for(stream, None, Some(most));
            match woken.map_err(|error| lost(&error))? {
                Woken::Ended => Err(interrupted()),
                Woken::Late => Ok(false),
                Woken::Ready | Woken::Other => Ok(true),
            }
        };
        let line = self.wire.line(&mut wait)?;
        line.ok_or_else(|| self.wire.over())
    }
}
