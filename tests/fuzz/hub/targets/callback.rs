//! Feeds `holt::login::fuzz::callback`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| holt::login::fuzz::callback(bytes));
