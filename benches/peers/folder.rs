//! The run's own folder, gone with it, and ports that nobody else has.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};

use super::Outcome;

/// Below the ports that Linux gives to clients: none of these takes one of ours
/// between the choice and the use of it.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A folder that is removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Outcome<Folder> {
        let name = format!("txlb-bench-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Folder(path))
    }

    /// A file of this name that is not there yet: the name gets a number.
    pub(crate) fn fresh(&self, name: &str) -> PathBuf {
        static NUMBER: AtomicU16 = AtomicU16::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        self.0.join(format!("{number}-{name}"))
    }

    /// Writes a file under a fresh name.
    pub(crate) fn write(&self, name: &str, text: &str) -> Outcome<PathBuf> {
        let path = self.fresh(name);
        fs::write(&path, text)?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A port of loopback where nobody listens, and that was not given out before.
pub(crate) fn free_port() -> Outcome<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(PORTS.start);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if !PORTS.contains(&port) {
            return Err("no port is free".into());
        }
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
}

/// The same as an address of loopback.
pub(crate) fn free_address() -> Outcome<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, free_port()?).into())
}
