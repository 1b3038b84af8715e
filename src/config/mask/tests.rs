//! Tests of masking: hashes in all the places of a file where one can stand.

use super::*;

/// What must be seen of none: the parts of hashes that only they have.
const SHA: &str =
    "$6$rounds=100000$abcdefghijklmnop$862PXlcTA4KIqozjXYDbBp9uZA3HQdFuqaP.mgmsFIuBYPlrZwn91l9s";
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

/// That nothing of a hash is to be seen that would help anybody.
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
        assert_hidden(&hide_hashes(&format!("access is {hash}: no")), hash);
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
