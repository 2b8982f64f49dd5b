//! How the shared library is linked.

use std::env;

/// The library's ABI, as in `RUM_ABI_VERSION`; `scripts/test-ffi.sh` compares.
const ABI: u32 = 1;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if target == "linux" || target == "android" {
        // Programs look for this name at run time. What is exported is settled by rustc: `rum_*` and nothing else.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libruminate.so.{ABI}");
    }
    if target == "android" {
        // Devices with pages of 16 KiB load only libraries that are aligned to them.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,max-page-size=16384");
    }
}
