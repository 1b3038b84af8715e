//! Fuzz target: a configuration and a second one, or verbs: `diff` and `edit` lead from one to the other.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| txlb::config::internals::change(bytes));
