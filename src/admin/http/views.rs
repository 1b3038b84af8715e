//! What there is to be looked at: the page and its parts, the configuration, figures.
//!
//! Where it comes from and in what form; what it looks like is known to `pages`,
//! `metrics` and `csv`. Nothing here changes anything.

use super::guard::Visitor;
use super::request::{Fields, Request, fields};
use super::response::{Answer, error_page};
use super::state::{NOTICE, Visit};
use crate::admin::hinge::lock;
use crate::admin::metrics::{self, csv, running::running};
use crate::admin::page::{self, Refresh};
use crate::config::verb::{Command, Question, View as ConfigView};
use crate::control::Response as Told;

/// Something to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Page,
    /// What changes of the page.
    Live,
    Style,
    StyleRefreshing,
    Script,
    Icon,
    /// Services, groups and hosts as lines.
    RunningText,
    /// The file as it would be if it were saved.
    RunningXml,
    /// The file as it was last read or saved.
    StoredXml,
    Diff,
    Metrics,
    Csv,
}

impl View {
    /// What is asked for. Some paths are the ancestors'.
    pub(super) fn at(request: &Request) -> Option<View> {
        Some(match request.path.as_str() {
            "/" | "/all" | "/running" => View::Page,
            "/live" => View::Live,
            "/style.css" => View::Style,
            "/refreshing.css" => View::StyleRefreshing,
            "/script.js" => View::Script,
            "/icon.svg" => View::Icon,
            "/running.txt" => View::RunningText,
            "/running.xml" => View::RunningXml,
            "/config.xml" | "/stored.xml" => View::StoredXml,
            "/diff" => View::Diff,
            "/metrics" => View::Metrics,
            _ if is_csv(request) => View::Csv,
            _ => return None,
        })
    }
}

/// Whether the statistics are asked for as agents ask HAProxy: for what is configured as
/// its `stats uri`, then options, of which `csv` is one. Some put a slash in front of these.
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

/// Shows it.
pub(super) fn show(visit: &Visit<'_>, visitor: &Visitor, request: &Request, view: View) -> Answer {
    match view {
        View::Page | View::Live => page(visit, visitor, request, view),
        View::Style => Answer::new(200, CSS, page::STYLE.to_owned()),
        View::StyleRefreshing => Answer::new(200, CSS, page::STYLE_REFRESHING.to_owned()),
        View::Script => Answer::new(
            200,
            "text/javascript; charset=utf-8",
            page::SCRIPT.to_owned(),
        ),
        View::Icon => Answer::new(200, "image/svg+xml", page::ICON.to_owned()),
        View::RunningText => Answer::new(200, TEXT, running(&visit.hall.desk().status())),
        View::RunningXml => running_config(visit, visitor, request),
        View::StoredXml => config(visit, visitor, request, ConfigView::Stored),
        View::Diff => told(request, &ask(visit, visitor, Question::Diff), TEXT),
        View::Metrics => {
            let status = visit.hall.shared_status();
            Answer::export(metrics::CONTENT_TYPE, status, metrics::write)
        }
        View::Csv => {
            let status = visit.hall.shared_status();
            Answer::export(csv::CONTENT_TYPE, status, csv::write)
        }
    }
}

const CSS: &str = "text/css; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const XML: &str = "application/xml; charset=utf-8";

/// What is told to those who only want to know whether all is well.
pub(super) fn probe(well: bool) -> Answer {
    match well {
        true => Answer::text(200, "ok\n"),
        false => Answer::text(503, "not ok\n"),
    }
}

fn page(visit: &Visit<'_>, visitor: &Visitor, request: &Request, view: View) -> Answer {
    // A large page takes many times its length while it is made.
    let _making = lock(&visit.hall.making_page);
    let (desk, status) = (visit.hall.desk(), visit.hall.shared_status());
    let sessions = desk.sessions();
    let unsaved = match status.stored.unsaved {
        0 => Vec::new(),
        _ => ask(visit, visitor, Question::Diff).lines(),
    };
    let name = visitor.name.as_deref();
    let fields = fields(request.query.as_bytes()).unwrap_or_default();
    let notice = notice_number(&fields).and_then(|number| visit.hall.notices.take(number));
    let view_of = page::View {
        status: &status,
        sessions: &sessions,
        unsaved: &unsaved,
        user: name,
        access: visitor.access,
        token: &visit.hall.auth.page_token(name.unwrap_or_default()),
        refresh: Refresh::new(visit.settings.refresh, &fields),
        notice: notice.as_ref(),
    };
    Answer::html(
        200,
        match view {
            View::Live => page::live(&view_of),
            _ => page::page(&view_of),
        },
    )
}

/// What came of a press is under this number.
fn notice_number(fields: &Fields) -> Option<u64> {
    let (_, number) = fields.iter().find(|(name, _)| name == NOTICE)?;
    u64::from_str_radix(number, 16).ok()
}

/// What runs: as its file would be or, without a file, as it is in effect.
fn running_config(visit: &Visit<'_>, visitor: &Visitor, request: &Request) -> Answer {
    let status = visit.hall.desk().status();
    let view = match status.stored.file {
        Some(_) => ConfigView::Running,
        None => ConfigView::Effect,
    };
    config(visit, visitor, request, view)
}

fn config(visit: &Visit<'_>, visitor: &Visitor, request: &Request, view: ConfigView) -> Answer {
    told(
        request,
        &ask(visit, visitor, Question::Config { view }),
        XML,
    )
}

fn ask(visit: &Visit<'_>, visitor: &Visitor, question: Question) -> Told {
    let command = Command::Question(question);
    visit.hall.desk().obey(&visitor.by, command)
}

fn told(request: &Request, told: &Told, content_type: &'static str) -> Answer {
    match &told.outcome {
        Ok(_) => {
            let lines = told.lines().into_iter().map(|line| line + "\n");
            Answer::new(200, content_type, lines.collect())
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
            View::at(&request) == Some(View::Csv)
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
