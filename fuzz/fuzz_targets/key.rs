//! Fuzz target: public keys of users.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| txlb::config::internals::key(bytes));
