//! Checks of a request before it is served: Host header against DNS rebinding, origin
//! against cross-site requests (CSRF), and the login by HTTP Basic.

use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::request::Request;
use super::response::{Response, error_page};
use super::state::RequestContext;
use crate::admin::auth::Login;
use crate::config::Access;
use crate::control::Actor;

/// The user of a request, and their access.
pub(super) struct Principal {
    /// The user name; `None` where no users are configured.
    pub(super) name: Option<String>,
    pub(super) access: Access,
    pub(super) actor: Actor,
}

/// Whether a Host header names this page: by its address, `localhost` or one of
/// `names`, with any port.
///
/// A foreign page can let its own name point to this address (DNS rebinding). The
/// browser then takes both for the same origin, but sends the foreign name as Host.
pub(super) fn is_page_host(host: &str, local: IpAddr, names: &[String]) -> bool {
    let name = match port_of(host) {
        Some(port) => &host[..host.len() - port.len() - 1],
        None => host,
    };
    let bare = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    if let Ok(ip) = bare.unwrap_or(name).parse::<IpAddr>() {
        return ip.to_canonical() == local.to_canonical()
            || names.iter().any(|own| own.parse() == Ok(ip));
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let is = |own: &str| own.eq_ignore_ascii_case(name);
    is("localhost") || names.iter().any(|own| is(own))
}

fn port_of(host: &str) -> Option<&str> {
    let (_, port) = host.rsplit_once(':')?;
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
    is_port.then_some(port)
}

/// Whether a POST comes from the page itself, or from a program that is no browser.
///
/// Browsers send `Sec-Fetch-Site` or `Origin`. A request with neither is no browser's,
/// so it carries no stored password of another person.
///
/// Browsers send `Sec-Fetch-Site` over HTTPS and to localhost only. Where it is sent, it
/// decides: no page can forge it, and it is about the address that the browser sees,
/// behind any proxy. Elsewhere `Origin` is compared.
// Test: changes_come_from_the_page_itself_or_from_no_browser,
// behind_a_proxy_the_browser_decides_and_else_what_the_proxy_passes_on.
pub(super) fn is_same_origin(
    request: &Request,
    local: SocketAddr,
    secure: bool,
    names: &[String],
) -> bool {
    if let Some(site) = &request.fetch_site {
        return matches!(site.as_str(), "same-origin" | "none");
    }
    let Some(origin) = &request.origin else {
        return true;
    };
    let is = |scheme: &str, host: &str| {
        let port = if scheme == "https" { ":443" } else { ":80" };
        // Browsers leave the default port out; some proxies do not.
        let host = host.strip_suffix(port).unwrap_or(host);
        origin.eq_ignore_ascii_case(&format!("{scheme}://{host}"))
    };
    let host = request.host.as_deref().unwrap_or_default();
    let own_scheme = if secure { "https" } else { "http" };
    if is(own_scheme, host) {
        return true;
    }
    // A proxy that ends TLS and keeps the Host header. With our own port, the same name
    // with another scheme would be another server.
    let port = port_of(host).unwrap_or("80");
    if !secure && port != local.port().to_string() && is("https", host) {
        return true;
    }
    // A proxy that sends X-Forwarded-Host. A foreign page cannot set this header: the
    // browser would send a CORS preflight first, which is refused.
    let forwarded = request.forwarded_host.as_deref().unwrap_or_default();
    let is_forwarded = is("https", forwarded) || is("http", forwarded);
    is_forwarded && is_page_host(forwarded, local.ip(), names)
}

/// Checks the login of a request.
///
/// # Errors
/// The response to those who may not read: 401, 403 or 429.
pub(super) fn authenticate(
    context: &RequestContext<'_>,
    request: &Request,
) -> Result<Principal, Response> {
    let auth = &context.state.auth;
    if !auth.has_users() {
        return guest_of_this_machine(context, request);
    }
    let Some((name, password)) = request.authorization.as_deref().and_then(credentials) else {
        return Err(unauthorized(
            request,
            "log in: a user and a password are needed",
        ));
    };
    match auth.login(context.peer.ip(), &name, &password, "web") {
        Login::Welcome(access) => Ok(Principal {
            actor: Actor::User {
                name: name.clone(),
                from: context.peer,
                interface: "web",
            },
            name: Some(name),
            access,
        }),
        Login::Wrong => Err(unauthorized(request, "the name or the password is wrong")),
        Login::Wait { seconds } => {
            let text = format!(
                "too many passwords were wrong, or are being checked: try again in {seconds} s"
            );
            Err(error_page(request, 429, &text).with_header("Retry-After", seconds.to_string()))
        }
    }
}

/// Where no users are configured, clients on this machine may read.
fn guest_of_this_machine(
    context: &RequestContext<'_>,
    request: &Request,
) -> Result<Principal, Response> {
    if !context.peer.ip().to_canonical().is_loopback() {
        let text = "there are no users: without one, this page is for this machine alone";
        return Err(error_page(request, 403, text));
    }
    Ok(Principal {
        name: None,
        access: Access::ReadOnly,
        actor: Actor::User {
            name: String::new(),
            from: context.peer,
            interface: "web",
        },
    })
}

/// Name and password of an HTTP Basic header (RFC 7617, UTF-8).
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

fn unauthorized(request: &Request, text: &str) -> Response {
    error_page(request, 401, text).with_header(
        "WWW-Authenticate",
        "Basic realm=\"txlb\", charset=\"UTF-8\"".to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_called_by_its_own_names_only() {
        let names = ["lb.example.org".to_owned(), "10.0.0.9".to_owned()];
        let is_own = |host: &str, local: &str| is_page_host(host, local.parse().unwrap(), &names);
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

    /// A request to `localhost:7001`.
    fn request(origin: Option<&str>, fetch_site: Option<&str>) -> Request {
        Request {
            host: Some("localhost:7001".to_owned()),
            origin: origin.map(str::to_owned),
            fetch_site: fetch_site.map(str::to_owned),
            ..Request::default()
        }
    }

    fn is_same(request: &Request, secure: bool) -> bool {
        let names = ["lb.example.org".to_owned()];
        is_same_origin(request, ([127, 0, 0, 1], 7001).into(), secure, &names)
    }

    #[test]
    fn changes_come_from_the_page_itself_or_from_no_browser() {
        let own = Some("http://localhost:7001");
        let https = |origin| is_same(&request(Some(origin), None), true);
        assert!(https("https://localhost:7001") && !https("http://localhost:7001"));
        let is_same = |origin, site| is_same(&request(origin, site), false);
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
            "https://",
            "http://",
        ] {
            assert!(!is_same(Some(origin), None), "{origin}");
        }
    }

    #[test]
    fn behind_a_proxy_the_browser_decides_and_else_what_the_proxy_passes_on() {
        let actor = |host: &str, forwarded: Option<&str>, origin: &str, site: Option<&str>| {
            let request = Request {
                host: Some(host.to_owned()),
                forwarded_host: forwarded.map(str::to_owned),
                ..request(Some(origin), site)
            };
            is_same(&request, false)
        };
        let (ours, name) = ("127.0.0.1:7001", "lb.example.org");
        let same = Some("same-origin");
        assert!(actor(ours, None, "https://lb.example.org", same));
        assert!(actor(ours, None, "https://proxy.example/", same));
        // Without that header, the name that the proxy keeps.
        assert!(actor(name, None, "https://lb.example.org", None));
        assert!(actor(name, None, "http://lb.example.org", None));
        assert!(actor(
            "lb.example.org:443",
            None,
            "https://lb.example.org",
            None
        ));
        assert!(actor(
            "lb.example.org:80",
            None,
            "http://lb.example.org",
            None
        ));
        assert!(!actor(
            "lb.example.org:80",
            None,
            "https://lb.example.org",
            None
        ));
        let at_8443 = "lb.example.org:8443";
        assert!(actor(at_8443, None, "https://lb.example.org:8443", None));
        assert!(!actor(name, None, "https://lb.example.org:8443", None));
        assert!(!actor(at_8443, None, "https://lb.example.org", None));
        assert!(!actor(ours, None, "https://lb.example.org", None));
        // Another server of ours at the same port cannot be.
        assert!(!actor(ours, None, "https://127.0.0.1:7001", None));
        // Or the name that it forwards, if it is ours.
        let elsewhere = "evil.example";
        assert!(actor(ours, Some(name), "https://lb.example.org", None));
        assert!(actor(ours, Some(name), "http://lb.example.org", None));
        assert!(actor(
            ours,
            Some(at_8443),
            "https://lb.example.org:8443",
            None
        ));
        assert!(!actor(ours, Some(name), "https://evil.example", None));
        assert!(!actor(ours, Some(elsewhere), "https://evil.example", None));
        assert!(!actor(ours, Some(""), "https://", None));
        // What the browser says stands.
        let cross = Some("cross-site");
        assert!(!actor(ours, Some(name), "https://lb.example.org", cross));
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
