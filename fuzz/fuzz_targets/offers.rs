#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| websockets_fuzz::lua::run("offers", data));
