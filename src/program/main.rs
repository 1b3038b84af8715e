//! The `txlb` program: parses the command line, runs one command, returns its exit status.
//!
//! Only `main` and `serve::Shutdown` end the process.

#![forbid(unsafe_code)]

mod check;
mod cli;
mod ctl;
mod daemon;
mod demo;
mod exit;
mod folders;
mod logging;
mod passwd;
mod pidfile;
mod privileges;
mod reload;
mod sandbox;
mod serve;
mod startup;
mod supervisor;
mod terminal;
mod version;

use std::process::ExitCode;

use cli::Command;
use exit::Exit;
use pidfile::RunningProcess;

fn main() -> ExitCode {
    // First of all; again after a change of user, which resets it.
    // Test: nobody_but_root_looks_into_the_memory.
    privileges::protect_memory();
    let afresh = daemon::reset_inherited_state().map_err(|error| Exit::from_io(&error));
    let command = afresh.and_then(|()| cli::parse(std::env::args_os().skip(1)));
    let outcome = match command {
        Ok(Command::Help) => exit::print(&cli::usage()),
        Ok(Command::Version { details: false }) => exit::print(version::LINE),
        Ok(Command::Version { details: true }) => exit::print(&version::details()),
        Ok(Command::Check {
            file,
            startup,
            output,
        }) => check::run(&file, &startup, output),
        Ok(Command::Send { signal, pid_file }) => {
            RunningProcess::find(&pid_file).and_then(|running| match signal {
                Some(signal) => running.send(signal),
                None => exit::print(&format!("{}\n", running.pid().as_raw_nonzero())),
            })
        }
        Ok(Command::Reload { pid_file, given }) => reload::run(&pid_file, given),
        Ok(Command::Control(options)) => ctl::run(&options),
        Ok(Command::Diff { old, new }) => check::print_diff(&old, &new),
        Ok(Command::Passwd) => passwd::run(),
        Ok(Command::Serve(options)) if options.startup.detach && !daemon::is_second() => {
            daemon::launch()
        }
        Ok(Command::Serve(options)) => serve::run(options),
        Err(exit) => Err(exit),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Exit { status, message }) => {
            // If standard error cannot be written to, the exit status is all that is left.
            if !message.is_empty() {
                let _ = exit::print_error(&message);
            }
            ExitCode::from(status)
        }
    }
}
