//! Random bytes from the system, for keys, salts and tokens.

use std::io;

/// Random bytes.
///
/// # Errors
/// The system gives none.
pub(super) fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| io::Error::other(format!("the system gives no randomness: {error}")))?;
    Ok(bytes)
}
