//! Fuzz target: verbs as lines are parsed, encoded and completed.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| txlb::config::internals::line(bytes));
