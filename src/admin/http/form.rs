//! The fields of a form, as browsers and curl send them
//! (`application/x-www-form-urlencoded`, URL Standard).
//!
//! Strict where a browser is lenient: what is not UTF-8, or half an escape, is refused,
//! for it was not meant so.

/// Names and values in the order in which they came.
pub(in crate::admin) type Fields = Vec<(String, String)>;

/// The fields in `text`; `None` if it is not understood.
pub(in crate::admin) fn fields(text: &[u8]) -> Option<Fields> {
    text.split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let end = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = match end {
                Some(end) => (&pair[..end], &pair[end + 1..]),
                None => (pair, &b""[..]),
            };
            Some((decode(name)?, decode(value)?))
        })
        .collect()
}

fn decode(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (digits, behind) = rest.split_at_checked(2)?;
                bytes.push(digit(digits[0])? << 4 | digit(digits[1])?);
                rest = behind;
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).ok()
}

fn digit(letter: u8) -> Option<u8> {
    let digit = char::from(letter).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_taken_apart_and_unescaped() {
        let of = |text: &str| fields(text.as_bytes()).unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(of(""), []);
        assert_eq!(
            of("a=1&b=x+y&&c&a=%C3%A4%26%3d&=v"),
            [
                pair("a", "1"),
                pair("b", "x y"),
                pair("c", ""),
                pair("a", "ä&="),
                pair("", "v")
            ]
        );
    }

    #[test]
    fn half_an_escape_and_what_is_no_text_are_refused() {
        for text in ["a=%", "a=%4", "a=%4g", "a=%+1", "a=%ff", "%=1", "a=\u{0}%"] {
            assert_eq!(fields(text.as_bytes()), None, "{text}");
        }
    }
}
