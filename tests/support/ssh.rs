//! A running txlb with an SSH console, and SSH clients.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::client::{AuthResult, Config, Handle, Handler, Msg, connect_stream};
use russh::keys::key::safe_rng;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg, ChannelReadHalf, Error};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::TIMEOUT;
use super::client::connect_from;
use super::config::web_service;
use super::host::Host;
use super::txlb::Txlb;

/// A balancer with the host `a` and a console.
pub(crate) struct SshServer {
    pub(crate) txlb: Txlb,
    pub(crate) address: SocketAddr,
    pub(crate) host: Host,
}

impl SshServer {
    /// Starts it with these users.
    pub(crate) fn open(users: &str) -> SshServer {
        let host = Host::new("a");
        let config = with_console(host.address(), users);
        let mut txlb = Txlb::start(&config);
        let address = console_of(&txlb);
        txlb.log();
        SshServer {
            address,
            txlb,
            host,
        }
    }

    /// Reloads with other users.
    pub(crate) fn reload(&mut self, users: &str) {
        self.txlb.reload(&with_console(self.host.address(), users));
    }
}

/// A configuration with a console and these users.
pub(crate) fn with_console(host: SocketAddr, users: &str) -> String {
    format!(
        "<config>{}<admin><ssh listen=\"127.0.0.1:0\"/>{users}</admin></config>",
        web_service("", "roundr", &[host])
    )
}

/// The file of the console's host key.
pub(crate) fn host_key_of(txlb: &Txlb) -> PathBuf {
    txlb.folder.file("state/ssh_host_ed25519_key")
}

/// The console's address and its key's fingerprint, from the log.
pub(crate) fn console_and_key_of(txlb: &Txlb) -> (SocketAddr, String) {
    let lines = txlb.seen.iter().rev();
    let mut lines = lines.filter_map(|line| line.split_once("the console is at "));
    let (_, line) = lines.next().unwrap_or_else(|| panic!("{:?}", txlb.seen));
    let (address, key) = line.split_once(" (ssh); its key is ").unwrap();
    (address.parse().unwrap(), key.to_owned())
}

pub(crate) fn console_of(txlb: &Txlb) -> SocketAddr {
    console_and_key_of(txlb).0
}

/// Runs an async test.
pub(crate) fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test)
}

/// A new key.
pub(crate) fn key(algorithm: Algorithm) -> PrivateKey {
    PrivateKey::random(&mut safe_rng(), algorithm).unwrap()
}

/// The public key as a configuration has it.
pub(crate) fn line(key: &PrivateKey) -> String {
    key.public_key().to_openssh().unwrap()
}

/// A client's callbacks: accepts any server, and remembers its key.
#[derive(Clone, Default)]
pub(crate) struct Trusting(pub(crate) Arc<Mutex<String>>);

impl Handler for Trusting {
    type Error = Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Error> {
        if let PublicKeyOrCertificate::PublicKey { key, .. } = key {
            *self.0.lock().unwrap() = key.fingerprint(HashAlg::Sha256).to_string();
        }
        Ok(true)
    }
}

/// A client, logged in or not.
pub(crate) struct Client {
    pub(crate) handle: Handle<Trusting>,
    pub(crate) server: Trusting,
}

/// How a channel ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) status: Option<u32>,
    /// Whether EOF came, and whether the channel was closed.
    pub(crate) ended: (bool, bool),
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Client, Error> {
        Client::connect_from([127, 0, 0, 1].into(), address).await
    }

    pub(crate) async fn connect_from(ip: IpAddr, address: SocketAddr) -> Result<Client, Error> {
        let stream = connect_from(ip, address);
        stream.set_nonblocking(true)?;
        let (stream, server) = (TcpStream::from_std(stream)?, Trusting::default());
        let config = Arc::new(Config::default());
        let connecting = connect_stream(config, stream, server.clone());
        let handle = timeout(TIMEOUT, connecting).await.unwrap()?;
        Ok(Client { handle, server })
    }

    /// A client that has logged in with a password.
    pub(crate) async fn of(address: SocketAddr, name: &str, password: &str) -> Client {
        let mut client = Client::connect(address).await.unwrap();
        assert!(client.password(name, password).await);
        client
    }

    pub(crate) async fn password(&mut self, name: &str, password: &str) -> bool {
        let login = self.handle.authenticate_password(name, password);
        login.await.unwrap().success()
    }

    pub(crate) async fn key(&mut self, name: &str, key: &PrivateKey) -> bool {
        let key = PrivateKeyWithHashAlg::new(Arc::new(key.clone()), None);
        let login = self.handle.authenticate_publickey(name, key);
        login.await.unwrap().success()
    }

    pub(crate) async fn none(&mut self, name: &str) -> AuthResult {
        self.handle.authenticate_none(name).await.unwrap()
    }

    pub(crate) async fn channel(&self) -> Channel<Msg> {
        self.handle.channel_open_session().await.unwrap()
    }

    /// Runs one command.
    pub(crate) async fn run(&self, command: &str) -> Ran {
        let channel = self.channel().await;
        channel.exec(true, command).await.unwrap();
        finish(channel).await
    }

    /// Opens a console with a terminal.
    pub(crate) async fn console(&self) -> Screen {
        let channel = self.channel().await;
        let term = "xterm-256color";
        channel
            .request_pty(true, term, 100, 30, 0, 0, &[])
            .await
            .unwrap();
        channel.request_shell(true).await.unwrap();
        Screen {
            channel,
            shown: String::new(),
        }
    }
}

/// Reads a channel to its end.
pub(crate) async fn finish(channel: Channel<Msg>) -> Ran {
    let (reading, _writing) = channel.split();
    read_to_end(reading).await
}

/// Reads a channel to its end, while another task may write to it.
pub(crate) async fn read_to_end(mut channel: ChannelReadHalf) -> Ran {
    let mut ran = Ran::default();
    let all = async {
        while let Some(message) = channel.wait().await {
            match message {
                ChannelMsg::Data { data } => ran.stdout += &String::from_utf8_lossy(&data),
                ChannelMsg::ExtendedData { data, ext: 1 } => {
                    ran.stderr += &String::from_utf8_lossy(&data);
                }
                ChannelMsg::ExitStatus { exit_status } => ran.status = Some(exit_status),
                ChannelMsg::Eof => ran.ended.0 = true,
                ChannelMsg::Close => ran.ended.1 = true,
                _ => {}
            }
        }
    };
    timeout(TIMEOUT, all).await.expect("the channel ends");
    ran
}

/// A terminal with a console.
pub(crate) struct Screen {
    pub(crate) channel: Channel<Msg>,
    pub(crate) shown: String,
}

impl Screen {
    pub(crate) async fn enter(&self, keys: &str) {
        let keys = keys.as_bytes().to_vec();
        self.channel.data_bytes(keys).await.unwrap();
    }

    /// Waits until this text is shown, and forgets what came before.
    pub(crate) async fn wait_for(&mut self, text: &str) {
        let waiting = async {
            while !self.shown.contains(text) {
                match self.channel.wait().await {
                    Some(ChannelMsg::Data { data }) => {
                        self.shown += &String::from_utf8_lossy(&data);
                    }
                    Some(_) => {}
                    None => panic!("no {text:?} in {:?}", self.shown),
                }
            }
        };
        let waited = timeout(TIMEOUT, waiting).await.is_ok();
        assert!(waited, "no {text:?} in {:?}", self.shown);
        let at = self.shown.find(text).unwrap() + text.len();
        self.shown.drain(..at);
    }
}

/// Waits until a connection ends, and returns how long that took.
pub(crate) async fn end_of(client: &mut Client, limit: Duration) -> Duration {
    let began = std::time::Instant::now();
    let ended = timeout(limit, &mut client.handle).await;
    // With a disconnect message or an error.
    let _ = ended.expect("it is cut off");
    began.elapsed()
}
