//! Which library this is.

use std::ffi::c_char;

use ruminate::engine::Backend;
use ruminate::simd::Isa;
use serde_json::json;

use crate::call::{clear, entry, not_null};
use crate::handle;
use crate::status::{Failure, rum_status};
use crate::text::{self, rum_text};

/// The version of this interface. Functions, struct fields and numbers are only ever added to it; if something had to be taken
/// away, this number, and the library's soname, would change.
pub const RUM_ABI_VERSION: u32 = 1;

/// The library's version, "MAJOR.MINOR.PATCH", NUL-terminated and valid for the life of the process. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn rum_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The library's `RUM_ABI_VERSION`. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn rum_abi_version() -> u32 {
    RUM_ABI_VERSION
}

/// `RUM_ERR_ABI` unless a program that was compiled with this header version can use the library: call it first, as
/// `rum_check_abi(RUM_ABI_VERSION)`. From any thread.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn rum_check_abi(version: u32) -> rum_status {
    entry("rum_check_abi", |_| {
        if version != RUM_ABI_VERSION {
            let message = format!("the header has ABI {version}, the library has ABI {RUM_ABI_VERSION}");
            return Err(Failure::new(rum_status::RUM_ERR_ABI, message));
        }
        Ok(())
    })
}

/// What this build is and can do, as one JSON object: `version`, `abi`, `target`, `profile`, `isa` (the instruction set that
/// kernels use here), `isas` (all that this machine has) and `backends` (`native`, and `llama` where it was built in). The caller frees `out`. From any thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_build_info_json(out: *mut *mut rum_text) -> rum_status {
    entry("rum_build_info_json", |_| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        let isas: Vec<&str> = Isa::available().into_iter().map(Isa::name).collect();
        let info = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "abi": RUM_ABI_VERSION,
            "target": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            "profile": if cfg!(debug_assertions) { "debug" } else { "release" },
            "isa": Isa::detect().name(),
            "isas": isas,
            "backends": Backend::BUILT_IN,
        });
        // SAFETY: the caller's promise; not NULL.
        unsafe { text::hand_out(info.to_string(), out) }
    })
}

/// Writes the number of handles in use, of all types, to `out`: 0 when a program has freed all that it was given. From any
/// thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_handle_count(out: *mut usize) -> rum_status {
    entry("rum_handle_count", |_| {
        not_null(out, "the out-parameter")?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { out.write(handle::live()) };
        Ok(())
    })
}
