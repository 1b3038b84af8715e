//! The balancer whose strings are pinned, and what happens to it.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use crate::support::client::{Session, connect, fate};
use crate::support::control::Caller;
use crate::support::golden::Mask;
use crate::support::host::{Host, Place};
use crate::support::http::{ADMIN, GUEST, HttpRequest, Reply, USERS, page_of};
use crate::support::txlb::{Folder, Txlb, program, text};
use crate::support::until;

/// `admin:wrong`.
pub(crate) const WRONG: &str = "Basic YWRtaW46d3Jvbmc=";

/// A balancer with hosts that are up and down, and all interfaces except the console.
pub(crate) struct Scene {
    pub(crate) txlb: Txlb,
    pub(crate) page: SocketAddr,
    pub(crate) socket: PathBuf,
    pub(crate) mask: Mask,
    refusing: Place,
    host: Host,
}

/// A configuration with two services; `FOLDER` is its folder.
fn config(folder: &Folder, hosts: [SocketAddr; 2], weight: u32) -> String {
    let [one, two] = hosts;
    let socket = folder.file("control");
    format!(
        "<config name=\"lb1\">
<service name=\"web\"><listen ip=\"127.0.0.1:0\"/>
<group name=\"main\" scheduler=\"weightrr\" enable=\"true\">
<host name=\"a\" ip=\"{one}\" weight=\"{weight}\"/><host name=\"b\" ip=\"{two}\"/></group>
<group name=\"spare\" scheduler=\"maglev,sticky\"><host name=\"c\" ip=\"192.0.2.1:80\" state=\"drain\"/>
</group></service>
<service name=\"mail\" idleTimeout=\"300\"><listen ip=\"127.0.0.1:0\"/>
<group name=\"main\" scheduler=\"leastc\" enable=\"true\"/></service>
<admin><web listen=\"127.0.0.1:0\"/>{USERS}</admin>
<manager><hostCheck interval=\"0.2\"/></manager>
<control socket=\"{}\"/><logging connections=\"true\"/>
</config>
",
        text(&socket)
    )
}

/// With a mode that causes the warning about its readers under any umask.
fn write_config(folder: &Folder, config: &str) -> PathBuf {
    let file = folder.write("config.xml", config);
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    file
}

impl Scene {
    /// With descriptors for the same number of sessions on every machine.
    pub(crate) fn start() -> Scene {
        let (host, refusing, folder) = (Host::new("a"), Place::new(), Folder::new());
        let hosts = [host.address(), refusing.address()];
        let file = write_config(&folder, &config(&folder, hosts, 1));
        let (socket, mut mask) = (folder.file("control"), Mask::default());
        mask.hide(text(folder.path()), "FOLDER");
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -n 1000 && exec \"$0\" \"$@\""]);
        shell.arg(program());
        shell.args(["-w", "2", "--no-sandbox", "-f", text(&file)]);
        let mut txlb = Txlb::spawn(shell, folder);
        txlb.wait_for(" runs as process ");
        Scene {
            page: page_of(&txlb),
            txlb,
            socket,
            mask,
            refusing,
            host,
        }
    }

    pub(crate) fn look(&self, path: &str) -> Reply {
        HttpRequest::get(self.page, path).by(ADMIN).send()
    }

    /// Sends a line to the control socket, and waits for the log line.
    pub(crate) fn tell(&mut self, line: &str, logged: &str) {
        Caller::new(&self.socket).ask(line);
        self.txlb.wait_for(logged);
    }

    /// Writes the file anew, and reloads.
    fn reload(&mut self, config: &str, logged: &str) {
        write_config(&self.txlb.folder, config);
        self.txlb.signal(Signal::HUP);
        self.txlb.wait_for(logged);
    }

    fn config(&self, weight: u32) -> String {
        let hosts = [self.host.address(), self.refusing.address()];
        config(&self.txlb.folder, hosts, weight)
    }

    /// Opens sessions until the log has this line about a host.
    fn visit_until(&mut self, logged: &str) {
        let lines = self.txlb.count(logged);
        while self.txlb.count(logged) == lines {
            let session = Session::on(connect(self.txlb.address()));
            let session = session.unwrap_or_else(|error| panic!("{error}: {:#?}", self.txlb.log()));
            session.close();
            self.txlb.wait_for(" web web:main/");
        }
    }

    /// Sessions: with hosts, without one of them, with one that is back, with none.
    pub(crate) fn serve(&mut self) {
        self.visit_until("host web:main/b is down");
        self.tell("retryHost service=web group=main name=a", " retryHost ");
        self.tell("retryHost service=web group=main name=b", " retryHost ");
        self.visit_until("host web:main/b is down");
        let back = Host::on(self.refusing.listen(), "b");
        self.txlb.wait_for("host web:main/b is up");
        // Another thread logs it first and records it later: the order of both is pinned.
        until("it is noted", || {
            self.look("/api/status").body.contains("host up")
        });
        self.visit_until(" web web:main/b ");
        drop(back);
        self.visit_until("host web:main/b is down");
        let mail = self.txlb.addresses("mail")[0];
        fate(mail);
        self.txlb.wait_for(" mail mail:main/<NOSRV> ");
    }

    /// Changes by the control socket and the page, and refusals.
    pub(crate) fn change(&mut self) {
        let host = "service=web group=main name=a";
        self.tell(&format!("setWeight {host} weight=2"), "setWeight service");
        self.tell("delService service=none", "refused: delService");
        self.tell("saveConfig", " saveConfig;");
        self.tell("saveConfig", " saveConfig;");
        self.tell(
            "setService service=mail idleTimeout=60",
            "setService service",
        );
        let fields = [("service", "web"), ("group", "spare"), ("name", "c")];
        for (user, logged) in [
            (ADMIN, "by user admin from"),
            (GUEST, "who may only read"),
            (WRONG, "login failed"),
        ] {
            let press = HttpRequest::post(self.page, "/api/hostAdminDown", &fields);
            press.by(user).send();
            self.txlb.wait_for(logged);
        }
    }

    /// Reloads, and a signal.
    pub(crate) fn signal(&mut self) {
        self.reload(&self.config(3), "is in force");
        self.reload("<config>\n<servce/>\n</config>", "stays");
        self.reload(&self.config(3), "is unchanged");
    }

    /// A warning that repeats.
    pub(crate) fn complain(&mut self) {
        for _ in 0..2 {
            let mut caller = Caller::new(&self.socket);
            caller.say([0, 0, 0, 0]);
            caller.end();
        }
        self.txlb.wait_for("this is no AMP command");
    }
}
