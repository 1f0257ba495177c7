//! Feeds `holt_proxy::fuzz::cookies`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| holt_proxy::fuzz::cookies(bytes));
