//! The web interface: responses, rights, and refusals.
#![cfg(feature = "web")]

use crate::support::http::{ADMIN, GUEST, HttpRequest};
use crate::support::page::Page;

const MANUAL: &str = include_str!("../../man/txlb.8");

#[test]
fn what_has_happened_has_the_same_time_at_each_look() {
    let page = Page::open();
    let moments = || {
        let metrics = page.look("/metrics").body;
        let is_moment = |line: &&str| line.contains("_time") && line.contains("_seconds");
        let metrics: Vec<_> = metrics
            .lines()
            .filter(is_moment)
            .map(str::to_owned)
            .collect();
        let status = page.look("/api/status").body;
        let keys = ["\"started_ms\":", "\"since_ms\":", "\"at_ms\":"];
        let status = keys.map(|key| status.split(key).skip(1).map(number).collect::<Vec<_>>());
        // The first `at_ms` is the time of the snapshot.
        let [started, since, at] = status;
        (metrics, started, since, at[1..].to_vec())
    };
    let first = moments();
    assert!(first.0.len() > 3 && first.1.len() == 1 && !first.2.is_empty());
    for _ in 0..40 {
        assert_eq!(moments(), first);
    }
}

/// The number at the beginning of a text.
fn number(text: &str) -> u64 {
    let digits = text.trim_start().chars().take_while(char::is_ascii_digit);
    digits.collect::<String>().parse().unwrap()
}

#[test]
fn everything_that_is_to_be_read_is_there() {
    let page = Page::open();
    let kinds = [
        ("/", "text/html; charset=utf-8"),
        ("/all", "text/html; charset=utf-8"),
        ("/running", "text/html; charset=utf-8"),
        ("/live", "text/html; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/refreshing.css", "text/css; charset=utf-8"),
        ("/script.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/running.txt", "text/plain; charset=utf-8"),
        ("/running.xml", "application/xml; charset=utf-8"),
        ("/config.xml", "application/xml; charset=utf-8"),
        ("/stored.xml", "application/xml; charset=utf-8"),
        ("/diff", "text/plain; charset=utf-8"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/stats;csv", "text/plain; charset=utf-8"),
        ("/stats;csv;norefresh", "text/plain; charset=utf-8"),
        ("/stats/;csv", "text/plain; charset=utf-8"),
        ("/api/status", "application/json"),
        ("/api/sessions", "application/json"),
        ("/api/help?verb=addHost", "application/json"),
    ];
    for (path, kind) in kinds {
        let parts = [
            "/live",
            "/icon.svg",
            "/style.css",
            "/refreshing.css",
            "/script.js",
        ];
        let is_part = parts.contains(&path);
        let written = path
            .split('?')
            .next()
            .unwrap()
            .replace("/api/help", "/api/")
            .replace(";norefresh", "")
            .replace("/;", ";");
        assert!(
            is_part || MANUAL.contains(&written),
            "{path} is not in txlb(8)"
        );
        let reply = page.look(path);
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        assert_eq!(reply.header("Content-Type"), Some(kind), "{path}");
        assert_eq!(reply.header("Connection"), Some("close"), "{path}");
        assert_eq!(reply.header("Cache-Control"), Some("no-store"), "{path}");
        let policy = reply.header("Content-Security-Policy").unwrap();
        assert!(policy.starts_with("default-src 'self';"), "{policy}");
        assert!(!reply.body.contains("poEyRReGzk"), "{path}: {reply:?}");
        let head = HttpRequest::get(page.address, path)
            .method("HEAD")
            .by(ADMIN)
            .send();
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        let guest = HttpRequest::get(page.address, path).by(GUEST).send();
        assert_eq!(guest.status, 200, "{path}");
    }
    for path in ["/x", "/api", "/api/", "/api/x", "//", "/../etc/passwd"] {
        assert_eq!(page.look(path).status, 404, "{path}");
    }
    let stored = page.look("/config.xml").body;
    assert!(stored.contains("password=\"***\""), "{stored}");
}

#[test]
fn nobody_sees_anything_without_a_password() {
    let mut page = Page::open();
    for path in [
        "/",
        "/live",
        "/style.css",
        "/metrics",
        "/api/status",
        "/config.xml",
        "/do",
    ] {
        for wrong in [
            "",
            "Basic",
            "Basic YWRtaW46YQ==",
            "Basic bm9ib2R5OmFkbWlu",
            "Bearer x",
        ] {
            let reply = HttpRequest::get(page.address, path).by(wrong).send();
            // A client that fails often enough must wait even for that response.
            assert!(
                [401, 429].contains(&reply.status),
                "{path} {wrong}: {reply:?}"
            );
            let asks = reply.header("WWW-Authenticate").is_some();
            assert_eq!(asks, reply.status == 401, "{reply:?}");
        }
    }
    page.txlb
        .wait_for("login failed: user admin from 127.0.0.1 (web)");
    for path in ["/healthz", "/ready"] {
        let reply = HttpRequest::get(page.address, path).host("whoever").send();
        assert_eq!((reply.status, reply.body.as_str()), (200, "ok\n"), "{path}");
    }
}

#[test]
fn a_read_only_user_changes_nothing() {
    let page = Page::open();
    let token = page.hidden("token");
    let generation = page.generation();
    let keys = [
        ("service", "web"),
        ("group", "main"),
        ("name", "a"),
        ("weight", "9"),
    ];
    let reply = HttpRequest::post(page.address, "/api/setWeight", &keys)
        .by(GUEST)
        .send();
    assert_eq!(reply.status, 403, "{reply:?}");
    for verb in ["reload", "saveConfig", "shutdown", "reopenLog", "begin"] {
        let path = format!("/api/{verb}");
        let reply = HttpRequest::post(page.address, &path, &[]).by(GUEST).send();
        assert_eq!(reply.status, 403, "{verb}: {reply:?}");
    }
    let press = page.button("setWeight", &token, &generation.to_string());
    assert_eq!(
        press.by(GUEST).send().status,
        403,
        "with the token of another"
    );
    let shown = HttpRequest::get(page.address, "/").by(GUEST).send().body;
    assert!(
        !shown.contains("method=\"post\"") && !shown.contains(&token),
        "{shown}"
    );
    assert_eq!(page.generation(), generation);
}

#[test]
fn a_get_never_changes_anything() {
    let page = Page::open();
    let generation = page.generation();
    let query = "service=web&group=main&name=a&weight=9&force=true&to=1&listen=1";
    for command in txlb::config::verb::table::commands() {
        if command.only_reads() {
            continue;
        }
        let reply = page.look(&format!("/api/{}?{query}", command.name));
        assert_eq!(reply.status, 405, "{}: {reply:?}", command.name);
        assert_eq!(reply.header("Allow"), Some("POST"), "{}", command.name);
    }
    assert_eq!(
        page.look(&format!("/do?verb=setWeight&{query}")).status,
        405
    );
    for method in ["PUT", "DELETE", "OPTIONS", "TRACE", "get"] {
        let ask = HttpRequest::get(page.address, "/api/setWeight").method(method);
        assert_eq!(ask.by(ADMIN).send().status, 405, "{method}");
    }
    for path in ["/", "/metrics", "/config.xml"] {
        let reply = HttpRequest::post(page.address, path, &[]).by(ADMIN).send();
        assert_eq!(reply.status, 405, "{path}");
    }
    assert_eq!(page.generation(), generation);
}

#[test]
fn pages_elsewhere_change_nothing_and_see_nothing() {
    let page = Page::open();
    let generation = page.generation();
    let own = format!("http://{}", page.address);
    let token = page.hidden("token");
    let attack = |name: &str, value: &str| {
        let keys = [
            ("service", "web"),
            ("group", "main"),
            ("name", "a"),
            ("weight", "9"),
        ];
        let api = HttpRequest::post(page.address, "/api/setWeight", &keys).by(ADMIN);
        let form = page
            .button("setWeight", &token, &generation.to_string())
            .by(ADMIN);
        for ask in [api, form] {
            let reply = ask.with(name, value).send();
            assert_eq!(reply.status, 403, "{name}: {value}: {reply:?}");
        }
    };
    attack("Sec-Fetch-Site", "cross-site");
    attack("Sec-Fetch-Site", "same-site");
    attack("Origin", "null");
    attack("Origin", "http://evil.example");
    attack("Origin", &format!("https://{}", page.address));
    for host in [
        "evil.example",
        "evil.example:7001",
        "",
        "127.0.0.1.evil.example",
    ] {
        let reply = HttpRequest::get(page.address, "/api/status")
            .host(host)
            .by(ADMIN)
            .send();
        assert_eq!(reply.status, 421, "{host}: {reply:?}");
    }
    for host in ["localhost", "lb.example.org:1", "LB.EXAMPLE.ORG"] {
        let reply = HttpRequest::get(page.address, "/api/status")
            .host(host)
            .by(ADMIN)
            .send();
        assert_eq!(reply.status, 200, "{host}: {reply:?}");
    }
    assert_eq!(page.generation(), generation);
    let keys = [
        ("service", "web"),
        ("group", "main"),
        ("name", "a"),
        ("weight", "9"),
    ];
    let honest = HttpRequest::post(page.address, "/api/setWeight", &keys).by(ADMIN);
    let honest = honest
        .with("Origin", &own)
        .with("Sec-Fetch-Site", "same-origin");
    assert_eq!(honest.send().status, 200);
}

#[test]
fn running_state_is_reported_in_lines() {
    let page = Page::open();
    let at = page.txlb.address();
    let host = page.host.address();
    page.tell(
        "newGroup",
        &[("service", "web"), ("group", "a b"), ("scheduler", "rand")],
    );
    let keys = [
        ("service", "web"),
        ("group", "a b"),
        ("name", "c/d"),
        ("ip", "x.invalid:80"),
    ];
    assert_eq!(page.tell("addHost", &keys).status, 200);
    assert_eq!(page.tell("drainHost", &keys[..3]).status, 200);
    assert_eq!(
        page.look("/running.txt").body,
        format!(
            "service web {at} main\ngroup main enabled\nhost a {host} 0 -\n\
             group a%20b inactive\ndisabled c%2Fd x.invalid:80 drain -\n"
        )
    );
}

#[test]
fn old_calls_say_which_post_does_it_now_and_a_post_does_it() {
    let page = Page::open();
    let generation = page.generation();
    for verb in [
        "addHost",
        "delHost",
        "delAllHosts",
        "enableGroup",
        "changeScheduler",
        "addUser",
        "delUser",
        "newService",
        "newGroup",
        "delGroup",
        "closeLog",
        "retryHost",
        "hostAdminDown",
        "hostAdminUp",
        "shutdown",
    ] {
        let path = format!("/{verb}?service=web&group=main&name=a&ip=127.0.0.1:1&user=admin");
        assert_eq!(HttpRequest::get(page.address, &path).send().status, 401);
        let reply = HttpRequest::get(page.address, &path)
            .by(ADMIN)
            .host("evil.example")
            .send();
        assert_eq!(reply.status, 421);
        for method in ["GET", "HEAD", "PUT"] {
            let reply = HttpRequest::get(page.address, &path)
                .method(method)
                .by(ADMIN)
                .send();
            assert_eq!(reply.status, 405, "{verb}: {reply:?}");
            assert_eq!(reply.header("Allow"), Some("POST"), "{verb}");
        }
        let told = page.look(&path).body;
        let starts = format!("{verb} takes POST now: POST /api/");
        assert!(
            told.starts_with(&starts) && told.lines().count() == 1,
            "{told}"
        );
    }
    assert_eq!(page.generation(), generation);
    let host = [("service", "web"), ("group", "main"), ("host", "a")];
    let post = |fields: &[(&str, &str)]| HttpRequest::post(page.address, "/hostAdminDown", fields);
    assert_eq!(post(&host).by(GUEST).send().status, 403);
    let evil = post(&host).by(ADMIN).with("Sec-Fetch-Site", "cross-site");
    assert_eq!(evil.send().status, 403);
    assert_eq!(page.generation(), generation);
    let reply = post(&host).by(ADMIN).send();
    assert_eq!(reply.status, 409, "the last usable host: {reply:?}");
    let forced = [&host[..], &[("force", "true")]].concat();
    let reply = post(&forced).by(ADMIN).send();
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.body.starts_with("{\"ok\":true,"), "{reply:?}");
    assert!(page.look("/running.xml").body.contains("state=\"down\""));
    let ready = page.look("/api/ready?service=web");
    assert_eq!(ready.status, 409, "{ready:?}");
    assert!(ready.body.contains("is usable: 1 down"), "{ready:?}");
}

#[test]
fn verbs_are_answered_in_json_with_a_status_that_fits() {
    let page = Page::open();
    let host = [("service", "web"), ("group", "main"), ("name", "a")];
    let reply = page.tell("setWeight", &[&host[..], &[("weight", "9")]].concat());
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("Content-Type"), Some("application/json"));
    assert_eq!(
        reply.body,
        "{\"ok\":true,\"generation\":2,\"done\":\"roundr of web:main does not look at weights: weightrr does\",\"error\":null,\"data\":{\"lines\":[]}}\n"
    );
    for (verb, fields, status) in [
        (
            "setWeight",
            &[
                ("service", "x"),
                ("group", "g"),
                ("name", "n"),
                ("weight", "1"),
            ][..],
            409,
        ),
        ("delHost", &host[..], 409),
        ("setWeight", &host[..], 400),
        ("setWeight", &[("wight", "1")][..], 400),
        ("setWieght", &[][..], 404),
        ("commit", &[][..], 409),
    ] {
        let reply = page.tell(verb, fields);
        assert_eq!(reply.status, status, "{verb}: {reply:?}");
        assert!(reply.body.starts_with("{\"ok\":false,"), "{reply:?}");
        assert!(reply.body.contains("\"error\":\""), "{reply:?}");
    }
    let near = page.tell("setWieght", &[]).body;
    assert!(near.contains("setWeight"), "{near}");
    let reply = page.tell("status", &[]);
    assert!(reply.body.contains("\"data\":{\"version\":"), "{reply:?}");
    let plain = HttpRequest::post(page.address, "/api/setWeight", &host).by(ADMIN);
    let plain = plain.with("Content-Type", "text/plain").send();
    assert_eq!(plain.status, 400, "two kinds of body");
    assert_eq!(page.generation(), 2);
}
