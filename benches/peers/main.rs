//! Benchmark of txlb beside other balancers: one run, on one machine, round by round.
//!
//! `cargo bench --bench peers` starts hosts and balancers on loopback, loads them in turn, and
//! prints their costs as Markdown. It installs nothing and leaves nothing behind.
//! `benches/README.md` explains the rows.

mod backend;
mod balancer;
mod bulk;
mod calls;
mod checks;
mod exchange;
mod failover;
mod floor;
mod folder;
mod headers;
mod machine;
mod memory;
mod mortal;
mod options;
mod paced;
mod proc;
mod process;
mod programs;
mod reload;
mod report;
mod scaling;
mod spread;
mod start;
mod table;
mod untraced;
mod versus;
mod wrk;

use std::process::ExitCode;

use folder::Folder;
use options::{Options, Part};
use report::Report;

/// An error ends the run with its text.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((word, rest)) if word == floor::WORD => floor::run(rest),
        Some((word, rest)) if word == mortal::WORD => mortal::run(rest),
        _ => bench(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(arguments: &[String]) -> Outcome<()> {
    let Some(options) = Options::parse(arguments)? else {
        return Ok(());
    };
    if !cfg!(target_os = "linux") {
        return Err("this needs Linux: the figures come from its /proc".into());
    }
    process::catch_signals()?;
    txlb::os::resources::raise_descriptor_limit()?;
    let peers = programs::peers()?;
    let folder = Folder::new()?;
    let mut report = Report::new(&options);
    versus::measure(&folder, &options, &peers, &mut report)?;
    if options.wants(Part::Paced) {
        paced::measure(&folder, &options, &peers, &mut report)?;
    }
    if options.wants(Part::Memory) {
        memory::measure(&folder, &options, &peers, &mut report)?;
    }
    if options.wants(Part::Start) {
        start::measure(&folder, &options, &peers, &mut report)?;
    }
    if options.wants(Part::Reload) {
        reload::measure(&folder, &options, &mut report)?;
    }
    if options.wants(Part::Calls) {
        calls::measure(&folder, &options, &peers, &mut report)?;
    }
    if options.wants(Part::Scaling) {
        scaling::measure(&folder, &options, &mut report)?;
    }
    if options.wants(Part::Headers) {
        headers::measure(&folder, &options, &peers, &mut report)?;
    }
    if options.wants(Part::Checks) {
        checks::measure(&folder, &options, &mut report)?;
    }
    if options.wants(Part::Failover) {
        failover::measure(&folder, &options, &peers, &mut report)?;
    }
    let text = report.to_string();
    match &options.out {
        Some(file) => std::fs::write(file, text)?,
        None => print!("{text}"),
    }
    Ok(())
}
