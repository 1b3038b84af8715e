//! Whether a request comes from where it says: against pages elsewhere that have a
//! browser ask here.
//!
//! Only what the headers say; who somebody is, is `auth`'s business.

use std::net::IpAddr;

use crate::admin::http::Request;

/// The name under which the page is called, if it is one of its own: its address,
/// `localhost`, or one of `names`, with whatever port.
///
/// A page elsewhere can have its name point here (DNS rebinding), and is then of the
/// same origin for the browser. What it cannot do is call us by another name.
pub(super) fn is_own_name(host: &str, local: IpAddr, names: &[String]) -> bool {
    let name = without_port(host);
    let bare = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    if let Ok(ip) = bare.unwrap_or(name).parse::<IpAddr>() {
        return ip.to_canonical() == local.to_canonical()
            || names.iter().any(|own| own.parse() == Ok(ip));
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let is = |own: &str| own.eq_ignore_ascii_case(name);
    is("localhost") || names.iter().any(|own| is(own))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether a request that changes something is none that a page elsewhere has sent.
///
/// Browsers say where it comes from, in one of two ways. Whoever says nothing is no
/// browser, and has no password of somebody else's at hand.
pub(super) fn is_same_origin(request: &Request, secure: bool) -> bool {
    let fetch_site = request.fetch_site.as_deref();
    if !matches!(fetch_site, None | Some("same-origin" | "none")) {
        return false;
    }
    let Some(origin) = &request.origin else {
        return true;
    };
    let scheme = if secure { "https" } else { "http" };
    let host = request.host.as_deref().unwrap_or_default();
    origin.eq_ignore_ascii_case(&format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_called_by_its_own_names_only() {
        let names = ["lb.example.org".to_owned(), "10.0.0.9".to_owned()];
        let is_own = |host: &str, local: &str| is_own_name(host, local.parse().unwrap(), &names);
        for host in [
            "127.0.0.1",
            "127.0.0.1:7001",
            "localhost",
            "LocalHost:7001",
            "localhost.:7001",
            "lb.example.org",
            "LB.example.org:80",
            "10.0.0.9:7001",
            "127.0.0.1:",
        ] {
            assert!(is_own(host, "127.0.0.1"), "{host}");
            assert!(is_own(host, "::ffff:127.0.0.1"), "{host}");
        }
        assert!(is_own("[::1]:7001", "::1") && is_own("[::1]", "::1"));
        for host in [
            "",
            "evil.example",
            "evil.example:7001",
            "xlocalhost",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.2",
            "localhost:7001:x",
            "localhost@evil.example",
            "[::1]",
            "user@localhost",
        ] {
            assert!(!is_own(host, "127.0.0.1"), "{host}");
        }
    }

    #[test]
    fn changes_come_from_the_page_itself_or_from_no_browser() {
        let request = |origin: Option<&str>, fetch_site: Option<&str>| Request {
            host: Some("localhost:7001".to_owned()),
            origin: origin.map(str::to_owned),
            fetch_site: fetch_site.map(str::to_owned),
            ..Request::default()
        };
        let own = Some("http://localhost:7001");
        let is_same = |origin, site| is_same_origin(&request(origin, site), false);
        assert!(is_same(None, None) && is_same(own, None) && is_same(own, Some("same-origin")));
        assert!(is_same(None, Some("none")));
        for site in ["cross-site", "same-site", "", "Same-Origin"] {
            assert!(!is_same(own, Some(site)), "{site}");
        }
        for origin in [
            "null",
            "",
            "https://localhost:7001",
            "http://localhost",
            "http://localhost:7002",
            "http://evil.example",
        ] {
            assert!(!is_same(Some(origin), None), "{origin}");
        }
        assert!(is_same_origin(
            &request(Some("https://localhost:7001"), None),
            true
        ));
    }
}
