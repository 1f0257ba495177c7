//! Feeds `holt::login::fuzz::profile`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| holt::login::fuzz::profile(bytes));
