//! Requests that run verbs: `/api/VERB`, answered in JSON, and the buttons of the page,
//! answered by a redirect to the page with a flash message.
//!
//! Forms of the page carry a token against cross-site requests, and the generation of
//! the configuration that was shown.

use super::guard::Principal;
use super::request::{Fields, Request, fields};
use super::response::{Response, error_page};
use super::state::{FLASH_FIELD, RequestContext};
use crate::admin::page::{FlashMessage, Query, TICKED, VERBS};
use crate::config::Access;
use crate::config::verb::{Command, ParseError, Question, StatusFilter, Verb, table};
use crate::json::{Json, Object};
use crate::text::plural;

/// Runs the verb of the pressed button, and redirects to the page.
pub(super) fn run_action(
    context: &RequestContext<'_>,
    principal: &Principal,
    request: &Request,
) -> Response {
    let fields = match read_fields(request, true) {
        Ok(fields) => fields,
        Err((status, why)) => return error_page(request, status, why),
    };
    let token = value(&fields, "token").unwrap_or_default();
    let name = principal.name.as_deref().unwrap_or_default();
    if !context.state.auth.is_page_token(name, token) {
        let text = "this page was shown by another run of txlb, or to another user: \
                    load it again; nothing was done";
        return error_page(request, 403, text);
    }
    let outcome = match principal.access {
        Access::Full => run_button_verb(context, principal, &fields),
        Access::ReadOnly => Err("you may only read".to_owned()),
    };
    let number = context.state.auth.random_number().ok();
    if let Some(number) = number {
        context
            .state
            .flash_messages
            .keep(number, flash_message(outcome));
    }
    Response::see_other(redirect_target(request, number))
}

/// The URL to redirect to: the page, with the number of its flash message if there is
/// one, and as the page was shown.
fn redirect_target(request: &Request, number: Option<u64>) -> String {
    let query_fields = fields(request.query.as_bytes()).unwrap_or_default();
    let query = Query::new(None, &query_fields).text();
    match (number, query.strip_prefix('?')) {
        (None, _) => format!("./{query}"),
        (Some(number), None) => format!("./?{FLASH_FIELD}={number:x}"),
        (Some(number), Some(query)) => format!("./?{FLASH_FIELD}={number:x}&{query}"),
    }
}

fn flash_message(outcome: Result<String, String>) -> FlashMessage {
    match outcome {
        Ok(text) => FlashMessage { ok: true, text },
        Err(text) => FlashMessage { ok: false, text },
    }
}

/// Runs the verb of a button. The result is text for people.
fn run_button_verb(
    context: &RequestContext<'_>,
    principal: &Principal,
    fields: &Fields,
) -> Result<String, String> {
    let generation = value(fields, "generation").and_then(|text| text.parse().ok());
    let generation = generation.ok_or("the page does not say which configuration it shows")?;
    let handle = context.state.handle();
    let (text, response) = match value(fields, "verb").filter(|_| is_for_many(fields)) {
        Some(name) => {
            let verbs = verbs_for_ticked(name, fields)?;
            let text = format!("{name} of {}", plural(verbs.len(), "host"));
            let change = handle.change_if_current(&principal.actor, verbs, generation);
            (text, change)
        }
        None => {
            let command = command(fields)?;
            let text = command.to_string();
            let done = handle.execute_if_current(&principal.actor, command, generation);
            (text, done)
        }
    };
    match response.outcome {
        Ok(done) if done.is_empty() => Ok(text),
        Ok(done) => Ok(format!("{text}: {done}")),
        Err(why) => Err(format!("{text}: {why}")),
    }
}

/// Whether the form is the one for ticked hosts: it names no host of its own.
fn is_for_many(fields: &Fields) -> bool {
    value(fields, "verb").is_some_and(|verb| VERBS.contains(&verb))
        && value(fields, "name").is_none()
}

/// The verb `name` for each ticked host. They are one change: whole or not at all.
fn verbs_for_ticked(name: &str, fields: &Fields) -> Result<Vec<Verb>, String> {
    let schema = table::command(name).ok_or("there is no such verb")?;
    let common = fields
        .iter()
        .filter(|(name, value)| name != TICKED && !value.is_empty() && schema.key(name).is_some());
    let common: Vec<_> = common.cloned().collect();
    let ticked = fields.iter().filter(|(name, _)| name == TICKED);
    let verbs = ticked.map(|(_, keys)| {
        let keys = super::request::fields(keys.as_bytes());
        let keys = keys.ok_or("a ticked host is not understood")?;
        let all = [keys, common.clone()].concat();
        let command = Command::from_pairs(name, &all).map_err(|error| error.to_string())?;
        command.into_change()
    });
    let verbs = verbs.collect::<Result<Vec<_>, String>>()?;
    match verbs.is_empty() {
        true => Err(format!("{name}: tick the hosts that are meant first")),
        false => Ok(verbs),
    }
}

/// The command of the pressed button, with the form fields that are keys of its verb.
/// The buttons of a row share one form.
fn command(fields: &Fields) -> Result<Command, String> {
    let name = value(fields, "verb").ok_or("no verb was pressed")?;
    let schema = table::command(name).ok_or("there is no such verb")?;
    let fields_of_verb: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .map(|(name, value)| match name {
            // The host of a row, for a verb that selects by several names.
            "name" if schema.key("name").is_none() => ("host", value),
            _ => (name, value),
        })
        .filter(|(name, _)| schema.key(name).is_some())
        .collect();
    Command::from_pairs(name, &fields_of_verb).map_err(|error| error.to_string())
}

fn value<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    let mut named = fields.iter().filter(|(own, _)| own == name);
    named.next().map(|(_, value)| value.as_str())
}

/// The content type of a form body.
const FORM: &str = "application/x-www-form-urlencoded";

/// Runs the verb `name`. GET is for reading verbs, and returns the data alone. POST
/// returns an object with `ok`.
pub(super) fn api_call(
    context: &RequestContext<'_>,
    principal: &Principal,
    request: &Request,
    name: &str,
    is_post: bool,
) -> Response {
    let Some(schema) = table::command(name) else {
        return json_error(404, &ParseError::unknown_verb(name).to_string());
    };
    if !is_post && !schema.only_reads() {
        let text = format!("{name} takes POST: nothing was done");
        return json_error(405, &text).with_header("Allow", allowed_methods(name).to_owned());
    }
    if !schema.only_reads() && principal.access != Access::Full {
        log::info!("refused: {name}; by {}, who may only read", principal.actor);
        return json_error(403, "you may only read");
    }
    let command = match read_fields(request, is_post) {
        Ok(fields) => Command::from_pairs(name, &fields),
        Err((status, why)) => return json_error(status, why),
    };
    match command {
        Ok(command) => run_verb(context, principal, command, is_post),
        Err(error) => json_error(400, &error.to_string()),
    }
}

/// The HTTP methods of the verb `name`.
pub(super) fn allowed_methods(name: &str) -> &'static str {
    match table::command(name).is_some_and(|schema| !schema.only_reads()) {
        true => "POST",
        false => "GET, HEAD, POST",
    }
}

fn run_verb(
    context: &RequestContext<'_>,
    principal: &Principal,
    command: Command,
    whole: bool,
) -> Response {
    let is_whole_status = match &command {
        Command::Question(Question::Status(filter)) => *filter == StatusFilter::default(),
        _ => false,
    };
    if !whole && is_whole_status {
        let status = context.state.shared_status();
        return Response::export("application/json", move |out| {
            status.write_json(out)?;
            out.write_all(b"\n")
        });
    }
    let response = context.state.handle().execute(&principal.actor, command);
    match &response.outcome {
        Ok(_) if whole => Response::json(200, response.whole_json()),
        Ok(_) => Response::json(200, response.json()),
        Err(_) => Response::json(409, response.whole_json()),
    }
}

/// The fields of a request, from its query or from its body.
///
/// # Errors
/// Status and text of the response.
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

/// A JSON object of the same shape as for any other error.
fn json_error(status: u16, why: &str) -> Response {
    let object = Object::new().with("ok", false).with("error", why);
    Response::json(status, Json::from(object).into_text())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields_of(text: &str) -> Fields {
        fields(text.as_bytes()).unwrap()
    }

    #[test]
    fn after_an_action_the_page_is_refreshed_as_before() {
        let back_to = |query: &str, number| {
            let request = Request {
                query: query.to_owned(),
                ..Request::default()
            };
            redirect_target(&request, number)
        };
        assert_eq!(back_to("", Some(10)), "./?notice=a");
        assert_eq!(back_to("refresh=0", Some(10)), "./?notice=a&refresh=0");
        assert_eq!(back_to("refresh=5&change", None), "./?refresh=5");
        assert_eq!(back_to("%", None), "./");
        assert_eq!(
            back_to("q=a+b&problems=1", Some(10)),
            "./?notice=a&q=a+b&problems=1"
        );
    }

    #[test]
    fn a_verb_for_ticked_hosts_is_one_for_each() {
        let hosts =
            "host=service%3Ds%26group%3Dg%26name%3Da%2Bb&host=service%3Ds%26group%3Dg%26name%3Dc";
        let of = |verb: &str, more: &str| {
            let fields = fields_of(&format!("token=x&generation=7&verb={verb}&{more}"));
            assert!(is_for_many(&fields));
            verbs_for_ticked(verb, &fields)
                .map(|it| it.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(
            of("drainHost", &format!("weight=&{hosts}&force=true")).unwrap(),
            [
                "drainHost service=s group=g name=\"a b\" force=true",
                "drainHost service=s group=g name=c force=true"
            ]
        );
        assert_eq!(
            of("setWeight", &format!("weight=5&{hosts}")).unwrap()[1],
            "setWeight service=s group=g name=c weight=5"
        );
        // No weight, no host, or no keys.
        assert!(of("setWeight", &format!("weight=&{hosts}")).is_err());
        assert!(of("drainHost", "weight=5").is_err());
        assert!(of("drainHost", "host=%25").is_err() && of("drainHost", "host=x").is_err());
        let row = fields_of("verb=drainHost&service=s&group=g&name=a");
        assert!(!is_for_many(&row) && !is_for_many(&fields_of("verb=delHost&host=a")));
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
        assert_eq!(
            of("endSessions").as_deref(),
            Ok("endSessions service=s group=g host=a")
        );
        assert!(of("").is_err() && of("addHost").is_err());
    }
}
