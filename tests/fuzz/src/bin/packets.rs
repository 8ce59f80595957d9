//! Looks for bytes on which `packets` fails.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ferroce_fuzz::packets(bytes));
