//! Questions of AMP, in pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| txlb::admin::internals::amp(bytes));
