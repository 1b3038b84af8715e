//! Shell of the console: keys become lines, which a backend answers, and replies become text on the
//! screen. Also the verbs that only a console has: `watch`, `exit` and `quit`.
//!
//! Clock and terminal are the caller's.

use super::drawing::{END_LIVE_VIEW, LineDrawing, LiveView, choice_columns};
use super::editor::{Completion, EditResult, Editor, MAX_LINE};
use super::keys::{Key, KeyDecoder};
use crate::config::verb::{Command, last_word, words};
use crate::non_printing::escape_non_printing;

/// Answers lines and completes words: the controller's handle, or a control socket.
pub trait Backend {
    /// Sends a line. Returns the reply, with tables of at most this many columns; `None` if the
    /// backend has gone.
    fn ask(&mut self, line: &str, columns: u16) -> Option<Reply>;

    /// Completions of the last word of a line.
    fn complete(&mut self, line: &str) -> Vec<String>;

    /// Whether a `begin` has no `commit` or `abort` yet.
    fn is_in_batch(&self) -> bool;

    /// Reports a line that was not sent: the batch that it belongs to is refused whole.
    fn reject_line(&mut self, why: &str);
}

/// The reply to a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// Whether it succeeded.
    pub ok: bool,
    /// The data.
    pub lines: Vec<String>,
    /// `ok ...` or `error: ...`; empty for a blank line.
    pub last: String,
}

/// Whether the console goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// More keys may come.
    Continue,
    /// It has ended. Output that was written is still to be shown.
    End,
}

/// The size of a terminal in characters; 0 where it is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters side by side.
    pub columns: u16,
    /// Characters one below the other.
    pub rows: u16,
}

impl Size {
    /// A size that can be drawn in.
    pub(super) fn sane(self) -> Size {
        let sane = |number, usual| match number {
            0 => usual,
            number => number,
        };
        Size {
            columns: sane(self.columns, 80).clamp(10, 1000),
            rows: sane(self.rows, 24).clamp(2, 1000),
        }
    }

    pub(super) fn width(self) -> usize {
        usize::from(self.columns)
    }
}

/// The shell at one terminal.
#[derive(Debug)]
pub struct Shell {
    keys: KeyDecoder,
    editor: Editor,
    drawing: LineDrawing,
    size: Size,
    colours: bool,
    /// In front of the prompt: which txlb it is, and a blank; or nothing.
    name: String,
    prompt: String,
    live_view: Option<LiveView>,
    /// The rest of the key that ended a live view is ignored.
    skip_key: bool,
    is_ended: bool,
}

const PROMPT: &str = "txlb> ";
const BATCH_PROMPT: &str = "txlb (batch)> ";

/// Bracketed paste: the terminal marks what is pasted.
const BRACKETED_PASTE_ON: &[u8] = b"\x1b[?2004h";
const BRACKETED_PASTE_OFF: &[u8] = b"\x1b[?2004l";

/// Longer lines are not completed, in bytes.
const MAX_COMPLETED: usize = 4096;

/// Text of one reply that is shown at most, in bytes.
const MAX_REPLY_BYTES: usize = 8 << 20;

impl Shell {
    /// A shell for a terminal of this size.
    pub fn new(size: Size, colours: bool) -> Shell {
        Shell {
            keys: KeyDecoder::default(),
            editor: Editor::default(),
            drawing: LineDrawing::default(),
            size: size.sane(),
            colours,
            name: String::new(),
            prompt: PROMPT.to_owned(),
            live_view: None,
            skip_key: false,
            is_ended: false,
        }
    }

    /// Has prompts begin with the name of the txlb, up to its first point.
    pub fn set_name(&mut self, name: &str) {
        let name = name.split('.').next().unwrap_or_default();
        if !name.is_empty() {
            self.name = format!("{} ", escape_non_printing(name));
        }
        self.set_prompt(false);
    }

    fn set_prompt(&mut self, is_in_batch: bool) {
        let prompt = if is_in_batch { BATCH_PROMPT } else { PROMPT };
        self.prompt = format!("{}{prompt}", self.name);
    }

    /// Shows a greeting and the prompt.
    pub fn greet(&mut self, greeting: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(BRACKETED_PASTE_ON);
        for line in greeting.lines() {
            show(line, out);
        }
        self.draw(out);
    }

    /// Handles bytes from the terminal, and writes what is to be shown.
    pub fn input(
        &mut self,
        bytes: &[u8],
        backend: &mut impl Backend,
        out: &mut Vec<u8>,
    ) -> Reaction {
        for byte in bytes {
            for key in self.keys.decode(*byte).into_iter().flatten() {
                if std::mem::take(&mut self.skip_key) {
                    continue;
                }
                if self.scroll(key, backend, out) || self.end_live_view(out) {
                    continue;
                }
                self.press(key, backend, out);
                if self.is_ended {
                    self.leave(out);
                    return Reaction::End;
                }
            }
        }
        // A key of which no more has come, such as Escape alone, ends a live view; what comes of
        // it later is ignored.
        self.skip_key |= self.keys.is_incomplete() && self.end_live_view(out);
        self.draw(out);
        Reaction::Continue
    }

    /// Sets the terminal's size. The next tick redraws a live view.
    pub fn resize(&mut self, size: Size, out: &mut Vec<u8>) {
        self.size = size.sane();
        match &mut self.live_view {
            Some(live_view) => live_view.refresh(),
            None => {
                out.extend_from_slice(b"\r\x1b[J");
                self.draw(out);
            }
        }
    }

    /// Refreshes a live view that is due. Returns the milliseconds until the next time; `None`
    /// without a live view. The clock may have any start.
    pub fn tick(
        &mut self,
        now_ms: u64,
        backend: &mut impl Backend,
        out: &mut Vec<u8>,
    ) -> Option<u64> {
        let live_view = self.live_view.as_mut()?;
        if live_view.is_due(now_ms) {
            live_view.show(self.size, self.colours, backend, out);
        }
        Some(live_view.remaining_ms(now_ms))
    }

    /// Restores the terminal. After [`Reaction::End`] that is done already.
    pub fn leave(&mut self, out: &mut Vec<u8>) {
        self.end_live_view(out);
        out.extend_from_slice(BRACKETED_PASTE_OFF);
    }

    fn press(&mut self, key: Key, backend: &mut impl Backend, out: &mut Vec<u8>) {
        let (line, cursor) = match key {
            Key::Enter | Key::Interrupt => (self.editor.line.clone(), self.editor.cursor),
            _ => (String::new(), 0),
        };
        match self.editor.press(key) {
            EditResult::Changed => {}
            EditResult::Line(line) => {
                self.leave_line(line.clone(), line.len(), "", out);
                self.run_line(&line, backend, out);
            }
            EditResult::TooLong => {
                self.leave_line(line, cursor, "", out);
                let why = format!("the line is too long: {MAX_LINE} bytes are possible");
                backend.reject_line(&why);
                self.show_error(&format!("error: {why}"), out);
            }
            EditResult::Discarded => self.leave_line(line, cursor, "^C", out),
            EditResult::Complete => self.complete(backend, out),
            EditResult::Clear => out.extend_from_slice(b"\x1b[H\x1b[2J"),
            EditResult::End => {
                self.leave_line(String::new(), 0, "", out);
                self.end(backend, out);
            }
        }
        if std::mem::take(&mut self.editor.bell) {
            out.push(7);
        }
    }

    /// Draws a finished line, and moves below it.
    fn leave_line(&mut self, line: String, cursor: usize, mark: &str, out: &mut Vec<u8>) {
        let finished = Editor::with(line, cursor);
        let look = (self.size.width(), self.colours);
        self.drawing.draw(&finished, &self.prompt, look, out);
        out.extend_from_slice(mark.as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    fn run_line(&mut self, line: &str, backend: &mut impl Backend, out: &mut Vec<u8>) {
        match parse_command(line) {
            None => self.ask(line, backend, out),
            Some(Ok(ConsoleCommand::Exit)) => self.end(backend, out),
            Some(Ok(ConsoleCommand::Help)) => {
                self.ask(line, backend, out);
                help().iter().for_each(|line| show(line, out));
            }
            Some(Ok(ConsoleCommand::HelpOn(own))) => {
                let lines = own.help_lines();
                lines.iter().for_each(|line| show(line, out));
            }
            Some(Ok(ConsoleCommand::Watch {
                question,
                interval_ms,
            })) => {
                let mut live_view = LiveView::begin(question, interval_ms, out);
                live_view.show(self.size, self.colours, backend, out);
                self.live_view = Some(live_view);
            }
            Some(Err(why)) => {
                backend.reject_line(&why);
                self.show_error(&format!("error: {why}"), out);
            }
        }
        self.set_prompt(backend.is_in_batch());
    }

    fn ask(&mut self, line: &str, backend: &mut impl Backend, out: &mut Vec<u8>) {
        let Some(reply) = backend.ask(line, self.size.columns) else {
            self.is_ended = true;
            return;
        };
        let most = out.len() + MAX_REPLY_BYTES;
        for line in &reply.lines {
            show(line, out);
            if out.len() > most {
                show("(there is more: it is left out)", out);
                break;
            }
        }
        match reply.ok {
            true if reply.lines.is_empty() && !reply.last.is_empty() => show(&reply.last, out),
            true => {}
            false => self.show_error(&reply.last, out),
        }
    }

    fn show_error(&self, what: &str, out: &mut Vec<u8>) {
        let (red, plain) = match self.colours {
            true => ("\x1b[31m", "\x1b[0m"),
            false => ("", ""),
        };
        out.extend_from_slice(red.as_bytes());
        push(what, out);
        out.extend_from_slice(plain.as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    /// Ends the shell. An open batch is not committed.
    fn end(&mut self, backend: &mut impl Backend, out: &mut Vec<u8>) {
        if backend.is_in_batch() {
            let why = "error: the batch was not committed: nothing was changed";
            self.show_error(why, out);
        }
        self.is_ended = true;
    }

    fn complete(&mut self, backend: &mut impl Backend, out: &mut Vec<u8>) {
        let before_cursor = self.editor.before_cursor();
        let mut choices = Vec::new();
        if before_cursor.len() <= MAX_COMPLETED {
            choices = backend.complete(before_cursor);
            choices.extend(word_choices(before_cursor));
        }
        if self.editor.apply_completion(&choices) == Completion::Show {
            let (line, cursor) = (self.editor.line.clone(), self.editor.cursor);
            self.leave_line(line, cursor, "", out);
            for line in choice_columns(&choices, self.size.width()) {
                show(&line, out);
            }
        }
    }

    /// Scrolls the live view, if there is one and the key does so.
    fn scroll(&mut self, key: Key, backend: &mut impl Backend, out: &mut Vec<u8>) -> bool {
        let Some(live_view) = self.live_view.as_mut() else {
            return false;
        };
        let scrolls = live_view.scroll(key);
        if scrolls {
            live_view.show(self.size, self.colours, backend, out);
        }
        scrolls
    }

    /// Ends the live view. Returns whether there was one.
    fn end_live_view(&mut self, out: &mut Vec<u8>) -> bool {
        let watched = self.live_view.take().is_some();
        if watched {
            out.extend_from_slice(END_LIVE_VIEW);
        }
        watched
    }

    fn draw(&mut self, out: &mut Vec<u8>) {
        if self.live_view.is_none() {
            let look = (self.size.width(), self.colours);
            self.drawing.draw(&self.editor, &self.prompt, look, out);
        }
    }
}

/// Shows a text as one line; control characters are spelled out.
fn show(line: &str, out: &mut Vec<u8>) {
    push(line, out);
    out.extend_from_slice(b"\r\n");
}

fn push(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(escape_non_printing(text).as_bytes());
}

/// A line that the console handles itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ConsoleCommand {
    /// `exit` or `quit`.
    Exit,
    /// `help`, with the console's verbs.
    Help,
    /// `help` on one of the console's verbs.
    HelpOn(&'static ConsoleVerb),
    /// Ask this again and again, until a key is pressed.
    Watch { question: String, interval_ms: u64 },
}

/// A verb of the console, which is not in the table of verbs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ConsoleVerb {
    name: &'static str,
    arguments: &'static str,
    summary: &'static str,
}

const CONSOLE_VERBS: &[ConsoleVerb] = &[
    ConsoleVerb {
        name: "watch",
        arguments: " status|sessions [interval=] ...",
        summary: "show it every 2 s until a key is pressed; arrows scroll",
    },
    ConsoleVerb {
        name: "exit",
        arguments: "",
        summary: "end, as quit and Ctrl-D do",
    },
    ConsoleVerb {
        name: "quit",
        arguments: "",
        summary: "end",
    },
];

/// What can be watched. `status interval=5` does the same as `watch status interval=5`.
const WATCHABLE: [&str; 2] = ["status", "sessions"];

const INTERVAL: &str = "interval=";

/// Default interval, in milliseconds.
const DEFAULT_INTERVAL_MS: u64 = 2000;

/// Parses a line; `None` if it is not for the console itself.
pub(super) fn parse_command(line: &str) -> Option<Result<ConsoleCommand, String>> {
    let words = words(line).ok()?;
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["exit" | "quit"] => Some(Ok(ConsoleCommand::Exit)),
        ["help"] => Some(Ok(ConsoleCommand::Help)),
        ["help", name] => {
            let name = name.strip_prefix("verb=").unwrap_or(name);
            let own = CONSOLE_VERBS.iter().find(|own| own.name == name)?;
            Some(Ok(ConsoleCommand::HelpOn(own)))
        }
        ["watch", ref what @ ..] => Some(watch(what)),
        [verb, ref rest @ ..] if WATCHABLE.contains(&verb) && rest.iter().any(is_interval) => {
            Some(watch(&words))
        }
        _ => None,
    }
}

fn is_interval(word: &&str) -> bool {
    word.starts_with(INTERVAL)
}

/// What is watched, with what it takes, and how often.
fn watch(words: &[&str]) -> Result<ConsoleCommand, String> {
    let (intervals, asked): (Vec<&str>, Vec<&str>) = words.iter().partition(|it| is_interval(it));
    let is_known = |word: &&&str| WATCHABLE.contains(word);
    let verb = asked.first().filter(is_known);
    let asked = match (verb, &asked[..]) {
        (Some(_), asked) => asked.to_vec(),
        (None, []) => vec![WATCHABLE[0]],
        (None, _) => return Err("watch takes status or sessions".to_owned()),
    };
    let command = Command::from_words(&asked).map_err(|error| error.to_string())?;
    let interval_ms = match intervals[..] {
        [] => DEFAULT_INTERVAL_MS,
        [interval] => interval
            .strip_prefix(INTERVAL)
            .and_then(milliseconds)
            .ok_or("interval= takes seconds, from 0.5 to 3600")?,
        _ => return Err("watch takes interval= once".to_owned()),
    };
    Ok(ConsoleCommand::Watch {
        question: command.line(),
        interval_ms,
    })
}

fn milliseconds(text: &str) -> Option<u64> {
    let seconds: f64 = text.parse().ok()?;
    let ms = std::time::Duration::try_from_secs_f64(seconds).ok()?;
    let ms = u64::try_from(ms.as_millis()).ok()?;
    (500..=3_600_000).contains(&ms).then_some(ms)
}

impl ConsoleVerb {
    /// Syntax and summary.
    pub(super) fn help_lines(&self) -> Vec<String> {
        vec![
            format!("{}{}", self.name, self.arguments),
            self.summary.to_owned(),
        ]
    }
}

/// Lines that `help` adds below the verbs.
pub(super) fn help() -> Vec<String> {
    let lines = CONSOLE_VERBS
        .iter()
        .map(|own| format!("{:15} {}", own.name, own.summary));
    ["", "In this console also:"]
        .map(str::to_owned)
        .into_iter()
        .chain(lines)
        .collect()
}

/// Completions of the last word of a line by verbs of the console.
pub(super) fn word_choices(line: &str) -> Vec<String> {
    let start = last_word(line);
    let before: Vec<_> = line[..start].split_whitespace().collect();
    let own = || CONSOLE_VERBS.iter().map(|own| own.name).collect();
    let known: Vec<&str> = match before[..] {
        [] | ["help"] => own(),
        ["watch"] => WATCHABLE.to_vec(),
        ["watch", _, ..] => vec![INTERVAL],
        [verb, ..] if WATCHABLE.contains(&verb) => vec![INTERVAL],
        _ => Vec::new(),
    };
    let typed = &line[start..];
    let matching = known.into_iter().filter(|word| word.starts_with(typed));
    matching.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watching(question: &str, interval_ms: u64) -> Option<Result<ConsoleCommand, String>> {
        Some(Ok(ConsoleCommand::Watch {
            question: question.to_owned(),
            interval_ms,
        }))
    }

    #[test]
    fn the_consoles_own_commands_are_distinguished_from_verbs() {
        assert_eq!(parse_command(" exit "), Some(Ok(ConsoleCommand::Exit)));
        assert_eq!(parse_command("watch"), watching("status", 2000));
        assert_eq!(parse_command("watch sessions"), watching("sessions", 2000));
        assert_eq!(
            parse_command("watch sessions interval=0.5"),
            watching("sessions", 500)
        );
        assert_eq!(
            parse_command("status interval=10"),
            watching("status", 10_000)
        );
        assert_eq!(
            parse_command("watch status web:main problems interval=5"),
            watching("status service=web group=main only=problems", 5000)
        );
        assert_eq!(
            parse_command("status interval=3 problems"),
            watching("status only=problems", 3000)
        );
        for line in [
            "status",
            "",
            "exit now",
            "help status",
            "status problems",
            "\"",
            "json status",
        ] {
            assert_eq!(parse_command(line), None, "{line}");
        }
        for line in [
            "watch config",
            "watch sessions name=2",
            "watch status interval=2 interval=3",
            "watch status interval=0.4",
            "status interval=NaN",
            "status interval=-1",
            "sessions interval=1e99",
            "watch status interval=1 more=1",
        ] {
            assert!(matches!(parse_command(line), Some(Err(_))), "{line}");
        }
    }

    #[test]
    fn help_explains_them() {
        for own in CONSOLE_VERBS {
            assert!(help().iter().any(|line| line.starts_with(own.name)));
            let Some(Ok(ConsoleCommand::HelpOn(found))) =
                parse_command(&format!("help {}", own.name))
            else {
                panic!("{}", own.name);
            };
            assert!(found.help_lines()[0].starts_with(own.name));
        }
        assert!(help().iter().all(|line| line.len() <= 78));
    }

    #[test]
    fn they_are_completed() {
        assert_eq!(word_choices("w"), ["watch"]);
        assert_eq!(word_choices("help q"), ["quit"]);
        assert_eq!(word_choices("watch s"), ["status", "sessions"]);
        assert_eq!(word_choices("watch status "), ["interval="]);
        assert_eq!(word_choices("sessions i"), ["interval="]);
        assert_eq!(word_choices("config "), [""; 0]);
    }
}
