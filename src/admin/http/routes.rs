//! The table of routes: which path leads to which view, API call or button.
//!
//! All checks of [`guard`] are made here, once, before a route is served.

use super::guard::Principal;
use super::request::Request;
use super::response::{Response, error_page};
use super::state::{RequestContext, Settings, WebState};
use super::{actions, guard, views};
use crate::config::verb::table::{self, CommandSchema, Kind};

/// What a path leads to.
enum Route<'a> {
    /// An unauthenticated health endpoint: `/healthz` or `/ready`.
    Probe(fn(&WebState) -> bool),
    /// A page, file or export to read.
    Resource(views::Resource),
    /// `/api/VERB`: a verb with its keys as form fields.
    Api(&'a str),
    /// `/VERB`, a change by GET, as the ancestors took it. Answered by a hint.
    LegacyCall(&'a str, &'static CommandSchema),
    /// `/do`: a button of the page was pressed.
    Button,
}

/// Makes the response to a request.
pub(super) fn respond(context: &RequestContext<'_>, request: &Request) -> Response {
    let Some(route) = route(request) else {
        return error_page(
            request,
            404,
            "there is no such page: the admin page is at /",
        );
    };
    if let Route::Probe(probe) = route {
        return match request.method.as_str() {
            "GET" | "HEAD" => views::health(probe(context.state)),
            _ => method_not_allowed(request, &route),
        };
    }
    let host = request.host.as_deref().unwrap_or_default();
    if !guard::is_custom_name(host, context.local.ip(), &context.settings.names) {
        return error_page(
            request,
            421,
            "this host name is not allowed: names=\"...\" of <web> lists those that are",
        );
    }
    match guard::authenticate(context, request) {
        Ok(principal) => dispatch(context, &principal, request, &route),
        Err(response) => response,
    }
}

fn route(request: &Request) -> Option<Route<'_>> {
    let path = request.path.as_str();
    if let Some(name) = path.strip_prefix("/api/") {
        return Some(Route::Api(name));
    }
    Some(match path {
        "/healthz" => Route::Probe(WebState::is_alive),
        "/ready" => Route::Probe(WebState::is_ready),
        "/do" => Route::Button,
        _ => match views::Resource::at(request) {
            Some(view) => Route::Resource(view),
            None => legacy_call(path)?,
        },
    })
}

fn legacy_call(path: &str) -> Option<Route<'_>> {
    let name = path.strip_prefix('/')?;
    let schema = table::command(name)?;
    matches!(schema.kind(), Kind::Change | Kind::Action).then_some(Route::LegacyCall(name, schema))
}

fn dispatch(
    context: &RequestContext<'_>,
    principal: &Principal,
    request: &Request,
    route: &Route<'_>,
) -> Response {
    let is_post = match request.method.as_str() {
        "GET" | "HEAD" => false,
        "POST" => true,
        _ => return method_not_allowed(request, route),
    };
    let Settings { names, tls, .. } = context.settings;
    if is_post && !guard::is_same_origin(request, context.local, tls.is_some(), names) {
        return error_page(
            request,
            403,
            "this request came from another site: nothing was done",
        );
    }
    match route {
        Route::Resource(view) if !is_post => views::show(context, principal, request, *view),
        Route::Button if is_post => actions::run_action(context, principal, request),
        Route::LegacyCall(name, _) if is_post => {
            actions::api_call(context, principal, request, name, true)
        }
        Route::Api(name) => actions::api_call(context, principal, request, name, is_post),
        _ => method_not_allowed(request, route),
    }
}

fn method_not_allowed(request: &Request, route: &Route<'_>) -> Response {
    let methods = match route {
        Route::Resource(_) | Route::Probe(_) => "GET, HEAD",
        Route::Button | Route::LegacyCall(..) => "POST",
        Route::Api(name) => actions::allowed_methods(name),
    };
    let response = match route {
        Route::LegacyCall(name, schema) => Response::text(405, legacy_hint(name, schema)),
        _ => {
            let text = format!("this takes {methods}: nothing was done");
            error_page(request, 405, &text)
        }
    };
    response.with_header("Allow", methods.to_owned())
}

/// Tells scripts that were written for the ancestors what to call instead.
fn legacy_hint(name: &str, schema: &CommandSchema) -> String {
    let required = schema.keys().iter().filter(|key| key.required);
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
        let text = |path: &str| match route(&request(path)) {
            Some(Route::LegacyCall(name, schema)) => legacy_hint(name, schema),
            _ => String::new(),
        };
        assert_eq!(
            text("/addHost"),
            "addHost takes POST now: POST /api/addHost with service, group, name, ip\n"
        );
        assert_eq!(
            text("/closeLog"),
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
            assert_eq!(text(path), "", "{path}");
        }
    }
}
