//! Shows a configuration's own text with every password and hash masked.
//!
//! The XML parser says where attributes are. In comments, notes and other text, and where the file
//! does not parse, `redact` masks what looks like a password or a hash. The file itself is not
//! changed.

use std::borrow::Cow;
use std::ops::Range;

use roxmltree::{Document, Node};

use super::read::scan;
use super::redact::{self, PASSWORD_MASK, find_secrets, mask_hashes, mask_ranges};
use super::schema::NOTE;
use super::{Config, User};

/// Masks each password and hash in a configuration's text as `***`, in comments and notes too: a
/// user that is commented out still has a hash.
pub fn hide_passwords(text: &str) -> String {
    mask_ranges(text, secret_ranges(text))
}

/// Whether anything that would be masked can be a hash: at least as long as one of DES. A
/// placeholder such as `$6$...` is shorter.
pub(crate) fn has_hashes(text: &str) -> bool {
    let long = |range: &Range<usize>| text[range.clone()].trim().len() >= redact::DES_LENGTH;
    secret_ranges(text).iter().any(long)
}

/// Ranges of passwords and hashes; they may overlap.
fn secret_ranges(text: &str) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    let scanned = scan(text.as_bytes()).ok();
    let document = scanned
        .as_ref()
        .and_then(|scanned| Document::parse(&scanned.text).ok());
    match document {
        Some(document) => {
            for node in document.descendants().filter(Node::is_element) {
                add_element_secrets(text, node, &mut hidden);
            }
            for range in ranges_outside_tags(text) {
                find_secrets(text, range, &mut hidden);
            }
        }
        None => find_secrets(text, 0..text.len(), &mut hidden),
    }
    hidden
}

/// Makes two configurations equal in the passwords that are masked in one of them, since a mask
/// cannot be compared. Returns their number.
///
/// A user that is masked in `to` and missing in `from` is left out.
pub fn leave_out_masked(from: &mut Config, to: &mut Config) -> usize {
    let is_masked = |user: &User| user.password.as_deref() == Some(PASSWORD_MASK);
    let Some(to) = &mut to.admin else { return 0 };
    let before: &mut [User] = match &mut from.admin {
        Some(admin) => &mut admin.users,
        None => &mut [],
    };
    let mut masked = 0;
    to.users.retain_mut(|user| {
        let same = before.iter_mut().find(|other| other.name == user.name);
        let is_left_out = is_masked(user) || same.as_deref().is_some_and(is_masked);
        masked += usize::from(is_left_out);
        match same {
            Some(other) if is_left_out => other.password.clone_from(&user.password),
            Some(_) => {}
            None => return !is_left_out,
        }
        true
    });
    masked
}

/// Adds the secrets in an element's attributes, and in a note the text of an element with a secret
/// name.
fn add_element_secrets(text: &str, node: Node<'_, '_>, hidden: &mut Vec<Range<usize>>) {
    let in_note = node.ancestors().any(|it| it.has_tag_name(NOTE));
    for attribute in node.attributes() {
        let (name, range) = (attribute.name(), attribute.range_value());
        let is_secret = name == "password" || in_note && redact::is_secret_word(name);
        if is_secret
            || matches!(mask_hashes(attribute.value()), Cow::Owned(shown) if shown != attribute.value())
        {
            hidden.push(range);
        } else if in_note {
            find_secrets(text, range, hidden);
        }
    }
    if in_note && redact::is_secret_word(node.tag_name().name()) {
        let whole = node.range();
        let begin = tag_end(text, whole.start);
        let end = text[..whole.end].rfind("</").unwrap_or(begin);
        hidden.push(begin..end.max(begin));
    }
}

/// Ranges outside of tags, in a text that parses: comments, CDATA, instructions, the DOCTYPE, and
/// text.
fn ranges_outside_tags(text: &str) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let closed = |opening: usize, closing: &str| {
            let found = rest[opening..].find(closing);
            found.map_or(text.len(), |found| at + opening + found)
        };
        let (piece, next) = if rest.starts_with("<!--") {
            let end = closed(4, "-->");
            (at + 4..end, end + 3)
        } else if rest.starts_with("<![CDATA[") {
            let end = closed(9, "]]>");
            (at + 9..end, end + 3)
        } else if rest.starts_with("<?") {
            let end = closed(2, "?>");
            (at + 2..end, end + 2)
        } else if rest.starts_with("<!") {
            let end = tag_end(text, at);
            (at + 2..end.saturating_sub(1), end)
        } else if rest.starts_with('<') {
            let end = tag_end(text, at);
            (end..end, end)
        } else {
            let end = closed(0, "<");
            (at..end, end)
        };
        if !text
            .get(piece.clone())
            .unwrap_or_default()
            .trim()
            .is_empty()
        {
            pieces.push(piece);
        }
        at = next;
    }
    pieces
}

/// End of the tag that begins at `start`: after the first `>` that is not in quotes.
fn tag_end(text: &str, start: usize) -> usize {
    let mut quote = None;
    for (index, byte) in text.bytes().enumerate().skip(start) {
        match quote {
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if byte == b'>' => return index + 1,
            None if matches!(byte, b'"' | b'\'') => quote = Some(byte),
            None => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What must be seen of none: the parts of hashes that only they have.
    const SHA: &str = "$6$rounds=100000$abcdefghijklmnop$862PXlcTA4KIqozjXYDbBp9uZA3HQdFuqaP.mgmsFIuBYPlrZwn91l9s";
    const BCRYPT: &str = "$2b$12$abcdefghijklmnopqrstuuQe66hACgXZ.ImKMvPGdqru0gQrWJ8Ju";
    const DES: &str = "zTDVLT7RAx.s6";
    const HASHES: [&str; 3] = [SHA, BCRYPT, DES];

    /// Shown in a file, with users whose own hash must be hidden too, whatever is before them.
    fn shown(before: &str, hash: &str) -> String {
        let before = before.replace("HASH", hash);
        let text = format!(
            "<config><service name=\"s\"/><admin>{before}\n<user name=\"a\" password=\"{hash}\" access=\"full\"/>\
         <user access='full' name='b'\n password\t=\n'{hash}'/></admin></config>"
        );
        hide_passwords(&text)
    }

    /// That nothing of a hash is shown that would help an attacker.
    fn assert_hidden(shown: &str, hash: &str) {
        let characters: Vec<char> = hash.chars().collect();
        for part in characters.windows(10.min(characters.len())) {
            let part: String = part.iter().collect();
            assert!(
                part.contains("rounds") || !shown.contains(&part),
                "{part} of {hash} is in {shown}"
            );
        }
    }

    #[test]
    fn nothing_before_a_real_attribute_uncovers_it() {
        let before = [
            "",
            "<!-- to add somebody: password=\" and the string -->",
            "<!-- it's password='... -->",
            "<user name='password=\"' access='full' password='HASH'/>",
            "<user name=\"password='\" access=\"full\" password=\"HASH\"/>",
            "<user name='a>b' access='full' password='HASH'/>",
            "<user name='password = ' password\n=\n\"HASH\" access='full'/>",
            "<note>password=\"</note><note password='HASH'/>",
            "<?txlb password='?>",
            "<![CDATA[ password=\" ]]>",
            "password='",
        ];
        for (hash, before) in HASHES.iter().flat_map(|hash| before.map(|it| (hash, it))) {
            let shown = shown(before, hash);
            assert_hidden(&shown, hash);
            assert!(
                shown.contains("name=\"a\" password=\"***\" access=\"full\"/>"),
                "{shown}"
            );
            assert!(
                shown.contains("name='b'\n password\t=\n'***'/></admin></config>"),
                "{shown}"
            );
            Document::parse(&shown).unwrap();
        }
    }

    #[test]
    fn comments_notes_and_instructions_show_none() {
        let places = [
            "<!-- <user name=\"c\" password=\"HASH\"/> -->",
            "<!-- <user name=\"c\" password='HASH\" > -->",
            "<!-- password=\"a>b\" password=\"HASH\" -->",
            "<!-- password = HASH -->",
            "<!-- Password: HASH -->",
            "<!-- passwd='HASH -->",
            "<!-- \"password\": \"HASH\" -->",
            "<!-- password=\\\"HASH\\\" -->",
            "<!-- password=&quot;HASH&quot; -->",
            "<!-- pass&#119;ord='HASH' -->",
            "<!-- \u{201c}password\u{201d} = \u{201c}HASH\u{201d} -->",
            "<!-- addUser name=c \"password=HASH\" -->",
            "<!-- ann:HASH:20000:0 -->",
            "<!--HASH-->",
            "<note>HASH</note>",
            "<note>the old one was HASH, the new one is not</note>",
            "<note text='password=\"HASH\"'/>",
            "<note><user password='HASH'/></note>",
            "<note><user x:password='HASH' xmlns:x='y'/></note>",
            "<note><passwd>HASH</passwd></note>",
            "<note><password><![CDATA[HASH]]> and <b>HASH</b></password></note>",
            "<note><![CDATA[<user password=\"a>b\" name=\"password='HASH\"/>]]></note>",
            "<?was HASH?>",
            "<?was password=\"HASH\"?>",
            "text beside elements: HASH",
        ];
        for (hash, place) in HASHES.iter().flat_map(|hash| places.map(|it| (hash, it))) {
            assert_hidden(&shown(place, hash), hash);
        }
    }

    #[test]
    fn hashes_are_found_wherever_one_got_lost() {
        for hash in [SHA, BCRYPT] {
            let coded = hash.replace('$', "&#36;");
            for place in [
                format!("<user name=\"{hash}\" access='full'/>"),
                format!("<user name=\"x {coded} y\" access='full'/>"),
                format!("<note>{coded}</note>"),
                format!("<!-- {} -->", hash.replace('$', "&#x24;")),
                format!("<user name='k' key='{hash}'/>"),
                format!("<key>{hash}</key>"),
                format!("<!-- {}\n     {} -->", &hash[..30], &hash[30..]),
            ] {
                assert_hidden(&shown(&place, hash), hash);
            }
            assert_hidden(&mask_hashes(&format!("access is {hash}: no")), hash);
        }
        let of_another_make =
            "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7";
        assert_hidden(&shown("<!-- HASH -->", of_another_make), of_another_make);
    }

    #[test]
    fn a_text_that_does_not_parse_shows_none_either() {
        for hash in HASHES {
            for text in [
                format!("<config><user password=\"{hash}\" access=\"full\"/>"),
                format!("<config password='\"><user name='a' password='{hash}'/>"),
                format!("<user name='password=\"' password=\"{hash}\"/>"),
                format!("<user password=\"{hash}"),
                format!("<user password={hash} access=full>"),
                format!("<user pass&#119;ord=\"{hash}\">"),
                format!("password=\"password='password=\"{hash}\"'"),
                format!("<!-- password=\" <user password='{hash}'/>"),
                format!("<a password='x' password='{hash}'/>"),
                format!("\u{0}<user password='{hash}'/>"),
            ] {
                assert_hidden(&hide_passwords(&text), hash);
            }
        }
    }

    #[test]
    fn what_is_no_password_is_shown_as_it_is() {
        for text in [
            "",
            "password",
            "the password, or its hash",
            "password =",
            "<config><!-- the password is in the safe --><note>$5 and $6 a month</note></config>",
            "<config><!-- weight=\"1\" OpenStreetMap configuration 192.168.10.25 --></config>",
            "<config><host name=\"pass\" ip=\"a:1\"/><host name=\"a$b$c\"/><key>ssh-ed25519 AAAA</key></config>",
        ] {
            assert_eq!(hide_passwords(text), text);
        }
    }

    #[test]
    fn many_words_and_quotes_take_no_more_time_than_few() {
        // Quadratic, this would not end.
        for piece in [
            "password=",
            "password=\"",
            "password='\"",
            "$6$",
            "$",
            "&#36;",
            "A1b/",
            "password:`",
        ] {
            hide_passwords(&piece.repeat((1 << 17) / piece.len()));
        }
    }
}
