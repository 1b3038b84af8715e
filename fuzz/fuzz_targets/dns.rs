//! What a name server answers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| txlb::control::fuzz_dns_reply(bytes));
