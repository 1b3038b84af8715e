//! One person's or program's talk with the desk, line by line: what a line asks for,
//! and the batch that is being put together.
//!
//! Pure but for [`LineProtocol::answer`], which asks the desk. Where lines come from
//! is a door's business.

use super::handle::{Actor, Handle, OutputFormat, Response};
use crate::config::verb::table::{self, CommandSchema};
use crate::config::verb::{Batch, Command, ParseError, Verb};
use crate::config::{Access, Limit};

/// A talk with the desk.
#[derive(Debug)]
pub struct LineProtocol {
    access: Access,
    /// Since `begin`.
    batch: Option<Changes>,
}

/// The changes of a batch.
#[derive(Debug, Default)]
struct Changes {
    verbs: Vec<Verb>,
    /// Why one of them was not taken: then none will be.
    refused: Option<String>,
}

/// What a line comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParsedLine {
    /// Nothing at all: a line of blanks.
    Nothing,
    /// The desk is to be asked, and the answer given in this form.
    Ask(Request, OutputFormat),
    /// The desk need not be asked.
    Known(Result<String, String>),
    /// This command is not for somebody who may only read.
    Forbidden(&'static str),
}

/// What the desk is to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// [`Handle::obey`].
    Command(Command),
    /// [`Handle::change`].
    Change(Vec<Verb>),
}

/// What was said to a line.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LineReply {
    /// The desk's answer, wanted in this form.
    Response(Box<Response>, OutputFormat),
    /// What is known without the desk.
    Known(Result<String, String>),
}

/// What a line begins with whose answer is wanted as JSON.
const JSON: &str = "json ";

/// What a line begins with, a number behind it, whose answer is wanted that wide.
const COLUMNS: &str = "columns ";

impl LineProtocol {
    /// A talk with somebody who may do this.
    pub fn new(access: Access) -> LineProtocol {
        LineProtocol {
            access,
            batch: None,
        }
    }

    /// Whether there was a `begin`, and its end is yet to come.
    pub fn is_in_batch(&self) -> bool {
        self.batch.is_some()
    }

    /// What a line, without its end, comes to.
    pub fn hear(&mut self, line: &str) -> ParsedLine {
        // Some programs, and all of Windows, end lines with a carriage return too.
        let line = line.strip_suffix('\r').unwrap_or(line).trim_matches(' ');
        if line.is_empty() {
            return ParsedLine::Nothing;
        }
        let (line, form) = formed(line);
        let command: Result<Command, ParseError> = line.parse();
        let heard = match command {
            Ok(command) if !self.may_ask(&command) => return ParsedLine::Forbidden(command.name()),
            Ok(command) => self.take(command),
            Err(error) => Err(error.to_string()),
        };
        match heard {
            Ok(Some(wish)) => ParsedLine::Ask(wish, form),
            Ok(None) => ParsedLine::Known(Ok(self.state())),
            Err(why) => {
                self.refuse(&why);
                ParsedLine::Known(Err(why))
            }
        }
    }

    /// Hears a line and has it done by the desk; the answer as lines, as
    /// [`Response::text`] has them, or nothing for a line of blanks.
    pub fn answer(&mut self, line: &str, desk: &Handle, by: &Actor) -> String {
        let reply = self.reply(line, desk, by);
        reply.map_or_else(String::new, |reply| reply.text())
    }

    /// Hears a line and has it done by the desk; `None` for a line of blanks.
    pub fn reply(&mut self, line: &str, desk: &Handle, by: &Actor) -> Option<LineReply> {
        let answer = |answer, form| LineReply::Response(Box::new(answer), form);
        Some(match self.hear(line) {
            ParsedLine::Nothing => return None,
            ParsedLine::Ask(Request::Command(command), form) => {
                answer(desk.obey(by, command), form)
            }
            ParsedLine::Ask(Request::Change(verbs), form) => answer(desk.change(by, verbs), form),
            ParsedLine::Known(known) => LineReply::Known(known),
            ParsedLine::Forbidden(command) => {
                log::info!("refused: {command}; by {by}, who may only read");
                LineReply::Known(Err(format!("{command} is not for you: you may only read")))
            }
        })
    }

    fn may_ask(&self, command: &Command) -> bool {
        let only_reads = || table::command(command.name()).is_some_and(CommandSchema::only_reads);
        self.access == Access::Full || only_reads()
    }

    /// What is to be asked because of a command; `None` if it was kept, or is about
    /// the batch itself.
    fn take(&mut self, command: Command) -> Result<Option<Request>, String> {
        match (command, &mut self.batch) {
            (Command::Batch(Batch::Begin), None) => {
                self.batch = Some(Changes::default());
                Ok(None)
            }
            (Command::Batch(Batch::Begin), Some(_)) => {
                Err("there is a batch already: commit or abort ends it".to_owned())
            }
            (Command::Batch(_), None) => Err("there is no batch: begin starts one".to_owned()),
            (Command::Batch(Batch::Abort), Some(_)) => {
                self.batch = None;
                Ok(None)
            }
            (Command::Batch(Batch::Commit), Some(changes)) => {
                let Changes { verbs, refused } = std::mem::take(changes);
                self.batch = None;
                match refused {
                    None => Ok(Some(Request::Change(verbs))),
                    Some(why) => Err(format!("nothing of the batch is done: {why}")),
                }
            }
            (Command::Action(_), Some(_)) => {
                Err("only changes may be in a batch: commit or abort ends it".to_owned())
            }
            (Command::Change(verb), Some(changes)) => changes.add(verb).map(|()| None),
            (command, _) => Ok(Some(Request::Command(command))),
        }
    }

    /// A line could not even be heard. What is wrong with one line of a batch is wrong
    /// with all of it: a script that does not look at answers must not get the half of
    /// what it wants.
    pub fn refuse(&mut self, why: &str) {
        if let Some(changes) = &mut self.batch {
            changes.refused.get_or_insert_with(|| why.to_owned());
        }
    }

    fn state(&self) -> String {
        match &self.batch {
            None => "the batch is forgotten".to_owned(),
            Some(changes) => match changes.verbs.len() {
                0 => "a batch: commit makes the changes, abort forgets them".to_owned(),
                number => format!("kept as number {number} of the batch"),
            },
        }
    }
}

impl LineReply {
    /// As lines of the control socket: see [`Response::text`].
    pub fn text(&self) -> String {
        match self {
            LineReply::Response(answer, form) => answer.text(*form),
            LineReply::Known(_) => self.last_line() + "\n",
        }
    }

    /// The data alone, in the form that was asked for; tables of at most so many columns
    /// where none was.
    pub fn lines_for(&self, columns: u16) -> Vec<String> {
        match self {
            LineReply::Response(answer, OutputFormat::Table) => {
                answer.lines_in(OutputFormat::Wide(columns))
            }
            LineReply::Response(answer, form) => answer.lines_in(*form),
            LineReply::Known(_) => Vec::new(),
        }
    }

    /// `ok ...` or `error: ...`.
    pub fn last_line(&self) -> String {
        match self {
            LineReply::Response(answer, _) => answer.last_line(),
            LineReply::Known(Ok(told)) => format!("ok {told}"),
            LineReply::Known(Err(why)) => format!("error: {why}"),
        }
    }

    /// Whether what was wanted is done.
    pub fn is_ok(&self) -> bool {
        match self {
            LineReply::Response(answer, _) => answer.outcome.is_ok(),
            LineReply::Known(known) => known.is_ok(),
        }
    }
}

/// A line without what says in which form it is to be answered, and that.
fn formed(line: &str) -> (&str, OutputFormat) {
    if let Some(rest) = line.strip_prefix(JSON) {
        return (rest, OutputFormat::Json);
    }
    let wide = line.strip_prefix(COLUMNS).and_then(|rest| {
        let (number, rest) = rest.split_once(' ')?;
        Some((rest, OutputFormat::Wide(number.parse().ok()?)))
    });
    wide.unwrap_or((line, OutputFormat::Table))
}

impl Changes {
    fn add(&mut self, verb: Verb) -> Result<(), String> {
        if self.verbs.len() >= Limit::Nodes.max() {
            return Err(format!(
                "a batch has at most {} changes",
                Limit::Nodes.max()
            ));
        }
        self.verbs.push(verb);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    //! What lines come to, and what becomes of a batch with something wrong in it.

    use super::*;

    const WEIGH: &str = "setWeight service=s group=g name=a weight=2";
    const DRAIN: &str = "drainHost service=s group=g name=a";

    fn full() -> LineProtocol {
        LineProtocol::new(Access::Full)
    }

    fn ask(line: &str) -> ParsedLine {
        ParsedLine::Ask(Request::Command(line.parse().unwrap()), OutputFormat::Table)
    }

    fn verb(line: &str) -> Verb {
        match line.parse() {
            Ok(Command::Change(verb)) => verb,
            other => panic!("{line}: {other:?}"),
        }
    }

    /// Why nothing is done.
    fn refusal(heard: ParsedLine) -> String {
        match heard {
            ParsedLine::Known(Err(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_line_is_asked_for_at_once_outside_of_a_batch() {
        let mut talk = full();
        for line in [WEIGH, "status", "reload force=true"] {
            assert_eq!(talk.hear(line), ask(line));
        }
        assert_eq!(talk.hear("   "), ParsedLine::Nothing);
        assert_eq!(
            talk.hear("json status"),
            ParsedLine::Ask(
                Request::Command("status".parse().unwrap()),
                OutputFormat::Json
            )
        );
        assert_eq!(
            talk.hear("columns 120 status"),
            ParsedLine::Ask(
                Request::Command("status".parse().unwrap()),
                OutputFormat::Wide(120)
            )
        );
        assert!(refusal(talk.hear("columns status")).contains("columns"));
        assert!(refusal(talk.hear("stattus")).contains("is status meant?"));
        assert!(refusal(talk.hear("json")).contains("no verb"));
    }

    #[test]
    fn the_changes_of_a_batch_are_asked_for_as_one() {
        let mut talk = full();
        assert!(matches!(talk.hear("begin"), ParsedLine::Known(Ok(_))));
        assert!(talk.is_in_batch());
        for line in [WEIGH, DRAIN] {
            assert!(matches!(talk.hear(line), ParsedLine::Known(Ok(_))));
        }
        // What only reads is answered meanwhile.
        assert_eq!(talk.hear("diff"), ask("diff"));
        let wish = Request::Change(vec![verb(WEIGH), verb(DRAIN)]);
        assert_eq!(
            talk.hear("json commit"),
            ParsedLine::Ask(wish, OutputFormat::Json)
        );
        assert!(!talk.is_in_batch());
        assert!(refusal(talk.hear("commit")).contains("begin starts one"));
    }

    #[test]
    fn a_batch_may_be_forgotten() {
        let mut talk = full();
        for line in ["begin", WEIGH, "abort"] {
            assert!(matches!(talk.hear(line), ParsedLine::Known(Ok(_))));
        }
        assert_eq!(talk.hear(DRAIN), ask(DRAIN));
        assert!(refusal(talk.hear("abort")).contains("there is no batch"));
    }

    #[test]
    fn a_batch_with_something_wrong_in_it_does_nothing() {
        for wrong in ["setWeight service=s", "nonsense", "begin", "saveConfig"] {
            let mut talk = full();
            talk.hear("begin");
            talk.hear(WEIGH);
            let why = refusal(talk.hear(wrong));
            talk.hear(DRAIN);
            let all = refusal(talk.hear("commit"));
            assert!(all.ends_with(&why), "{all}");
            // That was that batch; the next one is a new one.
            talk.hear("begin");
            let wish = Request::Change(Vec::new());
            assert_eq!(
                talk.hear("commit"),
                ParsedLine::Ask(wish, OutputFormat::Table)
            );
        }
    }

    #[test]
    fn who_may_only_read_is_refused_everything_else() {
        let mut talk = LineProtocol::new(Access::ReadOnly);
        for command in table::commands() {
            let keys = command.keys.iter().filter(|key| key.required);
            let keys = keys.map(|key| match key.name {
                "ip" | "listen" | "from" | "to" => format!(" {}=1.2.3.4:1", key.name),
                "weight" => " weight=1".to_owned(),
                "scheduler" => " scheduler=p2c".to_owned(),
                "access" => " access=full".to_owned(),
                "name" if command.name == "setOption" => " name=logging.file".to_owned(),
                name => format!(" {name}=x"),
            });
            let line = command.name.to_owned() + &keys.collect::<String>();
            match talk.hear(&line) {
                ParsedLine::Ask(..) => assert!(command.only_reads(), "{line}"),
                heard => {
                    assert_eq!(heard, ParsedLine::Forbidden(command.name), "{line}");
                    assert!(!command.only_reads(), "{line}");
                }
            }
        }
        assert!(!talk.is_in_batch());
    }
}
