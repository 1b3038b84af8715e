//! The admin page: its refresh, and its buttons.
#![cfg(feature = "web")]

use crate::support::http::{ADMIN, HttpRequest, Reply};
use crate::support::page::Page;

/// Where the response to a button leads, relative to `/do`.
fn next(reply: &Reply) -> String {
    let place = reply.header("Location").unwrap();
    place.strip_prefix('.').unwrap().to_owned()
}

#[test]
fn a_page_is_refreshed_as_it_was_asked_for_and_after_an_action_too() {
    let page = Page::open();
    let meta = |path: &str| {
        let shown = page.look(path).body;
        let (_, rest) = shown.split_once("http-equiv=\"refresh\" content=\"")?;
        rest.split('"').next().map(str::to_owned)
    };
    for path in ["/", "/all", "/running"] {
        assert_eq!(meta(&format!("{path}?refresh=7")).as_deref(), Some("7"));
        assert_eq!(meta(&format!("{path}?refresh=0")), None);
    }
    let (token, generation) = (page.hidden("token"), page.hidden("generation"));
    let pressed = page.button("drainHost", &token, &generation).by(ADMIN);
    let reply = pressed.at("/do?refresh=7").send();
    assert_eq!(reply.status, 303, "{reply:?}");
    assert_eq!(meta(&next(&reply)).as_deref(), Some("7"));
    let reply = pressed.at("/do?refresh=0").send();
    assert_eq!(meta(&next(&reply)), None);
}

#[test]
fn behind_a_proxy_that_ends_tls_buttons_work() {
    let page = Page::open();
    let (token, generation) = (page.hidden("token"), page.hidden("generation"));
    let pressed = page.button("drainHost", &token, &generation).by(ADMIN);
    let (origin, name) = ("https://lb.example.org", "lb.example.org");
    let own = page.address.to_string();
    for (host, (header, value), status) in [
        (name, ("Sec-Fetch-Site", "same-origin"), 303),
        (&own, ("Sec-Fetch-Site", "same-origin"), 303),
        (name, ("X", ""), 303),
        ("lb.example.org.", ("X-Forwarded-Host", name), 303),
        (&own, ("X-Forwarded-Host", name), 303),
        (&own, ("X-Forwarded-Host", "evil.example"), 403),
        (&own, ("X", ""), 403),
        (name, ("Sec-Fetch-Site", "same-site"), 403),
    ] {
        let ask = pressed.at("/do").host(host).with("Origin", origin);
        let reply = ask.with(header, value).send();
        assert_eq!(reply.status, status, "{host}, {header}: {value}");
    }
}

#[test]
fn a_button_needs_the_page_it_is_on() {
    let mut page = Page::open();
    let (token, generation) = (page.hidden("token"), page.hidden("generation"));
    for wrong in ["", "0", &token[1..], &format!("{token}0")] {
        let reply = page
            .button("drainHost", wrong, &generation)
            .by(ADMIN)
            .send();
        assert_eq!(reply.status, 403, "{wrong}: {reply:?}");
    }
    assert_eq!(page.generation().to_string(), generation);

    let reply = page
        .button("drainHost", &token, &generation)
        .by(ADMIN)
        .send();
    assert_eq!(reply.status, 303, "{reply:?}");
    let place = next(&reply);
    assert!(place.starts_with("/?notice="), "{place}");
    let shown = page.look(&place).body;
    assert!(shown.contains("Done: drainHost service=web"), "{shown}");
    assert!(
        !page.look(&place).body.contains("Done: drainHost"),
        "shown twice"
    );
    page.txlb.wait_for(
        "drainHost service=web group=main name=a force=true, was state=up; by user admin from",
    );

    // The button is from a page before the change.
    let reply = page
        .button("hostAdminUp", &token, &generation)
        .by(ADMIN)
        .send();
    let place = next(&reply);
    let shown = page.look(&place).body;
    assert!(
        shown.contains("the configuration has changed meanwhile"),
        "{shown}"
    );
    assert!(page.look("/config.xml").status == 200);
    assert!(page.look("/running.xml").body.contains("state=\"drain\""));
}

#[test]
fn the_last_usable_host_goes_by_a_tick_and_a_word_of_warning() {
    let page = Page::open();
    let shown = page.look("/").body;
    assert!(shown.contains("new sessions will fail"), "{shown}");
    for (verb, weight) in [("drainHost", ""), ("hostAdminDown", ""), ("setWeight", "0")] {
        let (token, generation) = (page.hidden("token"), page.hidden("generation"));
        let fields = [
            ("token", &*token),
            ("generation", &generation),
            ("verb", verb),
            ("service", "web"),
            ("group", "main"),
            ("name", "a"),
            ("weight", weight),
        ];
        let press = |fields: &[(&str, &str)]| {
            let press = HttpRequest::post(page.address, "/do", fields).by(ADMIN);
            page.look(&next(&press.send())).body
        };
        let shown = press(&fields);
        assert!(shown.contains("Nothing was done"), "{verb}: {shown}");
        assert!(shown.contains("insist with force=true"), "{verb}: {shown}");
        let shown = press(&[&fields[..], &[("force", "true")]].concat());
        assert!(shown.contains(&format!("Done: {verb}")), "{shown}");
        let host = [("service", "web"), ("group", "main"), ("name", "a")];
        page.tell("hostAdminUp", &host);
    }
}

#[test]
fn ticked_hosts_change_together_or_not_at_all() {
    let page = Page::open();
    page.tell(
        "addHost",
        &[
            ("service", "web"),
            ("group", "main"),
            ("name", "b"),
            ("ip", "127.0.0.1:9"),
        ],
    );
    let ticked = ["a", "b"].map(|name| format!("service=web&group=main&name={name}"));
    let press = |verb: &str, more: &[(&str, &str)], place: &str| {
        let (token, generation) = (page.hidden("token"), page.hidden("generation"));
        let fields = [
            ("token", &*token),
            ("generation", &generation),
            ("verb", verb),
            ("host", &ticked[0]),
            ("host", &ticked[1]),
        ];
        let fields = [&fields[..], more].concat();
        let reply = HttpRequest::post(page.address, place, &fields)
            .by(ADMIN)
            .send();
        (next(&reply), page.look(&next(&reply)).body)
    };
    let weights = || {
        page.look("/running.xml")
            .body
            .matches("weight=\"5\"")
            .count()
    };
    let (place, shown) = press("setWeight", &[("weight", "5")], "/do?q=main");
    assert!(place.ends_with("&q=main"), "{place}");
    assert!(shown.contains("Done: setWeight of 2 hosts"), "{shown}");
    assert_eq!(weights(), 2);
    // The last usable hosts stay, both of them.
    let (_, shown) = press("drainHost", &[("weight", "")], "/do");
    assert!(
        shown.contains("Nothing was done: drainHost of 2 hosts"),
        "{shown}"
    );
    assert!(!page.look("/running.xml").body.contains("drain"));
    let (_, shown) = press("drainHost", &[("weight", ""), ("force", "true")], "/do");
    assert!(shown.contains("Done: drainHost of 2 hosts"), "{shown}");
    let drained = page.look("/running.xml").body;
    assert_eq!(drained.matches("state=\"drain\"").count(), 2);
}

#[test]
fn the_page_is_compressed_for_those_who_take_it_and_never_has_the_same_token() {
    let page = Page::open();
    let get = |path: &str, site: &str| {
        let get = HttpRequest::get(page.address, path).by(ADMIN);
        let get = get
            .with("Accept-Encoding", "gzip, br")
            .with("Sec-Fetch-Site", site);
        let reply = get.send();
        assert_eq!(reply.status, 200, "{path}");
        let length: usize = reply.header("Content-Length").unwrap().parse().unwrap();
        (reply.header("Content-Encoding").map(str::to_owned), length)
    };
    for path in ["/", "/live", "/style.css", "/script.js"] {
        let (coding, length) = get(path, "same-origin");
        assert_eq!(coding.as_deref(), Some("gzip"), "{path}");
        let plain = page.look(path);
        assert_eq!(plain.header("Content-Encoding"), None, "{path}");
        assert_eq!(plain.header("Vary"), Some("Accept-Encoding"), "{path}");
        assert!(length < plain.body.len() / 2, "{path}: {length}");
        assert_eq!(get(path, "cross-site").0, None, "{path}");
    }
    for path in ["/running.xml", "/config.xml", "/diff", "/api/status"] {
        assert_eq!(get(path, "none").0, None, "{path}");
    }
    let tokens = [page.hidden("token"), page.hidden("token")];
    assert_ne!(tokens[0], tokens[1]);
    let generation = page.hidden("generation");
    for token in tokens {
        let pressed = page
            .button("setWeight", &token, &generation)
            .by(ADMIN)
            .send();
        assert_eq!(pressed.status, 303, "{pressed:?}");
    }
    assert!(
        page.look("/live")
            .body
            .contains("name=\"token\" value=\"\"")
    );
}
