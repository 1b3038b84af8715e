//! Responses that only read: the page and its files, the configuration, metrics, CSV,
//! and the health endpoints.

use super::guard::Principal;
use super::request::{Fields, Request, fields};
use super::response::{Response, error_page};
use super::state::{FLASH_FIELD, RequestContext};
use crate::admin::metrics::{self, csv, running::running};
use crate::admin::page::{self, Refresh};
use crate::config::verb::{Command, Question, View as ConfigView};
use crate::control::Response as ControlResponse;
use crate::sync::lock;

/// A page, file or export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource {
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
    pub(super) fn at(request: &Request) -> Option<Resource> {
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
pub(super) fn show(
    context: &RequestContext<'_>,
    principal: &Principal,
    request: &Request,
    resource: Resource,
) -> Response {
    match resource {
        Resource::Page | Resource::Live => page(context, principal, request, resource),
        Resource::Style => Response::new(200, CSS, page::STYLE.to_owned()),
        Resource::StyleRefreshing => Response::new(200, CSS, page::STYLE_REFRESHING.to_owned()),
        Resource::Script => Response::new(
            200,
            "text/javascript; charset=utf-8",
            page::SCRIPT.to_owned(),
        ),
        Resource::Icon => Response::new(200, "image/svg+xml", page::ICON.to_owned()),
        Resource::RunningText => {
            Response::new(200, TEXT, running(&context.state.handle().status()))
        }
        Resource::RunningXml => running_config(context, principal, request),
        Resource::StoredXml => config(context, principal, request, ConfigView::Stored),
        Resource::Diff => response(request, &ask(context, principal, Question::Diff), TEXT),
        Resource::Metrics => {
            let status = context.state.shared_status();
            Response::export(metrics::CONTENT_TYPE, status, metrics::write)
        }
        Resource::Csv => {
            let status = context.state.shared_status();
            Response::export(csv::CONTENT_TYPE, status, csv::write)
        }
    }
}

const CSS: &str = "text/css; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const XML: &str = "application/xml; charset=utf-8";

/// The response of a health endpoint.
pub(super) fn health(is_ok: bool) -> Response {
    match is_ok {
        true => Response::text(200, "ok\n"),
        false => Response::text(503, "not ok\n"),
    }
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
    let shown = page::View {
        status: &status,
        sessions: &sessions,
        unsaved: &unsaved,
        user: name,
        access: principal.access,
        token: &context.state.auth.page_token(name.unwrap_or_default()),
        refresh: Refresh::new(context.settings.refresh, &fields),
        flash_message: flash_message.as_ref(),
    };
    Response::html(
        200,
        match resource {
            Resource::Live => page::live(&shown),
            _ => page::page(&shown),
        },
    )
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
