//! The first bytes of a proxy: a header of the PROXY protocol.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| txlb::relay::fuzz::proxy(bytes));
