//! What the door is known by: a key that is made once and kept in the state folder.
//!
//! Clients remember it and warn of another one, so one that cannot be read is an error
//! and never replaced in silence.

use std::io;
use std::path::Path;

use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{Algorithm, HashAlg, PrivateKey};

use crate::os::state;

/// The file in the state folder, in the form of ssh-keygen.
const NAME: &str = "ssh_host_ed25519_key";

/// The key in `folder`, made if there is none.
///
/// # Errors
/// In words that name the file.
pub(super) fn host_key(folder: &Path) -> Result<PrivateKey, String> {
    let bytes =
        state::load_or_create(folder, NAME, |_| true, make).map_err(|error| error.to_string())?;
    let key = PrivateKey::from_openssh(&bytes).map_err(|error| error.to_string());
    let trouble = match key {
        Ok(key) if key.is_encrypted() => "it has a passphrase".to_owned(),
        Ok(key) if key.algorithm() != Algorithm::Ed25519 => "it is of another type".to_owned(),
        Ok(key) => return Ok(key),
        Err(error) => error,
    };
    Err(format!(
        "{}: no Ed25519 key of a host: {trouble}; once the file is moved away, a new one is \
         made, and clients will warn of it",
        folder.join(NAME).display()
    ))
}

/// What clients show of it, as `ssh-keygen -l` does.
pub(super) fn fingerprint(key: &PrivateKey) -> String {
    key.public_key().fingerprint(HashAlg::Sha256).to_string()
}

fn make() -> io::Result<Vec<u8>> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| io::Error::other(format!("the system gives no randomness: {error}")))?;
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
    let text = key.to_openssh(LineEnding::LF).map_err(io::Error::other)?;
    Ok(text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let name = format!("txlb-host-key-{}-{name}", std::process::id());
            Folder(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn it_is_made_once_for_its_owner_alone() {
        let folder = Folder::new("once");
        let first = host_key(&folder.0).unwrap();
        let mode = fs::metadata(folder.0.join(NAME))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = host_key(&folder.0).unwrap();
        assert_eq!(fingerprint(&first), fingerprint(&again));
        let hash = fingerprint(&first);
        let digits = hash.strip_prefix("SHA256:").unwrap();
        assert_eq!(digits.len(), 43, "{hash}");
    }

    #[test]
    fn a_damaged_one_is_reported_and_stays() {
        let folder = Folder::new("damaged");
        host_key(&folder.0).unwrap();
        let file = folder.0.join(NAME);
        let whole = fs::read(&file).unwrap();
        for bytes in [&b""[..], b"rubbish", &whole[..whole.len() / 2]] {
            fs::write(&file, bytes).unwrap();
            let error = host_key(&folder.0).unwrap_err();
            assert!(
                error.contains("ssh_host_ed25519_key: no Ed25519"),
                "{error}"
            );
            assert_eq!(fs::read(&file).unwrap(), bytes);
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(host_key(&folder.0).is_err());
    }
}
