//! Tests of txlb's own certificate: made once, kept, and made anew only if it must be.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Barrier;
use std::thread;

use super::samples::{EC_CERT, EC_EXPIRED, EC_SEC1, OTHER_KEY};
use super::{Folder, Timed, Tls, late};

fn fingerprint(folder: &Folder, names: &[&str]) -> Result<String, String> {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    Tls::self_signed(&folder.0, &names).map(|tls| tls.fingerprint())
}

#[test]
fn it_stays_although_names_differ() {
    let folder = Folder::new("stays");
    let first = fingerprint(&folder, &["a.example.org"]).unwrap();
    assert_eq!(first.len(), 32 * 3 - 1);
    assert_eq!(fingerprint(&folder, &["b.example.org"]).unwrap(), first);
    let file = folder.0.join("web.pem");
    let mode = file.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    // It may be read by others: it is not used, and not made anew behind their back.
    std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let error = fingerprint(&folder, &[]).unwrap_err();
    assert!(error.contains("chmod 600"), "{error}");
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(fingerprint(&folder, &[]).unwrap(), first);
}

#[test]
fn one_that_is_damaged_or_has_expired_is_made_anew_once() {
    let folder = Folder::new("damaged");
    let file = folder.file("web.pem", "");
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let good = [EC_CERT, EC_SEC1].concat();
    folder.file("web.pem", &good);
    let was = fingerprint(&folder, &[]).unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), good);
    for bad in [
        String::new(),
        EC_CERT.to_owned(),
        EC_SEC1.to_owned(),
        good[..good.len() / 2].to_owned(),
        [EC_CERT, OTHER_KEY].concat(),
        [EC_EXPIRED, EC_SEC1].concat(),
    ] {
        folder.file("web.pem", &bad);
        let new = fingerprint(&folder, &[]).unwrap();
        assert_ne!(new, was);
        assert_eq!(fingerprint(&folder, &[]).unwrap(), new);
    }
}

#[test]
fn of_two_who_come_at_once_both_use_the_same() {
    for damaged in [false, true] {
        let folder = Folder::new("race");
        if damaged {
            let file = folder.file("web.pem", "damaged");
            std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        }
        let start = Barrier::new(2);
        let come = || {
            start.wait();
            fingerprint(&folder, &[]).unwrap()
        };
        let [one, two] = thread::scope(|scope| {
            let both = [scope.spawn(come), scope.spawn(come)];
            both.map(|one| one.join().unwrap())
        });
        assert_eq!(one, two);
        assert_eq!(fingerprint(&folder, &[]).unwrap(), one);
    }
}

#[test]
#[ignore = "needs openssl"]
fn openssl_sees_what_was_meant() {
    let folder = Folder::new("openssl");
    let fingerprint = fingerprint(&folder, &["lb.example.org", "10.0.0.1"]).unwrap();
    let file = folder.0.join("web.pem");
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        let output = command.args(arguments).arg(&file).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = openssl(&["x509", "-noout", "-fingerprint", "-sha256", "-in"]);
    assert!(
        said.trim_end().ends_with(&format!("={fingerprint}")),
        "{said}"
    );
    let said = openssl(&["x509", "-noout", "-text", "-in"]);
    for word in [
        "O = txlb",
        "CN = lb.example.org",
        "NIST CURVE: P-256",
        "DNS:lb.example.org, IP Address:10.0.0.1, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1",
        "CA:FALSE",
        "Digital Signature",
        "TLS Web Server Authentication",
    ] {
        assert!(said.contains(word), "no {word} in {said}");
    }
    let trusts = ["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile"];
    let verify = [&trusts[..], &[file.to_str().unwrap()]].concat();
    openssl(&verify);
}

#[test]
#[ignore = "needs curl"]
fn curl_takes_the_file_for_whom_to_trust() {
    let folder = Folder::new("curl");
    let tls = Tls::self_signed(&folder.0, &[]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost"] {
        let (tls, listener) = (tls.clone(), listener.try_clone().unwrap());
        let server = thread::spawn(move || {
            let mut stream = {
                let timed = Timed::new(listener.accept().unwrap().0, late()).unwrap();
                tls.accept(timed).unwrap()
            };
            let (mut heard, mut byte) = (Vec::new(), [0]);
            while !heard.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                heard.push(byte[0]);
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
            stream.write_all(answer).unwrap();
        });
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "-4",
            "--cacert",
        ]);
        curl.arg(folder.0.join("web.pem"));
        let output = curl
            .arg(format!("https://{host}:{port}/"))
            .output()
            .unwrap();
        assert_eq!(output.stdout, b"hi", "{output:?}");
        server.join().unwrap();
    }
}
