//! Feeds `holt_proxy::fuzz::proxy_header`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| holt_proxy::fuzz::proxy_header(bytes));
