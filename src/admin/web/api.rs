//! The API: every verb under its own name, with its keys as the fields of a form, and
//! answered in JSON.
//!
//! What the verbs are, and what they do, is known to the desk.

use std::io::Write;

use super::routes::{Visit, Visitor};
use crate::admin::http::{Answer, Fields, Request, fields};
use crate::config::Access;
use crate::config::verb::{Command, ParseError, Question, table};
use crate::control::Status;
use crate::json::{Json, Object};

/// The one kind of form that is understood.
const FORM: &str = "application/x-www-form-urlencoded";

/// Answers what is asked for by name. With GET there is only the reading, and the
/// answer is the data alone; with POST it says what came of it as well.
pub(super) fn answer(
    visit: &Visit<'_>,
    visitor: &Visitor,
    request: &Request,
    name: &str,
    is_post: bool,
) -> Answer {
    let Some(schema) = table::command(name) else {
        return refuse(404, &ParseError::unknown_verb(name).to_string());
    };
    if !is_post && !schema.only_reads() {
        let text = format!("{name} takes POST: nothing was done");
        return refuse(405, &text).with("Allow", methods(name).to_owned());
    }
    if !schema.only_reads() && visitor.access != Access::Full {
        log::info!("refused: {name}; by {}, who may only read", visitor.by);
        return refuse(403, "you may only read");
    }
    let command = match read_fields(request, is_post) {
        Ok(fields) => Command::from_pairs(name, &fields),
        Err((status, why)) => return refuse(status, why),
    };
    match command {
        Ok(command) => obey(visit, visitor, command, is_post),
        Err(error) => refuse(400, &error.to_string()),
    }
}

/// What may be done with the verb of that name.
pub(super) fn methods(name: &str) -> &'static str {
    match table::command(name).is_some_and(|schema| !schema.only_reads()) {
        true => "POST",
        false => "GET, HEAD, POST",
    }
}

fn obey(visit: &Visit<'_>, visitor: &Visitor, command: Command, whole: bool) -> Answer {
    if !whole && matches!(command, Command::Question(Question::Status)) {
        let write = |status: &Status, out: &mut dyn Write| {
            status.write_json(out)?;
            out.write_all(b"\n")
        };
        return Answer::export("application/json", visit.hall.shared_status(), write);
    }
    let told = visit.hall.desk().execute(&visitor.by, command);
    match &told.outcome {
        Ok(_) if whole => Answer::json(200, told.whole_json()),
        Ok(_) => Answer::json(200, told.json()),
        Err(_) => Answer::json(409, told.whole_json()),
    }
}

/// The fields of a request: behind the question mark, or in its body.
///
/// # Errors
/// The status and the reason that are to be answered.
pub(super) fn read_fields(request: &Request, is_post: bool) -> Result<Fields, (u16, &'static str)> {
    let text = match is_post {
        false => request.query.as_bytes(),
        true if request.body.is_empty() => b"",
        true if is_form(request) => &request.body,
        true => return Err((415, "the fields are wanted as a form sends them")),
    };
    fields(text).ok_or((400, "the fields are not understood"))
}

fn is_form(request: &Request) -> bool {
    let kind = request.content_type.as_deref().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case(FORM)
}

/// The same form as that of every other answer.
fn refuse(status: u16, why: &str) -> Answer {
    let object = Object::new().with("ok", false).with("error", why);
    Answer::json(status, Json::from(object).into_text())
}
