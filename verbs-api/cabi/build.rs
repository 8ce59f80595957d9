//! Has the linker make one shared object that answers to two libraries' names and symbol versions.

fn main() {
    let map = format!("{}/exports.map", std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    println!("cargo:rerun-if-changed={map}");
    // A library that is preloaded under this name keeps the real one from being loaded.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libibverbs.so.1");
    println!("cargo:rustc-cdylib-link-arg=-Wl,--version-script={map}");
    // A plug-in that is unloaded must not take the code away under the NIC's thread.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
