//! Users of the configuration, and their crypt(3) hashes: reading, checking and making one.
//!
//! A user who does not change stays the same `Arc`. So caches and credentials notice every
//! change.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use pw_hash::{HashSetup, bcrypt, md5_crypt, sha256_crypt, sha512_crypt, unix_crypt};

use super::credential::random_bytes;
use crate::config::credentials::{HashError, HashKind, PasswordHash};
#[cfg(feature = "ssh")]
use crate::config::public_key_bytes;
use crate::config::{Access, User};
use crate::log_targets;

/// A user with a hash that can be checked.
pub(super) struct KnownUser {
    pub(super) access: Access,
    /// As in the configuration, to notice a change.
    password: Option<String>,
    hash: Option<Hash>,
}

impl KnownUser {
    fn new(user: &User) -> KnownUser {
        let hash = user.password.as_deref().map(Hash::read).transpose();
        if let Err(why) = &hash {
            let name = &user.name;
            log::warn!(
                target: log_targets::LOGINS,
                "the password of user \"{name}\" cannot be checked, so that it matches nothing: {why}"
            );
        }
        KnownUser {
            access: user.access,
            password: user.password.clone(),
            hash: hash.unwrap_or(None),
        }
    }

    /// The hash, if there is one that can be checked.
    pub(super) fn hash(&self) -> Option<&Hash> {
        self.hash.as_ref()
    }

    fn is_unchanged(&self, user: &User) -> bool {
        self.access == user.access && self.password == user.password
    }
}

/// All users by name.
#[derive(Default)]
pub(super) struct Users {
    by_name: HashMap<String, Arc<KnownUser>>,
    /// Users whose password can be checked, in the order of the configuration.
    checkable: Vec<Arc<KnownUser>>,
    /// Public keys as clients send them. They are apart from `KnownUser`: a change of keys leaves
    /// the user the same.
    #[cfg(feature = "ssh")]
    keys: HashMap<String, Vec<Vec<u8>>>,
}

impl Users {
    /// The users of a configuration. Those of `before` are kept if they have not changed.
    pub(super) fn new(users: &[User], before: Option<&Users>) -> Users {
        let known = |user: &User| {
            let before = before.and_then(|before| before.find(&user.name));
            let same = before.filter(|known| known.is_unchanged(user));
            same.map_or_else(|| Arc::new(KnownUser::new(user)), Arc::clone)
        };
        let mut all = Users::default();
        for user in users {
            let known = known(user);
            if known.hash.is_some() {
                all.checkable.push(Arc::clone(&known));
            }
            all.by_name.insert(user.name.clone(), known);
            #[cfg(feature = "ssh")]
            all.keys.insert(user.name.clone(), public_keys(user));
        }
        all
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(super) fn find(&self, name: &str) -> Option<&Arc<KnownUser>> {
        self.by_name.get(name)
    }

    /// Whether this very user is still there.
    pub(super) fn contains(&self, user: &Arc<KnownUser>) -> bool {
        self.by_name.values().any(|it| Arc::ptr_eq(it, user))
    }

    /// Whether that user has this public key.
    #[cfg(feature = "ssh")]
    pub(super) fn has_key(&self, name: &str, key: &[u8]) -> bool {
        let keys = self.keys.get(name);
        keys.is_some_and(|keys| keys.iter().any(|own| own == key))
    }

    /// The hash that is checked for a user without one: another user's, always the same for the
    /// same `number`. So time does not reveal which users exist. `None` if no user has a hash.
    pub(super) fn decoy_hash(&self, number: usize) -> Option<&Hash> {
        let at = number.checked_rem(self.checkable.len())?;
        self.checkable[at].hash()
    }
}

/// All are valid: the configuration checks them.
#[cfg(feature = "ssh")]
fn public_keys(user: &User) -> Vec<Vec<u8>> {
    let keys = user.keys.iter();
    keys.filter_map(|key| public_key_bytes(key)).collect()
}

/// Longest password in bytes; a longer one is wrong.
pub const MAX_PASSWORD: usize = 1024;

/// Makes a `$6$` hash of a password, for the attribute `password` of `<user>`.
///
/// # Errors
/// `InvalidInput` for a password that is empty, has more than [`MAX_PASSWORD`] bytes, or a NUL.
/// Otherwise the system gives no randomness.
pub fn hash_password(password: &str) -> io::Result<String> {
    let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
    if password.is_empty() {
        return Err(wrong("the password is empty".to_owned()));
    }
    if !is_valid_password(password) {
        let why = format!("a password has at most {MAX_PASSWORD} bytes, and no NUL among them");
        return Err(wrong(why));
    }
    let salt = random_bytes::<NEW_HASH_SALT_CHARS>()?.map(|byte| ALPHABET[usize::from(byte % 64)]);
    let salt = String::from_utf8_lossy(&salt);
    let setup = HashSetup {
        salt: Some(&salt),
        rounds: Some(NEW_HASH_ROUNDS),
    };
    sha512_crypt::hash_with(setup, password).map_err(io::Error::other)
}

/// Characters of a new salt, the most that `$6$` allows.
const NEW_HASH_SALT_CHARS: usize = 16;

/// Rounds of a new hash: about a tenth of a second, 20 times the usual number.
const NEW_HASH_ROUNDS: u32 = 100_000;

const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Whether it can be a password at all. For crypt(3) a NUL would end it.
pub(super) fn is_valid_password(password: &str) -> bool {
    password.len() <= MAX_PASSWORD && !password.contains('\0')
}

/// A crypt(3) string that can be checked.
pub(super) struct Hash {
    kind: HashKind,
    text: String,
}

impl Hash {
    /// Reads the attribute `password` of `<user>`. Only strings in the form of a whole hash get
    /// to `pw_hash`, which panics at others: at a salt with U+0080 in it, and in debug builds at
    /// a control character.
    /// Tests: `no_string_makes_it_panic`, `what_was_cut_off_or_has_more_is_no_hash`; fuzz target
    /// `hash`.
    ///
    /// # Errors
    /// Nothing can match it, or a check would take too long.
    pub(super) fn read(text: &str) -> Result<Hash, HashError> {
        let kind = PasswordHash::read(text)?.kind;
        let text = text.to_owned();
        Ok(Hash { kind, text })
    }

    /// Whether this is the password. It takes as long as the hash is meant to.
    pub(super) fn matches(&self, password: &str) -> bool {
        let verify = match self.kind {
            HashKind::Des => unix_crypt::verify,
            HashKind::Md5 => md5_crypt::verify,
            HashKind::Sha256 => sha256_crypt::verify,
            HashKind::Sha512 => sha512_crypt::verify,
            HashKind::Bcrypt => bcrypt::verify,
        };
        verify(password, &self.text)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const DES: &str = "..xpoEyRReGzk";

    pub(in crate::admin::auth) fn user(name: &str, password: &str, access: Access) -> User {
        User {
            name: name.to_owned(),
            password: (!password.is_empty()).then(|| password.to_owned()),
            access,
            keys: Vec::new(),
        }
    }

    pub(in crate::admin::auth) fn known(name: &str) -> Arc<KnownUser> {
        Arc::new(KnownUser::new(&user(name, DES, Access::Full)))
    }

    #[test]
    fn a_user_that_does_not_change_stays_the_same() {
        let ann = user("ann", DES, Access::Full);
        let before = Users::new(std::slice::from_ref(&ann), None);
        let same = |user: &User| {
            let after = Users::new(std::slice::from_ref(user), Some(&before));
            before
                .find("ann")
                .is_some_and(|known| after.contains(known))
        };
        let keys = vec!["ssh-ed25519 AAAA".to_owned()];
        assert!(same(&ann));
        assert!(same(&User {
            keys,
            ..ann.clone()
        }));
        assert!(!same(&user("ann", "zTDVLT7RAx.s6", Access::Full)));
        assert!(!same(&user("ann", "", Access::Full)));
        assert!(!same(&user("ann", DES, Access::ReadOnly)));
        assert!(!same(&user("bob", DES, Access::Full)));
    }

    #[test]
    fn those_with_a_hash_stand_in_for_those_without() {
        let nobody = Users::new(&[user("bob", "", Access::Full)], None);
        assert!(nobody.decoy_hash(0).is_none() && !nobody.is_empty());
        let users = [
            user("ann", DES, Access::Full),
            user("bob", "", Access::Full),
            user("eve", "secret", Access::Full),
            user("joe", "zTQkpOPgzO8J.", Access::Full),
        ];
        let users = Users::new(&users, None);
        let matches = |number, password| users.decoy_hash(number).unwrap().matches(password);
        assert!(matches(0, "admin") && matches(1, "correct horse") && matches(2, "admin"));
        assert!(!matches(1, "admin"));
        assert!(users.find("eve").unwrap().hash().is_none());
        assert!(users.find("Ann").is_none());
    }

    const LONG_SALT: &str = "$6$rounds=1000$abcdefghijklmnop$862PXlcTA4KIqozjXYDbBp9uZA3HQdFuqaP.\
                         mgmsFIuBYPlrZwn91l9sTMhXYm0MUqwgIOCtbxKOhtYgUfpxJ/";

    /// Made by crypt(3) of libxcrypt, of "admin".
    const ADMIN: &[&str] = &[
        "..xpoEyRReGzk",
        "zTDVLT7RAx.s6",
        "$1$5pZSV9va$AN.ssYlCjLWOUNwvYOswG1",
        "$1$$CoERg7ynjYLsj2j4glJ34.",
        "$5$saltstring$P.bW6F1RP1HA7OPm5SRVZIGro4q5xJxWEWq0LwuJu6.",
        "$5$rounds=1000$abcdefghijklmnop$OZ35htsJFffgkqPxp0WucUK6GaLIzzH9roete4bciQ9",
        "$6$saltstring$fHceV9ICtFDKaXXFnb7RiJaYuNyEyWoJ8Ktgcrejn6JFd2OtH.E7Ezpt83F1/\
     uVFqUvO2sik9QpwGkOkMuBTf/",
        LONG_SALT,
        "$2b$04$abcdefghijklmnopqrstuuQe66hACgXZ.ImKMvPGdqru0gQrWJ8Ju",
        "$2a$04$abcdefghijklmnopqrstuuQe66hACgXZ.ImKMvPGdqru0gQrWJ8Ju",
        "$2y$04$abcdefghijklmnopqrstuuQe66hACgXZ.ImKMvPGdqru0gQrWJ8Ju",
    ];

    /// The password of these.
    const GREETING: &str = "Grüße, 世界 🦀";

    const GREETINGS: &[&str] = &[
        "abkpzmEPq4NEA",
        "$1$abcdefgh$ljbqI0HQA7icO5vXFuLqD1",
        "$5$rounds=1000$abcdefgh$MpTEhX.PYlqd05HXHCqx0Fgm2ssF85GlhWSBRnmhIe.",
        "$6$rounds=1000$abcdefghijklmnop$WRdyG3/vRzcg88vZSarf9ACTzqLjAkne.\
     pkvFc5fdSkVnIB6xWPOYjtqSf6JqbutBnHE0TZB0pQNnGWmFJgpj/",
        "$2b$04$abcdefghijklmnopqrstuuwGpW0GweYGmhJdukgS7MNED6qakPhRO",
    ];

    /// Whether it is rejected as no whole hash, and not as too costly.
    fn is_not_whole(text: &str) -> bool {
        match Hash::read(text) {
            Err(why) => matches!(why, HashError::NotWhole(_)),
            Ok(Hash { kind, .. }) => panic!("{text:?} is {kind:?}"),
        }
    }

    #[test]
    fn what_fits_a_hash_of_the_c_library_fits() {
        for (hashes, password) in [(ADMIN, "admin"), (GREETINGS, GREETING)] {
            for text in hashes {
                let hash = Hash::read(text).unwrap_or_else(|why| panic!("{text}: {why}"));
                assert!(hash.matches(password), "{text}");
                for wrong in ["", "Admin", "admi", "xadmin", "Grüße", text] {
                    assert!(!hash.matches(wrong), "{text} {wrong}");
                }
            }
        }
    }

    #[test]
    fn a_hash_that_was_changed_anywhere_fits_no_more() {
        for text in ADMIN {
            let last = text.len() - 1;
            // The last character has bits that mean nothing, but they are compared too.
            for at in [last, last - 5] {
                let other = if text.as_bytes()[at] == b'A' {
                    "B"
                } else {
                    "A"
                };
                let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
                let hash = Hash::read(&changed).unwrap_or_else(|why| panic!("{changed}: {why}"));
                assert!(!hash.matches("admin"), "{changed}");
            }
        }
    }

    #[test]
    fn what_was_cut_off_or_has_more_is_no_hash() {
        for text in ADMIN.iter().chain(GREETINGS) {
            for end in 0..text.len() {
                assert!(is_not_whole(&text[..end]));
            }
            for more in ["a", "$", ":", "\n", " ", "\0"] {
                assert!(is_not_whole(&format!("{text}{more}")));
            }
        }
    }

    #[test]
    fn no_string_makes_it_panic() {
        // As a salt, the first two make the library panic.
        for odd in [
            "\u{80}",
            "\u{1}",
            "\u{7f}",
            "é",
            "\0",
            "\u{10ffff}",
            "$",
            "!",
            "*",
        ] {
            for text in ADMIN {
                for at in 0..text.len() {
                    let changed = format!("{}{odd}{}", &text[..at], &text[at + 1..]);
                    if changed == **text {
                        continue;
                    }
                    if let Ok(hash) = Hash::read(&changed) {
                        assert!(!hash.matches("admin"), "{changed}");
                    }
                }
            }
            assert!(is_not_whole(odd));
        }
    }

    #[test]
    fn what_is_no_hash_fits_nothing() {
        let coded = "a".repeat(86);
        for text in [
            "",
            "*",
            "!",
            "x",
            "secret",
            "a password as it is",
            "$",
            "$$",
            "$$$",
            "$1$a$b",
            "$6$",
            "$6$$",
            "$y$j9T$abc$def",
            "$7$abc",
            "$sha1$40000$abcdefgh$aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "_J9..rasmBYk8r9AiWNc",
            &format!("$3${coded}"),
            &format!("$6$salt with space${coded}"),
            &format!("$6$seventeenlettersX${coded}"),
            &format!("$6$rounds=$salt${coded}"),
            &format!("$6$rounds=999$salt${coded}"),
            &format!("$6$rounds=05000$salt${coded}"),
            &format!("$6$rounds=+5000$salt${coded}"),
            &format!("$6$rounds=-5000$salt${coded}"),
            &format!("$6$rounds=99999999999$salt${coded}"),
            &format!("$2b$03${}", &coded[..53]),
            &format!("$2b$4${}", &coded[..53]),
            &format!("$2b$+4${}", &coded[..53]),
            &format!("$2b$32${}", &coded[..53]),
            &format!("$2x$05${}", &coded[..53]),
            &format!("$2$05${}", &coded[..53]),
        ] {
            assert!(is_not_whole(text), "{text}");
        }
    }

    #[test]
    fn what_would_take_minutes_is_refused() {
        let coded = "a".repeat(86);
        let rounds =
            |kind, rounds, length| format!("${kind}$rounds={rounds}$salt${}", &coded[..length]);
        let bcrypt = |cost| format!("$2b${cost}${}", &coded[..53]);
        for text in [
            rounds(5, "1000001", 43),
            rounds(6, "999999999", 86),
            bcrypt("16"),
            bcrypt("31"),
        ] {
            assert!(!is_not_whole(&text), "{text}");
        }
        for text in [
            rounds(5, "1000000", 43),
            rounds(6, "1000", 86),
            bcrypt("15"),
        ] {
            assert!(Hash::read(&text).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_longest_password_is_checked_as_a_whole() {
        let password = "x".repeat(MAX_PASSWORD);
        // Made by this module: the C library's takes 511 bytes.
        let hash = sha512_crypt::hash_with("$6$rounds=1000$salt", &password).unwrap();
        let hash = Hash::read(&hash).unwrap_or_else(|why| panic!("{why}"));
        assert!(hash.matches(&password));
        assert!(!hash.matches(&password[1..]));
        assert!(is_valid_password(&password));
        assert!(!is_valid_password(&format!("{password}x")));
        assert!(!is_valid_password("a\0b"));
    }

    #[test]
    fn a_hash_that_is_made_is_of_its_password_and_of_no_other_salt() {
        let made = [(); 2].map(|()| hash_password(GREETING).unwrap());
        for text in &made {
            let start = format!("$6$rounds={NEW_HASH_ROUNDS}$");
            let salt = text.strip_prefix(&start).unwrap().split('$').next();
            assert_eq!(salt.unwrap().len(), NEW_HASH_SALT_CHARS);
        }
        assert_ne!(made[0], made[1]);
        let hash = Hash::read(&made[0]).unwrap_or_else(|why| panic!("{why}"));
        assert!(hash.matches(GREETING));
        assert!(!hash.matches("Grüße"));
    }

    #[test]
    fn no_hash_is_made_of_what_is_no_password() {
        let long = "x".repeat(MAX_PASSWORD + 1);
        for (password, why) in [("", "empty"), ("a\0b", "NUL"), (&long, "1024 bytes")] {
            let error = hash_password(password).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
