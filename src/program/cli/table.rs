//! The table of options: for the parser, the usage text and the shell completions.

/// One option. It takes an argument if `argument` names one.
pub(super) struct OptionSpec {
    pub(super) short: &'static str,
    pub(super) long: &'static str,
    pub(super) argument: &'static str,
    /// May be given more than once.
    pub(super) repeatable: bool,
    pub(super) help: &'static str,
}

const fn option(short: &'static str, argument: &'static str, help: &'static str) -> OptionSpec {
    OptionSpec {
        short,
        long: "",
        argument,
        repeatable: false,
        help,
    }
}

/// All options, except those of `ctl`.
pub(super) const OPTIONS: &[OptionSpec] = &[
    option("D", "", "run in the background, once it listens"),
    option("f", "FILE", "the configuration (/etc/txlb/config.xml)"),
    option("p", "PIDFILE", "write the process ID there, and lock it"),
    option("u", "USER", "become this user once it listens"),
    option("g", "GROUP", "in this group, not the user's own"),
    option("j", "DIR", "make this folder the root (chroot)"),
    option(
        "l",
        "LOG",
        "log to this file, or to syslog, not to standard error",
    ),
    option("w", "N", "worker threads (one for each processor)"),
    OptionSpec {
        long: "no-sandbox",
        ..option("", "", "do not restrict system calls, files and rights")
    },
    option("q", "", "log warnings and errors only"),
    option("v", "", "log more; with -t, say what is looked at"),
    option("t", "", "check the configuration, then end"),
    option("T", "", "check it, and print what is in effect"),
    OptionSpec {
        long: "demo",
        ..option(
            "",
            "",
            "a working balancer over three built-in hosts, loopback only",
        )
    },
    OptionSpec {
        repeatable: true,
        ..option("L", "ADDR", "no file: listen here")
    },
    OptionSpec {
        repeatable: true,
        ..option("B", "ADDR[,weight=N]", "no file: a host to balance over")
    },
    option("S", "SCHEDULER", "no file: how to pick a host (weightlc)"),
    option(
        "s",
        "reload|upgrade|stop|quit|reopen|pid",
        "signal the txlb that holds the PID file, or print its process ID",
    ),
    OptionSpec {
        long: "version",
        repeatable: true,
        ..option(
            "V",
            "",
            "print the version; twice, what it was built of, too",
        )
    },
    HELP,
];

pub(super) const HELP: OptionSpec = OptionSpec {
    long: "help",
    ..option("h", "", "print this")
};

/// The options of `ctl`, before its verb or behind it.
pub(super) const CTL_OPTIONS: &[OptionSpec] = &[
    option(
        "C",
        "SOCKET",
        "ctl: the control socket (/run/txlb/control.sock)",
    ),
    OptionSpec {
        long: "json",
        ..option("", "", "ctl: print data as JSON, on one line")
    },
];

pub(super) const SYNOPSIS: &str = "\
txlb balances TCP connections over hosts.

    txlb [-D] [-f FILE] [-p PIDFILE] [-u USER] [-g GROUP] [-j DIR] [-l LOG]
         [-w N] [-q | -v] [--no-sandbox]
    txlb -t | -T [-f FILE] [-u USER] [-g GROUP] [-j DIR]
    txlb --demo
    txlb -L ADDR -B ADDR[,weight=N] ... [-S SCHEDULER]
    txlb -s reload|upgrade [-p PIDFILE] [-f FILE] [-u USER] [-g GROUP] [-j DIR]
    txlb -s stop|quit|reopen|pid [-p PIDFILE]
    txlb ctl [-C SOCKET] [--json] [VERB [key=value ...]]
    txlb diff OLD.xml NEW.xml
    txlb passwd
    txlb -V | -VV | -h";
