//! Feeds `holt::login::fuzz::statement`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| holt::login::fuzz::statement(bytes));
