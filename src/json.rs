//! JSON writer: objects, lists, strings, booleans and whole numbers. It reads nothing.

use std::fmt::Write;

use crate::non_printing::is_non_printing;

/// A JSON value, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json(String);

/// A JSON object under construction. Callers must give each member another name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Object(String);

impl Json {
    /// The JSON text, without a line end.
    pub fn into_text(self) -> String {
        self.0
    }

    /// A JSON array.
    pub fn list<T: Into<Json>>(values: impl IntoIterator<Item = T>) -> Json {
        let mut text = String::from("[");
        for value in values {
            if text.len() > 1 {
                text.push(',');
            }
            text += &value.into().0;
        }
        text.push(']');
        Json(text)
    }
}

impl Object {
    /// An object without members.
    pub fn new() -> Object {
        Object::default()
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Json>) -> Object {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0 += &quoted(name);
        self.0.push(':');
        self.0 += &value.into().0;
        self
    }

    /// The JSON text without the closing brace, so that more members may follow.
    pub fn into_open_text(self) -> String {
        format!("{{{}", self.0)
    }

    /// Adds a member that is an array.
    #[must_use]
    pub fn with_list<T: Into<Json>>(
        self,
        name: &str,
        values: impl IntoIterator<Item = T>,
    ) -> Object {
        self.with(name, Json::list(values))
    }
}

impl From<Object> for Json {
    fn from(object: Object) -> Json {
        Json(format!("{{{}}}", object.0))
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Json {
        Json(quoted(text))
    }
}

impl From<String> for Json {
    fn from(text: String) -> Json {
        Json(quoted(&text))
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Json {
        Json(value.to_string())
    }
}

/// All digits are written. Readers that use a float lose digits beyond 2^53.
impl From<u64> for Json {
    fn from(value: u64) -> Json {
        Json(value.to_string())
    }
}

/// `None` is `null`.
impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Json {
        value.map_or_else(|| Json("null".to_owned()), Into::into)
    }
}

/// A JSON string. It escapes all non-printing characters, so that a terminal can show it.
/// JSON itself demands that for the first control characters only.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\n' => out += "\\n",
            '\r' => out += "\\r",
            '\t' => out += "\\t",
            _ if is_non_printing(character) => escape(character, &mut out),
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}

/// Appends `\uXXXX`, or two of them for a surrogate pair.
fn escape(character: char, out: &mut String) {
    for half in character.encode_utf16(&mut [0; 2]) {
        // To write to a string never fails.
        let _ = write!(out, "\\u{half:04x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_where_it_must_be_and_nowhere_else() {
        let cases = [
            ("", r#""""#),
            ("a b/c", r#""a b/c""#),
            ("\"\\", r#""\"\\""#),
            ("\n\r\t", r#""\n\r\t""#),
            ("\0\u{1b}\u{7f}\u{9b}", r#""\u0000\u001b\u007f\u009b""#),
            ("\u{2028}\u{2029}", r#""\u2028\u2029""#),
            ("\u{202e}\u{200d}\u{3164}", r#""\u202e\u200d\u3164""#),
            ("\u{e0041}", r#""\udb40\udc41""#),
            ("äß💾", "\"äß💾\""),
        ];
        for (text, written) in cases {
            assert_eq!(Json::from(text).into_text(), written);
        }
    }

    #[test]
    fn objects_and_lists_are_put_together() {
        let inner = Object::new().with("n", u64::MAX).with("none", None::<u64>);
        let object = Object::new()
            .with("a\"", "b")
            .with_list("empty", [""; 0])
            .with_list("two", [true, false])
            .with("inner", inner);
        assert_eq!(
            Json::from(object).into_text(),
            r#"{"a\"":"b","empty":[],"two":[true,false],"inner":{"n":18446744073709551615,"none":null}}"#
        );
        assert_eq!(Json::from(Object::new()).into_text(), "{}");
    }
}
