//! Requests to the admin page: head, form, body.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| txlb::admin::internals::http(bytes));
