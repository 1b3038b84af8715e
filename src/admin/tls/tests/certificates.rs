//! Tests of the operator's certificate files, good and bad, and of txlb's own certificate.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Barrier;
use std::thread;

use super::samples::*;
use super::{DeadlineStream, Folder, Tls, late};
use crate::admin::tls::check_certificate;

/// What is said of a certificate and a key.
fn checked(cert: &str, key: &str) -> Result<Option<String>, String> {
    let folder = Folder::new(&format!("files-{:?}", thread::current().id()));
    let (cert, key) = (folder.file("c", cert), folder.file("k", key));
    let checked = check_certificate(&cert, &key);
    let used = Tls::from_files(&cert, &key);
    assert_eq!(checked.clone().err(), used.err());
    let folder_path = format!("{}/", folder.0.display());
    let short = |text: String| text.replace(&folder_path, "");
    checked.map(|remark| remark.map(short)).map_err(short)
}

#[test]
fn keys_of_every_form_fit() {
    for (cert, key) in [
        (EC_CERT, EC_SEC1),
        (EC_CERT, EC_PKCS8),
        (RSA_CERT, RSA_PKCS1),
    ] {
        assert_eq!(checked(cert, key), Ok(None));
        // One file with both in it, in either order, may be named twice.
        let both = [cert, key].concat();
        assert_eq!(checked(&both, &both), Ok(None));
        let both = [key, cert].concat();
        assert_eq!(checked(&both, &both), Ok(None));
    }
    // A chain, with words around it as openssl writes them.
    let chain = ["subject=CN = localhost\n", EC_CERT, "\n", RSA_CERT].concat();
    assert_eq!(checked(&chain, EC_SEC1), Ok(None));
}

#[test]
fn an_error_names_the_file_that_is_wrong() {
    let reversed = [RSA_CERT, EC_CERT].concat();
    let cut = &EC_CERT[..EC_CERT.len() - 30];
    let none = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (cert, key, error) in [
        (
            EC_CERT,
            OTHER_KEY,
            "k: the key does not match the first certificate of c",
        ),
        (
            EC_CERT,
            RSA_PKCS1,
            "k: the key does not match the first certificate of c",
        ),
        (
            &reversed,
            EC_SEC1,
            "k: the key does not match the first certificate of c",
        ),
        (
            EC_SEC1,
            EC_CERT,
            "c: there is no certificate in it: -----BEGIN",
        ),
        (
            EC_CERT,
            EC_CERT,
            "k: there is no private key in it: -----BEGIN",
        ),
        (EC_CERT, "", "k: there is no private key in it: -----BEGIN"),
        ("", EC_SEC1, "c: there is no certificate in it: -----BEGIN"),
        (
            cut,
            EC_SEC1,
            "c: this is no PEM: the line -----END ...----- is missing",
        ),
        (none, EC_SEC1, "c: certificate 1 in it cannot be read: "),
        (EC_CERT, EC_ENCRYPTED, "k: the key is encrypted, "),
        (RSA_CERT, RSA_ENCRYPTED, "k: the key is encrypted, "),
    ] {
        let checked = checked(cert, key).unwrap_err();
        assert!(checked.starts_with(error), "{checked}");
    }
    let broken = EC_SEC1.replace(
        "-----BEGIN EC PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\n",
    );
    let broken = broken.replace("END EC ", "END ");
    let checked = checked(EC_CERT, &broken).unwrap_err();
    assert!(
        checked.starts_with("k: the key cannot be used "),
        "{checked}"
    );
}

#[test]
fn files_that_are_not_there_or_too_large_are_named() {
    let folder = Folder::new("unreadable");
    let (cert, key) = (folder.file("c", EC_CERT), folder.file("k", EC_SEC1));
    let gone = folder.0.join("gone");
    for (cert, key) in [(&gone, &key), (&cert, &gone)] {
        let error = check_certificate(cert, key).unwrap_err();
        assert!(
            error.starts_with(&format!("{}: No such file", gone.display())),
            "{error}"
        );
    }
    let large = folder.file("large", &" ".repeat((1 << 20) + 1));
    let error = check_certificate(&large, &key).unwrap_err();
    assert!(
        error.ends_with("large: the file is larger than 1048576 bytes"),
        "{error}"
    );
}

#[test]
fn a_pipe_is_not_waited_for() {
    let folder = Folder::new("pipe");
    let pipe = folder.0.join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let error = check_certificate(&pipe, &pipe).unwrap_err();
    assert!(
        error.contains("pipe: it is a named pipe, and not a file"),
        "{error}"
    );
}

#[test]
fn one_that_has_expired_is_remarked_on() {
    let remark = "c: the certificate has expired, on 2020-02-01T00:00:00.000Z";
    assert_eq!(checked(EC_EXPIRED, EC_SEC1), Ok(Some(remark.to_owned())));
    // The dates of its issuers are not checked.
    let chain = [EC_CERT, EC_EXPIRED].concat();
    assert_eq!(checked(&chain, EC_SEC1), Ok(None));
}

#[test]
fn the_fingerprint_is_that_of_the_first_certificate() {
    let folder = Folder::new("fingerprint");
    let chain = folder.file("c", &[EC_CERT, RSA_CERT].concat());
    let tls = Tls::from_files(&chain, &folder.file("k", EC_SEC1)).unwrap();
    // As openssl says it: x509 -fingerprint -sha256.
    assert_eq!(tls.fingerprint(), EC_FINGERPRINT);
}

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
    // It may be read by others: it is not used, and not replaced in silence.
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
fn two_that_start_at_once_use_the_same_certificate() {
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
    let output = openssl(&["x509", "-noout", "-fingerprint", "-sha256", "-in"]);
    assert!(
        output.trim_end().ends_with(&format!("={fingerprint}")),
        "{output}"
    );
    let output = openssl(&["x509", "-noout", "-text", "-in"]);
    for word in [
        "O = txlb",
        "CN = lb.example.org",
        "NIST CURVE: P-256",
        "DNS:lb.example.org, IP Address:10.0.0.1, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1",
        "CA:FALSE",
        "Digital Signature",
        "TLS Web Server Authentication",
    ] {
        assert!(output.contains(word), "no {word} in {output}");
    }
    let trusts = ["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile"];
    let verify = [&trusts[..], &[file.to_str().unwrap()]].concat();
    openssl(&verify);
}

#[test]
#[ignore = "needs curl"]
fn curl_trusts_the_file_of_txlbs_own_certificate() {
    let folder = Folder::new("curl");
    let tls = Tls::self_signed(&folder.0, &[]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost"] {
        let (tls, listener) = (tls.clone(), listener.try_clone().unwrap());
        let server = thread::spawn(move || {
            let mut stream = {
                let stream = DeadlineStream::new(listener.accept().unwrap().0, late()).unwrap();
                tls.accept(stream).unwrap()
            };
            let (mut received, mut byte) = (Vec::new(), [0]);
            while !received.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                received.push(byte[0]);
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
