//! What a session costs in txlb itself: a worker's engine with its sessions, over a transport in
//! memory that costs nothing.
//!
//! Needs the feature `internals`: `cargo bench --bench session --features internals`.

use divan::Bencher;
use txlb::relay::internals::SessionBench;

fn main() {
    divan::main();
}

fn open_session() -> SessionBench {
    let text = br#"<config><service name="web"><listen ip="*:80"/>
        <group name="main" scheduler="leastc" enable="true">
          <host name="a" ip="10.0.0.1:80"/><host name="b" ip="10.0.0.2:80"/>
          <host name="c" ip="10.0.0.3:80"/><host name="d" ip="10.0.0.4:80"/>
        </group></service></config>"#;
    let reading = txlb::config::read(text).expect("the file is correct");
    SessionBench::new(&reading.config).expect("there are hosts")
}

#[divan::bench]
fn keep_alive_exchange(bencher: Bencher<'_, '_>) {
    let mut session = open_session();
    let before = session.exchange();
    let after = session.exchange();
    assert!(
        after.0 > before.0 && after.1 > before.1,
        "nothing is relayed"
    );
    bencher.bench_local(|| session.exchange());
}

#[divan::bench]
fn short_connection(bencher: Bencher<'_, '_>) {
    let mut session = open_session();
    let alone = session.short_connection();
    assert!(alone.is_some(), "it does not end well");
    bencher.bench_local(|| session.short_connection());
}
