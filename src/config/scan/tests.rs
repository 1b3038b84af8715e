//! Tests of the limits, and of what is looked at before the parser.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::*;

fn refused(bytes: &[u8]) -> String {
    scan(bytes).unwrap_err().to_string()
}

fn blanked(text: &str) -> String {
    scan(text.as_bytes()).unwrap().text.into_owned()
}

#[test]
fn what_is_not_utf8_is_told_how_to_become_it() {
    let cases: [(&[u8], &str); 7] = [
        (
            b"<config>\n <note>M\xfcller</note></config>",
            "2:9 ISO-8859-1",
        ),
        (
            b"<?xml version='1.0' encoding='ISO-8859-15'?>\n<a b='\xa4'/>",
            "2:7 ISO-8859-15",
        ),
        (
            b"<?xml version='1.0' encoding='UTF-8'?>\n\xff",
            "2:1 ISO-8859-1",
        ),
        (
            b"<?xml version='1.0' encoding='a; rm -rf'?>\n\xff",
            "2:1 ISO-8859-1",
        ),
        (b"\xff\xfe<\0a\0/\0>\0", "1:1 UTF-16"),
        (b"<\0a\0/\0>\0", "1:1 UTF-16LE"),
        (b"\0<\0a\0/\0>", "1:1 UTF-16BE"),
    ];
    for (bytes, expected) in cases {
        let (place, encoding) = expected.split_once(' ').unwrap();
        assert_eq!(
            refused(bytes),
            format!(
                "{place}: the file is not UTF-8: \
                 convert it with 'iconv -f {encoding} -t UTF-8 FILE > NEW'"
            )
        );
    }
}

#[test]
fn a_declared_encoding_does_not_matter_to_ascii() {
    let latin = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><config/>";
    assert_eq!(scan(latin.as_bytes()).unwrap().false_encoding, None);
    let utf8 = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><config>ü</config>";
    assert_eq!(
        scan(utf8.as_bytes()).unwrap().false_encoding,
        Some("ISO-8859-1")
    );
    let honest = "<?xml version=\"1.0\" encoding=\"utf-8\"?><config>ü</config>";
    assert_eq!(scan(honest.as_bytes()).unwrap().false_encoding, None);
}

#[test]
fn a_doctype_is_blanked_out_byte_for_byte() {
    let text = "\u{feff}<?xml version='1.0'?>\n<!-- <!DOCTYPE -->\n\
        <!DOCTYPE config\r\n SYSTEM \"ü>.dtd\" >\n<config/>";
    let expected = "\u{feff}<?xml version='1.0'?>\n<!-- <!DOCTYPE -->\n                \r\n                   \n<config/>";
    assert_eq!(blanked(text), expected);
    assert_eq!(blanked(text).len(), text.len());
    for kept in [
        "<config/><!DOCTYPE a>",
        "<config><!DOCTYPE a></config>",
        "<!-- <!DOCTYPE a> --><a/>",
    ] {
        assert_eq!(blanked(kept), kept);
    }
    assert_eq!(
        blanked("<!DOCTYPE a><!DOCTYPE b><a/>"),
        "            <!DOCTYPE b><a/>"
    );
}

#[test]
fn a_doctype_with_declarations_is_refused() {
    let message = "a DOCTYPE with declarations of its own is not read: remove its [...] part";
    let text = "\n <!DOCTYPE config SYSTEM 'x[' [<!ENTITY a 'b'>]><config/>";
    assert_eq!(refused(text.as_bytes()), format!("2:2: {message}"));
    assert!(scan(b"<!DOCTYPE config SYSTEM 'x['><config/>").is_ok());
}

#[test]
fn nothing_in_comments_cdata_or_instructions_counts() {
    let many = "<a>".repeat(Limit::Levels.most() + 1);
    for text in [
        format!("<config><!--{many}--></config>"),
        format!("<config><![CDATA[{many}]]></config>"),
        format!("<config><?php {many}?></config>"),
        format!("<?xml version='1.0' ?><config/><!--{many}-->"),
    ] {
        assert_eq!(scan(text.as_bytes()).unwrap().unfinished, None, "{text}");
    }
}

#[test]
fn the_limits_are_what_they_say() {
    let levels = |count: usize| "<a>".repeat(count) + &"</a>".repeat(count);
    let nodes = |count: usize| format!("<a>{}</a>", "<b/>".repeat(count - 1));
    let attributes = |count: usize| {
        let mut text = "<a".to_owned();
        (0..count).for_each(|index| write!(text, " a{index}='>'").unwrap());
        text + "/>"
    };
    let namespaces = |count: usize| format!("<a>{}</a>", "<b xmlns='c'/>".repeat(count));
    let bytes = |count: usize| format!("<a>{}</a>", " ".repeat(count - 7));
    let cases: [(Limit, &dyn Fn(usize) -> String); 5] = [
        (Limit::Levels, &levels),
        (Limit::Nodes, &nodes),
        (Limit::Attributes, &attributes),
        (Limit::Namespaces, &namespaces),
        (Limit::Bytes, &bytes),
    ];
    for (limit, text) in cases {
        assert!(scan(text(limit.most()).as_bytes()).is_ok(), "{limit}");
        let kind = scan(text(limit.most() + 1).as_bytes()).unwrap_err().kind;
        assert_eq!(kind, ErrorKind::TooMuch(limit));
    }
}

#[test]
fn texts_and_comments_are_nodes_too() {
    let text = format!("<a>{}</a>", "x<!---->".repeat(Limit::Nodes.most() / 2));
    let error = scan(text.as_bytes()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooMuch(Limit::Nodes));
    assert!(error.position.column > 399_990, "{error}");
}

#[test]
fn what_would_keep_the_parser_busy_is_refused_at_once() {
    let mut attributes = "<config".to_owned();
    (0..90_000).for_each(|index| write!(attributes, " a{index}=''").unwrap());
    attributes.truncate(Limit::Bytes.most() - 2);
    let nested = "<a>".repeat(1_000_000);
    let started = Instant::now();
    assert_eq!(
        refused((attributes + "/>").as_bytes()),
        "1:1: more than 64 attributes on one element"
    );
    assert_eq!(
        refused(nested.as_bytes()),
        "1:1: the file is larger than 1048576 bytes"
    );
    assert_eq!(
        refused(&nested.as_bytes()[..Limit::Bytes.most()]),
        "1:301: more than 100 elements inside one another"
    );
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[test]
fn where_the_end_cuts_something_off_is_known() {
    let cases = [
        ("<a></a>", None),
        ("<a><b></b>", Some(0)),
        ("<a><b>", Some(3)),
        ("<a><b c='", Some(3)),
        ("<a><!-- ", Some(3)),
        ("<a></a", Some(3)),
        ("<!DOCTYPE a", Some(0)),
        ("<a <b>", None),
    ];
    for (text, offset) in cases {
        assert_eq!(scan(text.as_bytes()).unwrap().unfinished, offset, "{text}");
    }
}

#[test]
fn a_position_counts_characters_and_no_byte_order_mark() {
    let text = "\u{feff}äb\r\nüx";
    let place = |offset| Position::at(text, offset).to_string();
    assert_eq!(place(0), "1:1");
    assert_eq!(place(3), "1:1");
    assert_eq!(place(5), "1:2");
    assert_eq!(place(8), "2:1");
    assert_eq!(place(10), "2:2");
    assert_eq!(place(text.len()), "2:3");
    assert_eq!(place(999), "2:3");
}
