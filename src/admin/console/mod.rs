//! The console: a person types verbs at a terminal and sees what is answered.
//!
//! Bytes of keys go in, and bytes for a terminal come out. What carries them, how fast,
//! and who is there is a door's business; what the verbs do is the desk's. `txlb ctl`
//! is the same [`Shell`] with another partner.

mod backend;
mod drawing;
mod editor;
mod keys;
mod live_view;
mod shell;

pub use backend::{Partner, Reaction, Size, Told};
pub use shell::Shell;

use crate::config::Access;
use crate::config::verb::{Command, Question};
use crate::control::{Actor, Handle, LineProtocol, LineReply, OutputFormat, push_clean};
use crate::non_printing::push_spelled_out;

/// One person's console.
#[derive(Debug)]
pub struct Console {
    shell: Shell,
    talk: LineProtocol,
    access: Access,
    by: Actor,
}

impl Console {
    /// The console of somebody who may do this, on whose behalf things are done.
    pub fn new(access: Access, by: Actor, size: Size, colours: bool) -> Console {
        Console {
            shell: Shell::new(size, colours),
            talk: LineProtocol::new(access),
            access,
            by,
        }
    }

    /// Greets, says what one should know first, and prompts.
    pub fn greet(&mut self, desk: &Handle, out: &mut Vec<u8>) {
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
    pub fn input(&mut self, keys: &[u8], desk: &Handle, out: &mut Vec<u8>) -> Reaction {
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
    pub fn tick(&mut self, now_ms: u64, desk: &Handle, out: &mut Vec<u8>) -> Option<u64> {
        let (shell, mut partner) = self.at(desk);
        shell.tick(now_ms, &mut partner, out)
    }

    /// Leaves the terminal as it was, where something else than keys ends it.
    pub fn leave(&mut self, out: &mut Vec<u8>) {
        self.shell.leave(out);
    }

    fn at<'a>(&'a mut self, desk: &'a Handle) -> (&'a mut Shell, AtDesk<'a>) {
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
    talk: &'a mut LineProtocol,
    by: &'a Actor,
    desk: &'a Handle,
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

fn told(reply: &LineReply, columns: u16) -> Told {
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
    by: &Actor,
    desk: &Handle,
    terminal: Option<Size>,
) -> Executed {
    let columns = terminal.map_or(OutputFormat::COLUMNS, |size| size.sane().columns);
    // `ssh host "$(cat line)"` and its like leave the end of the line there.
    let line = line.trim_end_matches(['\r', '\n']);
    let mut talk = LineProtocol::new(access);
    let reply = match shell::hear(line) {
        // There is nothing else to end.
        Some(Ok(shell::Word::Exit)) => None,
        Some(Ok(shell::Word::Watch { .. })) => {
            let why = "watch goes on until a key is pressed: it is for the prompt";
            Some(LineReply::Known(Err(why.to_owned())))
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
#[path = "../../../tests/support/screen.rs"]
#[allow(dead_code, reason = "others use all of it")]
mod screen;

#[cfg(test)]
mod tests {
    //! What a person sees at the console, whoever answers.

    use std::fmt::Write;

    use super::screen::Screen;
    use super::*;
    use crate::config::random::Random;

    /// Somebody who answers by a table, and notes what was asked.
    #[derive(Default)]
    struct Book {
        asked: Vec<String>,
        in_batch: bool,
        refused: Vec<String>,
        gone: bool,
    }

    impl Partner for Book {
        fn ask(&mut self, line: &str, columns: u16) -> Option<Told> {
            self.asked.push(format!("{columns} {line}"));
            let told = |lines: &[&str], last: &str| Told {
                ok: !last.starts_with("error"),
                lines: lines.iter().map(|it| (*it).to_owned()).collect(),
                last: last.to_owned(),
            };
            Some(match line {
                _ if self.gone => return None,
                "" => told(&[], ""),
                "begin" | "commit" => {
                    self.in_batch = line == "begin";
                    told(&[], "ok then")
                }
                "status" => {
                    let count = format!("look {}", self.asked.len());
                    told(&[&count, "\u{1b}[2Jevil\u{9b}", "web"], "ok")
                }
                "config" => told(&["x"; 500], "ok"),
                "help" => told(&["status  as usual"], "ok"),
                _ => told(&[], "error: no\u{1b}c"),
            })
        }

        fn complete(&mut self, line: &str) -> Vec<String> {
            let known = ["hostAdminDown", "hostAdminUp", "status"];
            let known = known.iter().filter(|it| it.starts_with(line));
            known.map(|it| (*it).to_owned()).collect()
        }

        fn is_in_batch(&self) -> bool {
            self.in_batch
        }

        fn refuse(&mut self, why: &str) {
            self.refused.push(why.to_owned());
        }
    }

    struct Scene {
        shell: Shell,
        book: Book,
        screen: Screen,
    }

    const SIZE: Size = Size {
        columns: 60,
        rows: 12,
    };

    impl Scene {
        fn new() -> Scene {
            let mut scene = Scene {
                shell: Shell::new(SIZE, true),
                book: Book::default(),
                screen: Screen::new(60, 12),
            };
            let mut out = Vec::new();
            scene.shell.greet("hello", &mut out);
            scene.screen.show(&out);
            scene
        }

        fn press(&mut self, keys: &str) -> Reaction {
            let mut out = Vec::new();
            let reaction = self.shell.input(keys.as_bytes(), &mut self.book, &mut out);
            self.screen.show(&out);
            reaction
        }

        fn tick(&mut self, now_ms: u64) -> Option<u64> {
            let mut out = Vec::new();
            let next = self.shell.tick(now_ms, &mut self.book, &mut out);
            self.screen.show(&out);
            next
        }

        fn resize(&mut self, columns: u16, rows: u16) {
            let mut out = Vec::new();
            self.screen.resize(columns.into(), rows.into());
            self.shell.resize(Size { columns, rows }, &mut out);
            self.screen.show(&out);
        }
    }

    #[test]
    fn lines_are_asked_and_answers_shown_clean() {
        let mut scene = Scene::new();
        assert_eq!(scene.screen.text(), "hello\ntxlb>");
        assert!(scene.screen.takes_pastes);
        assert_eq!(scene.press("status\rnonsense\r\r"), Reaction::Continue);
        assert_eq!(
            scene.screen.text(),
            "hello\n\
         txlb> status\n\
         look 1\n\
         \\u{1b}[2Jevil\\u{9b}\n\
         web\n\
         txlb> nonsense\n\
         error: no\\u{1b}c\n\
         txlb>\n\
         txlb>"
        );
        assert_eq!(scene.book.asked, ["60 status", "60 nonsense", "60 "]);
    }

    #[test]
    fn it_ends_when_it_is_told_to() {
        for keys in ["exit\r", " quit \r", "\x04"] {
            let mut scene = Scene::new();
            assert_eq!(scene.press(keys), Reaction::End, "{keys:?}");
            assert!(!scene.screen.takes_pastes);
            assert_eq!(scene.screen.row(), (String::new(), 0));
        }
        let mut scene = Scene::new();
        assert_eq!(scene.press("x\x04\x03exit"), Reaction::Continue);
        assert_eq!(scene.screen.lines()[1], "txlb> x^C");
        assert_eq!(scene.press("\r"), Reaction::End);
        let mut scene = Scene::new();
        scene.book.gone = true;
        assert_eq!(scene.press("status\r"), Reaction::End);
    }

    #[test]
    fn a_batch_has_a_prompt_of_its_own_and_is_not_committed_by_leaving() {
        let mut scene = Scene::new();
        scene.press("begin\r");
        assert_eq!(scene.screen.lines().pop().unwrap(), "txlb (batch)>");
        scene.press("commit\r");
        assert_eq!(scene.screen.lines().pop().unwrap(), "txlb>");
        scene.press("begin\rwatch nothing\r");
        assert_eq!(scene.book.refused.len(), 1);
        assert_eq!(scene.press("\x04"), Reaction::End);
        assert!(scene.screen.text().ends_with("nothing of it is done"));
    }

    #[test]
    fn a_line_that_is_too_long_is_refused() {
        let mut scene = Scene::new();
        scene.press(&"x".repeat(65_537));
        scene.press("\r");
        assert!(scene.screen.text().contains("error: the line is too long"));
        assert_eq!((scene.book.asked.len(), scene.book.refused.len()), (0, 1));
    }

    #[test]
    fn tab_completes_and_then_shows_the_choices() {
        let mut scene = Scene::new();
        scene.press("ho\t");
        assert_eq!(scene.screen.row(), ("txlb> hostAdmin".to_owned(), 15));
        scene.press("\t");
        assert_eq!(scene.screen.bells, 1);
        scene.press("\t");
        let lines = scene.screen.lines();
        let last = &lines[lines.len() - 2..];
        assert_eq!(last, ["hostAdminDown  hostAdminUp", "txlb> hostAdmin"]);
        scene.press("U\t");
        assert_eq!(scene.screen.row(), ("txlb> hostAdminUp".to_owned(), 18));
        scene.press("\x15wa\tst\t i\t");
        assert_eq!(scene.screen.row().0, "txlb> watch status  interval=");
    }

    #[test]
    fn help_shows_the_consoles_own_words_too() {
        let mut scene = Scene::new();
        scene.press("help\rhelp watch\r");
        let text = scene.screen.text();
        for part in ["as usual\n\nIn this", "\nexit ", "watch status|sessions"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn what_is_watched_is_shown_anew_when_it_is_time() {
        let mut scene = Scene::new();
        assert_eq!(scene.tick(5), None);
        scene.press("watch status interval=0.5\r");
        assert!(scene.screen.is_other() && !scene.screen.has_cursor);
        let expected = |look: usize| {
            format!(
                "status every 0.5 s: any key goes back\nlook {look}\n\\u{{1b}}[2Jevil\\u{{9b}}\nweb"
            )
        };
        assert_eq!(scene.screen.text(), expected(1));
        assert_eq!(scene.tick(1_000_000), Some(500));
        assert_eq!(scene.tick(1_000_400), Some(100));
        assert_eq!(scene.screen.text(), expected(1));
        assert_eq!(scene.tick(1_000_500), Some(500));
        assert_eq!(scene.screen.text(), expected(2));
        // A clock that is put back, and one that has stood still.
        assert_eq!(scene.tick(10), Some(500));
        assert_eq!(scene.tick(9_000_000), Some(500));
        assert_eq!(scene.screen.text(), expected(3));
        assert_eq!(scene.book.asked.last().unwrap(), "59 status");
        scene.resize(30, 3);
        assert_eq!(scene.tick(9_000_001), Some(500));
        assert_eq!(
            scene.screen.text(),
            "status every 0.5 s: any key go\nlook 4\n(2 more lines)".replace("key go", "key g")
        );
        // An arrow is one key, and nothing of it is typed.
        assert_eq!(scene.press("\x1b"), Reaction::Continue);
        assert!(!scene.screen.is_other() && scene.screen.has_cursor);
        scene.press("[A");
        assert_eq!(scene.screen.row().0, "txlb>");
        assert_eq!(scene.tick(9_000_500), None);
        scene.press("sessions interval=2\r\x04");
        assert!(!scene.screen.is_other());
        assert_eq!(scene.press("\x04"), Reaction::End);
    }

    #[test]
    fn another_size_is_drawn_in() {
        let mut scene = Scene::new();
        scene.press("a line of more than twenty columns");
        scene.resize(20, 5);
        let (row, column) = scene.screen.row();
        assert!(row.starts_with("txlb> <") && column < 20, "{row}");
        assert!(
            "columns".ends_with(row.trim_start_matches("txlb> <").trim_start())
                || row.ends_with("columns")
        );
        scene.resize(0x7fff, 5);
        assert_eq!(
            scene.screen.row().0,
            "txlb> a line of more than twenty columns"
        );
    }

    /// Whatever comes, nothing but known sequences goes out, and no key is lost for good.
    #[test]
    fn nothing_is_too_strange() {
        let mut random = Random::new(31);
        for _ in 0..100 {
            let mut scene = Scene::new();
            for _ in 0..200 {
                let mut keys = String::new();
                match random.below(6) {
                    0 => keys += *random.pick(&["status\r", "watch status\r", "begin\r", "\t"]),
                    1 => keys.push('\x1b'),
                    2 => write!(keys, "\x1b[{}~", random.below(300)).unwrap(),
                    _ => keys.push(char::from(u8::try_from(random.below(128)).unwrap())),
                }
                if scene.press(&keys) == Reaction::End {
                    // An `exit` or a Ctrl-D: the next one begins.
                    scene = Scene::new();
                }
                scene.tick(random.next() % 10_000);
            }
            // Out of a paste, a search and a watch, whatever it is in the middle of.
            scene.press("\x1b[201~x\x07\x03");
            scene.press("config\r");
            let asked = &scene.book.asked;
            assert!(asked.iter().any(|it| it.ends_with(" config")), "{asked:?}");
        }
    }
}
