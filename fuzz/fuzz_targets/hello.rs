//! The first bytes of a TLS client.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| txlb::relay::fuzz::hello(bytes));
