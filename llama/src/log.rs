//! llama.cpp's log, which goes to standard error unless somebody takes it: its errors become part of the error that follows
//! them, the rest is dropped.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_void};
use std::sync::Once;

use llama_cpp_sys_2 as sys;

static START: Once = Once::new();

thread_local! {
    /// The last errors of this thread, for the message of the error that follows.
    static ERRORS: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Bytes of a thread's last errors that are kept.
const KEPT: usize = 2000;

/// Starts llama.cpp, once in a process.
pub(crate) fn start() {
    START.call_once(|| {
        // SAFETY: the first calls into llama.cpp; the callback is a function that lives as long as the process.
        unsafe {
            sys::llama_log_set(Some(line), std::ptr::null_mut());
            sys::llama_backend_init();
        }
    });
}

/// What `call` gives, and the errors that llama.cpp logged on this thread meanwhile.
pub(crate) fn with_errors<T>(call: impl FnOnce() -> T) -> (T, String) {
    ERRORS.with_borrow_mut(String::clear);
    let value = call();
    let errors = ERRORS.with_borrow(|errors| errors.trim().replace('\n', "; "));
    (value, if errors.is_empty() { "no reason was logged".to_owned() } else { errors })
}

unsafe extern "C" fn line(level: sys::ggml_log_level, text: *const c_char, _: *mut c_void) {
    if level != sys::GGML_LOG_LEVEL_ERROR || text.is_null() {
        return;
    }
    // SAFETY: llama.cpp hands over a string that ends with a zero and lives during the call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    // A thread that is ending has none any more, and may log nevertheless.
    let _ = ERRORS.try_with(|errors| {
        if let Ok(mut errors) = errors.try_borrow_mut()
            && errors.len() + text.len() <= KEPT
        {
            errors.push_str(&text);
        }
    });
}
