//! Feeds `holt_proxy::fuzz::sql`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| holt_proxy::fuzz::sql(bytes));
