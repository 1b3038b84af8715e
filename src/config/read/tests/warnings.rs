//! What is legal but hardly meant: what is warned of, and where.

use super::*;

#[test]
fn what_is_hardly_meant_is_warned_of_where_it_is() {
    assert_eq!(
        warnings("<config/>"),
        ["1:1: there is no <service>: nothing is balanced"]
    );
    let text = "\u{feff}<config>\n  <admin>\n<user name='u' access='full' password='secret'/></admin>\n\
        <service name='ü'><listen ip='1'/><group name='g' enable='1'/>\n\
        <group name='h'></group></service></config>";
    let expected = [
        "3:1: the password of user \"u\" fits nothing: it is no crypt(3) hash of a known kind",
        "4:35: group \"g\" has no hosts",
        "5:1: group \"h\" has no hosts",
    ];
    assert_eq!(warnings(text), expected);
    let text = "<config><service name='s'><listen ip='1'/>\n\
        <group name='g' enable='1'><host ip='a:1' state='down'/><host ip='a:2' weight='0'/></group>\n\
        <group name='h'><host ip='a:1' weight='0'/></group>\n\
        <group name='i'><host ip='a:1' state='drain'/></group></service></config>";
    let expected = [
        "2:1: group \"g\" is enabled, but no host of it is in service: all sessions end",
        "3:1: every host of group \"h\" has weight 0: none gets sessions",
    ];
    assert_eq!(warnings(text), expected);
    let text = "<?xml version='1.0' encoding='latin1'?><config><service name='ü'><listen ip='1'/>\
        <group name='g' enable='1'><host ip='a:1'/></group></service></config>";
    assert_eq!(
        warnings(text),
        ["1:1: the file says it is latin1 but is read as UTF-8"]
    );
}

#[test]
fn every_kind_of_hash_is_known() {
    let warnings = |hash| {
        warnings(&format!(
            "<config><service name='s'><listen ip='1'/><group name='g' enable='1'>\
             <host ip='a:1'/></group></service><admin>\n\
             <user name='u' access='full' password='{hash}'/></admin></config>"
        ))
    };
    let hash = |start: &str, length| start.to_owned() + &"a".repeat(length);
    for hash in [
        hash("$5$a$", 43),
        hash("$6$a$", 86),
        hash("$2b$12$", 53),
        hash("$2y$12$", 53),
    ] {
        assert_eq!(warnings(hash), [""; 0]);
    }
    for (hash, doubt) in [
        (
            "abcdefghijk./".to_owned(),
            "is a weak hash: txlb passwd makes",
        ),
        (hash("$1$a$", 22), "is a weak hash: txlb passwd makes"),
        (hash("$6$a$", 80), "fits nothing: it is cut off"),
        (
            hash("$6$rounds=999999999$a$", 86),
            "fits nothing: it would take too long",
        ),
        (hash("$2b$31$", 53), "fits nothing: it would take too long"),
        (hash("$2b$15$", 53), "takes about 2457 ms to check"),
    ] {
        let warnings = warnings(hash);
        let start = format!("2:1: the password of user \"u\" {doubt}");
        assert!(warnings[0].starts_with(&start), "{warnings:?}");
    }
}

#[test]
fn a_boolean_that_is_neither_is_warned_of_or_an_error() {
    let text = "<config><note secure='x'><x enable='y'/></note><admin>\n\
        <web listen='7001' enable='yse' secure='ture'/>\n\
        <ssh listen='2222' enable='2'/></admin></config>";
    let expected = [
        "1:1: there is no <service>: nothing is balanced",
        "2:20: enable is \"yse\", which is taken for false: is yes meant?",
        "2:33: secure is \"ture\", which is taken for false: is true meant?",
        "3:20: enable is \"2\", which is taken for false: is 1 meant?",
    ];
    assert_eq!(warnings(text), expected);
    let new = read(b"<config><logging connections='ture'/></config>").unwrap_err();
    assert_eq!(
        new.to_string(),
        "1:18: connections is \"ture\" but must be true or false"
    );
}

#[test]
fn what_is_looked_at_by_nobody_is_warned_of() {
    let text = "<config><service name='s'><listen ip='1'/>\n\
        <group name='g' scheduler='roundr' enable='1'><host name='a' ip='h:1' weight='5'/>\
        <host name='b' ip='h:1'/></group>\n\
        <group name='h' scheduler='weightr'><host ip='h:1' weight='5'/></group></service>\n\
        <admin><ssh listen='2222'/></admin></config>";
    let expected = [
        "2:1: group \"g\" has weights, which roundr does not look at: weightrr does",
        "2:1: group \"g\" has h:1 twice, as \"a\" and \"b\": it gets twice the sessions",
        "4:8: there is no <user>: nobody can log in here",
    ];
    assert_eq!(warnings(text), expected);
}

#[test]
fn the_samples_are_read_without_a_warning() {
    for sample in [
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/etc/config.xml")),
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/etc/minimal.xml")),
    ] {
        assert_eq!(warnings(sample), [""; 0]);
    }
}
