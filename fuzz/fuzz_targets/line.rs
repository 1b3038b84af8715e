//! Verbs as lines: printed as they are understood, and completed.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| txlb::config::internals::line(bytes));
