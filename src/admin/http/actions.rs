//! The buttons of the page: what is pressed is done, and the page shown again with what
//! came of it.
//!
//! Only who was shown the page can press: its forms have a token in them, and say which
//! configuration they were made for.

use std::io::Write;

use super::guard::Visitor;
use super::request::{Fields, Request, fields};
use super::response::{Answer, error_page};
use super::state::{NOTICE, Visit};
use crate::admin::page::{Notice, Refresh};
use crate::config::Access;
use crate::config::verb::{Command, ParseError, Question, table};
use crate::control::Status;
use crate::json::{Json, Object};

/// Does what was pressed.
pub(super) fn press(visit: &Visit<'_>, visitor: &Visitor, request: &Request) -> Answer {
    let fields = match read_fields(request, true) {
        Ok(fields) => fields,
        Err((status, why)) => return error_page(request, status, why),
    };
    let token = value(&fields, "token").unwrap_or_default();
    let name = visitor.name.as_deref().unwrap_or_default();
    if !visit.hall.auth.is_page_token(name, token) {
        let text = "this page was shown by another run of txlb, or to somebody else: \
                    load it again; nothing was done";
        return error_page(request, 403, text);
    }
    let outcome = match visitor.access {
        Access::Full => obey(visit, visitor, &fields),
        Access::ReadOnly => Err("you may only read".to_owned()),
    };
    let number = visit.hall.auth.random_number().ok();
    if let Some(number) = number {
        visit.hall.notices.keep(number, notice(outcome));
    }
    Answer::see(back(request, number))
}

/// Where the page is that is shown next, with what came of the press if it has a number;
/// without one the page shows what is done. It refreshes itself like the one before it.
fn back(request: &Request, number: Option<u64>) -> String {
    let asked = fields(request.query.as_bytes()).unwrap_or_default();
    let query = Refresh::new(None, &asked).query();
    match (number, query.strip_prefix('?')) {
        (None, _) => format!("./{query}"),
        (Some(number), None) => format!("./?{NOTICE}={number:x}"),
        (Some(number), Some(query)) => format!("./?{NOTICE}={number:x}&{query}"),
    }
}

fn notice(outcome: Result<String, String>) -> Notice {
    match outcome {
        Ok(text) => Notice { ok: true, text },
        Err(text) => Notice { ok: false, text },
    }
}

/// Does it; what is said is for people.
fn obey(visit: &Visit<'_>, visitor: &Visitor, fields: &Fields) -> Result<String, String> {
    let command = command(fields)?;
    let seen = value(fields, "generation").and_then(|text| text.parse().ok());
    let seen = seen.ok_or("the page does not say which configuration it shows")?;
    let shown = command.to_string();
    let told = visit.hall.desk().obey_seen(&visitor.by, command, seen);
    match told.outcome {
        Ok(done) if done.is_empty() => Ok(shown),
        Ok(done) => Ok(format!("{shown}: {done}")),
        Err(why) => Err(format!("{shown}: {why}")),
    }
}

/// The verb that was pressed, with those of the form's fields that it takes: the buttons
/// of a row share them.
fn command(fields: &Fields) -> Result<Command, String> {
    let name = value(fields, "verb").ok_or("no verb was pressed")?;
    let schema = table::command(name).ok_or("there is no such verb")?;
    let taken: Vec<_> = fields
        .iter()
        .filter(|(name, _)| schema.key(name).is_some())
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    Command::from_pairs(name, &taken).map_err(|error| error.to_string())
}

fn value<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    let mut named = fields.iter().filter(|(own, _)| own == name);
    named.next().map(|(_, value)| value.as_str())
}

/// The one kind of form that is understood.
const FORM: &str = "application/x-www-form-urlencoded";

/// Answers what is asked for by name. With GET there is only the reading, and the
/// answer is the data alone; with POST it says what came of it as well.
pub(super) fn call(
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
        Ok(command) => execute(visit, visitor, command, is_post),
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

fn execute(visit: &Visit<'_>, visitor: &Visitor, command: Command, whole: bool) -> Answer {
    if !whole && matches!(command, Command::Question(Question::Status)) {
        let write = |status: &Status, out: &mut dyn Write| {
            status.write_json(out)?;
            out.write_all(b"\n")
        };
        return Answer::export("application/json", visit.hall.shared_status(), write);
    }
    let told = visit.hall.desk().obey(&visitor.by, command);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn fields_of(text: &str) -> Fields {
        fields(text.as_bytes()).unwrap()
    }

    #[test]
    fn after_a_press_the_page_is_refreshed_as_before() {
        let back_to = |query: &str, number| {
            let request = Request {
                query: query.to_owned(),
                ..Request::default()
            };
            back(&request, number)
        };
        assert_eq!(back_to("", Some(10)), "./?notice=a");
        assert_eq!(back_to("refresh=0", Some(10)), "./?notice=a&refresh=0");
        assert_eq!(back_to("refresh=5&change", None), "./?refresh=5");
        assert_eq!(back_to("%", None), "./");
    }

    #[test]
    fn a_button_takes_what_its_verb_needs_of_the_row() {
        let row = "token=x&generation=7&service=s&group=g&name=a&weight=5&verb=";
        let of = |verb: &str| command(&fields_of(&format!("{row}{verb}"))).map(|it| it.to_string());
        assert_eq!(
            of("drainHost").as_deref(),
            Ok("drainHost service=s group=g name=a")
        );
        assert_eq!(
            of("setWeight").as_deref(),
            Ok("setWeight service=s group=g name=a weight=5")
        );
        assert!(of("").is_err() && of("addHost").is_err());
    }
}
