//! Old forms, as the ancestors' files have them, and what each is another spelling of.

use super::*;
use crate::config::Web;

#[test]
fn the_outermost_element_has_two_names() {
    let inner = "<service name='s'><listen ip='1'/><group name='g' enable='1'/></service>";
    let [new, old] = ["config", "pdconfig"].map(|name| parse(&format!("<{name}>{inner}</{name}>")));
    assert_eq!(new, old);
}

#[test]
fn the_page_may_be_said_by_attributes_of_admin() {
    let web = |attributes: &str| {
        let config = parse(&format!("<pdconfig><admin {attributes}/></pdconfig>"));
        config.admin.unwrap().web.unwrap()
    };
    let old = web("listen='localhost:7000' secure='secure' refresh='10'");
    let new = admin("<web listen='localhost:7000' secure='true' refresh='10'/>");
    assert_eq!(Some(old), new.web);
    assert_eq!(web("listen='1'").refresh, Some(Web::REFRESH));
    // Whatever was said there made it HTTPS, but for what says that it is not.
    for (word, secure) in [
        ("secure", true),
        ("", true),
        ("1", true),
        ("False", false),
        ("no", false),
    ] {
        assert_eq!(
            web(&format!("listen='1' secure='{word}'")).secure,
            secure,
            "{word}"
        );
    }
}

#[test]
fn the_page_refreshes_itself_as_often_as_is_said() {
    let refresh = |word: &str| {
        let web = admin(&format!("<web listen='1' refresh='{word}'/>")).web;
        web.unwrap().refresh.map(|refresh| refresh.as_secs())
    };
    for word in ["False", "false", "no", "off", "0", "0.0"] {
        assert_eq!(refresh(word), None, "{word}");
    }
    for word in ["True", "yes", "on", "enable", "30"] {
        assert_eq!(refresh(word), Some(30), "{word}");
    }
    assert_eq!((refresh("1"), refresh("10")), (Some(1), Some(10)));
    assert_eq!(
        admin("<web listen='1'/>").web.unwrap().refresh,
        Some(Web::REFRESH)
    );
}

#[test]
fn failed_hosts_are_tried_as_often_as_checktime_says() {
    let check = |text: &str| manager(text).host_check;
    let new = check("<manager><hostCheck interval='120'/></manager>");
    assert_eq!(check("<checktime time='120'/>"), new);
    assert_eq!(
        check("<checktime time='120'/><manager><heartbeat/></manager>"),
        new
    );
    assert!(!check("<checktime time='0'/>").enable);
}

#[test]
fn a_control_socket_may_be_nowhere() {
    let control = |element: &str| parse(&format!("<config>{element}</config>")).control;
    assert_eq!(control("<control socket='None'/>"), None);
    assert!(control("<control socket='./None'/>").is_some());
    assert!(control("<control/>").is_some());
}
