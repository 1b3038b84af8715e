//! The console over a controller: verbs are executed, and read-only users change nothing.

use crate::support::embedded::TestBalancer;
use crate::support::screen::Screen;
use txlb::admin::{Console, Reaction, Size, execute};
use txlb::config::Access;
use txlb::control::Actor;

const CONFIG: &str = r#"<config name="lb1">
  <service name="web"><listen ip="127.0.0.1:0"/>
    <group name="main" enable="true">
      <host name="a" ip="127.0.0.1:1"/>
      <host name="a name that is longer than its column" ip="127.0.0.1:2"/>
    </group>
  </service>
</config>"#;

struct Desktop {
    office: TestBalancer,
    console: Console,
    screen: Screen,
}

fn by() -> Actor {
    Actor::Program
}

impl Desktop {
    fn new(access: Access, columns: u16) -> Desktop {
        let rows = 30;
        let mut desktop = Desktop {
            office: TestBalancer::open(CONFIG),
            console: Console::new(access, by(), Size { columns, rows }, false),
            screen: Screen::new(columns.into(), rows.into()),
        };
        let mut out = Vec::new();
        desktop.console.greet(&desktop.office.handle, &mut out);
        desktop.screen.show(&out);
        desktop
    }

    /// Presses keys, and returns what is on the screen then.
    fn press(&mut self, keys: &str) -> String {
        let mut out = Vec::new();
        for piece in keys.as_bytes().chunks(3) {
            let reaction = self.console.input(piece, &self.office.handle, &mut out);
            assert_eq!(reaction, Reaction::Continue);
        }
        self.show(&out)
    }

    fn show(&mut self, out: &[u8]) -> String {
        assert!(!String::from_utf8_lossy(out).contains("\x1b[1m"), "colours");
        self.screen.show(out);
        self.screen.text()
    }

    fn weight(&self) -> u32 {
        self.office.host("a").weight
    }
}

const WEIGH: &str = "setWeight service=web group=main name=a weight=";

#[test]
fn what_is_typed_is_done() {
    let mut desktop = Desktop::new(Access::Full, 80);
    let text = desktop.press(&format!("{WEIGH}7\r"));
    assert!(text.starts_with("txlb 2"), "{text}");
    assert!(text.ends_with("ok generation 2\nlb1 txlb>"), "{text}");
    assert_eq!(desktop.weight(), 7);
    let text = desktop.press(&format!("{WEIGH}1000001\r"));
    assert!(text.contains("\nerror: "), "{text}");
    let text = desktop.press("help\r");
    assert!(text.contains("\nIn this console also:\nwatch "), "{text}");
    desktop.office.close();
    assert!(desktop.press("status\r").contains("error: txlb has ended"));
}

#[test]
fn a_batch_is_made_as_one_change_or_not_at_all() {
    let mut desktop = Desktop::new(Access::Full, 80);
    let text = desktop.press(&format!("begin\r{WEIGH}2\r{WEIGH}3\r"));
    assert!(text.ends_with("\nlb1 txlb (batch)>"), "{text}");
    assert_eq!(desktop.weight(), 1);
    let text = desktop.press("commit\r");
    assert!(text.ends_with("ok generation 2\nlb1 txlb>"), "{text}");
    assert_eq!(desktop.weight(), 3);
    desktop.press(&format!(
        "begin\r{WEIGH}4\r{}\rcommit\r",
        "x".repeat(70_000)
    ));
    assert_eq!(desktop.weight(), 3);
}

#[test]
fn who_may_only_read_reads() {
    let mut desktop = Desktop::new(Access::ReadOnly, 80);
    assert!(desktop.screen.text().contains("You may only read."));
    let text = desktop.press(&format!("{WEIGH}7\rbegin\r"));
    assert!(text.contains("error: setWeight is not for you"), "{text}");
    assert!(text.contains("error: begin is not for you"), "{text}");
    assert_eq!(desktop.weight(), 1);
    let text = desktop.press("stat\t\r");
    assert!(text.contains("service web at "), "{text}");
}

#[test]
fn names_are_completed_as_the_parser_wants_them() {
    let mut desktop = Desktop::new(Access::Full, 120);
    desktop.press("drainHost service=\tgroup=\tname=a\t\t");
    let rows = desktop.screen.lines();
    let listed =
        "a                                        \"a name that is longer than its column\"";
    assert_eq!(rows[rows.len() - 2], listed);
    let text = desktop.press("\x7f\"a n\t\r");
    assert!(text.ends_with("ok generation 2\nlb1 txlb>"), "{text}");
}

#[test]
fn a_wide_terminal_shows_names_uncut() {
    for (columns, cut) in [(80, true), (140, false)] {
        let mut desktop = Desktop::new(Access::Full, columns);
        let text = desktop.press("status\r");
        let whole = text.contains("a name that is longer than its column");
        assert_eq!(whole, !cut, "{text}");
        assert_eq!(text.contains("a name that i…"), cut, "{text}");
    }
}

#[test]
fn what_is_watched_follows_the_clock() {
    let mut desktop = Desktop::new(Access::ReadOnly, 80);
    let text = desktop.press("status interval=2\r");
    assert!(
        text.starts_with("status every 2 s: any key goes back\ntxlb 2"),
        "{text}"
    );
    assert!(text.contains("generation 1"));
    desktop.office.order(&[&format!("{WEIGH}321")]);
    let mut out = Vec::new();
    let (console, handle) = (&mut desktop.console, &desktop.office.handle);
    assert_eq!(console.tick(50, handle, &mut out), Some(2000));
    assert_eq!(console.tick(2049, handle, &mut out), Some(1));
    assert!(out.is_empty());
    assert_eq!(console.tick(2050, handle, &mut out), Some(2000));
    let text = desktop.show(&out);
    assert!(
        text.contains("generation 2") && text.contains(" 321 "),
        "{text}"
    );
    let text = desktop.press(" ");
    assert!(
        text.ends_with("lb1 txlb> status interval=2\nlb1 txlb>"),
        "{text}"
    );
    let mut out = Vec::new();
    let next = desktop.console.tick(9000, &desktop.office.handle, &mut out);
    assert_eq!((next, out.len()), (None, 0));
}

#[test]
fn one_command_needs_no_terminal() {
    let office = TestBalancer::open(CONFIG);
    let run = |line: &str, access| execute(line, access, &by(), &office.handle, None);
    // A shell may have left the end of the line there.
    let done = run(&format!("{WEIGH}7\r\n"), Access::Full);
    assert_eq!(
        (done.status, done.stdout.as_str(), done.stderr.as_str()),
        (0, "", "")
    );
    assert_eq!(office.host("a").weight, 7);
    let told = run("status", Access::ReadOnly);
    assert_eq!((told.status, told.stderr.as_str()), (0, ""));
    assert!(told.stdout.contains("\nservice web at ") && told.stdout.ends_with('\n'));
    assert!(told.stdout.lines().all(|line| line.chars().count() <= 78));
    let json = run("json status", Access::ReadOnly).stdout;
    assert!(json.starts_with('{') && json.ends_with("}\n"), "{json}");
    for (line, why) in [
        (format!("{WEIGH}8"), "not for you"),
        ("stattus".to_owned(), "is status meant?"),
        ("status\nstatus".to_owned(), "control character"),
    ] {
        let refused = run(&line, Access::ReadOnly);
        assert_eq!((refused.status, refused.stdout.as_str()), (1, ""));
        assert!(refused.stderr.starts_with("error: ") && refused.stderr.contains(why));
        assert_eq!(refused.stderr.lines().count(), 1);
    }
    assert!(run("begin", Access::Full).stderr.contains("several lines"));
    assert!(run("watch", Access::Full).stderr.contains("for the prompt"));
    assert_eq!(run(" ", Access::Full).status, 0);
    assert_eq!(run("exit", Access::Full).status, 0);
}

#[test]
fn one_command_at_a_terminal_is_answered_for_a_person() {
    let office = TestBalancer::open(CONFIG);
    let size = Size {
        columns: 40,
        rows: 24,
    };
    let run = |line: &str| execute(line, Access::Full, &by(), &office.handle, Some(size));
    let done = run(&format!("{WEIGH}7"));
    assert_eq!(
        (done.status, done.stdout.as_str(), done.stderr.as_str()),
        (0, "ok generation 2\r\n", "")
    );
    let told = run("status").stdout;
    assert!(
        told.split_terminator("\r\n")
            .all(|line| line.chars().count() <= 40)
    );
    assert_eq!(told.matches('\n').count(), told.matches("\r\n").count());
    let refused = run("stattus");
    assert_eq!((refused.status, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.ends_with("?\r\n"), "{}", refused.stderr);
    assert_eq!(run(" ").stdout, "");
}
