//! Feeds `holt_proxy::fuzz::response_head`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| holt_proxy::fuzz::response_head(bytes));
