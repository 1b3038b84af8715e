//! Password hashes, each with a password.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| txlb::admin::internals::hash(bytes));
