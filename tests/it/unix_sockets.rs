//! Hosts and listeners at the paths of Unix sockets.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
use rustix::process::Signal;

use crate::support::client::connect;
use crate::support::control::{Controlled, with_control};
use crate::support::host::{Host, Listener, hang_up};
use crate::support::txlb::{Folder, Txlb, program, run, text};
use crate::support::{TIMEOUT, noise, until};

/// A service "web" that listens at these addresses, and has these hosts.
fn config(listens: &str, group: &str, hosts: &[&str]) -> String {
    let hosts = hosts.iter().zip('a'..);
    let hosts = hosts.map(|(ip, name)| format!("<host name='{name}' ip='{ip}'/>"));
    format!(
        "<config><service name='web'>{listens}<group name='main' enable='true' {group}>{}</group>\
         </service></config>",
        hosts.collect::<String>()
    )
}

fn listens(addresses: &[&str]) -> String {
    let all = addresses.iter().map(|ip| format!("<listen ip='{ip}'/>"));
    all.collect()
}

/// The address of a socket at this path.
fn at(path: &Path) -> String {
    format!("unix:{}", text(path))
}

fn dial(path: &Path) -> UnixStream {
    patient(UnixStream::connect(path).unwrap())
}

fn patient(stream: UnixStream) -> UnixStream {
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TIMEOUT)).unwrap();
    stream
}

fn accept(listener: &UnixListener) -> UnixStream {
    listener.set_nonblocking(true).unwrap();
    let mut accepted = None;
    until("a session comes", || {
        accepted = listener.accept().ok();
        accepted.is_some()
    });
    let (stream, _) = accepted.unwrap();
    stream.set_nonblocking(false).unwrap();
    patient(stream)
}

/// Says something to a host through a session, and hangs up; then the host does.
fn talk(mut client: impl Read + Write + AsFd, mut host: impl Read + Write + AsFd) {
    client.write_all(b"question").unwrap();
    hang_up(&client);
    let mut said = String::new();
    host.read_to_string(&mut said).unwrap();
    assert_eq!(said, "question");
    host.write_all(b"answer").unwrap();
    hang_up(&host);
    said.clear();
    client.read_to_string(&mut said).unwrap();
    assert_eq!(said, "answer");
}

#[test]
fn clients_and_hosts_are_of_tcp_or_at_unix_sockets_in_any_pair() {
    let place = Folder::new();
    let (front, back) = (place.file("front"), place.file("back"));
    let at_path = UnixListener::bind(&back).unwrap();
    let of_tcp = Listener::new();
    let both = listens(&[&at(&front), "127.0.0.1:0"]);
    let txlb = Controlled::start(&config(&both, "", &[&at(&back)]));
    let address = txlb.txlb.address();

    let client = dial(&front);
    let host = accept(&at_path);
    let sessions = txlb.tell(&["--json", "sessions"]);
    for part in [
        format!(r#""client":"{}""#, at(&front)),
        format!(r#""host_address":"{}""#, at(&back)),
        r#""local_address":null"#.to_owned(),
    ] {
        assert!(sessions.contains(&part), "{part} in {sessions}");
    }
    talk(&client, &host);
    let client = connect(address);
    let host = accept(&at_path);
    talk(&client, &host);

    let moved = format!("ip={}", of_tcp.address());
    txlb.tell(&["setHost", "service=web", "group=main", "name=a", &moved]);
    let client = dial(&front);
    let host = of_tcp.accept();
    talk(&client, &host);
    let status = txlb.tell(&["status"]);
    assert!(status.contains(&at(&front)), "{status}");
}

#[test]
fn the_file_has_its_mode_survives_changes_and_goes_with_its_listener() {
    let place = Folder::new();
    let (one, two) = (place.file("one"), place.file("two"));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let host = Host::new("a");
    let host_address = host.address().to_string();
    let mut txlb = Controlled::start(&config(&listens(&[&at(&one)]), "", &[&host_address]));
    assert_eq!(mode(&one), 0o660);
    let inode = fs::metadata(&one).unwrap().ino();
    let first = dial(&one);
    let listen = |verb, path, more| [verb, "service=web", path, more];
    let at_one = format!("ip={}", at(&one));
    txlb.tell(&listen("setListen", &at_one, "mode=0600"));
    let at_two = format!("ip={}", at(&two));
    txlb.tell(&listen("addListen", &at_two, "mode=0666"));
    assert_eq!((mode(&one), mode(&two)), (0o600, 0o666));
    let shown = txlb.tell(&["config"]);
    let mut listeners = shown.lines().filter(|line| line.contains(&at(&one)));
    assert!(
        listeners.any(|line| line.contains("mode=\"0600\"")),
        "{shown}"
    );
    txlb.tell(&listen("delListen", &at_two, "")[..3]);
    assert!(!two.exists());
    assert_eq!(fs::metadata(&one).unwrap().ino(), inode);
    drop(dial(&one));
    drop(first);
    assert_eq!(txlb.txlb.stop(), Some(0));
    assert!(!one.exists());
}

#[test]
fn a_file_that_was_removed_is_made_anew_with_the_log() {
    let place = Folder::new();
    let path = place.file("front");
    let listener = Listener::new();
    let both = listens(&[&at(&path), "127.0.0.1:0"]);
    let hosts = [listener.address().to_string()];
    let mut txlb = Txlb::start(&config(&both, "", &[&hosts[0]]));
    let first = dial(&path);
    let host = listener.accept();
    for signal in [Signal::HUP, Signal::USR1] {
        fs::remove_file(&path).unwrap();
        txlb.signal(signal);
        txlb.wait_for("front is listened at anew: its file was gone");
        let client = dial(&path);
        talk(&client, listener.accept());
    }
    let client = connect(txlb.address());
    talk(&client, listener.accept());
    // A session that came by the old one goes on.
    talk(&first, &host);
    // Where another listens by now nothing is taken.
    fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    txlb.signal(Signal::USR1);
    txlb.wait_for("another process listens there");
    drop(other);
    txlb.signal(Signal::HUP);
    until("it is there again", || UnixStream::connect(&path).is_ok());
    assert_eq!(txlb.stop(), Some(0));
    assert!(!path.exists());
}

#[test]
fn what_is_stale_is_replaced_and_what_lives_or_is_no_socket_is_left() {
    let place = Folder::new();
    let path = place.file("socket");
    let refused = |expected: &str| {
        let file = place.write(
            "config.xml",
            config(&listens(&[&at(&path)]), "", &[&at(&path)]),
        );
        let finished = run(&["-f", text(&file)]);
        assert_eq!(finished.status, Some(69), "{finished:?}");
        let said = format!("cannot listen at {}: {expected}", at(&path));
        assert!(finished.stderr.contains(&said), "{finished:?}");
        run(&["-t", "-f", text(&file)])
    };
    let live = UnixListener::bind(&path).unwrap();
    let checked = refused("another process listens there");
    assert!(
        checked
            .stderr
            .contains("warning: service web cannot listen"),
        "{checked:?}"
    );
    drop(live);
    let host = Host::new("a");
    let host_address = host.address().to_string();
    let mut txlb = Txlb::start(&config(&listens(&[&at(&path)]), "", &[&host_address]));
    drop(dial(&path));
    // Its own socket is removed, but not what has taken its place.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "something else").unwrap();
    assert_eq!(txlb.stop(), Some(0));
    let checked = refused("the path exists and is no socket");
    assert_eq!(checked.status, Some(69), "{checked:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "something else");
}

#[test]
fn a_path_whose_folder_is_missing_is_found_by_a_check() {
    let place = Folder::new();
    let path = place.file("missing/socket");
    let file = place.write("config.xml", config(&listens(&[&at(&path)]), "", &[]));
    let checked = run(&["-t", "-f", text(&file)]);
    assert_eq!(checked.status, Some(69), "{checked:?}");
    assert!(
        checked.stderr.contains("missing is missing: make it"),
        "{checked:?}"
    );
}

#[test]
fn a_host_that_is_not_there_is_passed_over_and_the_log_says_its_path() {
    let place = Folder::new();
    let [front, missing, dead, good] =
        ["front", "missing", "dead", "good"].map(|name| place.file(name));
    drop(UnixListener::bind(&dead).unwrap());
    let host = UnixListener::bind(&good).unwrap();
    let hosts = [at(&missing), at(&dead), at(&good)];
    let hosts = hosts.each_ref().map(String::as_str);
    let mut txlb = Txlb::start(&config(
        &listens(&[&at(&front)]),
        "scheduler='roundr'",
        &hosts,
    ));
    for _ in 0..3 {
        let client = dial(&front);
        let host = accept(&host);
        talk(&client, &host);
    }
    let down = |name: &str, why: String| format!("host web:main/{name} is down: {why}");
    txlb.wait_for(&down("b", format!("no process listens at {}", text(&dead))));
    let missing = down("a", format!("no socket is at {}", text(&missing)));
    assert!(
        txlb.seen.iter().any(|line| line.contains(&missing)),
        "{:?}",
        txlb.seen
    );
}

/// A listening socket with room for one client in its backlog, which is taken.
#[cfg(target_os = "linux")]
fn busy(path: &Path) -> (UnixListener, UnixStream) {
    let descriptor = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    bind(&descriptor, &SocketAddrUnix::new(path).unwrap()).unwrap();
    listen(&descriptor, 0).unwrap();
    (UnixListener::from(descriptor), dial(path))
}

#[cfg(target_os = "linux")]
#[test]
fn a_host_with_a_full_backlog_has_not_failed() {
    let place = Folder::new();
    let (front, back) = (place.file("front"), place.file("back"));
    let (host, before) = busy(&back);
    let mut txlb = Txlb::start(&config(&listens(&[&at(&front)]), "", &[&at(&back)]));
    let client = dial(&front);
    txlb.wait_for("its backlog is full");
    drop((before, accept(&host)));
    let at_host = accept(&host);
    talk(&client, &at_host);
    assert_eq!(txlb.count(" is down"), 0);
}

#[test]
fn a_header_for_a_client_of_a_unix_socket_tells_no_address_unless_it_was_told_one() {
    let place = Folder::new();
    let (front, back) = (place.file("front"), place.file("back"));
    let host = UnixListener::bind(&back).unwrap();
    let hosts = [at(&back)];
    let hosts = hosts.each_ref().map(String::as_str);
    let mut txlb = Txlb::start(&config(&listens(&[&at(&front)]), "sendProxy='v1'", &hosts));
    let header = |greeting: &[u8], length: usize| {
        let mut client = dial(&front);
        client.write_all(greeting).unwrap();
        let mut host = accept(&host);
        let mut header = vec![0; length];
        host.read_exact(&mut header).unwrap();
        header
    };
    let unknown = b"PROXY UNKNOWN\r\n";
    assert_eq!(header(b"x", unknown.len()), unknown);
    txlb.reload(&config(&listens(&[&at(&front)]), "sendProxy='v2'", &hosts));
    // Signature, version 2 and PROXY, and no family.
    assert_eq!(header(b"x", 14), b"\r\n\r\n\0\r\nQUIT\n\x21\x00");
    let expects = format!(
        "<listen ip='{}' proxy='require' proxyFrom='10.0.0.1'/>",
        at(&front)
    );
    txlb.reload(&config(&expects, "sendProxy='v1'", &hosts));
    let told = b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\n";
    assert_eq!(header(told, told.len()), told);
}

#[test]
fn much_goes_both_ways_at_once() {
    const MUCH: usize = 50 << 20;
    let place = Folder::new();
    let (front, back) = (place.file("front"), place.file("back"));
    let host = UnixListener::bind(&back).unwrap();
    let _txlb = Txlb::start(&config(&listens(&[&at(&front)]), "", &[&at(&back)]));
    let client = dial(&front);
    let ends = [client, accept(&host)];
    let [one, two] = [noise(1, MUCH), noise(2, MUCH)];
    thread::scope(|scope| {
        for (end, says, hears) in [(&ends[0], &one, &two), (&ends[1], &two, &one)] {
            scope.spawn(move || {
                (&mut &*end).write_all(says).unwrap();
                hang_up(end);
            });
            scope.spawn(move || {
                let mut heard = Vec::with_capacity(MUCH);
                (&mut &*end).read_to_end(&mut heard).unwrap();
                assert!(heard == *hears, "{} bytes", heard.len());
            });
        }
    });
}

#[test]
fn a_host_that_goes_without_reading_resets_its_client() {
    let place = Folder::new();
    let back = place.file("back");
    let host = UnixListener::bind(&back).unwrap();
    let mut txlb = Controlled::start(&config(&listens(&["127.0.0.1:0"]), "", &[&at(&back)]));
    let mut client = connect(txlb.txlb.address());
    let at_host = accept(&host);
    client.write_all(b"question").unwrap();
    until("the host has it", || {
        rustix::io::ioctl_fionread(&at_host).unwrap() == 8
    });
    drop(at_host);
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let counted = r#""host_reset":1"#;
    until("it is counted", || {
        txlb.tell(&["--json", "status"]).contains(counted)
    });
    assert_eq!(txlb.txlb.count(" is down"), 0);
}

#[test]
fn a_file_is_not_needed_for_one_and_a_host_that_is_its_own_listener_is_down() {
    let place = Folder::new();
    let [front, back]: [PathBuf; 2] = ["front", "back"].map(|name| place.file(name));
    let host = UnixListener::bind(&back).unwrap();
    let mut command = std::process::Command::new(program());
    command.args(["-w", "2", "-L", &at(&front)]);
    command.args(["-B", &at(&front), "-B", &at(&back)]);
    let mut txlb = Txlb::spawn(command, Folder::new());
    txlb.wait_for("it is a listener of txlb itself");
    let client = dial(&front);
    let host = accept(&host);
    talk(&client, &host);
}

#[test]
fn a_control_socket_and_a_listener_are_never_at_one_path() {
    let place = Folder::new();
    let path = place.file("socket");
    let text_of = with_control(&config(&listens(&[&at(&path)]), "", &[]), &path);
    let file = place.write("config.xml", text_of);
    for options in [&["-t", "-f"][..], &["-f"]] {
        let finished = run(&[options, &[text(&file)]].concat());
        assert_eq!(finished.status, Some(65), "{finished:?}");
        let places =
            finished.stderr.matches("xml:1:").count() + finished.stderr.matches("at 1:").count();
        assert_eq!(places, 2, "{finished:?}");
    }
    let lb = Controlled::start(&config(&listens(&["127.0.0.1:0"]), "", &[]));
    lb.refused(&[
        "addListen",
        "service=web",
        &format!("ip={}", at(&lb.socket)),
    ]);
}
