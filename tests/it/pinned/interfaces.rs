//! What each interface shows of the scene's balancer, as lines to be pinned.

use std::fmt::Write as _;

use super::scene::{Scene, WRONG};
use crate::support::control::ctl;
use crate::support::golden::{lines_of_html, lines_of_json, without_numbers};
use crate::support::http::{ADMIN, GUEST, HttpRequest, Reply};

/// Times and addresses of sessions differ each time.
pub(crate) fn log_lines(scene: &Scene) -> String {
    let log = scene.mask.text(&scene.txlb.seen.join("\n"));
    let is_times = |word: &str| {
        let parts: Vec<_> = word.split('/').collect();
        parts.len() == 3 && parts.iter().all(|part| part.parse::<i64>().is_ok())
    };
    let line = |line: &str| {
        let words = line.split(' ');
        let words: Vec<_> = words
            .map(|word| if is_times(word) { "MS/MS/MS" } else { word })
            .collect();
        words.join(" ") + "\n"
    };
    log.lines().map(line).collect()
}

/// A JSON view, one value a line.
pub(crate) fn json(scene: &Scene, path: &str) -> String {
    let body = scene.mask.text(&scene.look(path).body);
    values(&without_numbers(&body))
}

/// The output of `txlb ctl` with and without `--json`, and its exit status.
pub(crate) fn printed(scene: &Scene) -> String {
    let mut shown = String::new();
    for line in [
        "status",
        "sessions",
        "config",
        "diff",
        "help verb=addHost",
        "setWeight service=web group=spare name=c weight=5",
        "setWeight service=web group=spare name=c weight=5",
        "setWeight service=web group=none name=c weight=5",
        "none",
    ] {
        let words: Vec<_> = line.split(' ').collect();
        for words in [words.clone(), [&["--json"], &words[..]].concat()] {
            let finished = ctl(&scene.socket, &words);
            let text = format!("{}{}", without_ids(&finished.stdout), finished.stderr);
            let text = without_numbers(&scene.mask.text(&text));
            let text = match text.starts_with('{') {
                true => values(&text),
                false => narrow(&text),
            };
            let status = finished.status.unwrap();
            writeln!(
                shown,
                "$ txlb ctl {}\n{text}status {status}\n",
                words.join(" ")
            )
            .unwrap();
        }
    }
    shown
}

/// A table of sessions without their IDs.
fn without_ids(table: &str) -> String {
    let Some(rows) = table.strip_prefix("id ") else {
        return table.to_owned();
    };
    let mut lines = rows.lines();
    let head = format!("id {}\n", lines.next().unwrap_or_default());
    let rows = lines.map(|row| format!("ID {}\n", row.split_once(' ').map_or("", |it| it.1)));
    head + &rows.collect::<String>()
}

/// JSON, one value a line, without session IDs and the results of checks, which depend on the time.
fn values(json: &str) -> String {
    let lines = lines_of_json(json);
    let line = |line: &str| {
        let line = between(line, "\"id\":\"", "\"", "ID");
        between(&line, "\"check_error\":", ",", "ERROR") + "\n"
    };
    lines.lines().map(line).collect()
}

/// Masked values change the width of columns, so several blanks become one.
pub(crate) fn narrow(text: &str) -> String {
    let line = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        words.join(" ") + "\n"
    };
    text.lines().map(line).collect()
}

/// Names, types and labels of the metrics.
pub(crate) fn series(scene: &Scene) -> String {
    let text = scene.mask.text(&scene.look("/metrics").body);
    let line = |line: &str| match line.rsplit_once(' ') {
        Some((series, _)) if !line.starts_with('#') => format!("{series}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// The columns of the statistics by their place, and their content.
pub(crate) fn columns(scene: &Scene) -> String {
    let text = scene.mask.text(&scene.look("/stats;csv").body);
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    let mut shown: String = header
        .split(',')
        .map(|column| format!("{column},\n"))
        .collect();
    for line in lines {
        // What the last check of a host said depends on the time.
        let cell = |(index, cell): (usize, &str)| match header.split(',').nth(index) {
            Some(check @ ("check_status" | "check_desc" | "last_chk")) => check.to_owned(),
            _ if cell.parse::<i64>().is_ok() => "N".to_owned(),
            _ => cell.to_owned(),
        };
        let cells: Vec<_> = line.split(',').enumerate().map(cell).collect();
        shown += &(cells.join(",") + "\n");
    }
    shown
}

/// The page for administrator and guest, and the responses to buttons.
pub(crate) fn page(scene: &Scene) -> String {
    let guest = HttpRequest::get(scene.page, "/").by(GUEST).send();
    let shown = [scene.look("/?change"), guest].map(|it| it.body);
    let notices = ["5", "x"].map(|weight| notice(scene, weight));
    let all = shown.iter().chain(&notices);
    all.map(|html| html_lines(scene, html)).collect()
}

/// The page's message after a button with this weight.
fn notice(scene: &Scene, weight: &str) -> String {
    let page = scene.look("/").body;
    let hidden = |name: &str| {
        let (_, rest) = page
            .split_once(&format!("name=\"{name}\" value=\""))
            .unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let (token, generation) = (hidden("token"), hidden("generation"));
    let fields = [
        ("token", &*token),
        ("generation", &generation),
        ("verb", "setWeight"),
        ("service", "web"),
        ("group", "spare"),
        ("name", "c"),
        ("weight", weight),
    ];
    let reply = HttpRequest::post(scene.page, "/do", &fields)
        .by(ADMIN)
        .send();
    assert_eq!(reply.status, 303, "{reply:?}");
    let next = reply.header("Location").unwrap().trim_start_matches('.');
    let page = scene.look(next).body;
    let (_, notice) = page.split_once("id=\"notice\"").unwrap();
    let (notice, _) = notice.split_once("<main").unwrap();
    format!("<p id=\"notice\"{notice}")
}

/// HTML, one tag or text a line, without figures.
fn html_lines(scene: &Scene, html: &str) -> String {
    let lines = lines_of_html(&scene.mask.text(html));
    let line = |line: &str| {
        let line = between(line, "name=\"token\" value=\"", "\"", "TOKEN");
        let line = between(&line, "notice=", "\"", "NUMBER");
        // The id of a session has the number of its worker.
        let line = between(&line, "id=\"x.", "\"", "SESSION");
        let line = between(&line, "name=\"id\" value=\"", "\"", "SESSION");
        without_numbers(&between(&line, " d=\"", "\"", "PATH")) + "\n"
    };
    lines.lines().map(line).collect()
}

/// Masks what is between two texts.
fn between(line: &str, start: &str, end: &str, name: &str) -> String {
    let Some((before, rest)) = line.split_once(start) else {
        return line.to_owned();
    };
    let (_, after) = rest.split_once(end).unwrap();
    format!("{before}{start}{name}{end}{after}")
}

/// The first request.
const FIRST: &str = "GET /healthz";

/// Statuses, headers and short bodies of views and of refusals.
pub(crate) fn views(scene: &Scene) -> String {
    let mut shown = String::new();
    let fields = [("service", "none"), ("group", "main"), ("name", "a")];
    let verb = HttpRequest::post(scene.page, "/api/drainHost", &fields);
    let get = |path: &str| HttpRequest::get(scene.page, path);
    for (what, ask) in [
        (FIRST, get("/healthz")),
        ("GET /ready", get("/ready")),
        ("GET / by nobody", get("/")),
        ("GET / by somebody else", get("/").by(WRONG)),
        ("GET /none", get("/none").by(ADMIN)),
        ("GET /running.txt", get("/running.txt").by(ADMIN)),
        ("GET /running.xml", get("/running.xml").by(ADMIN)),
        ("GET /stored.xml", get("/stored.xml").by(ADMIN)),
        ("GET /diff", get("/diff").by(ADMIN)),
        ("GET /api/help", get("/api/help?verb=addHost").by(ADMIN)),
        ("GET /api/drainHost", get("/api/drainHost").by(ADMIN)),
        ("GET /drainHost", get("/drainHost").by(ADMIN)),
        ("POST of no host", verb.clone().by(ADMIN)),
        ("POST by a guest", verb.clone().by(GUEST)),
        ("POST of no verb", verb.at("/api/none").by(ADMIN)),
        ("POST of a form", verb.at("/do").by(ADMIN)),
        ("PUT", verb.clone().by(ADMIN).method("PUT")),
        ("to another name", get("/").by(ADMIN).host("other.example")),
        (
            "from elsewhere",
            verb.clone()
                .by(ADMIN)
                .with("Origin", "http://other.example"),
        ),
    ] {
        shown += &shown_as(scene, what, &ask.send());
    }
    shown
}

/// Status, headers and body of a response; common headers are shown once.
fn shown_as(scene: &Scene, what: &str, reply: &Reply) -> String {
    let body = match reply.body.starts_with("<!DOCTYPE") {
        true => lines_of_html(&reply.body),
        false => reply.body.clone(),
    };
    let head = reply.head.replace('\r', "");
    let always = [
        "Connection: ",
        "Cache-Control: ",
        "Content-Security-Policy: ",
        "X-Content-Type-Options: ",
        "X-Frame-Options: ",
        "Cross-Origin-Resource-Policy: ",
        "Referrer-Policy: ",
        "Content-Length: ",
    ];
    let is_shown =
        |line: &&str| what == FIRST || !always.iter().any(|header| line.starts_with(header));
    let head: Vec<_> = head.lines().filter(is_shown).collect();
    let own = scene.page.to_string();
    let answer = format!("== {what}\n{}\n\n{body}", head.join("\n"));
    let answer = scene.mask.text(&answer.replace(&own, "PAGE"));
    let line = |line: &str| match line.starts_with("Content-Length: ") {
        true => without_numbers(line) + "\n",
        false => format!("{line}\n"),
    };
    answer.lines().map(line).collect()
}
