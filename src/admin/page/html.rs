//! HTML elements as values: well-formed with any content, since all text is escaped.

use crate::calendar::UtcTime;
use crate::non_printing::letters;
use std::fmt::Write;

/// An element with its attributes and content.
#[derive(Debug, Clone)]
pub(super) struct Element {
    name: &'static str,
    attributes: String,
    inside: String,
}

/// Elements without content and end tag.
const VOID: [&str; 4] = ["input", "link", "meta", "br"];

/// An empty element.
pub(super) fn el(name: &'static str) -> Element {
    Element {
        name,
        attributes: String::new(),
        inside: String::new(),
    }
}

impl Element {
    /// With an attribute. Non-printing characters are spelled out.
    pub(super) fn attr(mut self, name: &'static str, text: &str) -> Element {
        self.open(name);
        push_shown(text, &mut self.attributes);
        self.attributes.push('"');
        self
    }

    /// With a `value` that the browser sends back byte for byte. Text that is shown spells
    /// out what cannot be seen, such as U+202E.
    // Test: what_cannot_be_seen_is_shown_and_yet_comes_back_as_it_is.
    pub(super) fn value(mut self, text: &str) -> Element {
        self.open("value");
        for character in text.chars() {
            push_escaped(character, &mut self.attributes);
        }
        self.attributes.push('"');
        self
    }

    /// With a boolean attribute.
    pub(super) fn flag(self, name: &'static str) -> Element {
        self.attr(name, "")
    }

    pub(super) fn class(self, names: &str) -> Element {
        self.attr("class", names)
    }

    /// With more text.
    pub(super) fn text(mut self, text: &str) -> Element {
        push_shown(text, &mut self.inside);
        self
    }

    /// With a name in `<bdi>`: a name in a right-to-left script leaves the text around it
    /// alone.
    pub(super) fn name(self, name: &str) -> Element {
        self.with(el("bdi").text(name))
    }

    /// With a line end, for `<pre>`.
    pub(super) fn line_end(mut self) -> Element {
        self.inside.push('\n');
        self
    }

    /// With a child.
    pub(super) fn with(mut self, child: Element) -> Element {
        child.write(&mut self.inside);
        self
    }

    /// With a child, if there is one.
    pub(super) fn maybe(self, child: Option<Element>) -> Element {
        self.with_all(child)
    }

    /// With children.
    pub(super) fn with_all(self, children: impl IntoIterator<Item = Element>) -> Element {
        children.into_iter().fold(self, Element::with)
    }

    /// The element as text.
    pub(super) fn into_text(self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    /// The document whose `<html>` this is.
    pub(super) fn into_document(self) -> String {
        let mut out = "<!DOCTYPE html>\n".to_owned();
        self.write(&mut out);
        out.push('\n');
        out
    }

    fn open(&mut self, name: &str) {
        self.attributes.push(' ');
        self.attributes.push_str(name);
        self.attributes.push_str("=\"");
    }

    fn write(self, out: &mut String) {
        let Element {
            name,
            attributes,
            inside,
        } = self;
        for piece in ["<", name, &attributes, ">"] {
            out.push_str(piece);
        }
        if VOID.contains(&name) {
            return;
        }
        for piece in [&inside, "</", name, ">"] {
            out.push_str(piece);
        }
    }
}

/// An id and link target, unique to these names: elements keep it over a refresh.
pub(super) fn id(kind: &str, names: &[&str]) -> String {
    let mut id = kind.to_owned();
    for name in names {
        id.push('.');
        for byte in name.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => id.push(char::from(byte)),
                _ => {
                    let _ = write!(id, "_{byte:02x}");
                }
            }
        }
    }
    id
}

/// Escapes text, and spells out non-printing characters.
fn push_shown(text: &str, out: &mut String) {
    for (character, hidden) in letters(text) {
        match hidden {
            true => out.extend(character.escape_default()),
            false => push_escaped(character, out),
        }
    }
}

fn push_escaped(character: char, out: &mut String) {
    match character {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\'' => out.push_str("&#39;"),
        // No name has one. HTML replaces NUL; here other control characters are, too.
        _ if character.is_control() => out.push(char::REPLACEMENT_CHARACTER),
        _ => out.push(character),
    }
}

/// A time as the log writes it, to the second.
pub(super) fn time(wall_ms: u64) -> Element {
    let iso = UtcTime::of(wall_ms / 1000 * 1000)
        .iso()
        .replace(".000Z", "Z");
    el("time").attr("datetime", &iso).text(&iso)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        let text = r#"<b a="1" b='2'>&amp;"#;
        let escaped = "&lt;b a=&quot;1&quot; b=&#39;2&#39;&gt;&amp;amp;";
        let element = el("p").attr("title", text).text(text);
        assert_eq!(
            element.into_text(),
            format!("<p title=\"{escaped}\">{escaped}</p>")
        );
    }

    #[test]
    fn what_cannot_be_seen_is_shown_and_yet_comes_back_as_it_is() {
        let name = "a\u{202e}b\u{200d}c\u{1f468}\u{200d}\u{1f373}";
        let element = el("p")
            .text(name)
            .text("\0\n")
            .with(el("input").value(name));
        assert_eq!(
            element.into_text(),
            format!(
                "<p>a\\u{{202e}}b\\u{{200d}}c\u{1f468}\u{200d}\u{1f373}\\u{{0}}\\n<input value=\"{name}\"></p>"
            )
        );
    }

    #[test]
    fn elements_are_in_the_order_in_which_they_were_given() {
        let list = el("ul")
            .with_all(["a", "b"].map(|it| el("li").name(it)))
            .maybe(None)
            .line_end()
            .flag("hidden");
        assert_eq!(
            list.into_text(),
            "<ul hidden=\"\"><li><bdi>a</bdi></li><li><bdi>b</bdi></li>\n</ul>"
        );
    }

    #[test]
    fn different_names_have_different_ids() {
        let ids = [
            id("h", &["web", "main", "one"]),
            id("h", &["web.main", "one"]),
            id("h", &["web", "mainone"]),
            id("h", &["web_2emain", "one"]),
        ];
        assert_eq!(ids[0], "h.web.main.one");
        for (index, id) in ids.iter().enumerate() {
            assert!(!ids[..index].contains(id), "{id}");
        }
    }

    #[test]
    fn moments_are_to_the_second() {
        assert_eq!(
            time(1_795_366_978_123).into_text(),
            "<time datetime=\"2026-11-22T17:02:58Z\">2026-11-22T17:02:58Z</time>"
        );
    }
}
