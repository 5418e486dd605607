//! How the accelerator is linked.

fn main() {
    println!("cargo:rerun-if-changed=native/build.rs");
    // Lua unloads its modules when a state ends, but a look-up may still be running in a thread of this one.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
