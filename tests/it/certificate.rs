//! The certificate of the admin page: `-t`, start, and changes.
//!
//! What can be wrong with a certificate is tested in `src/admin`.
#![cfg(feature = "https")]

#[path = "../../src/admin/tls/tests/samples.rs"]
#[allow(dead_code, reason = "a few of them do here")]
mod samples;
use crate::support::txlb::{Folder, Txlb, command};
use samples::{EC_CERT, EC_EXPIRED, EC_SEC1, OTHER_KEY};

/// The exit status and output of `-t`, without the folder's name.
fn checked(cert: &str, key: &str, web: &str) -> (Option<i32>, String) {
    let folder = Folder::new();
    folder.write("cert.pem", cert);
    folder.write("key.pem", key);
    let place = format!("{}/", folder.path().display());
    let web = web.replace('@', &place);
    let config = format!("<config>\n<admin>{web}</admin>\n{SERVICE}</config>");
    let file = folder.write("config.xml", config);
    let output = command(&["-t", "-f", file.to_str().unwrap()]);
    let output = { output }.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said.replace(&place, ""))
}

/// Without a service there would be a warning.
const SERVICE: &str = r#"<service name="s"><listen ip="127.0.0.1:0"/>
    <group name="g" enable="true"><host name="h" ip="127.0.0.1:1"/></group></service>"#;

const WEB: &str = r#"<web listen="127.0.0.1:0" secure="true" cert="@cert.pem" key="@key.pem"/>"#;

#[test]
fn a_certificate_and_its_key_are_good() {
    let (status, said) = checked(EC_CERT, EC_SEC1, WEB);
    assert_eq!(
        (status, said.as_str()),
        (Some(0), "config.xml: the configuration is good\n")
    );
}

#[test]
fn one_that_cannot_be_used_is_an_error_of_the_configuration() {
    for (cert, key, error) in [
        (
            EC_CERT,
            OTHER_KEY,
            "key.pem: the key does not match the first certificate of cert.pem",
        ),
        (EC_SEC1, EC_CERT, "cert.pem: there is no certificate in it"),
    ] {
        let (status, said) = checked(cert, key, WEB);
        assert_eq!(status, Some(65));
        assert!(said.starts_with(&format!("config.xml: {error}")), "{said}");
    }
    let gone = WEB.replace("@key", "@gone");
    let (status, said) = checked(EC_CERT, EC_SEC1, &gone);
    assert_eq!(status, Some(65));
    assert!(
        said.starts_with("config.xml: gone.pem: No such file"),
        "{said}"
    );
}

#[test]
fn one_without_its_key_has_a_line_and_a_column() {
    let half = WEB.replace(r#" key="@key.pem""#, "");
    let (status, said) = checked(EC_CERT, EC_SEC1, &half);
    let error = "config.xml:2:48: cert is there without key: give both or neither\n";
    assert_eq!((status, said.as_str()), (Some(65), error));
}

#[test]
fn one_that_has_expired_is_warned_of() {
    let (status, said) = checked(EC_EXPIRED, EC_SEC1, WEB);
    let warning = "config.xml: warning: cert.pem: the certificate has expired, on 2020-02-01";
    assert_eq!(status, Some(0));
    assert!(said.starts_with(warning), "{said}");
}

#[test]
fn users_change_while_the_certificate_is_not_to_be_had() {
    let folder = Folder::new();
    folder.write("cert.pem", EC_CERT);
    let key = folder.write("key.pem", EC_SEC1);
    let web = WEB.replace('@', &format!("{}/", folder.path().display()));
    let config = |users: &str| format!("<config><admin>{web}{users}</admin>{SERVICE}</config>");
    let user = r#"<user name="ann" password="..xpoEyRReGzk" access="full"/>"#;
    let mut txlb = Txlb::start(&config(user));
    std::fs::remove_file(&key).unwrap();
    // The removed user must not be able to log in.
    txlb.reload(&config(""));
    txlb.wait_for_count("the admin page stays as it was", 1);
    let moved = config("").replace("<web ", "<web refresh=\"7\" ");
    let said = txlb.reload_in_vain(moved);
    assert!(said.contains("key.pem: No such file"), "{said}");
    assert_eq!(txlb.stop(), Some(0));
}
