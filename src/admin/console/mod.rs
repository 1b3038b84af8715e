//! Console: a line editor for verbs at a terminal, with history, completion and a live view.
//!
//! Keys go in as bytes, and output for a terminal comes out. Transport and clock are the
//! caller's. `txlb ctl` uses the same [`Shell`] with another [`Backend`].

mod drawing;
mod editor;
mod keys;
mod shell;

pub use shell::{Backend, Reaction, Reply, Shell, Size};

use crate::config::Access;
use crate::config::verb::{Command, Question};
use crate::control::{Actor, Handle, LineProtocol, LineReply, OutputFormat, push_clean};
use crate::non_printing::push_escaped;

/// A console that asks the controller.
#[derive(Debug)]
pub struct Console {
    shell: Shell,
    protocol: LineProtocol,
    access: Access,
    actor: Actor,
}

impl Console {
    /// A console with this access, for this actor.
    pub fn new(access: Access, actor: Actor, size: Size, colours: bool) -> Console {
        Console {
            shell: Shell::new(size, colours),
            protocol: LineProtocol::new(access),
            access,
            actor,
        }
    }

    /// Greets the user and shows the prompt.
    pub fn greet(&mut self, handle: &Handle, out: &mut Vec<u8>) {
        let status = handle.status();
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
        self.shell.set_name(&status.name);
        self.shell.greet(&greeting, out);
    }

    /// Handles keys, of which any piece may come at a time. Call [`Console::tick`] afterwards.
    pub fn input(&mut self, keys: &[u8], handle: &Handle, out: &mut Vec<u8>) -> Reaction {
        let (shell, mut backend) = self.backend(handle);
        shell.input(keys, &mut backend, out)
    }

    /// Sets the terminal's size. Call [`Console::tick`] afterwards.
    pub fn resize(&mut self, size: Size, out: &mut Vec<u8>) {
        self.shell.resize(size, out);
    }

    /// Refreshes a live view that is due. Returns the milliseconds until the next tick; `None`
    /// means after the next keys. `now_ms` counts from an arbitrary start.
    pub fn tick(&mut self, now_ms: u64, handle: &Handle, out: &mut Vec<u8>) -> Option<u64> {
        let (shell, mut backend) = self.backend(handle);
        shell.tick(now_ms, &mut backend, out)
    }

    /// Restores the terminal, where something other than a key ends the console.
    pub fn leave(&mut self, out: &mut Vec<u8>) {
        self.shell.leave(out);
    }

    fn backend<'a>(&'a mut self, handle: &'a Handle) -> (&'a mut Shell, HandleBackend<'a>) {
        let backend = HandleBackend {
            protocol: &mut self.protocol,
            actor: &self.actor,
            handle,
        };
        (&mut self.shell, backend)
    }
}

/// The controller's handle as a backend.
struct HandleBackend<'a> {
    protocol: &'a mut LineProtocol,
    actor: &'a Actor,
    handle: &'a Handle,
}

impl Backend for HandleBackend<'_> {
    fn ask(&mut self, line: &str, columns: u16) -> Option<Reply> {
        let reply = self.protocol.reply(line, self.handle, self.actor);
        Some(reply.map_or_else(empty_reply, |reply| to_reply(&reply, columns)))
    }

    fn complete(&mut self, line: &str) -> Vec<String> {
        let line = line.to_owned();
        let question = Command::Question(Question::Complete { line });
        self.handle.execute(self.actor, question).lines()
    }

    fn is_in_batch(&self) -> bool {
        self.protocol.is_in_batch()
    }

    fn reject_line(&mut self, why: &str) {
        self.protocol.reject_line(why);
    }
}

fn empty_reply() -> Reply {
    Reply {
        ok: true,
        ..Reply::default()
    }
}

fn to_reply(reply: &LineReply, columns: u16) -> Reply {
    Reply {
        ok: reply.is_ok(),
        lines: reply.lines_for(columns),
        last: reply.last_line(),
    }
}

/// The result of a single command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// Lines for standard output.
    pub stdout: String,
    /// Lines for standard error.
    pub stderr: String,
    /// 0, or 1 after an error.
    pub status: u8,
}

/// Runs a single command, as in `ssh HOST 'status'`. With a size the output is for people at a
/// terminal, without one for programs.
pub fn execute(
    line: &str,
    access: Access,
    actor: &Actor,
    handle: &Handle,
    terminal: Option<Size>,
) -> Executed {
    let columns = terminal.map_or(OutputFormat::COLUMNS, |size| size.sane().columns);
    // `ssh host "$(cat line)"` leaves the end of the line there.
    let line = line.trim_end_matches(['\r', '\n']);
    let mut protocol = LineProtocol::new(access);
    let reply = match shell::parse_command(line) {
        // A single command ends by itself.
        Some(Ok(shell::ConsoleCommand::Exit)) => None,
        Some(Ok(shell::ConsoleCommand::Watch { .. })) => {
            let why = "watch goes on until a key is pressed: it is for the prompt";
            Some(LineReply::Local(Err(why.to_owned())))
        }
        _ => protocol.reply(line, handle, actor),
    };
    let result = match reply {
        // A batch could never be committed.
        _ if protocol.is_in_batch() => Reply {
            last: "error: a batch is several lines, and this is one".to_owned(),
            ..Reply::default()
        },
        None => empty_reply(),
        Some(reply) => to_reply(&reply, columns),
    };
    result.executed(terminal.is_some())
}

impl Reply {
    /// At a terminal the last line is shown too; programs have the status.
    fn executed(mut self, at_terminal: bool) -> Executed {
        if at_terminal && self.ok && self.lines.is_empty() && !self.last.is_empty() {
            self.lines.push(std::mem::take(&mut self.last));
        }
        let text = |lines: &[String]| {
            let mut text = String::new();
            for line in lines {
                match at_terminal {
                    true => push_escaped(line, &mut text),
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
    //! What a person sees at the console, whatever the backend.

    use std::fmt::Write;

    use super::screen::Screen;
    use super::*;
    use crate::config::arbitrary::Random;

    /// Answers from a table, and records what was asked.
    #[derive(Default)]
    struct TestBackend {
        asked: Vec<String>,
        in_batch: bool,
        refused: Vec<String>,
        is_gone: bool,
    }

    impl Backend for TestBackend {
        fn ask(&mut self, line: &str, columns: u16) -> Option<Reply> {
            self.asked.push(format!("{columns} {line}"));
            let to_reply = |lines: &[&str], last: &str| Reply {
                ok: !last.starts_with("error"),
                lines: lines.iter().map(|it| (*it).to_owned()).collect(),
                last: last.to_owned(),
            };
            Some(match line {
                _ if self.is_gone => return None,
                "" => to_reply(&[], ""),
                "begin" | "commit" => {
                    self.in_batch = line == "begin";
                    to_reply(&[], "ok then")
                }
                "status" => {
                    let count = format!("look {}", self.asked.len());
                    to_reply(&[&count, "\u{1b}[2Jevil\u{9b}", "web"], "ok")
                }
                "config" => to_reply(&["x"; 500], "ok"),
                "help" => to_reply(&["status  as usual"], "ok"),
                _ => to_reply(&[], "error: no\u{1b}c"),
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

        fn reject_line(&mut self, why: &str) {
            self.refused.push(why.to_owned());
        }
    }

    struct Scene {
        shell: Shell,
        backend: TestBackend,
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
                backend: TestBackend::default(),
                screen: Screen::new(60, 12),
            };
            let mut out = Vec::new();
            scene.shell.greet("hello", &mut out);
            scene.screen.show(&out);
            scene
        }

        fn press(&mut self, keys: &str) -> Reaction {
            let mut out = Vec::new();
            let reaction = self
                .shell
                .input(keys.as_bytes(), &mut self.backend, &mut out);
            self.screen.show(&out);
            reaction
        }

        fn tick(&mut self, now_ms: u64) -> Option<u64> {
            let mut out = Vec::new();
            let next = self.shell.tick(now_ms, &mut self.backend, &mut out);
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
        assert_eq!(scene.backend.asked, ["60 status", "60 nonsense", "60 "]);
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
        scene.backend.is_gone = true;
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
        assert_eq!(scene.backend.refused.len(), 1);
        assert_eq!(scene.press("\x04"), Reaction::End);
        assert!(scene.screen.text().ends_with("nothing was changed"));
    }

    #[test]
    fn a_line_that_is_too_long_is_refused() {
        let mut scene = Scene::new();
        scene.press(&"x".repeat(65_537));
        scene.press("\r");
        assert!(scene.screen.text().contains("error: the line is too long"));
        assert_eq!(
            (scene.backend.asked.len(), scene.backend.refused.len()),
            (0, 1)
        );
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
        // A clock that is set back, and one that jumps ahead.
        assert_eq!(scene.tick(10), Some(500));
        assert_eq!(scene.tick(9_000_000), Some(500));
        assert_eq!(scene.screen.text(), expected(3));
        assert_eq!(scene.backend.asked.last().unwrap(), "59 status");
        scene.resize(30, 3);
        assert_eq!(scene.tick(9_000_001), Some(500));
        assert_eq!(
            scene.screen.text(),
            "status every 0.5 s: any key go\nlook 4\n(2 more lines)".replace("key go", "key g")
        );
        // An arrow is one key, and no byte of it is text.
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

    /// Any input: only known sequences are written, and the shell stays usable.
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
                    // After `exit` or Ctrl-D a new one begins.
                    scene = Scene::new();
                }
                scene.tick(random.next() % 10_000);
            }
            // Leaves a paste, a search or a live view.
            scene.press("\x1b[201~x\x07\x03");
            scene.press("config\r");
            let asked = &scene.backend.asked;
            assert!(asked.iter().any(|it| it.ends_with(" config")), "{asked:?}");
        }
    }
}
