//! What came of something that was asked for, and how that is written in lines.
//!
//! Data is kept as such until somebody wants it as a table or as JSON.

use crate::control::{Sessions, Status};
use crate::json::{Json, Object};

use super::table;

/// What came of something that was asked for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Response {
    /// What there is to be told.
    pub data: ResponseData,
    /// What was done, empty where that goes without saying; or why nothing was.
    pub outcome: Result<String, String>,
    /// Of the configuration in force then: counts those that were, from 1.
    pub generation: u64,
}

/// What there is to be told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ResponseData {
    /// Lines for people, or of exact text.
    Lines(Vec<String>),
    /// How everything is.
    Status(Box<Status>),
    /// The open sessions.
    Sessions(Sessions),
}

/// How an answer's data is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputFormat {
    /// As lines for people.
    #[default]
    Table,
    /// The same, so many columns wide where that shows more.
    Wide(u16),
    /// As JSON on one line.
    Json,
}

impl OutputFormat {
    /// Tables are so many columns wide at most where nothing else is said.
    pub const COLUMNS: u16 = 78;
}

impl Response {
    pub(super) fn new(outcome: Result<String, String>, generation: u64) -> Response {
        Response {
            data: ResponseData::Lines(Vec::new()),
            outcome,
            generation,
        }
    }

    pub(super) fn with(self, data: ResponseData) -> Response {
        Response { data, ..self }
    }

    /// The data as lines for people: tables of at most 78 columns, and exact text,
    /// such as verbs, as long as it is.
    pub fn lines(&self) -> Vec<String> {
        self.lines_for(OutputFormat::COLUMNS)
    }

    /// As [`Response::lines`], with tables of at most so many columns: names and addresses
    /// get what there is to spare.
    pub fn lines_for(&self, columns: u16) -> Vec<String> {
        let columns = usize::from(columns);
        match &self.data {
            ResponseData::Lines(lines) => lines.clone(),
            ResponseData::Status(status) => table::status(status, columns),
            ResponseData::Sessions(sessions) => table::sessions(sessions, columns),
        }
    }

    /// The data as JSON, on one line. What has no names of its own is `{"lines": …}`.
    pub fn json(&self) -> String {
        Json::from(self.data()).into_text()
    }

    /// All of it as JSON, on one line: `ok`, `generation`, `done` or `error`, and `data`
    /// as [`Response::json`] has it.
    pub fn whole_json(&self) -> String {
        let outcome = self.outcome.as_ref();
        let object = Object::new()
            .with("ok", outcome.is_ok())
            .with("generation", self.generation)
            .with("done", outcome.ok().map(String::as_str))
            .with("error", outcome.err().map(String::as_str))
            .with("data", self.data());
        Json::from(object).into_text()
    }

    fn data(&self) -> Object {
        match &self.data {
            ResponseData::Lines(lines) => {
                Object::new().with_list("lines", lines.iter().map(String::as_str))
            }
            ResponseData::Status(status) => status.to_object(),
            ResponseData::Sessions(sessions) => sessions.to_object(),
        }
    }

    /// All of it as lines of the control socket: the data indented by two spaces, then
    /// `ok generation N` or `error: …`. Each ends with a line feed.
    pub fn text(&self, form: OutputFormat) -> String {
        let mut text = String::new();
        for line in self.lines_in(form) {
            text.push_str("  ");
            push_clean(&line, &mut text);
            text.push('\n');
        }
        push_clean(&self.last_line(), &mut text);
        text.push('\n');
        text
    }

    /// The data as lines in this form.
    pub fn lines_in(&self, form: OutputFormat) -> Vec<String> {
        match form {
            OutputFormat::Table => self.lines(),
            OutputFormat::Wide(columns) => self.lines_for(columns),
            OutputFormat::Json => match &self.data {
                // An error has none, as a rule.
                ResponseData::Lines(lines) if lines.is_empty() && self.outcome.is_err() => {
                    Vec::new()
                }
                _ => vec![self.json()],
            },
        }
    }

    /// `ok generation N`, and what was done; or `error: ` and why nothing was.
    pub fn last_line(&self) -> String {
        match &self.outcome {
            Ok(done) if done.is_empty() => format!("ok generation {}", self.generation),
            Ok(done) => format!("ok generation {}: {done}", self.generation),
            Err(why) => format!("error: {why}"),
        }
    }
}

/// A line stays one, whatever is in it. A tab is left, or the lines of a file would not be its own.
pub(crate) fn push_clean(line: &str, out: &mut String) {
    for character in line.chars() {
        match character.is_control() && character != '\t' {
            true => out.extend(character.escape_default()),
            false => out.push(character),
        }
    }
}
