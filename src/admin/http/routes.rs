//! Routes of the web server: which path leads to which page, export, API call or button. Also the
//! responses that only read.
//!
//! All checks of [`guard`] are made here, once, before a route is served.

use super::compression::StaticFile;
use super::guard::Principal;
use super::request::{Fields, Request, fields};
use super::response::{Response, error_page};
use super::state::{FLASH_FIELD, RequestContext, Settings, WebState};
use super::{actions, guard};
use crate::admin::haproxy::csv;
use crate::admin::metrics::{self, running::running};
use crate::admin::page::{self, Query};
use crate::config::verb::table::{self, CommandSchema, Kind};
use crate::config::verb::{Command, Question, View as ConfigView};
use crate::control::Response as ControlResponse;
use crate::non_printing::escape_non_printing;
use crate::os::usage::Usage;
use crate::sync::lock;
use crate::text::decode_percent;

/// What a path leads to.
enum Route<'a> {
    /// An unauthenticated health endpoint.
    Probe(Probe),
    /// A page, file or export to read.
    Resource(Resource),
    /// `/api/VERB`: a verb with its keys as form fields.
    Api(&'a str),
    /// `/VERB`, a change by GET, as the ancestors took it. Answered by a hint.
    LegacyCall(&'a str, &'static CommandSchema),
    /// `/do`: a button of the page was pressed.
    Button,
}

/// What a health endpoint asks.
#[derive(Debug, PartialEq, Eq)]
enum Probe {
    /// `/healthz`: whether all workers answer.
    Alive,
    /// `/ready`: whether every service can take new sessions.
    Ready,
    /// `/ready/SERVICE`: whether this one can; `None` if the name is not understood.
    ServiceReady(Option<String>),
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
    if let Route::Probe(probe) = &route {
        return match request.method.as_str() {
            "GET" | "HEAD" => health(context.state, probe),
            _ => method_not_allowed(request, &route),
        };
    }
    let host = request.host.as_deref().unwrap_or_default();
    if !guard::is_page_host(host, context.local.ip(), &context.settings.names) {
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
    if let Some(service) = path.strip_prefix("/ready/") {
        let service = decode_percent(service.as_bytes());
        return Some(Route::Probe(Probe::ServiceReady(service)));
    }
    Some(match path {
        "/healthz" => Route::Probe(Probe::Alive),
        "/ready" => Route::Probe(Probe::Ready),
        "/do" => Route::Button,
        _ => match Resource::at(request) {
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
        Route::Resource(view) if !is_post => show(context, principal, request, *view),
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

/// A page, file or export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resource {
    Page,
    /// The part of the page that changes; the script fetches it.
    Live,
    Style,
    StyleRefreshing,
    Script,
    Icon,
    /// Services, groups and hosts as plain text.
    RunningText,
    /// The file as saving would write it.
    RunningXml,
    /// The file as last read or saved.
    StoredXml,
    Diff,
    Metrics,
    Csv,
}

impl Resource {
    /// The resource at a request's path. `/all`, `/running` and `/config.xml` are paths of
    /// the ancestors.
    fn at(request: &Request) -> Option<Resource> {
        Some(match request.path.as_str() {
            "/" | "/all" | "/running" => Resource::Page,
            "/live" => Resource::Live,
            "/style.css" => Resource::Style,
            "/refreshing.css" => Resource::StyleRefreshing,
            "/script.js" => Resource::Script,
            "/icon.svg" => Resource::Icon,
            "/running.txt" => Resource::RunningText,
            "/running.xml" => Resource::RunningXml,
            "/config.xml" | "/stored.xml" => Resource::StoredXml,
            "/diff" => Resource::Diff,
            "/metrics" => Resource::Metrics,
            _ if is_csv(request) => Resource::Csv,
            _ => return None,
        })
    }
}

/// Whether a request asks for HAProxy's CSV, as monitoring agents do: a `stats uri`, then
/// options behind semicolons, of which one is `csv`. Some agents send `/;csv`.
fn is_csv(request: &Request) -> bool {
    let target = match request.query.as_str() {
        "" => request.path.clone(),
        query => format!("{}?{query}", request.path),
    };
    let Some((uri, options)) = target.split_once(';') else {
        return false;
    };
    let uris = [
        "",
        "/stats",
        "/stats?stats",
        "/haproxy?stats",
        "/admin?stats",
    ];
    uris.contains(&uri.trim_end_matches('/')) && options.split(';').any(|it| it == "csv")
}

/// Makes the response with this resource.
fn show(
    context: &RequestContext<'_>,
    principal: &Principal,
    request: &Request,
    resource: Resource,
) -> Response {
    match resource {
        Resource::Page | Resource::Live => page(context, principal, request, resource),
        Resource::Style => Response::file(CSS, &STYLE, request),
        Resource::StyleRefreshing => Response::file(CSS, &STYLE_REFRESHING, request),
        Resource::Script => Response::file("text/javascript; charset=utf-8", &SCRIPT, request),
        Resource::Icon => Response::file("image/svg+xml", &ICON, request),
        Resource::RunningText => {
            Response::new(200, TEXT, running(&context.state.handle().status()))
        }
        Resource::RunningXml => running_config(context, principal, request),
        Resource::StoredXml => config(context, principal, request, ConfigView::Stored),
        Resource::Diff => response(request, &ask(context, principal, Question::Diff), TEXT),
        Resource::Metrics => {
            let status = context.state.shared_status();
            let figures = figures(context, request);
            Response::export(metrics::CONTENT_TYPE, move |out| {
                metrics::write(&status, &figures, out)
            })
        }
        Resource::Csv => {
            let status = context.state.shared_status();
            Response::export(csv::CONTENT_TYPE, move |out| csv::write(&status, out))
        }
    }
}

/// What metrics tell beside the snapshot. `?histograms=false` leaves out the buckets of hosts.
fn figures(context: &RequestContext<'_>, request: &Request) -> metrics::Figures {
    let fields = fields(request.query.as_bytes()).unwrap_or_default();
    let is_brief = |(name, value): &(String, String)| name == "histograms" && value == "false";
    metrics::Figures {
        usage: Usage::now(),
        failed_logins: context.state.auth.failed_logins(),
        brief: fields.iter().any(is_brief),
    }
}

static STYLE: StaticFile = StaticFile::new(page::STYLE);
static STYLE_REFRESHING: StaticFile = StaticFile::new(page::STYLE_REFRESHING);
static SCRIPT: StaticFile = StaticFile::new(page::SCRIPT);
static ICON: StaticFile = StaticFile::new(page::ICON);

const CSS: &str = "text/css; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const XML: &str = "application/xml; charset=utf-8";

/// The response of a health endpoint. It names services that are not ready, and no host, group
/// or address: it is unauthenticated.
fn health(state: &WebState, probe: &Probe) -> Response {
    let service = match probe {
        Probe::Alive => return probe_response(state.is_alive(), &[]),
        Probe::Ready => None,
        Probe::ServiceReady(service) => Some(service.as_deref().unwrap_or_default()),
    };
    let readiness = state.readiness();
    if service.is_some_and(|service| !readiness.knows(service)) {
        return Response::text(404, "there is no such service\n");
    }
    let reasons = readiness.reasons(service);
    probe_response(reasons.is_empty(), &reasons)
}

fn probe_response(is_ok: bool, reasons: &[String]) -> Response {
    if is_ok {
        return Response::text(200, "ok\n");
    }
    let lines = reasons.iter().map(|line| escape_non_printing(line) + "\n");
    Response::text(503, "not ok\n".to_owned() + &lines.collect::<String>())
}

fn page(
    context: &RequestContext<'_>,
    principal: &Principal,
    request: &Request,
    resource: Resource,
) -> Response {
    // A large page needs many times its length while it is built.
    let _making = lock(&context.state.page_lock);
    let (handle, status) = (context.state.handle(), context.state.shared_status());
    let sessions = handle.sessions();
    let unsaved = match status.stored.unsaved {
        0 => Vec::new(),
        _ => ask(context, principal, Question::Diff).lines(),
    };
    let name = principal.name.as_deref();
    let fields = fields(request.query.as_bytes()).unwrap_or_default();
    let flash_message =
        flash_number(&fields).and_then(|number| context.state.flash_messages.take(number));
    // See `View::token`.
    let token = match resource {
        Resource::Live => String::new(),
        _ => context.state.auth.page_token(name.unwrap_or_default()),
    };
    let shown = page::View {
        status: &status,
        sessions: &sessions,
        unsaved: &unsaved,
        user: name,
        access: principal.access,
        token: &token,
        query: &Query::new(context.settings.refresh, &fields),
        flash_message: flash_message.as_ref(),
    };
    Response::html(
        200,
        match resource {
            Resource::Live => page::live(&shown),
            _ => page::page(&shown),
        },
    )
    .compressed_for(request)
}

/// The number of the flash message to show.
fn flash_number(fields: &Fields) -> Option<u64> {
    let (_, number) = fields.iter().find(|(name, _)| name == FLASH_FIELD)?;
    u64::from_str_radix(number, 16).ok()
}

/// The running configuration: as its file would be, or without a file, as in effect.
fn running_config(
    context: &RequestContext<'_>,
    principal: &Principal,
    request: &Request,
) -> Response {
    let status = context.state.handle().status();
    let view = match status.stored.file {
        Some(_) => ConfigView::Running,
        None => ConfigView::Effect,
    };
    config(context, principal, request, view)
}

fn config(
    context: &RequestContext<'_>,
    principal: &Principal,
    request: &Request,
    view: ConfigView,
) -> Response {
    response(
        request,
        &ask(context, principal, Question::Config { view }),
        XML,
    )
}

fn ask(context: &RequestContext<'_>, principal: &Principal, question: Question) -> ControlResponse {
    let command = Command::Question(question);
    context.state.handle().execute(&principal.actor, command)
}

fn response(request: &Request, response: &ControlResponse, content_type: &'static str) -> Response {
    match &response.outcome {
        Ok(_) => {
            let lines = response.lines().into_iter().map(|line| line + "\n");
            Response::new(200, content_type, lines.collect())
        }
        Err(why) => error_page(request, 404, why),
    }
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

    #[test]
    fn the_name_of_a_service_may_have_any_characters() {
        for (path, name) in [
            ("/ready/web", "web"),
            ("/ready/a%20b%2Fc/d+e", "a b/c/d+e"),
            ("/ready/%C3%BC", "ü"),
            ("/ready/", ""),
        ] {
            match route(&request(path)) {
                Some(Route::Probe(Probe::ServiceReady(Some(found)))) => assert_eq!(found, name),
                _ => panic!("{path}"),
            }
        }
        for path in ["/ready/%", "/ready/%ff"] {
            let request = request(path);
            let found = route(&request);
            let is_unknown = matches!(found, Some(Route::Probe(Probe::ServiceReady(None))));
            assert!(is_unknown, "{path}");
        }
    }

    #[test]
    fn the_statistics_are_found_as_agents_ask_for_them() {
        let is_csv = |target: &str| {
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let request = Request {
                path: path.to_owned(),
                query: query.to_owned(),
                ..Request::default()
            };
            Resource::at(&request) == Some(Resource::Csv)
        };
        for target in [
            "/stats;csv",
            "/stats/;csv",
            "/stats;csv;norefresh",
            "/stats/;csv;norefresh",
            "/stats;norefresh;csv",
            "/;csv",
            "/;csv;norefresh",
            "/haproxy?stats;csv",
            "/haproxy?stats;csv;norefresh",
            "/haproxy?stats/;csv",
            "/admin?stats/;csv;norefresh",
            "/stats?stats;csv",
        ] {
            assert!(is_csv(target), "{target}");
        }
        for target in [
            "/",
            "/stats",
            "/stats;",
            "/stats;csvx",
            "/x;csv",
            "/stats?csv",
            "/?;",
        ] {
            assert!(!is_csv(target), "{target}");
        }
    }
}
