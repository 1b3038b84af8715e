//! The table of the options, of which the completions for shells are made as well.

/// One option; without an argument's name it takes none.
pub(super) struct Flag {
    pub(super) short: &'static str,
    pub(super) long: &'static str,
    pub(super) argument: &'static str,
    /// May be given more than once.
    pub(super) many: bool,
    pub(super) help: &'static str,
}

const fn flag(short: &'static str, argument: &'static str, help: &'static str) -> Flag {
    Flag {
        short,
        long: "",
        argument,
        many: false,
        help,
    }
}

/// Every option there is, but for those of `ctl`.
pub(super) const FLAGS: &[Flag] = &[
    flag("D", "", "run in the background, once it listens"),
    flag("f", "FILE", "the configuration (/etc/txlb/config.xml)"),
    flag("p", "PIDFILE", "write the process ID there, and lock it"),
    flag("u", "USER", "become this user once it listens"),
    flag("g", "GROUP", "in this group, not the user's own"),
    flag("j", "DIR", "make this folder the root (chroot)"),
    flag(
        "l",
        "LOG",
        "log to this file, or to syslog, not to standard error",
    ),
    flag("w", "N", "worker threads (one for each processor)"),
    Flag {
        long: "no-sandbox",
        ..flag("", "", "do not give up what is not needed any more")
    },
    flag("q", "", "log warnings and errors only"),
    flag("v", "", "log more"),
    flag("t", "", "check the configuration, then end"),
    flag("T", "", "check it, and print what is in effect"),
    Flag {
        long: "demo",
        ..flag(
            "",
            "",
            "a working balancer over three built-in hosts, loopback only",
        )
    },
    Flag {
        many: true,
        ..flag("L", "ADDR", "no file: listen here")
    },
    Flag {
        many: true,
        ..flag("B", "ADDR[,weight=N]", "no file: a host to balance over")
    },
    flag("S", "SCHEDULER", "no file: how to pick a host (leastc)"),
    flag(
        "s",
        "reload|stop|quit|reopen|pid",
        "tell the txlb that holds the PID file, or who that is",
    ),
    Flag {
        long: "version",
        ..flag("V", "", "print the version")
    },
    HELP,
];

pub(super) const HELP: Flag = Flag {
    long: "help",
    ..flag("h", "", "print this")
};

/// The options of `ctl`, which come before its verb.
pub(super) const CTL_FLAGS: &[Flag] = &[
    flag(
        "C",
        "SOCKET",
        "ctl: the control socket (/run/txlb/control.sock)",
    ),
    Flag {
        long: "json",
        ..flag("", "", "ctl: print data as JSON, on one line")
    },
];

pub(super) const SYNOPSIS: &str = "\
txlb balances TCP connections over hosts.

    txlb [-D] [-f FILE] [-p PIDFILE] [-u USER] [-g GROUP] [-j DIR] [-l LOG]
         [-w N] [-q | -v] [--no-sandbox]
    txlb -t | -T [-f FILE] [-u USER] [-g GROUP] [-j DIR]
    txlb --demo
    txlb -L ADDR -B ADDR[,weight=N] ... [-S SCHEDULER]
    txlb -s reload [-p PIDFILE] [-f FILE] [-u USER] [-g GROUP] [-j DIR]
    txlb -s stop|quit|reopen|pid [-p PIDFILE]
    txlb ctl [-C SOCKET] [--json] [VERB [key=value ...]]
    txlb diff OLD.xml NEW.xml
    txlb passwd
    txlb -V | -h";
