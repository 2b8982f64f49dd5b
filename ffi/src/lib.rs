//! The C ABI of ruminate, over its public Rust API alone.

use std::ffi::c_char;

/// The library's version, "MAJOR.MINOR.PATCH", NUL-terminated and valid for the life of the process.
#[unsafe(no_mangle)]
pub extern "C" fn rum_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
