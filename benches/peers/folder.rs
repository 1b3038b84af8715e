//! The run's temporary folder, and free ports.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};

use super::Outcome;

/// Below Linux's ephemeral ports, so that no client takes one before it is used.
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

    /// A new path with this name; a number keeps names apart.
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

/// A free loopback port that was not returned before.
pub(crate) fn free_port() -> Outcome<u16> {
    Ok(free_listener()?.local_addr()?.port())
}

/// A listener at such a port.
pub(crate) fn free_listener() -> Outcome<TcpListener> {
    static NEXT: AtomicU16 = AtomicU16::new(PORTS.start);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if !PORTS.contains(&port) {
            return Err("no port is free".into());
        }
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener);
        }
    }
}

/// A loopback address with such a port.
pub(crate) fn free_address() -> Outcome<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, free_port()?).into())
}
