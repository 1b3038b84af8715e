//! Checks a file's encoding and size before the XML parser sees it, and words the parser's errors.
//!
//! The parser takes quadratic time in an element's attributes, and refuses every DOCTYPE: both are
//! dealt with here. At anything that is not well-formed the scan stops, since the parser stops
//! there too.

use std::borrow::Cow;
use std::ops::Range;

use roxmltree::{Error as XmlError, TextPos};

use crate::config::Limit;
use crate::config::error::{BYTE_ORDER_MARK, Error, ErrorKind, Position};
use crate::config::redact::Shown;

/// A file that may be parsed.
#[derive(Debug)]
pub(in crate::config) struct Scanned<'a> {
    /// The file as it is.
    pub(in crate::config) original: &'a str,
    /// For the parser: the DOCTYPE blanked out byte for byte, so that offsets are the same in both.
    pub(in crate::config) text: Cow<'a, str>,
    /// Start of the markup or innermost element that the end of the file cuts off.
    pub(in crate::config) unfinished: Option<usize>,
    /// Another encoding that the file declares, although it is UTF-8.
    pub(in crate::config) false_encoding: Option<&'a str>,
}

/// Checks the encoding and the limits of `bytes`.
pub(in crate::config) fn scan(bytes: &[u8]) -> Result<Scanned<'_>, Error> {
    if bytes.len() > Limit::Bytes.max() {
        return Err(Error {
            position: Position::START,
            kind: ErrorKind::TooMuch(Limit::Bytes),
        });
    }
    let original = decode(bytes)?;
    let mut scan = Scanner::new(original);
    let unfinished = match scan.document() {
        Ok(()) => scan.open.last().copied(),
        Err(Stop::Malformed) => None,
        Err(Stop::EndOfText(start)) => Some(start),
        Err(Stop::Refused(offset, kind)) => {
            return Err(Error {
                position: Position::at(original, offset),
                kind,
            });
        }
    };
    let false_encoding = declared_encoding(bytes)
        .filter(|name| !original.is_ascii() && !name.eq_ignore_ascii_case("UTF-8"));
    let text = match scan.doctype {
        Some(range) => Cow::Owned(blank_out(original, range)),
        None => Cow::Borrowed(original),
    };
    Ok(Scanned {
        original,
        text,
        unfinished,
        false_encoding,
    })
}

fn decode(bytes: &[u8]) -> Result<&str, Error> {
    // UTF-16 without a byte order mark is valid UTF-8 with NULs.
    let not_utf8 = |valid: &[u8], encoding: &str| Error {
        position: str::from_utf8(valid)
            .map_or(Position::START, |text| Position::at(text, text.len())),
        kind: ErrorKind::NotUtf8 {
            encoding: encoding.to_owned(),
        },
    };
    if matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
        return Err(not_utf8(b"", "UTF-16"));
    }
    match bytes {
        [b'<', 0, ..] => return Err(not_utf8(b"", "UTF-16LE")),
        [0, b'<', ..] => return Err(not_utf8(b"", "UTF-16BE")),
        _ => {}
    }
    str::from_utf8(bytes).map_err(|error| {
        let declared = declared_encoding(bytes).unwrap_or("ISO-8859-1");
        not_utf8(&bytes[..error.valid_up_to()], declared)
    })
}

/// The encoding in the XML declaration, unless it is UTF-8 or ASCII. Only plain names are taken,
/// since an operator copies it into a shell command.
fn declared_encoding(bytes: &[u8]) -> Option<&str> {
    const LONGEST_DECLARATION: usize = 200;
    let mark = BYTE_ORDER_MARK.as_bytes();
    let bytes = bytes.strip_prefix(mark).unwrap_or(bytes);
    let start = &bytes[..bytes.len().min(LONGEST_DECLARATION)];
    let end = start.windows(2).position(|pair| pair == b"?>")?;
    let declaration = str::from_utf8(&start[..end]).ok()?.strip_prefix("<?xml")?;
    let (_, rest) = declaration.split_once("encoding")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest
        .chars()
        .next()
        .filter(|quote| matches!(quote, '"' | '\''))?;
    let (name, _) = rest[1..].split_once(quote)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_utf8 = ["UTF-8", "US-ASCII"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known));
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphabetic());
    (starts_well && name.bytes().all(plain) && !is_utf8).then_some(name)
}

fn blank_out(text: &str, range: Range<usize>) -> String {
    let mut blanked = String::with_capacity(text.len());
    blanked.push_str(&text[..range.start]);
    let keep_line_ends = |byte| {
        if byte == b'\n' || byte == b'\r' {
            char::from(byte)
        } else {
            ' '
        }
    };
    blanked.extend(text[range.clone()].bytes().map(keep_line_ends));
    blanked.push_str(&text[range.end..]);
    blanked
}

/// Why the scan stops.
enum Stop {
    /// Not well-formed: the parser stops here, too, and reports it.
    Malformed,
    /// The text ends inside the markup that begins here.
    EndOfText(usize),
    /// A limit or DOCTYPE that must not reach the parser.
    Refused(usize, ErrorKind),
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    nodes: usize,
    /// Starts of the open elements.
    open: Vec<usize>,
    root_seen: bool,
    /// Namespace declarations in the whole file. The parser copies those of an element to each
    /// inner element that has its own, so their number is limited.
    namespaces: usize,
    doctype: Option<Range<usize>>,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        let open = Vec::new();
        Scanner {
            text,
            at: 0,
            nodes: 0,
            open,
            root_seen: false,
            namespaces: 0,
            doctype: None,
        }
    }

    fn document(&mut self) -> Result<(), Stop> {
        if self.rest().starts_with(BYTE_ORDER_MARK) {
            self.at += BYTE_ORDER_MARK.len();
        }
        while self.at < self.text.len() {
            let start = self.at;
            let rest = self.rest();
            if !rest.starts_with('<') {
                self.at += rest.find('<').unwrap_or(rest.len());
            } else if rest.starts_with("<!--") {
                self.skip(4, "-->")?;
            } else if rest.starts_with("<![CDATA[") {
                self.skip(9, "]]>")?;
            } else if rest.starts_with("<?") {
                self.skip(2, "?>")?;
            } else if rest.starts_with("<!DOCTYPE") {
                self.doctype()?;
            } else if rest.starts_with("<!") {
                return Err(Stop::Malformed);
            } else if rest.starts_with("</") {
                self.skip(2, ">")?;
                self.open.pop().ok_or(Stop::Malformed)?;
                continue;
            } else {
                self.start_tag()?;
            }
            self.count_node(start)?;
        }
        Ok(())
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn count_node(&mut self, start: usize) -> Result<(), Stop> {
        self.nodes += 1;
        match self.nodes > Limit::Nodes.max() {
            true => Err(Stop::Refused(start, ErrorKind::TooMuch(Limit::Nodes))),
            false => Ok(()),
        }
    }

    /// Skips markup that opens with `opening` bytes here and ends with `end`.
    fn skip(&mut self, opening: usize, end: &str) -> Result<(), Stop> {
        let start = self.at;
        let found = self.text[start + opening..]
            .find(end)
            .ok_or(Stop::EndOfText(start))?;
        self.at = start + opening + found + end.len();
        Ok(())
    }

    /// A DOCTYPE may stand once, before any element.
    fn doctype(&mut self) -> Result<(), Stop> {
        let start = self.at;
        if self.doctype.is_some() || self.root_seen {
            return Err(Stop::Malformed);
        }
        let (end, _) = self.find_unquoted(|byte| matches!(byte, b'>' | b'['))?;
        if self.text.as_bytes()[end] == b'[' {
            return Err(Stop::Refused(start, ErrorKind::InternalSubset));
        }
        self.at = end + 1;
        self.doctype = Some(start..self.at);
        Ok(())
    }

    fn start_tag(&mut self) -> Result<(), Stop> {
        let start = self.at;
        let (end, attributes) = self.find_unquoted(|byte| byte == b'>')?;
        let tag = &self.text[start..end];
        self.namespaces += tag.matches("xmlns").count();
        let counts = [
            (attributes, Limit::Attributes),
            (self.namespaces, Limit::Namespaces),
        ];
        for (count, limit) in counts {
            if count > limit.max() {
                return Err(Stop::Refused(start, ErrorKind::TooMuch(limit)));
            }
        }
        self.at = end + 1;
        self.root_seen = true;
        if tag.ends_with('/') {
            return Ok(());
        }
        if self.open.len() == Limit::Levels.max() {
            return Err(Stop::Refused(start, ErrorKind::TooMuch(Limit::Levels)));
        }
        self.open.push(start);
        Ok(())
    }

    /// Finds the first `wanted` byte outside of quotes, and counts the quoted values before it. A
    /// `<` before it is not well-formed.
    fn find_unquoted(&self, wanted: impl Fn(u8) -> bool) -> Result<(usize, usize), Stop> {
        let mut quote = None;
        let mut values = 0;
        for (index, &byte) in self.text.as_bytes().iter().enumerate().skip(self.at + 1) {
            match quote {
                _ if byte == b'<' => return Err(Stop::Malformed),
                Some(open) => quote = Some(open).filter(|open| *open != byte),
                None if matches!(byte, b'"' | b'\'') => {
                    quote = Some(byte);
                    values += 1;
                }
                None if wanted(byte) => return Ok((index, values)),
                None => {}
            }
        }
        Err(Stop::EndOfText(self.at))
    }
}

/// Converts the parser's error.
pub(super) fn convert_error(error: &XmlError, scanned: &Scanned<'_>) -> Error {
    let end = scanned.original.len();
    let (offset, kind) = match (offset_of(&scanned.text, error), scanned.unfinished) {
        // The start of an unfinished element helps more than the end of the file.
        (offset, Some(start)) if offset == end => (start, ErrorKind::Unfinished),
        (offset, _) => (offset, ErrorKind::Xml(describe_error(error))),
    };
    Error {
        position: Position::at(scanned.original, offset),
        kind,
    }
}

/// Byte offset of the parser's error.
fn offset_of(text: &str, error: &XmlError) -> usize {
    match error {
        // These errors have no position: they are at the end.
        XmlError::NoRootNode | XmlError::UnclosedRootNode | XmlError::UnexpectedEndOfStream => {
            text.len()
        }
        _ => offset_at(text, error.pos()),
    }
}

/// Byte offset of a line and a column, both from 1.
fn offset_at(text: &str, position: TextPos) -> usize {
    let from_one = |number: u32| number.saturating_sub(1) as usize;
    let line: &str = match from_one(position.row) {
        0 => text,
        row => text
            .match_indices('\n')
            .nth(row - 1)
            .map_or("", |(end, _)| &text[end + 1..]),
    };
    let before = line.char_indices().nth(from_one(position.col));
    text.len() - line.len() + before.map_or(line.len(), |(offset, _)| offset)
}

fn describe_error(error: &XmlError) -> String {
    match error {
        XmlError::NoRootNode => "the file has no element: <config> is missing".into(),
        XmlError::UnexpectedCloseTag(expected, actual, _) => {
            format!(
                "</{}> where </{}> should be",
                Shown(actual),
                Shown(expected)
            )
        }
        XmlError::UnknownEntityReference(name, _) => {
            format!(
                "there is no entity &{};: an & itself is written &amp;",
                Shown(name)
            )
        }
        XmlError::MalformedEntityReference(_) => "an & itself is written &amp;".into(),
        XmlError::InvalidChar(b'"' | b'\'', b'<', _) | XmlError::InvalidAttributeValue(_) => {
            "a value has no closing quote, or a < that should be written &lt;".into()
        }
        XmlError::InvalidChar2("a quote", ..) => "the value should be in quotes".into(),
        XmlError::DuplicatedAttribute(name, _) => {
            format!("the attribute {} is there twice", Shown(name))
        }
        XmlError::NonXmlChar(character, _) => {
            format!("XML forbids the character U+{:04X}", u32::from(*character))
        }
        XmlError::InvalidComment(_) => "a comment may not have -- in it".into(),
        XmlError::UnexpectedDeclaration(_) => {
            "an XML declaration may only stand at the very beginning".into()
        }
        XmlError::UnknownToken(at) if (at.row, at.col) == (1, 1) => {
            "this is not XML: a configuration begins with <config>; txlb.xml(5), COMING FROM, says \
             what words of HAProxy, nginx and pen are here"
                .into()
        }
        XmlError::DtdDetected | XmlError::UnknownToken(_) => {
            "nothing of the kind may stand here".into()
        }
        _ => {
            let text = error
                .to_string()
                .replace(&format!(" at {}", error.pos()), "");
            format!("not well-formed XML: {}", Shown(&text))
        }
    }
}

#[cfg(test)]
mod tests {
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
        let many = "<a>".repeat(Limit::Levels.max() + 1);
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
            assert!(scan(text(limit.max()).as_bytes()).is_ok(), "{limit}");
            let kind = scan(text(limit.max() + 1).as_bytes()).unwrap_err().kind;
            assert_eq!(kind, ErrorKind::TooMuch(limit));
        }
    }

    #[test]
    fn texts_and_comments_are_nodes_too() {
        let text = format!("<a>{}</a>", "x<!---->".repeat(Limit::Nodes.max() / 2));
        let error = scan(text.as_bytes()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::TooMuch(Limit::Nodes));
        assert!(error.position.column > 399_990, "{error}");
    }

    #[test]
    fn what_would_keep_the_parser_busy_is_refused_at_once() {
        let mut attributes = "<config".to_owned();
        (0..90_000).for_each(|index| write!(attributes, " a{index}=''").unwrap());
        attributes.truncate(Limit::Bytes.max() - 2);
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
            refused(&nested.as_bytes()[..Limit::Bytes.max()]),
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
    fn the_parsers_columns_are_characters() {
        let text = "ä<\n\nöü>";
        for (row, col, offset) in [(1, 1, 0), (1, 2, 2), (3, 1, 5), (3, 3, 9), (3, 9, 10)] {
            assert_eq!(
                offset_at(text, TextPos::new(row, col)),
                offset,
                "{row}:{col}"
            );
        }
        assert_eq!(offset_at(text, TextPos::new(9, 1)), text.len());
    }
}
