//! Configurations for tests.

use std::net::SocketAddr;

/// A service "web" on one port, with these hosts in its group "main", named a, b, c and so on.
pub(crate) fn web(attributes: &str, scheduler: &str, hosts: &[SocketAddr]) -> String {
    format!(
        "<config>{}</config>",
        web_service(attributes, scheduler, hosts)
    )
}

/// The service without the `<config>` element.
pub(crate) fn web_service(attributes: &str, scheduler: &str, hosts: &[SocketAddr]) -> String {
    format!(
        "<service name=\"web\" {attributes}><listen ip=\"127.0.0.1:0\"/>\
         <group name=\"main\" scheduler=\"{scheduler}\" enable=\"true\">{}</group></service>",
        hosts_text(hosts)
    )
}

/// The hosts as elements, named a, b, c and so on.
pub(crate) fn hosts_text(hosts: &[SocketAddr]) -> String {
    let named = ('a'..).zip(hosts);
    named
        .map(|(name, ip)| format!("<host name=\"{name}\" ip=\"{ip}\"/>"))
        .collect()
}
