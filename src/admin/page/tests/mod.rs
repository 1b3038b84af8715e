//! Tests of whole pages: well-formed HTML with any names, forms that fit their verbs,
//! and refreshing without a script.

mod checker;
pub(super) mod samples;

use std::collections::BTreeSet;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use self::checker::{Checked, check, check_fragment};
use super::*;
use crate::config::Access;
use crate::config::HostState;
use crate::config::verb::table::{KeySchema, command};
use crate::control::{
    GroupStatus, Health, HostStatus, RecentEvent, SessionStatus, Sessions, Status, Topic,
};

/// Every kind of character that could do harm.
fn nasty_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "<script>alert(1)</script>",
        "\" onmouseover=\"alert(1)",
        "' a='",
        "a&amp;b & c",
        "</td></tr></table>",
        "line\nfeed\r\ttab",
        "\u{202e}gpj.one\u{2066}",
        "nul\0",
        "\u{7f}\u{85}\u{9b}",
        "👩\u{200d}💻 ünï \u{301}",
        "--> ]]> ${x} {{x}}",
        "",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push("x".repeat(255));
    names.push("💥".repeat(63));
    names
}

fn nasty_status() -> (Status, Sessions) {
    let names = nasty_names();
    let hosts = |(number, name): (usize, &String)| {
        let mut host = match number % 2 {
            0 => samples::busy(name, 1),
            _ => samples::failed(name),
        };
        host.endpoint.clone_from(name);
        host.last_failure = Some((name.clone(), u64::MAX));
        host.health = match number % 3 {
            0 => Health::Failed(crate::balance::Failure::Other(name.clone())),
            _ => host.health,
        };
        host.state = [HostState::Up, HostState::Drain, HostState::Down][number / 3 % 3];
        host
    };
    let group =
        |name: &String| GroupStatus::example(name, names.iter().enumerate().map(hosts).collect());
    let mut status = samples::trouble();
    let services = names
        .iter()
        .map(|name| samples::service(name, vec![group(name)]));
    status.services = services.collect();
    status.recent_events = names
        .iter()
        .map(|name| RecentEvent {
            wall_ms: u64::MAX,
            topic: Topic::Error,
            text: name.clone(),
        })
        .collect();
    let list = (0..).zip(&names).map(|(id, name)| SessionStatus {
        id,
        service: name.clone(),
        group: name.clone(),
        host: Some(name.clone()),
        ..SessionStatus::example()
    });
    let sessions = Sessions {
        list: list.collect(),
        more: usize::MAX / 2,
        is_part: false,
    };
    (status, sessions)
}

/// Checks the page with full access and read-only, and its live part.
fn looked_at(view: &View<'_>) -> Checked {
    let only_looked_at = View {
        access: Access::ReadOnly,
        ..*view
    };
    let checked = check(&page(&only_looked_at));
    let writes = |tag: &&checker::Tag| {
        tag.attribute("method") == Some("post") || tag.attribute("name") == Some("verb")
    };
    assert_eq!(
        checked.tags.iter().filter(writes).count(),
        0,
        "with read-only access"
    );
    assert!(checked.text.contains("may only read"));
    assert_eq!(checked.count("script"), 1);
    let whole = page(view);
    assert!(whole.contains(&live(view)));
    assert_eq!(
        check_fragment(&live(view)).tags[0].attribute("id"),
        Some("live")
    );
    check(&whole)
}

#[test]
fn a_page_of_nothing_is_a_page() {
    let status = Status {
        name: "lb1".to_owned(),
        ..Status::default()
    };
    let checked = looked_at(&samples::view(&status));
    assert!(checked.text.contains("There is no service."));
}

#[test]
fn a_page_says_how_a_small_site_is() {
    let (status, sessions) = (samples::trouble(), samples::sessions());
    let flash_message = FlashMessage {
        ok: false,
        text: "the configuration has changed since".to_owned(),
    };
    let checked = looked_at(&View {
        sessions: &sessions,
        unsaved: &["drainHost service=web group=main name=three".to_owned()],
        flash_message: Some(&flash_message),
        ..samples::view(&status)
    });
    for text in [
        "2 of 7 hosts have failed.",
        "web:main/two: connection refused, for 4 min",
        "txlb lb1",
        "Nothing was done: the configuration has changed since",
        "The last reload failed 8 min ago",
        "2 changes are not in the file",
        "5 sessions left; healthy 2 h",
        "host web:main/one is healthy",
        "192.0.2.7:40000",
    ] {
        assert!(checked.text.contains(text), "{text}");
    }
}

#[test]
fn nobody_can_put_anything_into_a_page_by_a_name() {
    let (status, sessions) = nasty_status();
    looked_at(&View {
        sessions: &sessions,
        ..samples::view(&status)
    });
    let (small, names) = (samples::trouble(), nasty_names());
    for name in &names {
        let flash_message = FlashMessage {
            ok: true,
            text: name.clone(),
        };
        looked_at(&View {
            unsaved: &names,
            user: Some(name),
            token: name,
            flash_message: Some(&flash_message),
            ..samples::view(&small)
        });
        check(&error("./", 404, name, name));
    }
}

#[test]
fn the_page_for_a_missing_password_loads_nothing_else() {
    assert!(
        !error(
            "./",
            401,
            "Unauthorized",
            "log in: a user and a password are needed"
        )
        .contains("<link")
    );
    assert!(error("../", 404, "Not Found", "where?").contains("href=\"../style.css\""));
}

#[test]
fn what_a_form_sends_is_exactly_what_its_verb_takes() {
    let name = "\u{202e}a \"b\" & <c>";
    let mut spare = GroupStatus::example("other", vec![samples::failed(name)]);
    spare.hosts[0].state = HostState::Drain;
    let mut status = samples::trouble();
    status.services[0].groups.push(spare);
    let sessions = samples::sessions();
    let checked = looked_at(&View {
        sessions: &sessions,
        ..samples::view(&status)
    });
    let mut verbs = BTreeSet::new();
    let mut names = BTreeSet::new();
    let mut keys: BTreeSet<&str> = BTreeSet::new();
    let mut is_for_many = false;
    for tag in &checked.tags {
        match (tag.name.as_str(), tag.attribute("name")) {
            ("form", _) => {
                keys.clear();
                is_for_many = tag.attribute("id") == Some("many");
            }
            ("input", Some(key)) if tag.attribute("form").is_none() => {
                keys.insert(key);
                names.insert(tag.attribute("value").unwrap_or_default());
            }
            ("button", Some("verb")) => {
                let verb = tag.attribute("value").unwrap();
                let required = |key: &&KeySchema| key.required;
                for key in command(verb).unwrap().keys().iter().filter(required) {
                    // The keys of ticked hosts are in their ticks.
                    if is_for_many {
                        assert!(VERBS.contains(&verb));
                        continue;
                    }
                    assert!(keys.contains(key.name), "{verb} without {}", key.name);
                }
                assert!(keys.contains("token") && keys.contains("generation"));
                verbs.insert(verb);
            }
            _ => {}
        }
    }
    assert!(names.contains(name));
    let all = [
        "addHost",
        "delHost",
        "drainHost",
        "enableGroup",
        "endSession",
        "endSessions",
        "hostAdminDown",
        "hostAdminUp",
        "reload",
        "retryHost",
        "saveConfig",
        "setWeight",
        "undo",
    ];
    assert_eq!(Vec::from_iter(verbs), all);
}

/// The refresh interval of a browser without a script, and the checked page.
fn without_script(page: &str) -> (Option<String>, Checked) {
    let checked = check(page);
    let meta = |tag: &&checker::Tag| tag.attribute("http-equiv") == Some("refresh");
    let seconds = checked.tags.iter().find(meta);
    let seconds = seconds.map(|tag| tag.attribute("content").unwrap().to_owned());
    (seconds, checked)
}

fn refreshing<'a>(status: &'a Status, configured: Option<u64>, query: &str) -> View<'a> {
    let fields = crate::admin::http::request::fields(query.as_bytes()).unwrap();
    let configured = configured.map(std::time::Duration::from_secs);
    View {
        query: Box::leak(Box::new(Query::new(configured, &fields))),
        ..samples::view(status)
    }
}

fn links(checked: &Checked) -> Vec<&str> {
    let links = checked.tags.iter().filter(|tag| tag.name == "a");
    links.filter_map(|tag| tag.attribute("href")).collect()
}

#[test]
fn without_a_script_the_page_is_refreshed_and_can_be_stopped_and_started() {
    let status = samples::trouble();
    for (configured, query, seconds, switch) in [
        (Some(10), "", Some("10"), "./?refresh=0"),
        (Some(10), "refresh=5", Some("5"), "./?refresh=0"),
        (Some(10), "refresh=0", None, "./?refresh=10"),
        (None, "", None, "./?refresh=30"),
        (None, "refresh=7", Some("7"), "./?refresh=0"),
    ] {
        let page = page(&refreshing(&status, configured, query));
        let (found, checked) = without_script(&page);
        assert_eq!(found.as_deref(), seconds, "{configured:?} {query}");
        let outside = "</noscript><script ";
        assert_eq!(page.contains(outside), seconds.is_some(), "{query}");
        assert!(links(&checked).contains(&switch), "{query}: {page}");
        let is_on = |tag: &&checker::Tag| tag.attribute("checked").is_some();
        assert_eq!(checked.tags.iter().any(|it| is_on(&it)), seconds.is_some());
    }
}

#[test]
fn links_and_forms_keep_how_often_a_view_is_refreshed() {
    let status = samples::trouble();
    let flash_message = FlashMessage {
        ok: true,
        text: String::new(),
    };
    let of = |query| {
        page(&View {
            flash_message: Some(&flash_message),
            ..refreshing(&status, Some(10), query)
        })
    };
    for (query, link, action) in [
        ("", "./", "do"),
        ("refresh=5", "./?refresh=5", "do?refresh=5"),
    ] {
        let checked = check(&of(query));
        let links = links(&checked);
        // Refresh now, dismiss, and the order by state in three groups.
        assert_eq!(links.iter().filter(|it| **it == link).count(), 2 + 3);
        let post = |tag: &&checker::Tag| tag.attribute("method") == Some("post");
        for form in checked.tags.iter().filter(post) {
            assert_eq!(form.attribute("action"), Some(action));
        }
    }
}

/// Inputs of forms that `refreshing.css` does not hide.
fn open_inputs(page: &str) -> Vec<&str> {
    let mut open: Vec<(&str, bool)> = Vec::new();
    let mut found = Vec::new();
    let (_, live) = page.split_once("<main").unwrap();
    for tag in live.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').unwrap();
        let name = tag.split(' ').next().unwrap();
        let is_hidden = open.last().is_some_and(|(_, hidden)| *hidden);
        if let Some(name) = name.strip_prefix('/') {
            while open.pop().is_some_and(|(it, _)| it != name) {}
        } else if name == "input" {
            let is_hidden =
                is_hidden || tag.contains("class=\"prepared") || tag.contains(" hidden=");
            if !is_hidden && !tag.contains("type=\"hidden\"") {
                found.push(tag);
            }
        } else {
            open.push((name, is_hidden || tag.contains("class=\"prepared")));
        }
    }
    found
}

#[test]
fn what_takes_more_than_one_click_is_where_nothing_is_refreshed() {
    let status = samples::trouble();
    let shown = page(&refreshing(&status, Some(10), "refresh=5"));
    assert_eq!(open_inputs(&shown), Vec::<&str>::new());
    // The check does find inputs that are not hidden.
    assert!(!open_inputs(&shown.replace("prepared", "")).is_empty());
    let checked = check(&shown);
    let change = links(&checked);
    let change = change.iter().filter(|it| it.contains("&change#")).count();
    // Groups, the file, the filter, and ticked hosts.
    let groups = 3;
    assert_eq!(change, groups + 3);
    // The view for forms has them, is not refreshed, and links back.
    let there = page(&refreshing(&status, Some(10), "refresh=5&change"));
    let (seconds, checked) = without_script(&there);
    assert_eq!(seconds, None);
    assert!(!there.contains("class=\"instead\""));
    assert!(links(&checked).contains(&"./?refresh=5"));
    assert!(there.contains("action=\"do?refresh=5\""));
}

#[test]
fn a_thousand_hosts_are_a_page_that_can_be_sent() {
    let hosts: Vec<HostStatus> = (0..1000)
        .map(|number| samples::busy(&format!("host{number}"), number % 7))
        .collect();
    let status = samples::status(hosts);
    let view = samples::view(&status);
    looked_at(&view);
    let a_host = page(&view).len() / listing::MAX_ROWS;
    assert!(a_host < 3_000, "{a_host} bytes a host");
}

#[test]
fn three_hundred_busy_hosts_are_less_than_sixty_kilobytes_of_gzip() {
    let host = |number: u32| HostStatus {
        endpoint: format!("10.0.{}.{}:8080", number / 250, number % 250),
        ..samples::busy(&format!("app-{number:03}.prod"), number)
    };
    let group = |number: u32| {
        let hosts = (number * 30..(number + 1) * 30).map(host);
        samples::service(
            &format!("service{number}"),
            vec![GroupStatus::example("main", hosts.collect())],
        )
    };
    let mut status = samples::status(Vec::new());
    status.services = (0..10).map(group).collect();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::new(6));
    gzip.write_all(page(&samples::view(&status)).as_bytes())
        .unwrap();
    let length = gzip.finish().unwrap().len();
    assert!(length < 60_000, "{length} bytes");
}

#[test]
fn the_live_part_holds_no_token() {
    let status = samples::trouble();
    let view = View {
        token: "",
        ..samples::view(&status)
    };
    assert!(live(&view).contains("name=\"token\" value=\"\""));
}

#[test]
fn style_and_script_ask_nobody_else() {
    for text in [STYLE, STYLE_REFRESHING, SCRIPT] {
        for word in [
            "http:",
            "https:",
            "//cdn",
            "@import",
            "url(",
            "eval(",
            "innerHTML",
        ] {
            assert!(!text.contains(word), "{word}");
        }
    }
}
