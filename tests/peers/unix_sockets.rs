//! Debian's nginx, curl and PostgreSQL, whose Unix sockets are hosts and clients.
//!
//! They are ignored unless asked for.

use std::net::TcpStream;
use std::process::{Command, Output};

use crate::checks::Postgres;
use crate::support::peer::{Peer, free_address};
use crate::support::txlb::{Folder, Txlb, text};

fn config(listen: &str, host: &str) -> String {
    format!(
        "<config><service name='web'><listen ip='unix:{listen}'/>\
         <group name='main' enable='true'><host name='a' ip='unix:{host}'/></group></service></config>"
    )
}

/// What a program prints, which must succeed.
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
#[ignore = "needs nginx"]
fn curl_reaches_nginx_by_unix_sockets_alone() {
    let folder = Folder::new();
    let [front, back] = ["front", "back"].map(|name| text(&folder.file(name)).to_owned());
    let address = free_address();
    let servers = format!(
        "server {{ listen {address}; listen unix:{back}; \
         location / {{ return 200 \"over $server_addr, host $host\"; }} }}"
    );
    let _nginx = Peer::nginx(&folder, "nginx", &servers, address);
    drop(TcpStream::connect(address).unwrap());
    let _txlb = Txlb::start(&config(&front, &back));
    let mut curl = Command::new("curl");
    curl.args(["--disable", "--silent", "--show-error", "--max-time", "30"]);
    curl.args(["--unix-socket", &front, "http://example.org/"]);
    let page = said(&curl.output().unwrap());
    assert_eq!(page, format!("over unix:{back}, host example.org"));
}

#[test]
#[ignore = "needs postgresql"]
fn psql_reaches_postgresql_by_unix_sockets_alone() {
    let (cluster, address) = (Postgres::new(), free_address());
    let folder = Folder::new();
    let place = cluster.folder.file("data");
    let sockets = format!("unix_socket_directories={}", text(&place));
    let _server = cluster.start("a", address, &sockets);
    let back = place.join(format!(".s.PGSQL.{}", address.port()));
    let front = folder.file(".s.PGSQL.5432");
    let _txlb = Txlb::start(&config(text(&front), text(&back)));
    let mut psql = Command::new("psql");
    psql.args(["-h", text(folder.path()), "-p", "5432", "-U", "txlb"]);
    psql.args(["-wAtc", "select inet_client_addr() is null", "postgres"]);
    assert_eq!(said(&psql.output().unwrap()), "t\n");
}
