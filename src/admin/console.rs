//! The console: a person types verbs at a terminal and sees what is answered.
//!
//! Bytes of keys go in, and bytes for a terminal come out. What carries them, how fast,
//! and who is there is a door's business; what the verbs do is the desk's. `txlb ctl`
//! is the same [`Shell`] with another partner.

mod drawing;
mod editor;
mod history;
mod keys;
mod listing;
mod shell;
mod watch;
mod words;

pub use shell::{Partner, Shell, Told};

use crate::config::Access;
use crate::config::verb::{Command, Question};
use crate::director::{By, Conversation, Desk, Form, Reply, push_clean};
use crate::unseen::push_spelled_out;

/// One person's console.
#[derive(Debug)]
pub struct Console {
    shell: Shell,
    talk: Conversation,
    access: Access,
    by: By,
}

/// Whether it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// More keys may come.
    Continue,
    /// They have ended it. What has been written for the terminal is still to be shown.
    End,
}

/// How large a terminal is, in characters. Where it is not known, 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters side by side.
    pub columns: u16,
    /// Characters one below the other.
    pub rows: u16,
}

impl Size {
    /// One that can be drawn in.
    fn sane(self) -> Size {
        let sane = |number, usual| match number {
            0 => usual,
            number => number,
        };
        Size {
            columns: sane(self.columns, 80).clamp(10, 1000),
            rows: sane(self.rows, 24).clamp(2, 1000),
        }
    }

    fn width(self) -> usize {
        usize::from(self.columns)
    }
}

impl Console {
    /// The console of somebody who may do this, on whose behalf things are done.
    pub fn new(access: Access, by: By, size: Size, colours: bool) -> Console {
        Console {
            shell: Shell::new(size, colours),
            talk: Conversation::new(access),
            access,
            by,
        }
    }

    /// Greets, says what one should know first, and prompts.
    pub fn greet(&mut self, desk: &Desk, out: &mut Vec<u8>) {
        let status = desk.status();
        let may = match self.access {
            Access::Full => "",
            Access::ReadOnly => "\nYou may only read.",
        };
        let unsaved = match status.stored.unsaved {
            0 => String::new(),
            1 => "\n1 change is not in the file.".to_owned(),
            number => format!("\n{number} changes are not in the file."),
        };
        let greeting = format!(
            "txlb {}: help shows what there is, Tab completes, exit ends.{may}{unsaved}",
            status.version
        );
        self.shell.greet(&greeting, out);
    }

    /// Does what keys say, of which any piece may come at a time. [`Console::tick`] is
    /// to be asked afterwards.
    pub fn input(&mut self, keys: &[u8], desk: &Desk, out: &mut Vec<u8>) -> Reaction {
        let (shell, mut partner) = self.at(desk);
        shell.input(keys, &mut partner, out)
    }

    /// The terminal has another size now. [`Console::tick`] is to be asked afterwards.
    pub fn resize(&mut self, size: Size, out: &mut Vec<u8>) {
        self.shell.resize(size, out);
    }

    /// Shows anew what is watched, if it is time. Returns in how many milliseconds the
    /// next tick is wanted; `None`: not before other keys have come. Where `now_ms`
    /// begins is the caller's to choose.
    pub fn tick(&mut self, now_ms: u64, desk: &Desk, out: &mut Vec<u8>) -> Option<u64> {
        let (shell, mut partner) = self.at(desk);
        shell.tick(now_ms, &mut partner, out)
    }

    /// Leaves the terminal as it was, where something else than keys ends it.
    pub fn leave(&mut self, out: &mut Vec<u8>) {
        self.shell.leave(out);
    }

    fn at<'a>(&'a mut self, desk: &'a Desk) -> (&'a mut Shell, AtDesk<'a>) {
        let partner = AtDesk {
            talk: &mut self.talk,
            by: &self.by,
            desk,
        };
        (&mut self.shell, partner)
    }
}

/// The desk, as a partner.
struct AtDesk<'a> {
    talk: &'a mut Conversation,
    by: &'a By,
    desk: &'a Desk,
}

impl Partner for AtDesk<'_> {
    fn ask(&mut self, line: &str, columns: u16) -> Option<Told> {
        let reply = self.talk.reply(line, self.desk, self.by);
        Some(reply.map_or_else(nothing, |reply| told(&reply, columns)))
    }

    fn complete(&mut self, line: &str) -> Vec<String> {
        let line = line.to_owned();
        let question = Command::Question(Question::Complete { line });
        self.desk.obey(self.by, question).lines()
    }

    fn is_in_batch(&self) -> bool {
        self.talk.is_in_batch()
    }

    fn refuse(&mut self, why: &str) {
        self.talk.refuse(why);
    }
}

fn nothing() -> Told {
    Told {
        ok: true,
        ..Told::default()
    }
}

fn told(reply: &Reply, columns: u16) -> Told {
    Told {
        ok: reply.is_ok(),
        lines: reply.lines_for(columns),
        last: reply.last_line(),
    }
}

/// What has come of one command that came alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// Lines for standard output.
    pub stdout: String,
    /// Lines for standard error.
    pub stderr: String,
    /// 0, or 1 after an error.
    pub status: u8,
}

/// Has one command done: `ssh HOST 'status'`. With a size the answer is for a terminal,
/// to which it says as much as [`Console`] does; without, for a program.
pub fn execute(
    line: &str,
    access: Access,
    by: &By,
    desk: &Desk,
    terminal: Option<Size>,
) -> Executed {
    let columns = terminal.map_or(Form::COLUMNS, |size| size.sane().columns);
    // `ssh host "$(cat line)"` and its like leave the end of the line there.
    let line = line.trim_end_matches(['\r', '\n']);
    let mut talk = Conversation::new(access);
    let reply = match words::hear(line) {
        // There is nothing else to end.
        Some(Ok(words::Word::Exit)) => None,
        Some(Ok(words::Word::Watch { .. })) => {
            let why = "watch goes on until a key is pressed: it is for the prompt";
            Some(Reply::Known(Err(why.to_owned())))
        }
        _ => talk.reply(line, desk, by),
    };
    let told = match reply {
        // Nobody could end it.
        _ if talk.is_in_batch() => Told {
            last: "error: a batch is several lines, and this is one".to_owned(),
            ..Told::default()
        },
        None => nothing(),
        Some(reply) => told(&reply, columns),
    };
    told.executed(terminal.is_some())
}

impl Told {
    /// At a terminal, people want to hear that it is done; programs have the status.
    fn executed(mut self, at_terminal: bool) -> Executed {
        if at_terminal && self.ok && self.lines.is_empty() && !self.last.is_empty() {
            self.lines.push(std::mem::take(&mut self.last));
        }
        let text = |lines: &[String]| {
            let mut text = String::new();
            for line in lines {
                match at_terminal {
                    true => push_spelled_out(line, &mut text),
                    false => push_clean(line, &mut text),
                }
                text.push_str(if at_terminal { "\r\n" } else { "\n" });
            }
            text
        };
        Executed {
            stdout: text(&self.lines),
            stderr: if self.ok {
                String::new()
            } else {
                text(&[self.last])
            },
            status: u8::from(!self.ok),
        }
    }
}

#[cfg(test)]
mod tests;
