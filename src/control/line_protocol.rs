//! Line protocol of the control socket and the console: parses lines and collects batches. Reads
//! no input itself.

use super::handle::{Actor, Handle, OutputFormat, Request, Response};
use crate::config::verb::table::{self, CommandSchema};
use crate::config::verb::{Batch, Command, ParseError, Verb};
use crate::config::{Access, Limit};

/// State of one conversation.
#[derive(Debug)]
pub struct LineProtocol {
    access: Access,
    /// The batch, between `begin` and its end.
    batch: Option<Changes>,
}

/// The changes of a batch.
#[derive(Debug, Default)]
struct Changes {
    verbs: Vec<Verb>,
    /// Why a line was rejected: then the whole batch will be.
    rejected: Option<String>,
}

/// A parsed line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParsedLine {
    /// A line of blanks.
    Blank,
    /// A request for the controller, and the format of its response.
    Request(Request, OutputFormat),
    /// Answered without the controller.
    Local(Result<String, String>),
    /// A command that a read-only user may not use.
    Forbidden(&'static str),
}

/// The reply to a line.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LineReply {
    /// The controller's response, and its format.
    Response(Box<Response>, OutputFormat),
    /// Answered without the controller.
    Local(Result<String, String>),
}

/// Prefix of a line whose response is wanted as JSON.
const JSON: &str = "json ";

/// Prefix, followed by a number, of a line whose response is wanted that wide.
const COLUMNS: &str = "columns ";

impl LineProtocol {
    /// A conversation with these rights.
    pub fn new(access: Access) -> LineProtocol {
        LineProtocol {
            access,
            batch: None,
        }
    }

    /// Whether a batch has begun and not ended.
    pub fn is_in_batch(&self) -> bool {
        self.batch.is_some()
    }

    /// Parses a line without its end.
    pub fn parse_line(&mut self, line: &str) -> ParsedLine {
        // Some programs, and Windows, end lines with a carriage return too.
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
            Ok(Some(request)) => ParsedLine::Request(request, format),
            Ok(None) => ParsedLine::Local(Ok(self.state())),
            Err(why) => {
                self.reject_line(&why);
                ParsedLine::Local(Err(why))
            }
        }
    }

    /// Executes a line. Returns the reply as [`Response::text`] does, or nothing for a line of
    /// blanks.
    pub fn reply_text(&mut self, line: &str, handle: &Handle, actor: &Actor) -> String {
        let reply = self.reply(line, handle, actor);
        reply.map_or_else(String::new, |reply| reply.text())
    }

    /// Executes a line; `None` for a line of blanks.
    pub fn reply(&mut self, line: &str, handle: &Handle, actor: &Actor) -> Option<LineReply> {
        let response = |response, format| LineReply::Response(Box::new(response), format);
        Some(match self.parse_line(line) {
            ParsedLine::Blank => return None,
            ParsedLine::Request(Request::Command(command), format) => {
                response(handle.execute(actor, command), format)
            }
            ParsedLine::Request(Request::Change(verbs), format) => {
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

    /// The request that follows from a command; `None` if it only changes the batch.
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
                    Some(why) => Err(format!("no change of the batch was made: {why}")),
                }
            }
            (Command::Action(_), Some(_)) => {
                Err("only changes may be in a batch: commit or abort ends it".to_owned())
            }
            (Command::Change(verb), Some(changes)) => changes.add(verb).map(|()| None),
            (command, _) => Ok(Some(Request::Command(command))),
        }
    }

    /// Rejects the batch because one of its lines is wrong. A script that does not read replies
    /// must not get half of a batch.
    pub fn reject_line(&mut self, why: &str) {
        if let Some(changes) = &mut self.batch {
            changes.rejected.get_or_insert_with(|| why.to_owned());
        }
    }

    fn state(&self) -> String {
        match &self.batch {
            None => "the batch was dropped".to_owned(),
            Some(changes) => match changes.verbs.len() {
                0 => "a batch has begun: commit makes its changes, abort drops them".to_owned(),
                number => format!("change {number} of the batch"),
            },
        }
    }
}

impl LineReply {
    /// The reply as lines of the control socket: see [`Response::text`].
    pub fn text(&self) -> String {
        match self {
            LineReply::Response(response, format) => response.text(*format),
            LineReply::Local(_) => self.last_line() + "\n",
        }
    }

    /// The data alone, in the format that was asked for, else as tables of at most `columns`
    /// columns.
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
            LineReply::Local(Ok(message)) => format!("ok {message}"),
            LineReply::Local(Err(why)) => format!("error: {why}"),
        }
    }

    /// Whether the request was done.
    pub fn is_ok(&self) -> bool {
        match self {
            LineReply::Response(response, _) => response.outcome.is_ok(),
            LineReply::Local(known) => known.is_ok(),
        }
    }
}

/// Splits a prefix off that says the format of the response.
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
    //! Parsed lines, and batches with a wrong line.

    use super::*;

    const WEIGH: &str = "setWeight service=s group=g name=a weight=2";
    const DRAIN: &str = "drainHost service=s group=g name=a";

    fn full() -> LineProtocol {
        LineProtocol::new(Access::Full)
    }

    fn ask(line: &str) -> ParsedLine {
        ParsedLine::Request(Request::Command(line.parse().unwrap()), OutputFormat::Table)
    }

    fn verb(line: &str) -> Verb {
        match line.parse() {
            Ok(Command::Change(verb)) => verb,
            other => panic!("{line}: {other:?}"),
        }
    }

    /// Why the line was rejected.
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
            ParsedLine::Request(
                Request::Command("status".parse().unwrap()),
                OutputFormat::Json
            )
        );
        assert_eq!(
            protocol.parse_line("columns 120 status"),
            ParsedLine::Request(
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
        // Commands that only read are answered at once.
        assert_eq!(protocol.parse_line("diff"), ask("diff"));
        let request = Request::Change(vec![verb(WEIGH), verb(DRAIN)]);
        assert_eq!(
            protocol.parse_line("json commit"),
            ParsedLine::Request(request, OutputFormat::Json)
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
            // The next batch starts anew.
            protocol.parse_line("begin");
            let request = Request::Change(Vec::new());
            assert_eq!(
                protocol.parse_line("commit"),
                ParsedLine::Request(request, OutputFormat::Table)
            );
        }
    }

    #[test]
    fn who_may_only_read_is_refused_everything_else() {
        let mut protocol = LineProtocol::new(Access::ReadOnly);
        for command in table::commands() {
            let keys = command.keys().iter().filter(|key| key.required);
            let keys = keys.map(|key| match key.name {
                "ip" | "listen" | "from" | "to" => format!(" {}=1.2.3.4:1", key.name),
                "weight" => " weight=1".to_owned(),
                "id" => " id=1".to_owned(),
                "scheduler" => " scheduler=p2c".to_owned(),
                "access" => " access=full".to_owned(),
                "type" => " type=tcp".to_owned(),
                "check" | "route" => format!(" {}=1", key.name),
                "name" if command.name == "setOption" => " name=logging.file".to_owned(),
                name => format!(" {name}=x"),
            });
            let line = command.name.to_owned() + &keys.collect::<String>();
            match protocol.parse_line(&line) {
                ParsedLine::Request(..) => assert!(command.only_reads(), "{line}"),
                parsed => {
                    assert_eq!(parsed, ParsedLine::Forbidden(command.name), "{line}");
                    assert!(!command.only_reads(), "{line}");
                }
            }
        }
        assert!(!protocol.is_in_batch());
    }
}
