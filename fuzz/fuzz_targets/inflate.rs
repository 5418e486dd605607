#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| websockets_fuzz::targets::inflate::run(data));
