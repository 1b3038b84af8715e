//! TLS of the admin page, by rustls: certificate, handshake with a deadline, stream. Clients show
//! no certificate; they log in.

mod certificate;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use self::certificate::{CertificateAndKey, fingerprint, provider};
use super::server::deadline::DeadlineStream;

/// Settings of TLS; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    config: Arc<ServerConfig>,
    fingerprint: Arc<str>,
}

impl Tls {
    /// Uses the operator's certificate with its chain, and its key, both PEM. One file may hold
    /// both.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub(super) fn from_files(cert: &Path, key: &Path) -> Result<Tls, String> {
        Tls::new(certificate::read_files(cert, key)?)
    }

    /// Uses a certificate of txlb's own, which is made once and kept in the state folder. A new
    /// one has `names` in it, DNS names and addresses.
    ///
    /// One that exists stays even if it has other names: its fingerprint is what people have
    /// accepted. It is replaced if it has expired or is damaged.
    ///
    /// # Errors
    /// It can neither be used nor made; with the file's path.
    pub(super) fn self_signed(folder: &Path, names: &[String]) -> Result<Tls, String> {
        Tls::new(certificate::load_or_create_own(
            folder,
            names,
            SystemTime::now(),
        )?)
    }

    fn new(identity: CertificateAndKey) -> Result<Tls, String> {
        let fingerprint = fingerprint(&identity.chain).into();
        let config = config(identity.chain, identity.key).map_err(|error| error.to_string())?;
        Ok(Tls {
            config: Arc::new(config),
            fingerprint,
        })
    }

    /// SHA-256 of the certificate, as browsers and openssl show it: `AA:BB:...`.
    pub(super) fn fingerprint(&self) -> String {
        self.fingerprint.to_string()
    }

    /// Does the handshake. It must end before the deadline of `stream`, and so must all reads and
    /// writes after it.
    ///
    /// # Errors
    /// `TimedOut` at the deadline, `InvalidData` if it is not TLS or cannot be agreed upon,
    /// `UnexpectedEof` if the client leaves, or the system's.
    pub(super) fn accept(&self, stream: DeadlineStream) -> io::Result<TlsStream> {
        let connection = ServerConnection::new(Arc::clone(&self.config));
        let connection = connection.map_err(io::Error::other)?;
        TlsStream::handshake(connection, stream)
    }
}

/// Checks that a certificate and its key, both PEM, can be used and fit each other. Returns what
/// an operator should know nevertheless, such as that it has expired.
///
/// # Errors
/// What is wrong with which file.
pub fn check_certificate(cert: &Path, key: &Path) -> Result<Option<String>, String> {
    let identity = certificate::read_files(cert, key)?;
    let validity_note = certificate::validity_note(&identity.chain, SystemTime::now());
    Ok(validity_note.map(|validity_note| format!("{}: {validity_note}", cert.display())))
}

fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A page for a few operators: no session is resumed, so none is kept.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// A TLS stream after its handshake. Dropping it sends `close_notify` if that does not block.
///
/// A read returns 0 after the client's `close_notify`, and `UnexpectedEof` if the connection just
/// ended. After the deadline all fail with `TimedOut`.
pub(in crate::admin) struct TlsStream(StreamOwned<ServerConnection, DeadlineStream>);

impl TlsStream {
    fn handshake(
        mut connection: ServerConnection,
        mut stream: DeadlineStream,
    ) -> io::Result<TlsStream> {
        // Each round reads or writes something, or fails, at the latest at the deadline.
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(TlsStream(StreamOwned::new(connection, stream)))
    }

    /// Sets another deadline, such as that of the next request.
    pub(in crate::admin) fn set_deadline(&mut self, deadline: Instant) {
        self.0.sock.set_deadline(deadline);
    }

    /// The socket itself. Neither read nor write it.
    pub(in crate::admin) fn socket(&self) -> &Arc<TcpStream> {
        self.0.sock.socket()
    }
}

impl Read for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        let (connection, socket) = (&mut self.0.conn, self.0.sock.socket());
        connection.send_close_notify();
        // Dropping must not block. What does not fit is lost.
        if socket.set_nonblocking(true).is_ok() {
            while connection.wants_write() {
                if !matches!(connection.write_tls(&mut &**socket), Ok(written) if written > 0) {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    //! Tests of TLS over the loopback, with a client that trusts one certificate alone.

    mod certificates;
    mod samples;

    use std::io::{self, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::{Duration, Instant};

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{
        ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, StreamOwned,
        SupportedProtocolVersion,
    };

    use super::DeadlineStream;
    use super::{Tls, TlsStream, provider};

    const TIMEOUT: Duration = Duration::from_secs(30);

    /// A folder that is removed with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("txlb-tls-{}-{name}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir(&path).unwrap();
            Folder(path)
        }

        /// A file in it.
        fn file(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn late() -> Instant {
        Instant::now() + TIMEOUT
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    /// The two ends of a connection: the server's, the client's.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(TIMEOUT)).unwrap();
        client.set_write_timeout(Some(TIMEOUT)).unwrap();
        (listener.accept().unwrap().0, client)
    }

    /// A client's configuration that trusts only the certificate in the PEM file.
    fn trusting(pem: &Path, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(pem).unwrap())
            .unwrap();
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder.with_protocol_versions(versions).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }

    type Client = StreamOwned<ClientConnection, TcpStream>;

    /// A client that calls the server by `name`; it has sent nothing yet.
    fn client(config: &Arc<ClientConfig>, name: &'static str, stream: TcpStream) -> Client {
        let name = ServerName::try_from(name).unwrap();
        StreamOwned::new(
            ClientConnection::new(Arc::clone(config), name).unwrap(),
            stream,
        )
    }

    /// Echoes lines until the client ends the stream.
    fn echo(tls: &Tls, stream: TcpStream) -> io::Result<()> {
        let mut stream: TlsStream = tls.accept(DeadlineStream::new(stream, late())?)?;
        let mut received = Vec::new();
        let mut part = [0; 1000];
        loop {
            match stream.read(&mut part)? {
                0 => break,
                length => received.extend_from_slice(&part[..length]),
            }
            if received.ends_with(b"\n") {
                stream.write_all(&received)?;
                stream.flush()?;
                received.clear();
            }
        }
        Ok(())
    }

    #[test]
    fn bytes_pass_both_ways_in_either_version_and_by_every_name() {
        let folder = Folder::new("bytes");
        let tls = Tls::self_signed(&folder.0, &["lb.example.org".into(), "*".into()]).unwrap();
        for (version, name) in [
            (&rustls::version::TLS12, "localhost"),
            (&rustls::version::TLS13, "127.0.0.1"),
            (&rustls::version::TLS13, "::1"),
            (&rustls::version::TLS13, "lb.example.org"),
        ] {
            let config = Arc::new(trusting(&folder.0.join("web.pem"), &[version]));
            // The second time there would be a session to go on with, if any were kept.
            for _ in 0..2 {
                let (server, peer) = pair();
                let tls = tls.clone();
                let server = thread::spawn(move || echo(&tls, server));
                let mut client = client(&config, name, peer);
                let line = [vec![b'x'; 300_000], b"\n".to_vec()].concat();
                client.write_all(&line).unwrap();
                let mut answer = vec![0; line.len()];
                client.read_exact(&mut answer).unwrap();
                assert!(answer == line);
                assert_eq!(client.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
                assert_eq!(client.conn.protocol_version(), Some(version.version));
                assert_eq!(client.conn.handshake_kind(), Some(HandshakeKind::Full));
                assert_eq!(client.conn.tls13_tickets_received(), 0);
                client.conn.send_close_notify();
                client.flush().unwrap();
                // The server says goodbye too: else this would be an error.
                assert_eq!(client.read(&mut answer).unwrap(), 0);
                server.join().unwrap().unwrap();
            }
        }
        assert_eq!(rustls::version::TLS12.version, ProtocolVersion::TLSv1_2);
        assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    }

    #[test]
    fn a_name_that_is_not_in_it_is_not_believed() {
        let folder = Folder::new("name");
        let tls = Tls::self_signed(&folder.0, &[]).unwrap();
        let config = trusting(&folder.0.join("web.pem"), rustls::ALL_VERSIONS);
        let (server, peer) = pair();
        let server = thread::spawn(move || echo(&tls, server));
        let mut client = client(&Arc::new(config), "example.org", peer);
        let error = client.write_all(b"x\n").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let _ = client.flush();
        drop(client);
        assert!(server.join().unwrap().is_err());
    }

    #[test]
    fn garbage_is_an_error_and_no_more() {
        let folder = Folder::new("garbage");
        let tls = Tls::self_signed(&folder.0, &[]).unwrap();
        let huge_record = [&b"\x16\x03\x01\xff\xff"[..], &[0; 70_000]].concat();
        let wrong_hello = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00".to_vec();
        for garbage in [
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            vec![0; 100],
            vec![0xff; 100],
            huge_record,
            wrong_hello,
        ] {
            let (server, mut peer) = pair();
            // It need not be read to its end.
            let write = thread::spawn(move || drop(peer.write_all(&garbage).map(|()| peer)));
            let error = tls
                .accept(DeadlineStream::new(server, late()).unwrap())
                .err()
                .unwrap();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
            write.join().unwrap();
        }
        let (server, peer) = pair();
        drop(peer);
        let error = tls
            .accept(DeadlineStream::new(server, late()).unwrap())
            .err()
            .unwrap();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_handshake_byte_by_byte_ends_at_the_deadline() {
        let folder = Folder::new("slow");
        let tls = Tls::self_signed(&folder.0, &[]).unwrap();
        let begun = Instant::now();
        for drips in [true, false] {
            let (server, mut peer) = pair();
            let (stop, stopped) = channel::<()>();
            let peer = thread::spawn(move || {
                // The start of a record of 16 KiB, and then ever less of it.
                peer.write_all(b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03")
                    .unwrap();
                // Nobody sends: this is the pause between two bytes.
                while stopped.recv_timeout(Duration::from_millis(5)).is_err() {
                    if begun.elapsed() > TIMEOUT || (drips && peer.write_all(b".").is_err()) {
                        break;
                    }
                }
            });
            let error = tls
                .accept(DeadlineStream::new(server, soon()).unwrap())
                .err()
                .unwrap();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            let _ = stop.send(());
            peer.join().unwrap();
        }
        assert!(begun.elapsed() < TIMEOUT / 2);
    }

    /// A connection whose handshake is done: the server's end, the client's.
    fn shaken(folder: &Folder) -> (TlsStream, Client) {
        let tls = Tls::self_signed(&folder.0, &[]).unwrap();
        let config = trusting(&folder.0.join("web.pem"), rustls::ALL_VERSIONS);
        let (server, peer) = pair();
        let shaking = thread::spawn(move || {
            let mut client = client(&Arc::new(config), "localhost", peer);
            client.conn.complete_io(&mut client.sock).unwrap();
            client
        });
        let server = tls
            .accept(DeadlineStream::new(server, late()).unwrap())
            .unwrap();
        (server, shaking.join().unwrap())
    }

    #[test]
    fn reads_and_writes_end_at_the_deadline_too() {
        let folder = Folder::new("deadline");
        let (mut server, mut client) = shaken(&folder);
        server.set_deadline(soon());
        let error = server.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        server.set_deadline(late());
        client.write_all(b"x").unwrap();
        assert_eq!(server.read(&mut [0]).unwrap(), 1);
        server.set_deadline(soon());
        let error = server.write_all(&vec![0; 64 << 20]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // The client does not read: leaving it does not wait for that.
        let begun = Instant::now();
        drop(server);
        assert!(begun.elapsed() < TIMEOUT / 2);
    }

    #[test]
    fn a_closed_connection_is_no_close_notify() {
        let folder = Folder::new("gone");
        let (mut server, client) = shaken(&folder);
        assert_eq!(
            server.socket().peer_addr().unwrap(),
            client.sock.local_addr().unwrap()
        );
        drop(client);
        let error = server.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
