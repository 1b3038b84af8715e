//! Measures how long reading a configuration of 10,000 hosts takes.

use std::fmt::Write;
use std::net::Ipv4Addr;

use divan::Bencher;
use divan::counter::BytesCount;

fn main() {
    divan::main();
}

#[divan::bench(args = [100, 10_000])]
fn read_hosts(bencher: Bencher<'_, '_>, hosts: u32) {
    let text = file(hosts);
    bencher
        .counter(BytesCount::of_str(&text))
        .bench(|| txlb::config::read(text.as_bytes()).expect("the file is correct"));
}

fn file(hosts: u32) -> String {
    let mut text = String::from(
        "<config><service name=\"web\"><listen ip=\"*:80\"/>\n\
         <group name=\"main\" scheduler=\"leastc\" enable=\"true\">\n",
    );
    for number in 0..hosts {
        let ip = Ipv4Addr::from_bits(0x0A00_0000 + number);
        let _ = writeln!(text, "<host name=\"h{number}\" ip=\"{ip}:80\"/>");
    }
    text + "</group></service></config>\n"
}
