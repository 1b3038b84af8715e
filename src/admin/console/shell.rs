//! A person at a terminal: their keys become lines, and what is said to these becomes
//! text on the screen.
//!
//! Who answers is the partner's business, be it the desk or a socket. There is no clock
//! and no terminal here: both are the caller's.

use super::backend::{Partner, Reaction, Size};
use super::drawing::{self, Drawing};
use super::editor::{Editor, MOST, Offered, Step};
use super::keys::{Key, Keys};
use super::live_view::{self, Watch};
use crate::config::verb::{last_word, words};
use crate::non_printing::spelled_out;

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
        match hear(line) {
            None => self.ask(line, partner, out),
            Some(Ok(Word::Exit)) => self.end(partner, out),
            Some(Ok(Word::Help)) => {
                self.ask(line, partner, out);
                help().iter().for_each(|line| show(line, out));
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
            choices.extend(word_choices(begun));
        }
        if self.editor.offer(&choices) == Offered::Show {
            let (line, cursor) = (self.editor.line.clone(), self.editor.cursor);
            self.leave_line(line, cursor, "", out);
            for line in drawing::listed(&choices, self.size.width()) {
                show(&line, out);
            }
        }
    }

    /// Whether something was watched, which is over then.
    fn end_watch(&mut self, out: &mut Vec<u8>) -> bool {
        let watched = self.watch.take().is_some();
        if watched {
            out.extend_from_slice(live_view::END);
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
    out.extend_from_slice(spelled_out(text).as_bytes());
}

/// What a line asks of the console itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// To end.
    Exit,
    /// What there is, this included.
    Help,
    /// What one of these does.
    Explain(&'static Own),
    /// To ask this again and again, until a key is pressed.
    Watch {
        question: &'static str,
        interval_ms: u64,
    },
}

/// One of these words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Own {
    name: &'static str,
    takes: &'static str,
    summary: &'static str,
}

const OWN: &[Own] = &[
    Own {
        name: "watch",
        takes: " status|sessions [interval=]",
        summary: "show it every 2 s, or as often, until a key is pressed",
    },
    Own {
        name: "exit",
        takes: "",
        summary: "end, as quit and Ctrl-D do",
    },
    Own {
        name: "quit",
        takes: "",
        summary: "end",
    },
];

/// What can be watched. With `interval=` the verb alone does the same.
const WATCHED: [&str; 2] = ["status", "sessions"];

const INTERVAL: &str = "interval=";

/// How long one waits for the next look, in milliseconds, unless it is said.
const USUALLY_MS: u64 = 2000;

/// What a line asks of the console; `None` if it is not the console's business.
pub(super) fn hear(line: &str) -> Option<Result<Word, String>> {
    let words = words(line).ok()?;
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["exit" | "quit"] => Some(Ok(Word::Exit)),
        ["help"] => Some(Ok(Word::Help)),
        ["help", name] => {
            let name = name.strip_prefix("verb=").unwrap_or(name);
            let own = OWN.iter().find(|own| own.name == name)?;
            Some(Ok(Word::Explain(own)))
        }
        ["watch", ref what @ ..] => Some(watch(what)),
        [verb, interval] if WATCHED.contains(&verb) && interval.starts_with(INTERVAL) => {
            Some(watch(&words))
        }
        _ => None,
    }
}

fn watch(words: &[&str]) -> Result<Word, String> {
    let what = words.first().unwrap_or(&WATCHED[0]);
    let mut known = WATCHED.iter().filter(|known| *known == what);
    let question = known.next().ok_or("watch takes status or sessions")?;
    let interval_ms = match words.get(1..).unwrap_or_default() {
        [] => USUALLY_MS,
        [interval] => interval
            .strip_prefix(INTERVAL)
            .and_then(milliseconds)
            .ok_or("interval= takes seconds, from 0.5 to 3600")?,
        _ => return Err("watch takes one thing, and interval=".to_owned()),
    };
    Ok(Word::Watch {
        question,
        interval_ms,
    })
}

fn milliseconds(text: &str) -> Option<u64> {
    let seconds: f64 = text.parse().ok()?;
    let ms = std::time::Duration::try_from_secs_f64(seconds).ok()?;
    let ms = u64::try_from(ms.as_millis()).ok()?;
    (500..=3_600_000).contains(&ms).then_some(ms)
}

impl Own {
    /// How it is written, and what it does.
    pub(super) fn explanation(&self) -> Vec<String> {
        vec![
            format!("{}{}", self.name, self.takes),
            self.summary.to_owned(),
        ]
    }
}

/// What `help` says of these, below the verbs.
pub(super) fn help() -> Vec<String> {
    let lines = OWN
        .iter()
        .map(|own| format!("{:15} {}", own.name, own.summary));
    ["", "In this console also:"]
        .map(str::to_owned)
        .into_iter()
        .chain(lines)
        .collect()
}

/// What the last word of a line may become that is one of these, or about them.
pub(super) fn word_choices(line: &str) -> Vec<String> {
    let start = last_word(line);
    let before: Vec<_> = line[..start].split_whitespace().collect();
    let own = || OWN.iter().map(|own| own.name).collect();
    let known: Vec<&str> = match before[..] {
        [] | ["help"] => own(),
        ["watch"] => WATCHED.to_vec(),
        ["watch", _] => vec![INTERVAL],
        [verb] if WATCHED.contains(&verb) => vec![INTERVAL],
        _ => Vec::new(),
    };
    let typed = &line[start..];
    let matching = known.into_iter().filter(|word| word.starts_with(typed));
    matching.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watching(question: &'static str, interval_ms: u64) -> Option<Result<Word, String>> {
        Some(Ok(Word::Watch {
            question,
            interval_ms,
        }))
    }

    #[test]
    fn the_consoles_own_words_are_told_from_verbs() {
        assert_eq!(hear(" exit "), Some(Ok(Word::Exit)));
        assert_eq!(hear("watch"), watching("status", 2000));
        assert_eq!(hear("watch sessions"), watching("sessions", 2000));
        assert_eq!(
            hear("watch sessions interval=0.5"),
            watching("sessions", 500)
        );
        assert_eq!(hear("status interval=10"), watching("status", 10_000));
        for line in ["status", "", "exit now", "help status", "\"", "json status"] {
            assert_eq!(hear(line), None, "{line}");
        }
        for line in [
            "watch config",
            "watch status 2",
            "watch status interval=0.4",
            "status interval=NaN",
            "status interval=-1",
            "sessions interval=1e99",
            "watch status interval=1 more",
        ] {
            assert!(matches!(hear(line), Some(Err(_))), "{line}");
        }
    }

    #[test]
    fn help_explains_them() {
        for own in OWN {
            assert!(help().iter().any(|line| line.starts_with(own.name)));
            let Some(Ok(Word::Explain(found))) = hear(&format!("help {}", own.name)) else {
                panic!("{}", own.name);
            };
            assert!(found.explanation()[0].starts_with(own.name));
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
