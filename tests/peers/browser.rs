//! The admin page in a real browser: with a mouse, with a keyboard, on a phone, and without its
//! script.
//!
//! The scenarios are in `peers/browser.py`; this file starts the balancers on which they are
//! played. The tests are ignored unless asked for: they need Debian's Chromium, and
//! Playwright for the Python that `TXLB_BROWSER_PYTHON` names, or for the one in
//! `target/browser`.
#![cfg(feature = "https")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::support::host::Place;
use crate::support::http::{USERS, page_of};
use crate::support::txlb::Txlb;

/// A running txlb, and the addresses of its hosts. The script is the hosts: it listens there
/// when they are to be up.
struct Scene {
    txlb: Txlb,
    places: Vec<Place>,
}

/// With the names that there are where a name does not matter.
const PLAIN: [&str; 3] = ["web", "main", "one"];

/// A service, a group and a host, as XML has them.
const NASTY: [&str; 3] = [
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "a&amp;amp;b&quot;&apos;&gt;&lt;img src=x onerror=alert(2)&gt;",
    "x&#x202E;y&quot; autofocus onfocus=&quot;alert(3)",
];

impl Scene {
    /// Starts txlb with two groups in a service, and an admin page of these attributes.
    fn start([service, group, host]: [&str; 3], attributes: &str) -> Scene {
        let services = |[one, two, three, four]: [SocketAddr; 4]| {
            format!(
                "  <!-- The shop. Ask before you touch it. -->
  <service name=\"{service}\">
    <listen ip=\"127.0.0.1:0\"/>
    <group name=\"{group}\" scheduler=\"roundr\" enable=\"true\">
      <host name=\"{host}\"   ip=\"{one}\"/>   <!-- the old one -->
      <host name=\"two\"   ip=\"{two}\"/>
      <host name=\"three\" ip=\"{three}\" weight=\"2\"/>
    </group>
    <group name=\"spare\" scheduler=\"leastc\">
      <host name=\"four\" ip=\"{four}\"/>
    </group>
  </service>
"
            )
        };
        Scene::of(services, attributes)
    }

    /// Starts txlb with 300 hosts in ten services.
    fn of_many() -> Scene {
        Scene::of(
            |places| {
                let service = |number: usize| {
                    let hosts = (1..25).map(|host| {
                        let address = places[host % places.len()];
                        format!("<host name=\"database-{host:03}.prod\" ip=\"{address}\"/>")
                    });
                    let long = "a-name-that-goes-on-".repeat(5);
                    let spare = (1..6).map(|host| {
                        let address = format!("127.100.{number}.20{host}:28080");
                        format!("<host name=\"standby-{host:03}.prod\" ip=\"{address}\"/>")
                    });
                    format!(
                        "<service name=\"shop{number}\"><listen ip=\"127.0.0.1:0\"/>
                        <group name=\"main\" scheduler=\"roundr\" enable=\"true\">{}
                        <host name=\"{long}\" ip=\"{}\"/></group>
                        <group name=\"spare\" scheduler=\"leastc\">{}</group></service>",
                        hosts.collect::<String>(),
                        places[0],
                        spare.collect::<String>()
                    )
                };
                (0..10).map(service).collect()
            },
            "",
        )
    }

    /// Starts txlb with these services, and an admin page of these attributes.
    fn of(services: impl FnOnce([SocketAddr; 4]) -> String, attributes: &str) -> Scene {
        let places: Vec<_> = (0..4).map(|_| Place::new()).collect();
        let services = services([0, 1, 2, 3].map(|index: usize| places[index].address()));
        let config = format!(
            "<config>
{services}  <admin>
    <web listen=\"127.0.0.1:0\" refresh=\"1\" {attributes}/>
    {USERS}
  </admin>
  <manager>
    <hostCheck interval=\"0.2\"/>
  </manager>
</config>
"
        );
        Scene {
            txlb: Txlb::start(&config),
            places,
        }
    }

    /// Lets the browser do what `scenario` says.
    fn show(&self, scenario: &str, scheme: &str) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/browser.py");
        let python = std::env::var("TXLB_BROWSER_PYTHON");
        let page = format!("{scheme}://{}/", page_of(&self.txlb));
        let listens = self.txlb.seen.iter().find_map(|line| {
            let (_, address) = line.split_once(" listens at ")?;
            Some(address.to_owned())
        });
        let places = self.places.iter().map(|place| place.address().to_string());
        let status = Command::new(python.as_deref().unwrap_or("target/browser/bin/python"))
            .arg("-B")
            .arg(script)
            .args([scenario, &page, &listens.unwrap()])
            .arg(self.txlb.config_file())
            .args(places)
            .status();
        let status = status.unwrap_or_else(|error| panic!("Python does not start: {error}"));
        assert!(status.success(), "{scenario}: see above");
    }
}

/// Plays a scenario on a balancer of its own.
fn play(scenario: &str) {
    Scene::start(PLAIN, "").show(scenario, "http");
}

#[test]
#[ignore = "needs Chromium and Playwright"]
fn the_page_needs_a_password() {
    play("log_in");
}

#[test]
#[ignore = "needs Chromium and Playwright"]
fn a_host_that_goes_down_and_comes_back_is_seen_without_loading_the_page_anew() {
    play("host_goes_down");
}

#[test]
#[ignore = "needs Chromium and Playwright"]
fn the_enabled_group_is_switched() {
    play("switch_group");
}

#[test]
#[ignore = "needs Chromium and Playwright"]
fn a_host_is_added_drained_and_removed() {
    play("add_drain_remove");
}

#[test]
#[ignore = "needs Chromium and Playwright"]
fn the_last_usable_host_is_drained_by_a_tick_only() {
    play("last_usable");
}

#[test]
#[ignore = "needs Chromium and Playwright"]
fn a_weight_is_set_and_saved_and_comments_stay() {
    play("weigh_and_save");
}

#[test]
#[ignore = "needs Chromium and Playwright"]
fn a_page_that_is_no_longer_true_is_refused() {
    play("stale_page");
}

#[test]
#[ignore = "needs Chromium and Playwright"]
fn the_refreshing_is_switched_off_and_on() {
    play("refresh_switch");
}

#[test]
#[ignore = "needs Chromium and Playwright"]
fn what_is_typed_or_unfolded_outlives_a_refresh() {
    play("typing_stays");
}

#[test]
#[ignore = "needs Chromium and Playwright"]
fn what_is_about_to_be_pressed_stays_where_it_is() {
    play("pointed_at");
}

#[test]
#[ignore = "needs Chromium and Playwright"]
fn a_read_only_user_has_no_buttons() {
    play("read_only");
}

#[test]
#[ignore = "needs Chromium and Playwright"]
fn everything_works_without_the_script() {
    play("without_script");
}

#[test]
#[ignore = "needs Chromium and Playwright"]
fn without_the_script_the_page_is_refreshed_and_loses_no_click() {
    play("refresh_without_script");
}

#[test]
#[ignore = "needs Chromium and Playwright"]
fn everything_is_reached_by_keyboard() {
    play("keyboard");
}

#[test]
#[ignore = "needs Chromium and Playwright"]
fn nothing_is_wider_than_the_screen() {
    play("narrow");
}

#[test]
#[ignore = "needs Chromium and Playwright"]
fn many_hosts_have_a_low_row_each_and_names_that_are_not_broken() {
    Scene::of_many().show("many_hosts", "http");
}

#[test]
#[ignore = "needs Chromium and Playwright"]
fn hosts_are_filtered_while_it_is_typed_and_ticked_ones_change_together() {
    play("filter_and_tick");
}

#[test]
#[ignore = "needs Chromium and Playwright"]
fn times_are_those_of_the_place_too() {
    play("local_time");
}

#[test]
#[ignore = "needs Chromium and Playwright"]
fn all_sessions_of_a_client_are_ended() {
    play("end_sessions_of_a_client");
}

#[test]
#[ignore = "needs Chromium and Playwright"]
fn what_txlb_cannot_answer_is_said() {
    play("txlb_is_gone");
}

#[test]
#[ignore = "needs Chromium and Playwright"]
fn names_are_only_names() {
    Scene::start(NASTY, "").show("nasty_names", "http");
}

#[test]
#[ignore = "needs Chromium and Playwright"]
fn it_is_the_same_over_https() {
    Scene::start(PLAIN, "secure=\"true\"").show("https", "https");
}
