//! Fuzz target: configurations are printed, edited into themselves, and shown without passwords.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| txlb::config::internals::xml(bytes));
