//! Tests of the operator's own files, good and bad.

use super::samples::*;
use super::{Folder, Tls};
use crate::admin::tls::check_certificate;

/// What is said of a certificate and a key.
fn said(cert: &str, key: &str) -> Result<Option<String>, String> {
    let folder = Folder::new(&format!("files-{:?}", std::thread::current().id()));
    let (cert, key) = (folder.file("c", cert), folder.file("k", key));
    let checked = check_certificate(&cert, &key);
    let used = Tls::from_files(&cert, &key);
    assert_eq!(checked.clone().err(), used.err());
    let place = format!("{}/", folder.0.display());
    let short = |text: String| text.replace(&place, "");
    checked.map(|remark| remark.map(short)).map_err(short)
}

#[test]
fn keys_of_every_form_fit() {
    for (cert, key) in [
        (EC_CERT, EC_SEC1),
        (EC_CERT, EC_PKCS8),
        (RSA_CERT, RSA_PKCS1),
    ] {
        assert_eq!(said(cert, key), Ok(None));
        // One file with both in it, in either order, may be named twice.
        let both = [cert, key].concat();
        assert_eq!(said(&both, &both), Ok(None));
        let both = [key, cert].concat();
        assert_eq!(said(&both, &both), Ok(None));
    }
    // A chain, with words around it as openssl writes them.
    let chain = ["subject=CN = localhost\n", EC_CERT, "\n", RSA_CERT].concat();
    assert_eq!(said(&chain, EC_SEC1), Ok(None));
}

#[test]
fn what_is_wrong_is_said_of_the_right_file() {
    let reversed = [RSA_CERT, EC_CERT].concat();
    let cut = &EC_CERT[..EC_CERT.len() - 30];
    let none = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (cert, key, error) in [
        (
            EC_CERT,
            OTHER_KEY,
            "k: the key does not fit the first certificate of c",
        ),
        (
            EC_CERT,
            RSA_PKCS1,
            "k: the key does not fit the first certificate of c",
        ),
        (
            &reversed,
            EC_SEC1,
            "k: the key does not fit the first certificate of c",
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
        (none, EC_SEC1, "c: certificate 1 in it is none: "),
        (EC_CERT, EC_ENCRYPTED, "k: the key is encrypted, "),
        (RSA_CERT, RSA_ENCRYPTED, "k: the key is encrypted, "),
    ] {
        let said = said(cert, key).unwrap_err();
        assert!(said.starts_with(error), "{said}");
    }
    let broken = EC_SEC1.replace(
        "-----BEGIN EC PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\n",
    );
    let broken = broken.replace("END EC ", "END ");
    let said = said(EC_CERT, &broken).unwrap_err();
    assert!(said.starts_with("k: the key cannot be used "), "{said}");
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
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
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
    assert_eq!(said(EC_EXPIRED, EC_SEC1), Ok(Some(remark.to_owned())));
    // Those behind it are their issuers' business.
    let chain = [EC_CERT, EC_EXPIRED].concat();
    assert_eq!(said(&chain, EC_SEC1), Ok(None));
}

#[test]
fn the_fingerprint_is_that_of_the_first_certificate() {
    let folder = Folder::new("fingerprint");
    let chain = folder.file("c", &[EC_CERT, RSA_CERT].concat());
    let tls = Tls::from_files(&chain, &folder.file("k", EC_SEC1)).unwrap();
    // As openssl says it: x509 -fingerprint -sha256.
    assert_eq!(tls.fingerprint(), EC_FINGERPRINT);
}
