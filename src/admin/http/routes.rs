//! From a request to its answer: who may ask, and what there is to be asked for.
//!
//! Every check that keeps strangers out is made here, once, before anything is looked
//! at. What the answers say is `views`'s, `api`'s and `press`'s business.

use super::guard::Visitor;
use super::request::Request;
use super::response::{Answer, error_page};
use super::state::{Hall, Settings, Visit};
use super::{actions, guard, views};
use crate::config::verb::table::{self, CommandSchema, Kind};

/// What there is at a path.
enum Route<'a> {
    /// Whether the workers go round; whether every service has a host. Anybody may ask.
    Probe(fn(&Hall) -> bool),
    /// Something to be looked at.
    View(views::View),
    /// Anything that can be asked for, by its name.
    Api(&'a str),
    /// A change by its name alone, as the ancestors took it, with GET.
    OldCall(&'a str, &'static CommandSchema),
    /// The buttons of the page.
    Press,
}

/// Answers a request.
pub(super) fn answer(visit: &Visit<'_>, request: &Request) -> Answer {
    let Some(route) = route(request) else {
        return error_page(request, 404, "there is no such page: / is the first");
    };
    if let Route::Probe(probe) = route {
        return match request.method.as_str() {
            "GET" | "HEAD" => views::probe(probe(visit.hall)),
            _ => not_allowed(request, &route),
        };
    }
    let host = request.host.as_deref().unwrap_or_default();
    if !guard::is_own_name(host, visit.local.ip(), &visit.settings.names) {
        return error_page(
            request,
            421,
            "this page is not called so: names=\"...\" of <web> says what it is called",
        );
    }
    match guard::greet(visit, request) {
        Ok(visitor) => serve(visit, &visitor, request, &route),
        Err(answer) => answer,
    }
}

fn route(request: &Request) -> Option<Route<'_>> {
    let path = request.path.as_str();
    if let Some(name) = path.strip_prefix("/api/") {
        return Some(Route::Api(name));
    }
    Some(match path {
        "/healthz" => Route::Probe(Hall::is_alive),
        "/ready" => Route::Probe(Hall::is_ready),
        "/do" => Route::Press,
        _ => match views::View::at(request) {
            Some(view) => Route::View(view),
            None => old_call(path)?,
        },
    })
}

fn old_call(path: &str) -> Option<Route<'_>> {
    let name = path.strip_prefix('/')?;
    let schema = table::command(name)?;
    matches!(schema.kind, Kind::Change | Kind::Action).then_some(Route::OldCall(name, schema))
}

fn serve(visit: &Visit<'_>, visitor: &Visitor, request: &Request, route: &Route<'_>) -> Answer {
    let is_post = match request.method.as_str() {
        "GET" | "HEAD" => false,
        "POST" => true,
        _ => return not_allowed(request, route),
    };
    let Settings { names, tls, .. } = visit.settings;
    if is_post && !guard::is_same_origin(request, visit.local, tls.is_some(), names) {
        return error_page(
            request,
            403,
            "this came from a page elsewhere: nothing was done",
        );
    }
    match route {
        Route::View(view) if !is_post => views::show(visit, visitor, request, *view),
        Route::Press if is_post => actions::press(visit, visitor, request),
        Route::OldCall(name, _) if is_post => actions::call(visit, visitor, request, name, true),
        Route::Api(name) => actions::call(visit, visitor, request, name, is_post),
        _ => not_allowed(request, route),
    }
}

fn not_allowed(request: &Request, route: &Route<'_>) -> Answer {
    let methods = match route {
        Route::View(_) | Route::Probe(_) => "GET, HEAD",
        Route::Press | Route::OldCall(..) => "POST",
        Route::Api(name) => actions::methods(name),
    };
    let answer = match route {
        Route::OldCall(name, schema) => Answer::text(405, takes_post_now(name, schema)),
        _ => {
            let text = format!("this takes {methods}: nothing was done");
            error_page(request, 405, &text)
        }
    };
    answer.with("Allow", methods.to_owned())
}

/// For scripts that were written for the ancestors: what to do instead.
fn takes_post_now(name: &str, schema: &CommandSchema) -> String {
    let required = schema.keys.iter().filter(|key| key.required);
    let keys: Vec<_> = required.map(|key| key.name).collect();
    let with = if keys.is_empty() { "" } else { " with " };
    let keys = keys.join(", ");
    format!(
        "{name} takes POST now: POST /api/{}{with}{keys}\n",
        schema.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str) -> Request {
        Request {
            path: path.to_owned(),
            ..Request::default()
        }
    }

    #[test]
    fn a_script_of_the_ancestors_time_is_told_what_to_do() {
        let told = |path: &str| match route(&request(path)) {
            Some(Route::OldCall(name, schema)) => takes_post_now(name, schema),
            _ => String::new(),
        };
        assert_eq!(
            told("/addHost"),
            "addHost takes POST now: POST /api/addHost with service, group, name, ip\n"
        );
        assert_eq!(
            told("/closeLog"),
            "closeLog takes POST now: POST /api/reopenLog\n"
        );
        for path in [
            "/",
            "/addHost/",
            "/addhost",
            "/begin",
            "/help",
            "/api/addHost",
        ] {
            assert_eq!(told(path), "", "{path}");
        }
    }
}
