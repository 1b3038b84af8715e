//! `make generate`, or `cargo run --example generate`: writes the files of `tests/generated` anew.
#![allow(clippy::unwrap_used, reason = "there is nobody to go on for")]

#[path = "mod.rs"]
mod generated;

use std::fs;
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    for (path, text) in generated::all() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        if fs::read_to_string(&file).is_ok_and(|found| found == text) {
            continue;
        }
        fs::write(file, text)?;
        println!("{path} is written anew");
    }
    Ok(())
}
