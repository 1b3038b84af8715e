//! From a request to its answer: who may ask, and what there is to be asked for.
//!
//! Every check that keeps strangers out is made here, once, before anything is looked
//! at. What the answers say is `views`'s, `api`'s and `press`'s business.

use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::settings::Settings;
use super::{Hall, api, guard, press, views};
use crate::admin::auth::Login;
use crate::admin::http::{Answer, Request, reason};
use crate::admin::pages;
use crate::config::Access;
use crate::director::By;

/// Who asks, of whom.
pub(super) struct Visit<'a> {
    pub(super) hall: &'a Hall,
    pub(super) settings: &'a Settings,
    pub(super) peer: SocketAddr,
    /// The address that they came to.
    pub(super) local: IpAddr,
}

/// Somebody who may look, at least.
pub(super) struct Visitor {
    /// `None` where nobody is configured.
    pub(super) name: Option<String>,
    pub(super) access: Access,
    pub(super) by: By,
}

/// What there is at a path.
enum Route<'a> {
    /// Whether the workers go round; whether every service has a host. Anybody may ask.
    Probe(fn(&Hall) -> bool),
    /// Something to be looked at.
    View(views::View),
    /// Anything that can be asked for, by its name.
    Api(&'a str),
    /// The buttons of the page.
    Press,
}

/// Answers a request.
pub(super) fn answer(visit: &Visit<'_>, request: &Request) -> Answer {
    let Some(route) = route(&request.path) else {
        return error(404, "there is no such page: / is the first");
    };
    if let Route::Probe(probe) = route {
        return match request.method.as_str() {
            "GET" | "HEAD" => views::probe(probe(visit.hall)),
            _ => not_allowed("GET, HEAD"),
        };
    }
    let host = request.host.as_deref().unwrap_or_default();
    if !guard::is_own_name(host, visit.local, &visit.settings.names) {
        return error(
            421,
            "this page is not called so: names=\"...\" of <web> says what it is called",
        );
    }
    match greet(visit, request) {
        Ok(visitor) => serve(visit, &visitor, request, &route),
        Err(answer) => answer,
    }
}

fn route(path: &str) -> Option<Route<'_>> {
    if let Some(name) = path.strip_prefix("/api/") {
        return Some(Route::Api(name));
    }
    Some(match path {
        "/healthz" => Route::Probe(Hall::is_alive),
        "/ready" => Route::Probe(Hall::is_ready),
        "/do" => Route::Press,
        _ => Route::View(views::View::at(path)?),
    })
}

fn serve(visit: &Visit<'_>, visitor: &Visitor, request: &Request, route: &Route<'_>) -> Answer {
    let is_post = match request.method.as_str() {
        "GET" | "HEAD" => false,
        "POST" => true,
        _ => return not_allowed("GET, HEAD, POST"),
    };
    if is_post && !guard::is_same_origin(request, visit.settings.tls.is_some()) {
        return error(403, "this came from a page elsewhere: nothing was done");
    }
    match route {
        Route::View(view) if !is_post => views::show(visit, visitor, request, *view),
        Route::View(_) | Route::Probe(_) => not_allowed("GET, HEAD"),
        Route::Press if is_post => press::press(visit, visitor, request),
        Route::Press => not_allowed("POST"),
        Route::Api(name) => api::answer(visit, visitor, request, name, is_post),
    }
}

/// Who it is, or what is said to those who may not even look.
fn greet(visit: &Visit<'_>, request: &Request) -> Result<Visitor, Answer> {
    let auth = &visit.hall.auth;
    if !auth.has_users() {
        return stranger(visit);
    }
    let Some((name, password)) = request.authorization.as_deref().and_then(credentials) else {
        return Err(log_in("who are you?"));
    };
    match auth.login(visit.peer.ip(), &name, &password, "web") {
        Login::Welcome(access) => Ok(Visitor {
            by: By::User {
                name: name.clone(),
                from: visit.peer,
                door: "web",
            },
            name: Some(name),
            access,
        }),
        Login::Wrong => Err(log_in("the name or the password is wrong")),
        Login::Wait { seconds } => {
            let text = format!(
                "too many passwords were wrong, or are being checked: try again in {seconds} s"
            );
            Err(error(429, &text).with("Retry-After", seconds.to_string()))
        }
    }
}

/// Without users, whoever is on this machine may look.
fn stranger(visit: &Visit<'_>) -> Result<Visitor, Answer> {
    if !visit.peer.ip().to_canonical().is_loopback() {
        let text = "there are no users: without one, this page is for this machine alone";
        return Err(error(403, text));
    }
    Ok(Visitor {
        name: None,
        access: Access::ReadOnly,
        by: By::User {
            name: String::new(),
            from: visit.peer,
            door: "web",
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

fn log_in(text: &str) -> Answer {
    error(401, text).with(
        "WWW-Authenticate",
        "Basic realm=\"txlb\", charset=\"UTF-8\"".to_owned(),
    )
}

fn not_allowed(methods: &str) -> Answer {
    let text = format!("this takes {methods}: nothing was done");
    error(405, &text).with("Allow", methods.to_owned())
}

/// A page that says what is wrong.
pub(super) fn error(status: u16, text: &str) -> Answer {
    Answer::html(status, pages::error(status, reason(status), text))
}

#[cfg(test)]
mod tests {
    use super::*;

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
