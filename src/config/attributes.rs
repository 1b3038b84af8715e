//! The table of the file's elements and attributes: each is declared once, here.
//!
//! Reading, printing, saving, `setOption`, the keys of verbs, `diff`, completion and the RELAX NG
//! schema follow from it.

use super::check::Check;
use super::codec::{
    ACCESS, ANY_WORD, BYTES, CHECK_IP, CHECK_KIND, CHECK_PORT, CHECK_TIME_SPAN, FLAG, GROUP_NAME,
    HOST_ADDRESS, HOST_HEADER, HOST_NAMES, IN_A_ROW, INITIAL, INTERFACE, LISTEN, LISTEN_OR_NONE,
    LISTENER_ADDRESS, LOOSE_FLAG, MODE, NAME, NETWORKS, OPTIONAL_TIME_SPAN, PASSWORD, PATH, PREFIX,
    PROTOCOLS, PROXY, RATE, REFRESH, REPLAY, SCHEDULER, SECONDS, SEND_PROXY, SERVER_NAMES, SOURCE,
    STATE, STATUS, TIMEOUT, URL_PATH, WEIGHT, WHEN_FAILED,
};
use super::error::Error;
use super::value::{Value, ValueKind, path_text, seconds_text};
use super::{
    Access, Control, CustomNames, General, Group, Host, ListenAddress, ListenHost, Listener,
    Logging, Manager, PeriodicTask, Route, Service, Ssh, User, Web,
};

/// An attribute of an element whose model is `T`.
pub(super) struct Attribute<T: 'static> {
    pub(super) name: &'static str,
    pub(super) kind: ValueKind,
    pub(super) presence: Presence,
    pub(super) verbs: Verbs,
    /// What it is, in one line.
    pub(super) help: &'static str,
    /// Parses the value into the model.
    pub(super) set: fn(&mut T, &Value<'_>, &CustomNames) -> Result<(), Error>,
    /// The value as in a file; `None` is written by leaving the attribute out.
    pub(super) get: fn(&T) -> Option<String>,
    /// Copies it from another model, such as one with defaults.
    pub(super) copy: fn(&mut T, &T),
}

/// Whether an attribute must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    /// It has a default, but is always written.
    Written,
    /// It has a default, and is written where it differs.
    Optional,
}

/// Which verbs have the attribute as a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verbs {
    /// None: it is the name, or an option of `setOption`.
    Nothing,
    /// The one that adds an element. Others change it.
    Add,
    /// The one that adds an element, and the one that changes one, such as `setHost`.
    AddAndSet,
}

/// The attributes of an element, in the order of printing.
pub(super) struct ElementTable<T: 'static> {
    pub(super) name: &'static str,
    pub(super) attributes: &'static [Attribute<T>],
    /// A model with every default.
    pub(super) new: fn() -> T,
}

impl<T> ElementTable<T> {
    /// The values of attributes that differ, of those that a verb such as `setHost` changes. An
    /// empty one removes it.
    pub(super) fn differences(&self, from: &T, to: &T) -> Vec<(&'static str, String)> {
        let settable = self.attributes.iter();
        settable
            .filter(|it| it.verbs == Verbs::AddAndSet && (it.get)(from) != (it.get)(to))
            .map(|it| (it.name, (it.get)(to).unwrap_or_default()))
            .collect()
    }
}

/// An attribute that is a field of its model: name, kind of value, field, presence, verbs, help.
macro_rules! attribute {
    ($name:literal => $codec:ident $($field:ident).+, $presence:ident, $verbs:ident, $help:literal) => {
        Attribute {
            name: $name,
            kind: $codec.kind,
            presence: Presence::$presence,
            verbs: Verbs::$verbs,
            help: $help,
            set: |it, value, custom| {
                it.$($field).+ = ($codec.parse)(value, custom)?;
                Ok(())
            },
            get: |it| ($codec.text)(&it.$($field).+),
            copy: |it, from| it.$($field).+.clone_from(&from.$($field).+),
        }
    };
}

pub(super) static CONFIG: ElementTable<General> = ElementTable {
    name: "config",
    new: General::default,
    attributes: &[attribute!("watch" => FLAG watch, Optional, Nothing,
            "whether the file is read again when it has changed")],
};

pub(super) static SERVICE: ElementTable<Service> = ElementTable {
    name: "service",
    new: Service::default,
    attributes: &[
        attribute!("name" => NAME name, Required, Nothing, "name of the service"),
        attribute!("connectTimeout" => SECONDS timeouts.connect, Optional, AddAndSet,
            "how long a host may take to accept a connection; 0 is for ever"),
        attribute!("idleTimeout" => SECONDS timeouts.idle, Optional, AddAndSet,
            "how long a session may be silent; 0 is for ever"),
        attribute!("halfClosedTimeout" => SECONDS timeouts.half_closed, Optional, AddAndSet,
            "the same once one direction has ended; 0 is for ever"),
        attribute!("keepAlive" => SECONDS timeouts.keep_alive, Optional, AddAndSet,
            "how long a peer may be silent before TCP probes it; 0 is for ever"),
        attribute!("unackedTimeout" => SECONDS timeouts.unacked, Optional, AddAndSet,
            "how long sent data may be unacknowledged; 0 is for ever"),
        attribute!("maxDuration" => SECONDS timeouts.max_duration, Optional, AddAndSet,
            "how long a session may last; 0 is for ever"),
        attribute!("drainTimeout" => SECONDS drain_timeout, Optional, AddAndSet,
            "how long sessions may stay on a host out of service; 0 is for ever"),
        attribute!("endRate" => RATE end_rate, Optional, AddAndSet,
            "sessions that whenFailed and drainTimeout end in a second at most"),
        attribute!("firstBytesTimeout" => TIMEOUT first_bytes_timeout, Optional, AddAndSet,
            "how long a client may take to send a PROXY header, or the name that it asks for"),
    ],
};

pub(super) static LISTENER: ElementTable<Listener> = ElementTable {
    name: "listen",
    new: || Listener::at(ListenAddress::new(ListenHost::Any, 0)),
    attributes: &[
        attribute!("ip" => LISTENER_ADDRESS address, Required, Add, "where the service listens"),
        attribute!("proxy" => PROXY proxy, Optional, AddAndSet,
            "whether connections begin with a PROXY protocol header"),
        attribute!("proxyFrom" => NETWORKS proxy_from, Optional, AddAndSet,
            "whose connections begin with it; empty is everybody's"),
        attribute!("mptcp" => FLAG mptcp, Optional, AddAndSet, "whether clients may use MPTCP"),
        attribute!("interface" => INTERFACE interface, Optional, AddAndSet,
            "interface over which clients come; empty is any"),
    ],
};

pub(super) static ROUTE: ElementTable<Route> = ElementTable {
    name: "route",
    new: Route::default,
    attributes: &[
        attribute!("sni" => SERVER_NAMES sni, Optional, AddAndSet,
            "names that the TLS client asks for; *.NAME is all names that end so"),
        attribute!("alpn" => PROTOCOLS alpn, Optional, AddAndSet,
            "protocols of which the TLS client offers one"),
        attribute!("group" => GROUP_NAME group, Required, AddAndSet,
            "name of the group that these clients go to"),
    ],
};

pub(super) static GROUP: ElementTable<Group> = ElementTable {
    name: "group",
    new: Group::default,
    attributes: &[
        attribute!("name" => NAME name, Required, Nothing, "name of the group"),
        attribute!("scheduler" => SCHEDULER scheduler, Written, AddAndSet,
            "picks the host of a session"),
        attribute!("stickyPrefix" => PREFIX sticky_prefix, Optional, AddAndSet,
            "bits of an IPv6 address that make a client, for ,sticky"),
        attribute!("failAfter" => WEIGHT fail_after, Optional, AddAndSet,
            "sessions in a row that a failed host has ended before its first byte; 0 is never"),
        attribute!("slowStart" => SECONDS slow_start, Optional, AddAndSet,
            "how long a host that comes back takes to get its whole share; 0 is no time"),
        attribute!("initial" => INITIAL initial, Optional, AddAndSet,
            "whether a new host gets sessions before it has passed a check"),
        attribute!("failOpen" => FLAG fail_open, Optional, AddAndSet,
            "whether failed hosts are picked while all have failed"),
        attribute!("whenFailed" => WHEN_FAILED when_failed, Optional, AddAndSet,
            "what becomes of the sessions of a host that has failed"),
        attribute!("sendProxy" => SEND_PROXY send_proxy, Optional, AddAndSet,
            "which PROXY protocol header hosts get first"),
        attribute!("replay" => REPLAY replay, Optional, AddAndSet,
            "bytes of the client that another host gets if one ends before its first"),
        attribute!("source" => SOURCE source, Optional, AddAndSet,
            "addresses that connections to hosts come from; empty is the system's choice"),
        attribute!("mptcp" => FLAG mptcp, Optional, AddAndSet,
            "whether connections to hosts use MPTCP"),
    ],
};

/// An attribute of `<group>`, but not of its model: which group is enabled is the service's.
pub(super) const ENABLE: &str = "enable";

pub(super) static HOST: ElementTable<Host> = ElementTable {
    name: "host",
    new: Host::default,
    attributes: &[
        // The default depends on its place in the group.
        attribute!("name" => NAME name, Written, Nothing, "name of the host"),
        attribute!("ip" => HOST_ADDRESS address, Required, AddAndSet, "address of the host"),
        attribute!("weight" => WEIGHT weight, Optional, AddAndSet, "its share of sessions"),
        attribute!("state" => STATE state, Optional, Add, "what is wanted of it"),
        attribute!("backup" => FLAG backup, Optional, AddAndSet,
            "whether it gets sessions only while no other host can"),
    ],
};

pub(super) static CHECK: ElementTable<Check> = ElementTable {
    name: "check",
    new: Check::default,
    attributes: &[
        attribute!("type" => CHECK_KIND kind, Required, AddAndSet, "what the check does"),
        attribute!("interval" => CHECK_TIME_SPAN interval, Optional, AddAndSet,
            "time from one check of a host to the next"),
        attribute!("downInterval" => OPTIONAL_TIME_SPAN down_interval, Optional, AddAndSet,
            "the same for a host that has failed; empty is as interval"),
        attribute!("timeout" => CHECK_TIME_SPAN timeout, Optional, AddAndSet,
            "how long a check may take"),
        attribute!("rise" => IN_A_ROW rise, Optional, AddAndSet,
            "passes in a row that make a failed host healthy"),
        attribute!("fall" => IN_A_ROW fall, Optional, AddAndSet,
            "failures in a row that make a host failed"),
        attribute!("port" => CHECK_PORT port, Optional, AddAndSet,
            "port to connect to; empty is the host's"),
        attribute!("ip" => CHECK_IP ip, Optional, AddAndSet,
            "address to connect to; empty is the host's"),
        attribute!("send" => BYTES send, Optional, AddAndSet, "bytes to send"),
        attribute!("expect" => BYTES expect, Optional, AddAndSet, "bytes that the answer must have"),
        attribute!("path" => URL_PATH path, Optional, AddAndSet, "path of the HTTP request"),
        attribute!("status" => STATUS status, Optional, AddAndSet, "HTTP status codes that pass"),
        attribute!("hostname" => HOST_HEADER hostname, Optional, AddAndSet,
            "Host header of the HTTP request; empty is the address"),
        attribute!("log" => FLAG log, Optional, AddAndSet,
            "whether each result that differs from the one before is logged"),
    ],
};

/// PythonDirector's name of `<host>`.
pub(super) static CLIENT: ElementTable<Host> = ElementTable {
    name: "client",
    ..HOST
};

pub(super) static WEB: ElementTable<Web> = ElementTable {
    name: "web",
    new: || Web {
        enable: true,
        ..Web::new(None)
    },
    attributes: &[
        attribute!("listen" => LISTEN_OR_NONE listen, Written, Nothing,
            "where the admin page listens"),
        attribute!("enable" => LOOSE_FLAG enable, Optional, Nothing, "whether it is open"),
        attribute!("secure" => LOOSE_FLAG secure, Optional, Nothing, "HTTPS instead of HTTP"),
        attribute!("refresh" => REFRESH refresh, Optional, Nothing,
            "how often the page refreshes itself; 0 is never"),
        attribute!("cert" => PATH cert, Optional, Nothing, "file with the certificate"),
        attribute!("key" => PATH key, Optional, Nothing, "file with the certificate's key"),
        attribute!("names" => HOST_NAMES names, Optional, Nothing, "its names in browsers"),
    ],
};

/// txLoadBalancer's form of `<web>`: attributes of `<admin>`.
pub(super) static OLD_WEB: ElementTable<Web> = ElementTable {
    name: "admin",
    attributes: &[
        attribute!("listen" => LISTEN listen, Optional, Nothing, "old form of <web listen>"),
        attribute!("secure" => ANY_WORD secure, Optional, Nothing, "old form of <web secure>"),
        attribute!("refresh" => REFRESH refresh, Optional, Nothing, "old form of <web refresh>"),
    ],
    ..WEB
};

pub(super) static SSH: ElementTable<Ssh> = ElementTable {
    name: "ssh",
    new: || Ssh {
        listen: None,
        enable: true,
    },
    attributes: &[
        attribute!("listen" => LISTEN_OR_NONE listen, Written, Nothing,
            "where the console listens"),
        attribute!("enable" => LOOSE_FLAG enable, Optional, Nothing, "whether it is open"),
    ],
};

pub(super) static USER: ElementTable<User> = ElementTable {
    name: "user",
    new: || User {
        name: String::new(),
        password: None,
        access: Access::ReadOnly,
        keys: Vec::new(),
    },
    attributes: &[
        attribute!("name" => NAME name, Required, Nothing, "name of the user"),
        attribute!("password" => PASSWORD password, Optional, AddAndSet, "a crypt(3) string"),
        attribute!("access" => ACCESS access, Required, AddAndSet, "what the user may do"),
    ],
};

/// The attributes of a periodic task.
const TASK: &[Attribute<PeriodicTask>] = &[
    INTERVAL,
    attribute!("enable" => LOOSE_FLAG enable, Optional, Nothing, "whether it is done at all"),
];

const INTERVAL: Attribute<PeriodicTask> = Attribute {
    name: "interval",
    kind: ValueKind::Seconds,
    presence: Presence::Optional,
    verbs: Verbs::Nothing,
    help: "how often it is done; 0 is never",
    // An interval of 0 disables the task and changes nothing else.
    set: |task, value, _| {
        match value.seconds()? {
            Some(interval) => task.interval = interval,
            None => task.enable = false,
        }
        Ok(())
    },
    get: |task| Some(seconds_text(Some(task.interval))),
    copy: |task, from| task.interval = from.interval,
};

pub(super) static HOST_CHECK: ElementTable<PeriodicTask> = ElementTable {
    name: "hostCheck",
    attributes: TASK,
    new: || Manager::default().host_check,
};

/// txLoadBalancer's form of `<hostCheck>`: an attribute of `<manager>`.
pub(super) static MANAGER: ElementTable<PeriodicTask> = ElementTable {
    name: "manager",
    attributes: &[Attribute {
        name: "hostCheckInterval",
        help: "old form of <hostCheck interval>",
        ..INTERVAL
    }],
    new: || Manager::default().host_check,
};

/// PythonDirector's form of `<hostCheck>`: an element of the root.
pub(super) static CHECK_TIME: ElementTable<PeriodicTask> = ElementTable {
    name: "checktime",
    attributes: &[Attribute {
        name: "time",
        presence: Presence::Required,
        help: "old form of <hostCheck interval>",
        ..INTERVAL
    }],
    new: || Manager::default().host_check,
};

pub(super) static CONFIG_CHECK: ElementTable<PeriodicTask> = ElementTable {
    name: "configCheck",
    attributes: TASK,
    new: || Manager::default().config_check,
};

pub(super) static HEARTBEAT: ElementTable<PeriodicTask> = ElementTable {
    name: "heartbeat",
    attributes: TASK,
    new: || Manager::default().heartbeat,
};

pub(super) static CONTROL: ElementTable<Control> = ElementTable {
    name: "control",
    new: Control::default,
    attributes: &[
        Attribute {
            name: "socket",
            kind: ValueKind::SocketPath,
            presence: Presence::Written,
            verbs: Verbs::Nothing,
            help: "path of the control socket",
            set: |control, value, _| {
                control.move_socket(&value.path()?);
                Ok(())
            },
            get: |control| Some(path_text(&control.socket)),
            copy: |control, from| control.move_socket(&from.socket),
        },
        attribute!("amp" => FLAG amp, Optional, Nothing, "whether it speaks AMP, too"),
        Attribute {
            set: |control, value, _| {
                control.amp_socket = Some(value.path_other_than(&control.socket)?);
                Ok(())
            },
            ..attribute!("ampSocket" => PATH amp_socket, Optional, Nothing,
            "path of a second socket, for AMP only")
        },
        attribute!("ampMode" => MODE amp_mode, Optional, Nothing,
            "permission bits of the second socket"),
    ],
};

pub(super) static LOGGING: ElementTable<Logging> = ElementTable {
    name: "logging",
    new: Logging::default,
    attributes: &[
        attribute!("file" => PATH file, Optional, Nothing, "file that messages go to"),
        attribute!("connections" => FLAG connections, Optional, Nothing,
            "whether each session is logged"),
    ],
};
