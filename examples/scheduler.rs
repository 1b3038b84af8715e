//! A custom scheduler: fills the hosts in their order, each with so many sessions, and uses
//! the next one when all before are full. Expensive hosts come last.
//!
//! A configuration file can name it: `scheduler="fill"`.
//!
//!     cargo run --example scheduler -- 2 127.0.0.1:8080 127.0.0.1:8001 127.0.0.1:8002

use std::error::Error;
use std::io::{self, Read};
use std::time::Duration;

use txlb::Balancer;
use txlb::scheduler::{EndedSession, HostId, Hosts, Member, Pick, PickContext, Scheduler};

#[derive(Debug)]
struct Fill {
    /// Sessions of a full host.
    max: u32,
    /// Sessions that have started and ended, to show the notifications.
    started: u64,
    ended: u64,
}

impl Scheduler for Fill {
    /// Nothing is derived from the hosts, so nothing is rebuilt.
    fn rebuild(&mut self, _hosts: &Hosts) {}

    fn pick(&mut self, hosts: &Hosts, context: &mut PickContext<'_>) -> Pick {
        let left = hosts
            .candidates()
            .iter()
            .filter(|id| !context.has_tried(**id));
        let open = |id: &HostId| hosts.get(*id).map_or(u32::MAX, Member::open);
        let with_room = left.clone().find(|id| open(id) < self.max);
        // All are full: the first of the least loaded takes one more.
        let pick = with_room.or_else(|| left.min_by_key(|id| open(id)));
        pick.copied().into()
    }

    fn session_started(&mut self, _hosts: &Hosts, _host: HostId) {
        self.started += 1;
    }

    fn session_ended(&mut self, _hosts: &Hosts, end: &EndedSession) {
        self.ended += 1;
        let open = self.started - self.ended;
        let client = end.client.map(|ip| ip.to_string());
        let client = client.as_deref().unwrap_or("a client of a Unix socket");
        println!("{client} has left, {open} sessions are open");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: scheduler SESSIONS LISTEN HOST ...";
    let mut arguments = std::env::args().skip(1);
    let max = arguments.next().ok_or(usage)?.parse()?;
    let listen = arguments.next().ok_or(usage)?;
    let hosts: String = arguments
        .map(|address| format!(r#"<host ip="{address}"/>"#))
        .collect();
    let file = format!(
        r#"<config>
             <service name="web">
               <listen ip="{listen}"/>
               <group name="main" scheduler="fill" enable="true">{hosts}</group>
             </service>
           </config>"#
    );

    let balancer = Balancer::from_xml(file)
        .scheduler("fill", move || Fill {
            max,
            started: 0,
            ended: 0,
        })
        .start()?;
    for address in balancer.addresses("web") {
        println!("listening at {address}");
    }
    io::stdin().read_to_end(&mut Vec::new())?;
    balancer.shutdown(Duration::from_secs(5));
    Ok(())
}
