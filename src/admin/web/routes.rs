//! From a request to its answer: who may ask, and what there is to be asked for.
//!
//! Every check that keeps strangers out is made here, once, before anything is looked
//! at. What the answers say is `views`'s, `api`'s and `press`'s business.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::settings::Settings;
use super::{Hall, api, guard, press, views};
use crate::admin::auth::Login;
use crate::admin::http::{Answer, Request, reason};
use crate::admin::pages;
use crate::config::Access;
use crate::config::verb::table::{self, CommandSchema, Kind};
use crate::control::Actor;

/// Who asks, of whom.
pub(super) struct Visit<'a> {
    pub(super) hall: &'a Hall,
    pub(super) settings: &'a Settings,
    pub(super) peer: SocketAddr,
    /// The address that they came to.
    pub(super) local: SocketAddr,
}

/// Somebody who may look, at least.
pub(super) struct Visitor {
    /// `None` where nobody is configured.
    pub(super) name: Option<String>,
    pub(super) access: Access,
    pub(super) by: Actor,
}

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
        return error(request, 404, "there is no such page: / is the first");
    };
    if let Route::Probe(probe) = route {
        return match request.method.as_str() {
            "GET" | "HEAD" => views::probe(probe(visit.hall)),
            _ => not_allowed(request, &route),
        };
    }
    let host = request.host.as_deref().unwrap_or_default();
    if !guard::is_custom_name(host, visit.local.ip(), &visit.settings.names) {
        return error(
            request,
            421,
            "this page is not called so: names=\"...\" of <web> says what it is called",
        );
    }
    match greet(visit, request) {
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
        return error(
            request,
            403,
            "this came from a page elsewhere: nothing was done",
        );
    }
    match route {
        Route::View(view) if !is_post => views::show(visit, visitor, request, *view),
        Route::Press if is_post => press::press(visit, visitor, request),
        Route::OldCall(name, _) if is_post => api::answer(visit, visitor, request, name, true),
        Route::Api(name) => api::answer(visit, visitor, request, name, is_post),
        _ => not_allowed(request, route),
    }
}

/// Who it is, or what is said to those who may not even look.
fn greet(visit: &Visit<'_>, request: &Request) -> Result<Visitor, Answer> {
    let auth = &visit.hall.auth;
    if !auth.has_users() {
        return stranger(visit, request);
    }
    let Some((name, password)) = request.authorization.as_deref().and_then(credentials) else {
        return Err(log_in(request, "who are you?"));
    };
    match auth.login(visit.peer.ip(), &name, &password, "web") {
        Login::Welcome(access) => Ok(Visitor {
            by: Actor::User {
                name: name.clone(),
                from: visit.peer,
                interface: "web",
            },
            name: Some(name),
            access,
        }),
        Login::Wrong => Err(log_in(request, "the name or the password is wrong")),
        Login::Wait { seconds } => {
            let text = format!(
                "too many passwords were wrong, or are being checked: try again in {seconds} s"
            );
            Err(error(request, 429, &text).with("Retry-After", seconds.to_string()))
        }
    }
}

/// Without users, whoever is on this machine may look.
fn stranger(visit: &Visit<'_>, request: &Request) -> Result<Visitor, Answer> {
    if !visit.peer.ip().to_canonical().is_loopback() {
        let text = "there are no users: without one, this page is for this machine alone";
        return Err(error(request, 403, text));
    }
    Ok(Visitor {
        name: None,
        access: Access::ReadOnly,
        by: Actor::User {
            name: String::new(),
            from: visit.peer,
            interface: "web",
        },
    })
}

/// The name and the password of HTTP Basic (RFC 7617, UTF-8).
fn credentials(header: &str) -> Option<(String, String)> {
    let (scheme, token) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = STANDARD.decode(token.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

fn log_in(request: &Request, text: &str) -> Answer {
    error(request, 401, text).with(
        "WWW-Authenticate",
        "Basic realm=\"txlb\", charset=\"UTF-8\"".to_owned(),
    )
}

fn not_allowed(request: &Request, route: &Route<'_>) -> Answer {
    let methods = match route {
        Route::View(_) | Route::Probe(_) => "GET, HEAD",
        Route::Press | Route::OldCall(..) => "POST",
        Route::Api(name) => api::methods(name),
    };
    let answer = match route {
        Route::OldCall(name, schema) => Answer::text(405, takes_post_now(name, schema)),
        _ => {
            let text = format!("this takes {methods}: nothing was done");
            error(request, 405, &text)
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

/// A page that says what is wrong.
pub(super) fn error(request: &Request, status: u16, text: &str) -> Answer {
    let depth = request.path.matches('/').count().saturating_sub(1);
    let home = format!("./{}", "../".repeat(depth));
    Answer::html(status, pages::error(&home, status, reason(status), text))
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

    #[test]
    fn links_of_an_error_lead_to_the_page_from_any_path() {
        let link = |path: &str| {
            let mut text = Vec::new();
            error(&request(path), 404, "")
                .write(&mut text, false)
                .unwrap();
            let text = String::from_utf8(text).unwrap();
            let link = text
                .split("href=\"")
                .find(|it| it.contains("Go to the admin page"));
            link.and_then(|it| it.split('"').next()).unwrap().to_owned()
        };
        assert_eq!(link("/x"), "./");
        assert_eq!(link("/api/x"), "./../");
        assert_eq!(link("/api/x/"), "./../../");
    }

    #[test]
    fn credentials_are_read_as_browsers_send_them() {
        let of = |header: &str| credentials(header);
        let pair = |name: &str, password: &str| Some((name.to_owned(), password.to_owned()));
        assert_eq!(of("Basic YTpiOmM="), pair("a", "b:c"));
        assert_eq!(of("basic  w6Q6w58="), pair("ä", "ß"));
        assert_eq!(of("Basic Og=="), pair("", ""));
        for header in [
            "",
            "Basic",
            "Basic !",
            "Basic YWI=",
            "Bearer YTpi",
            "Basic /zr/",
        ] {
            assert_eq!(of(header), None, "{header}");
        }
    }
}
