//! A person at a terminal: their keys become lines, and what is said to these becomes
//! text on the screen.
//!
//! Who answers is the partner's business, be it the desk or a socket. There is no clock
//! and no terminal here: both are the caller's.

use super::drawing::Drawing;
use super::editor::{Editor, MOST, Offered, Step};
use super::keys::{Key, Keys};
use super::watch::{self, Watch};
use super::words::{self, Word};
use super::{Reaction, Size, listing};
use crate::non_printing::escape_non_printing;

/// Who answers.
pub trait Partner {
    /// What is said to a line, in tables of at most so many columns. `None`: there is
    /// nobody to answer any more.
    fn ask(&mut self, line: &str, columns: u16) -> Option<Told>;

    /// What the last word of a line may become.
    fn complete(&mut self, line: &str) -> Vec<String>;

    /// Whether there was a `begin`, and its end is yet to come.
    fn is_in_batch(&self) -> bool;

    /// A line could not be heard: nothing is done of the batch that it belongs to.
    fn refuse(&mut self, why: &str);
}

/// What was said to a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Whether it was done.
    pub ok: bool,
    /// The data.
    pub lines: Vec<String>,
    /// `ok ...` or `error: ...`; empty for a line of blanks.
    pub last: String,
}

/// One person's terminal.
#[derive(Debug)]
pub struct Shell {
    keys: Keys,
    editor: Editor,
    drawing: Drawing,
    size: Size,
    colours: bool,
    prompt: &'static str,
    watch: Option<Watch>,
    /// The rest of the key that ended the watch is no key.
    swallow: bool,
    over: bool,
}

const PROMPT: &str = "txlb> ";
const BATCH_PROMPT: &str = "txlb (batch)> ";

/// Has the terminal say what is pasted.
const PASTES: &[u8] = b"\x1b[?2004h";
const NO_PASTES: &[u8] = b"\x1b[?2004l";

/// No completion is asked for of a line that has more bytes.
const MOST_COMPLETED: usize = 4096;

/// Text of one answer that is shown at most, in bytes.
const MOST_SHOWN: usize = 8 << 20;

impl Shell {
    /// A terminal of this size.
    pub fn new(size: Size, colours: bool) -> Shell {
        Shell {
            keys: Keys::default(),
            editor: Editor::default(),
            drawing: Drawing::default(),
            size: size.sane(),
            colours,
            prompt: PROMPT,
            watch: None,
            swallow: false,
            over: false,
        }
    }

    /// Says something, if only a little, and prompts.
    pub fn greet(&mut self, greeting: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(PASTES);
        for line in greeting.lines() {
            show(line, out);
        }
        self.draw(out);
    }

    /// Does what the bytes say that come from the terminal, and shows what comes of it.
    pub fn input(
        &mut self,
        bytes: &[u8],
        partner: &mut impl Partner,
        out: &mut Vec<u8>,
    ) -> Reaction {
        for byte in bytes {
            for key in self.keys.take(*byte).into_iter().flatten() {
                if std::mem::take(&mut self.swallow) || self.end_watch(out) {
                    continue;
                }
                self.press(key, partner, out);
                if self.over {
                    self.leave(out);
                    return Reaction::End;
                }
            }
            // Who presses a key that is many bytes sees what the first of them does.
            self.swallow |= self.keys.is_half() && self.end_watch(out);
        }
        self.draw(out);
        Reaction::Continue
    }

    /// The terminal has another size now. A tick shows what is watched in it.
    pub fn resize(&mut self, size: Size, out: &mut Vec<u8>) {
        self.size = size.sane();
        match &mut self.watch {
            Some(watch) => watch.renew(),
            None => {
                out.extend_from_slice(b"\r\x1b[J");
                self.draw(out);
            }
        }
    }

    /// Shows anew what is watched, if it is time. Returns in how many milliseconds it
    /// will be; `None` while nothing is watched. The clock may begin anywhere.
    pub fn tick(
        &mut self,
        now_ms: u64,
        partner: &mut impl Partner,
        out: &mut Vec<u8>,
    ) -> Option<u64> {
        let watch = self.watch.as_mut()?;
        if watch.is_due(now_ms) {
            watch.show(self.size, self.colours, partner, out);
        }
        Some(watch.left_ms(now_ms))
    }

    /// Leaves the terminal as it was. After [`Reaction::End`] there is no need to.
    pub fn leave(&mut self, out: &mut Vec<u8>) {
        self.end_watch(out);
        out.extend_from_slice(NO_PASTES);
    }

    fn press(&mut self, key: Key, partner: &mut impl Partner, out: &mut Vec<u8>) {
        let (line, cursor) = match key {
            Key::Enter | Key::Interrupt => (self.editor.line.clone(), self.editor.cursor),
            _ => (String::new(), 0),
        };
        match self.editor.press(key) {
            Step::Written => {}
            Step::Line(line) => {
                self.leave_line(line.clone(), line.len(), "", out);
                self.obey(&line, partner, out);
            }
            Step::TooLong => {
                self.leave_line(line, cursor, "", out);
                let why = format!("the line is too long: {MOST} bytes are possible");
                partner.refuse(&why);
                self.complain(&format!("error: {why}"), out);
            }
            Step::Dropped => self.leave_line(line, cursor, "^C", out),
            Step::Complete => self.complete(partner, out),
            Step::Clear => out.extend_from_slice(b"\x1b[H\x1b[2J"),
            Step::End => {
                self.leave_line(String::new(), 0, "", out);
                self.end(partner, out);
            }
        }
        if std::mem::take(&mut self.editor.bell) {
            out.push(7);
        }
    }

    /// Draws a line that will not change any more, and goes below it.
    fn leave_line(&mut self, line: String, cursor: usize, mark: &str, out: &mut Vec<u8>) {
        let gone = Editor::with(line, cursor);
        let look = (self.size.width(), self.colours);
        self.drawing.draw(&gone, self.prompt, look, out);
        out.extend_from_slice(mark.as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    fn obey(&mut self, line: &str, partner: &mut impl Partner, out: &mut Vec<u8>) {
        match words::hear(line) {
            None => self.ask(line, partner, out),
            Some(Ok(Word::Exit)) => self.end(partner, out),
            Some(Ok(Word::Help)) => {
                self.ask(line, partner, out);
                words::help().iter().for_each(|line| show(line, out));
            }
            Some(Ok(Word::Explain(own))) => {
                let lines = own.explanation();
                lines.iter().for_each(|line| show(line, out));
            }
            Some(Ok(Word::Watch {
                question,
                interval_ms,
            })) => {
                let mut watch = Watch::begin(question, interval_ms, out);
                watch.show(self.size, self.colours, partner, out);
                self.watch = Some(watch);
            }
            Some(Err(why)) => {
                partner.refuse(&why);
                self.complain(&format!("error: {why}"), out);
            }
        }
        self.prompt = match partner.is_in_batch() {
            true => BATCH_PROMPT,
            false => PROMPT,
        };
    }

    fn ask(&mut self, line: &str, partner: &mut impl Partner, out: &mut Vec<u8>) {
        let Some(told) = partner.ask(line, self.size.columns) else {
            self.over = true;
            return;
        };
        let most = out.len() + MOST_SHOWN;
        for line in &told.lines {
            show(line, out);
            if out.len() > most {
                show("(there is more: it is left out)", out);
                break;
            }
        }
        match told.ok {
            true if told.lines.is_empty() && !told.last.is_empty() => show(&told.last, out),
            true => {}
            false => self.complain(&told.last, out),
        }
    }

    fn complain(&self, what: &str, out: &mut Vec<u8>) {
        let (red, plain) = match self.colours {
            true => ("\x1b[31m", "\x1b[0m"),
            false => ("", ""),
        };
        out.extend_from_slice(red.as_bytes());
        push(what, out);
        out.extend_from_slice(plain.as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    /// That is all: a batch that is open is not committed.
    fn end(&mut self, partner: &mut impl Partner, out: &mut Vec<u8>) {
        if partner.is_in_batch() {
            let why = "error: the batch was not committed: nothing of it is done";
            self.complain(why, out);
        }
        self.over = true;
    }

    fn complete(&mut self, partner: &mut impl Partner, out: &mut Vec<u8>) {
        let begun = self.editor.begun();
        let mut choices = Vec::new();
        if begun.len() <= MOST_COMPLETED {
            choices = partner.complete(begun);
            choices.extend(words::choices(begun));
        }
        if self.editor.offer(&choices) == Offered::Show {
            let (line, cursor) = (self.editor.line.clone(), self.editor.cursor);
            self.leave_line(line, cursor, "", out);
            for line in listing::columns(&choices, self.size.width()) {
                show(&line, out);
            }
        }
    }

    /// Whether something was watched, which is over then.
    fn end_watch(&mut self, out: &mut Vec<u8>) -> bool {
        let watched = self.watch.take().is_some();
        if watched {
            out.extend_from_slice(watch::END);
        }
        watched
    }

    fn draw(&mut self, out: &mut Vec<u8>) {
        if self.watch.is_none() {
            let look = (self.size.width(), self.colours);
            self.drawing.draw(&self.editor, self.prompt, look, out);
        }
    }
}

/// Shows a line, whatever is in it, as one line of text.
fn show(line: &str, out: &mut Vec<u8>) {
    push(line, out);
    out.extend_from_slice(b"\r\n");
}

fn push(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(escape_non_printing(text).as_bytes());
}
