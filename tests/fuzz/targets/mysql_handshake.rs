//! Feeds `holt_proxy::fuzz::mysql_handshake`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| holt_proxy::fuzz::mysql_handshake(bytes));
