//! The txlb program: options in, exit status out.
//!
//! The only place that ends the process. What is done with the options is
//! `serve`'s and `check`'s business.

#![forbid(unsafe_code)]

mod check;
mod cli;
mod demo;
mod logging;
mod pidfile;
mod serve;

use std::process::ExitCode;

use cli::{Command, Exit};

fn main() -> ExitCode {
    let outcome = match cli::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => {
            print!("{}", cli::usage());
            Ok(())
        }
        Ok(Command::Version) => {
            println!("txlb {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Ok(Command::Check { file, print }) => check::run(&file, print),
        Ok(Command::Send { signal, pid_file }) => pidfile::send(&pid_file, signal),
        Ok(Command::Serve(job)) => serve::run(job),
        Err(exit) => Err(exit),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Exit { status, message }) => {
            // With nowhere to complain to, the status has to do.
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{message}\n"));
            ExitCode::from(status)
        }
    }
}
