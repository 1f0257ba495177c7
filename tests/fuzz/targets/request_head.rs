//! Feeds `holt_proxy::fuzz::request_head`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| holt_proxy::fuzz::request_head(bytes));
