//! The console over SSH: logins, commands, and refusals.
//!
//! OpenSSH's client is in `ssh_peers` of `tests/peers`, connection limits in `ssh_limits`.
#![cfg(feature = "ssh")]

use std::fs;

use crate::support::client::who_in_turn;
use crate::support::http::USERS;
use crate::support::ssh::{
    Client, SshServer, block_on, console_and_key_of, end_of, finish, host_key_of, key, line,
    read_to_end, with_console,
};
use crate::support::txlb::{Txlb, command, finish as run_to_end, text};
use crate::support::{TIMEOUT, until};
use russh::client::AuthResult;
use russh::keys::{Algorithm, EcdsaCurve};
use russh::{ChannelMsg, MethodKind};

/// The methods that a client may try next.
fn methods(result: &AuthResult) -> Vec<MethodKind> {
    match result {
        AuthResult::Success => Vec::new(),
        AuthResult::Failure {
            remaining_methods, ..
        } => remaining_methods.to_vec(),
    }
}

#[test]
fn passwords_and_keys_let_in_their_owners_alone() {
    let [own, other] = [key(Algorithm::Ed25519), key(Algorithm::Ed25519)];
    let curve = |curve| key(Algorithm::Ecdsa { curve });
    let p256 = curve(EcdsaCurve::NistP256);
    let p384 = curve(EcdsaCurve::NistP384);
    let p521 = curve(EcdsaCurve::NistP521);
    let users = format!(
        "{USERS}<user name=\"ann\" access=\"full\" key=\"{}\"><key>{}</key><key>{}</key>\
         <key>{} of another machine</key></user>",
        line(&own),
        line(&p256),
        line(&p384),
        line(&p521)
    );
    let mut ssh = SshServer::open(&users);
    block_on(async {
        let connect = || async { Client::connect(ssh.address).await.unwrap() };
        for key in [&own, &p256, &p384, &p521] {
            let mut client = connect().await;
            assert!(client.key("ann", key).await);
            assert_eq!(client.run("status").await.status, Some(0));
        }
        let mut client = connect().await;
        for (name, key) in [("ann", &other), ("admin", &own), ("nobody", &own)] {
            assert!(!client.key(name, key).await, "{name}");
        }
        // A password after wrong keys and a wrong password.
        assert!(!client.password("admin", "guest").await);
        assert!(client.password("admin", "admin").await);
        assert!(!connect().await.password("ann", "").await);
    });
    ssh.txlb
        .wait_for("login failed: user ann from 127.0.0.1 (ssh)");
    ssh.txlb.wait_for_count("login failed: user admin", 1);
    ssh.txlb.wait_for_count("by the key SHA256:", 4);
    ssh.txlb.wait_for_count("has come in, by password", 1);
}

#[test]
fn nothing_tells_who_is_a_user() {
    let ssh = SshServer::open(USERS);
    block_on(async {
        let both = [MethodKind::PublicKey, MethodKind::Password];
        for name in ["admin", "nobody"] {
            let mut client = Client::connect(ssh.address).await.unwrap();
            assert_eq!(methods(&client.none(name).await), both);
            let wrong = client.handle.authenticate_password(name, "x").await;
            assert_eq!(methods(&wrong.unwrap()), both);
        }
    });
}

#[test]
fn a_command_has_outputs_and_a_status() {
    let ssh = SshServer::open(USERS);
    block_on(async {
        let client = Client::of(ssh.address, "admin", "admin").await;
        let ran = client.run("setWeight service=web group=main name=a weight=7");
        let ran = ran.await;
        assert_eq!((ran.status, ran.ended), (Some(0), (true, true)), "{ran:?}");
        assert_eq!(ran.stderr, "");
        let ran = client.run("status").await;
        assert!(ran.stdout.contains("service web at"), "{ran:?}");
        let ran = client.run("delHost service=web group=main name=b").await;
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""));
        assert!(ran.stderr.starts_with("error: "), "{ran:?}");
        assert_eq!(ran.ended, (true, true));
        assert_eq!(client.run("exit").await.status, Some(0));

        let guest = Client::of(ssh.address, "guest", "guest").await;
        assert_eq!(guest.run("status").await.status, Some(0));
        let ran = guest.run("reload").await;
        assert_eq!(ran.status, Some(1));
        assert!(ran.stderr.contains("you may only read"), "{ran:?}");
    });
}

#[test]
fn a_command_with_a_terminal_is_answered_for_a_person() {
    let ssh = SshServer::open(USERS);
    block_on(async {
        let client = Client::of(ssh.address, "admin", "admin").await;
        let run = async |command: &str| {
            let channel = client.channel().await;
            let size = channel.request_pty(true, "xterm", 40, 24, 0, 0, &[]);
            size.await.unwrap();
            channel.exec(true, command).await.unwrap();
            finish(channel).await
        };
        let ran = run("setWeight service=web group=main name=a weight=7").await;
        let said = (ran.status, ran.stdout.as_str());
        assert_eq!(
            said,
            (
                Some(0),
                "ok generation 2: roundr of web:main does not look at weights: weightrr does\r\n"
            )
        );
        let told = run("status").await.stdout;
        let mut lines = told.split_terminator("\r\n");
        assert!(lines.all(|line| !line.contains('\n') && line.chars().count() <= 40));
        let ran = run("watch").await;
        assert_eq!(ran.status, Some(1));
        assert!(ran.stderr.ends_with("it is for the prompt\r\n"), "{ran:?}");
    });
}

#[test]
fn a_terminal_has_a_console() {
    let mut ssh = SshServer::open(USERS);
    block_on(async {
        let client = Client::of(ssh.address, "admin", "admin").await;
        let mut screen = client.console().await;
        screen.wait_for("txlb> ").await;
        screen
            .enter("drainHost service=web group=main name=a force=true\r")
            .await;
        screen.wait_for("ok generation 2").await;
        screen.wait_for("txlb> ").await;
        screen.channel.window_change(40, 10, 0, 0).await.unwrap();
        screen.enter("exit\r").await;
        let ran = finish(screen.channel).await;
        assert_eq!((ran.status, ran.ended), (Some(0), (true, true)));
        // The connection can open another channel.
        let mut screen = client.console().await;
        screen.wait_for("txlb> ").await;
        screen.channel.eof().await.unwrap();
        assert_eq!(finish(screen.channel).await.status, Some(0));
    });
    let line = ssh.txlb.wait_for("drainHost");
    assert!(line.contains("user admin from 127.0.0.1:"), "{line}");
    assert!(line.contains("(ssh)"), "{line}");
}

#[test]
fn lines_without_a_terminal_are_answered_as_on_the_control_socket() {
    let ssh = SshServer::open(USERS);
    block_on(async {
        let client = Client::of(ssh.address, "admin", "admin").await;
        let talk = |lines: Vec<u8>| async {
            let channel = client.channel().await;
            channel.request_shell(true).await.unwrap();
            // Writes and reads at once: a client that only writes would block for ever.
            let (reading, writing) = channel.split();
            let reading = tokio::spawn(read_to_end(reading));
            writing.data_bytes(lines).await.unwrap();
            writing.eof().await.unwrap();
            reading.await.unwrap()
        };
        let ran = talk(b"begin\nsetWeight service=web group=main name=a weight=3\ncommit\n".into());
        let ran = ran.await;
        assert!(ran.stdout.contains("ok generation 2"), "{ran:?}");
        assert_eq!((ran.status, ran.ended), (Some(0), (true, true)));
        let ran = talk(b"nonsense\r\nexit\nstatus\n".into()).await;
        assert!(ran.stdout.starts_with("error: there is no verb"), "{ran:?}");
        assert_eq!((ran.stdout.lines().count(), ran.status), (1, Some(1)));
        let ran = talk(b"begin\n".into()).await;
        assert!(ran.stdout.ends_with("nothing was changed\n"), "{ran:?}");
        // More than is kept, and more output than the client's window takes.
        let many = 20_000;
        let ran = talk(b"help begin\n".repeat(many)).await;
        let answers = ran.stdout.lines().filter(|line| line.starts_with("ok"));
        assert_eq!((answers.count(), ran.status), (many, Some(0)));
        let ran = talk([&[b'x'; 100_000][..], b"\nstatus\n"].concat()).await;
        assert!(ran.stdout.starts_with("error: the line is too long"));
        assert!(ran.stdout.ends_with("ok generation 2\n"));
    });
}

#[test]
fn everything_else_that_ssh_has_is_refused() {
    let ssh = SshServer::open(USERS);
    block_on(async {
        let client = Client::of(ssh.address, "admin", "admin").await;
        let mut channel = client.channel().await;
        channel.request_subsystem(true, "sftp").await.unwrap();
        channel.set_env(true, "LANG", "C").await.unwrap();
        channel.agent_forward(true).await.unwrap();
        channel
            .request_x11(true, false, "MIT-MAGIC-COOKIE-1", "00", 0)
            .await
            .unwrap();
        for _ in 0..4 {
            let answer = channel.wait().await;
            assert!(matches!(answer, Some(ChannelMsg::Failure)), "{answer:?}");
        }
        // A second channel beside the first.
        assert!(client.handle.channel_open_session().await.is_err());
        let forward = client.handle.channel_open_direct_tcpip("h", 80, "h", 1);
        assert!(forward.await.is_err());
        let listen = client.handle.tcpip_forward("127.0.0.1", 0).await;
        assert!(listen.is_err());
        // The first channel still works.
        channel.exec(true, "status").await.unwrap();
        assert_eq!(finish(channel).await.status, Some(0));
    });
}

#[test]
fn who_is_changed_by_a_reload_does_nothing_more() {
    let own = key(Algorithm::Ed25519);
    let ann = format!(
        "<user name=\"ann\" access=\"full\" key=\"{}\"/>",
        line(&own)
    );
    let mut ssh = SshServer::open(&format!("{USERS}{ann}"));
    block_on(async {
        let admin = Client::of(ssh.address, "admin", "admin").await;
        let mut screen = admin.console().await;
        screen.wait_for("txlb> ").await;
        let mut by_key = Client::connect(ssh.address).await.unwrap();
        assert!(by_key.key("ann", &own).await);

        ssh.reload(&USERS.replace("..xpoEyRReGzk", "ab01FAX.bQRSU"));
        screen.enter("status\r").await;
        screen.wait_for("log in again").await;
        assert_eq!(finish(screen.channel).await.status, Some(1));
        for client in [&admin, &by_key] {
            let ran = client.run("status").await;
            assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""));
            assert!(ran.stderr.contains("log in again"), "{ran:?}");
        }
        let mut late = Client::connect(ssh.address).await.unwrap();
        assert!(!late.key("ann", &own).await);
        assert!(!late.password("admin", "admin").await);
    });
}

/// Leaves the alternate screen, shows the cursor, turns off bracketed paste.
const IN_ORDER: &str = "\x1b[?25h\x1b[?1049l\x1b[?2004l\r\n";

#[test]
fn a_terminal_is_restored_whichever_side_ends_it() {
    let mut ssh = SshServer::open(USERS);
    block_on(async {
        let admin = Client::of(ssh.address, "admin", "admin").await;
        let guest = Client::of(ssh.address, "guest", "guest").await;
        let mut changed = admin.console().await;
        let mut ended = guest.console().await;
        for screen in [&mut changed, &mut ended] {
            screen.enter("watch status interval=0.5\r").await;
            screen.wait_for("any key goes back").await;
        }
        ssh.reload(&USERS.replace("..xpoEyRReGzk", "ab01FAX.bQRSU"));
        changed.wait_for(&format!("{IN_ORDER}error: what")).await;
        assert_eq!(finish(changed.channel).await.status, Some(1));

        assert_eq!(ssh.txlb.stop(), Some(0));
        ended.wait_for(IN_ORDER).await;
        // It was cut off, so there is no exit status.
        assert_eq!(finish(ended.channel).await.status, None);
    });
}

#[test]
fn a_terminal_is_left_in_order_when_no_more_keys_come() {
    let ssh = SshServer::open(USERS);
    block_on(async {
        let client = Client::of(ssh.address, "guest", "guest").await;
        let mut screen = client.console().await;
        screen.enter("watch\r").await;
        screen.wait_for("any key goes back").await;
        screen.channel.eof().await.unwrap();
        screen.wait_for(IN_ORDER).await;
        assert_eq!(finish(screen.channel).await.status, Some(0));
    });
}

#[test]
fn the_server_follows_the_configuration_and_logged_in_users_stay() {
    let mut ssh = SshServer::open(USERS);
    let config = with_console(ssh.host.address(), USERS);
    block_on(async {
        let client = Client::of(ssh.address, "admin", "admin").await;
        let closed = config.replace("<ssh ", "<ssh enable=\"false\" ");
        ssh.txlb.reload(&closed);
        assert!(ssh.txlb.has_said("the console is closed"));
        until("it is shut", || {
            std::net::TcpStream::connect(ssh.address).is_err()
        });
        assert_eq!(client.run("status").await.status, Some(0));
        ssh.txlb.reload(&config);
        assert!(ssh.txlb.has_said("the console is at"));
        let (again, key) = console_and_key_of(&ssh.txlb);
        let mut client = Client::of(again, "guest", "guest").await;
        assert_eq!(*client.server.0.lock().unwrap(), key);
        // Clients get a message about the end.
        assert_eq!(ssh.txlb.stop(), Some(0));
        end_of(&mut client, TIMEOUT).await;
    });
}

#[test]
fn the_key_stays_and_a_damaged_one_is_an_error() {
    let config = with_console(([127, 0, 0, 1], 1).into(), USERS);
    let (_, first) = console_and_key_of(&Txlb::start(&config));
    let txlb = Txlb::start(&config);
    let (address, second) = console_and_key_of(&txlb);
    assert_ne!(first, second);
    let seen = block_on(async { Client::connect(address).await.unwrap().server });
    assert_eq!(*seen.0.lock().unwrap(), second);

    let file = host_key_of(&txlb);
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..100]).unwrap();
    let mut other = command(&["-f", text(&txlb.config_file())]);
    other.env("STATE_DIRECTORY", txlb.folder.file("state"));
    let ended = run_to_end(other);
    assert_eq!(ended.status, Some(65), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("ssh_host_ed25519_key: no Ed25519 key")
    );
    assert_eq!(fs::read(&file).unwrap(), &whole[..100]);
}

#[test]
fn without_users_nobody_comes_in() {
    let mut ssh = SshServer::open("");
    ssh.txlb.wait_for_count("the console rejects all logins", 1);
    block_on(async {
        let mut client = Client::connect(ssh.address).await.unwrap();
        assert!(!client.none("root").await.success());
        assert!(!client.password("admin", "admin").await);
    });
    ssh.reload(USERS);
    block_on(async {
        let address = console_and_key_of(&ssh.txlb).0;
        Client::of(address, "admin", "admin").await;
    });
    assert_eq!(who_in_turn(ssh.txlb.address(), 1), "a");
}
