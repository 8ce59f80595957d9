//! Looks for bytes on which `conversation` fails.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ferroce_fuzz::conversation(bytes));
