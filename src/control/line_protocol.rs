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
    rejected: Option<String>,
}

/// What a line comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParsedLine {
    /// Blank at all: a line of blanks.
    Blank,
    /// The desk is to be asked, and the answer given in this form.
    Ask(Request, OutputFormat),
    /// The desk need not be asked.
    Local(Result<String, String>),
    /// This command is not for somebody who may only read.
    Forbidden(&'static str),
}

/// What the desk is to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// [`Handle::execute`].
    Command(Command),
    /// [`Handle::change`].
    Change(Vec<Verb>),
}

/// What was said to a line.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LineReply {
    /// The desk's response, wanted in this form.
    Response(Box<Response>, OutputFormat),
    /// What is known without the desk.
    Local(Result<String, String>),
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
    pub fn parse_line(&mut self, line: &str) -> ParsedLine {
        // Some programs, and all of Windows, end lines with a carriage return too.
        let line = line.strip_suffix('\r').unwrap_or(line).trim_matches(' ');
        if line.is_empty() {
            return ParsedLine::Blank;
        }
        let (line, format) = split_format(line);
        let command: Result<Command, ParseError> = line.parse();
        let parsed = match command {
            Ok(command) if !self.may_ask(&command) => return ParsedLine::Forbidden(command.name()),
            Ok(command) => self.add_command(command),
            Err(error) => Err(error.to_string()),
        };
        match parsed {
            Ok(Some(request)) => ParsedLine::Ask(request, format),
            Ok(None) => ParsedLine::Local(Ok(self.state())),
            Err(why) => {
                self.reject_line(&why);
                ParsedLine::Local(Err(why))
            }
        }
    }

    /// Hears a line and has it done by the desk; the answer as lines, as
    /// [`Response::text`] has them, or nothing for a line of blanks.
    pub fn reply_text(&mut self, line: &str, handle: &Handle, actor: &Actor) -> String {
        let reply = self.reply(line, handle, actor);
        reply.map_or_else(String::new, |reply| reply.text())
    }

    /// Hears a line and has it done by the desk; `None` for a line of blanks.
    pub fn reply(&mut self, line: &str, handle: &Handle, actor: &Actor) -> Option<LineReply> {
        let response = |response, format| LineReply::Response(Box::new(response), format);
        Some(match self.parse_line(line) {
            ParsedLine::Blank => return None,
            ParsedLine::Ask(Request::Command(command), format) => {
                response(handle.execute(actor, command), format)
            }
            ParsedLine::Ask(Request::Change(verbs), format) => {
                response(handle.change(actor, verbs), format)
            }
            ParsedLine::Local(known) => LineReply::Local(known),
            ParsedLine::Forbidden(command) => {
                log::info!("refused: {command}; by {actor}, who may only read");
                LineReply::Local(Err(format!("{command} is not for you: you may only read")))
            }
        })
    }

    fn may_ask(&self, command: &Command) -> bool {
        let only_reads = || table::command(command.name()).is_some_and(CommandSchema::only_reads);
        self.access == Access::Full || only_reads()
    }

    /// What is to be asked because of a command; `None` if it was kept, or is about
    /// the batch itself.
    fn add_command(&mut self, command: Command) -> Result<Option<Request>, String> {
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
                let Changes { verbs, rejected } = std::mem::take(changes);
                self.batch = None;
                match rejected {
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
    pub fn reject_line(&mut self, why: &str) {
        if let Some(changes) = &mut self.batch {
            changes.rejected.get_or_insert_with(|| why.to_owned());
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
            LineReply::Response(response, format) => response.text(*format),
            LineReply::Local(_) => self.last_line() + "\n",
        }
    }

    /// The data alone, in the form that was asked for; tables of at most so many columns
    /// where none was.
    pub fn lines_for(&self, columns: u16) -> Vec<String> {
        match self {
            LineReply::Response(response, OutputFormat::Table) => {
                response.lines_in(OutputFormat::Wide(columns))
            }
            LineReply::Response(response, format) => response.lines_in(*format),
            LineReply::Local(_) => Vec::new(),
        }
    }

    /// `ok ...` or `error: ...`.
    pub fn last_line(&self) -> String {
        match self {
            LineReply::Response(response, _) => response.last_line(),
            LineReply::Local(Ok(told)) => format!("ok {told}"),
            LineReply::Local(Err(why)) => format!("error: {why}"),
        }
    }

    /// Whether what was wanted is done.
    pub fn is_ok(&self) -> bool {
        match self {
            LineReply::Response(response, _) => response.outcome.is_ok(),
            LineReply::Local(known) => known.is_ok(),
        }
    }
}

/// A line without what says in which form it is to be answered, and that.
fn split_format(line: &str) -> (&str, OutputFormat) {
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
        if self.verbs.len() >= Limit::Nodes.most() {
            return Err(format!(
                "a batch has at most {} changes",
                Limit::Nodes.most()
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
    fn reason_of(parsed: ParsedLine) -> String {
        match parsed {
            ParsedLine::Local(Err(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_line_is_asked_for_at_once_outside_of_a_batch() {
        let mut protocol = full();
        for line in [WEIGH, "status", "reload force=true"] {
            assert_eq!(protocol.parse_line(line), ask(line));
        }
        assert_eq!(protocol.parse_line("   "), ParsedLine::Blank);
        assert_eq!(
            protocol.parse_line("json status"),
            ParsedLine::Ask(
                Request::Command("status".parse().unwrap()),
                OutputFormat::Json
            )
        );
        assert_eq!(
            protocol.parse_line("columns 120 status"),
            ParsedLine::Ask(
                Request::Command("status".parse().unwrap()),
                OutputFormat::Wide(120)
            )
        );
        assert!(reason_of(protocol.parse_line("columns status")).contains("columns"));
        assert!(reason_of(protocol.parse_line("stattus")).contains("is status meant?"));
        assert!(reason_of(protocol.parse_line("json")).contains("no verb"));
    }

    #[test]
    fn the_changes_of_a_batch_are_asked_for_as_one() {
        let mut protocol = full();
        assert!(matches!(
            protocol.parse_line("begin"),
            ParsedLine::Local(Ok(_))
        ));
        assert!(protocol.is_in_batch());
        for line in [WEIGH, DRAIN] {
            assert!(matches!(
                protocol.parse_line(line),
                ParsedLine::Local(Ok(_))
            ));
        }
        // What only reads is answered meanwhile.
        assert_eq!(protocol.parse_line("diff"), ask("diff"));
        let request = Request::Change(vec![verb(WEIGH), verb(DRAIN)]);
        assert_eq!(
            protocol.parse_line("json commit"),
            ParsedLine::Ask(request, OutputFormat::Json)
        );
        assert!(!protocol.is_in_batch());
        assert!(reason_of(protocol.parse_line("commit")).contains("begin starts one"));
    }

    #[test]
    fn a_batch_may_be_forgotten() {
        let mut protocol = full();
        for line in ["begin", WEIGH, "abort"] {
            assert!(matches!(
                protocol.parse_line(line),
                ParsedLine::Local(Ok(_))
            ));
        }
        assert_eq!(protocol.parse_line(DRAIN), ask(DRAIN));
        assert!(reason_of(protocol.parse_line("abort")).contains("there is no batch"));
    }

    #[test]
    fn a_batch_with_something_wrong_in_it_does_nothing() {
        for wrong in ["setWeight service=s", "nonsense", "begin", "saveConfig"] {
            let mut protocol = full();
            protocol.parse_line("begin");
            protocol.parse_line(WEIGH);
            let why = reason_of(protocol.parse_line(wrong));
            protocol.parse_line(DRAIN);
            let all = reason_of(protocol.parse_line("commit"));
            assert!(all.ends_with(&why), "{all}");
            // That was that batch; the next one is a new one.
            protocol.parse_line("begin");
            let request = Request::Change(Vec::new());
            assert_eq!(
                protocol.parse_line("commit"),
                ParsedLine::Ask(request, OutputFormat::Table)
            );
        }
    }

    #[test]
    fn who_may_only_read_is_refused_everything_else() {
        let mut protocol = LineProtocol::new(Access::ReadOnly);
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
            match protocol.parse_line(&line) {
                ParsedLine::Ask(..) => assert!(command.only_reads(), "{line}"),
                parsed => {
                    assert_eq!(parsed, ParsedLine::Forbidden(command.name), "{line}");
                    assert!(!command.only_reads(), "{line}");
                }
            }
        }
        assert!(!protocol.is_in_batch());
    }
}
