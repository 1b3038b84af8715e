//! A configuration and another one, or verbs: the difference, and editing the text.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| txlb::config::internals::change(bytes));
