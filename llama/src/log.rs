//! llama.cpp's log, which goes to standard error unless somebody takes it: lines go to a function of the host, errors become part of
//! the error that follows them, too.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once, PoisonError, RwLock};

use llama_cpp_sys_2 as sys;

use crate::backends;
use crate::lines::{Lines, LogLevel, escape};

static START: Once = Once::new();

/// Takes a line of the log, with control characters escaped; see [`set_log`].
pub type LogSink = Arc<dyn Fn(LogLevel, &str) + Send + Sync>;

static SINK: RwLock<Option<LogSink>> = RwLock::new(None);

thread_local! {
    /// The last errors of this thread, for the message of the error that follows.
    static ERRORS: RefCell<String> = const { RefCell::new(String::new()) };
    static LINES: RefCell<Lines> = const { RefCell::new(Lines::new()) };
    /// What the host's function makes llama.cpp log is left out.
    static TELLING: Cell<bool> = const { Cell::new(false) };
}

/// Bytes of a thread's last errors that are kept.
const KEPT: usize = 2000;

/// Sends llama.cpp's log to `sink` from now on, line by line, in the whole process; `None` ends it. Called from any thread, from several
/// at once, with no lock held.
pub fn set_log(sink: Option<LogSink>) {
    let old = std::mem::replace(&mut *SINK.write().unwrap_or_else(PoisonError::into_inner), sink);
    // What it holds may end anywhere but under the lock.
    drop(old);
}

/// Starts llama.cpp, once in a process.
pub(crate) fn start() {
    START.call_once(|| {
        // SAFETY: the first calls into llama.cpp; the callback is a function that lives as long as the process.
        unsafe {
            sys::llama_log_set(Some(line), std::ptr::null_mut());
            backends::load();
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
    if text.is_null() {
        return;
    }
    // SAFETY: llama.cpp hands over a string that ends with a zero and lives during the call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    // Nothing may unwind into C++; a host's function that panics is left alone.
    let _ = catch_unwind(AssertUnwindSafe(|| take(level, &escape(&text))));
}

fn take(level: sys::ggml_log_level, text: &str) {
    if level == sys::GGML_LOG_LEVEL_ERROR {
        keep(text);
    }
    let Some(sink) = SINK.read().unwrap_or_else(PoisonError::into_inner).clone() else { return };
    let level = match level {
        sys::GGML_LOG_LEVEL_ERROR => Some(LogLevel::Error),
        sys::GGML_LOG_LEVEL_WARN => Some(LogLevel::Warning),
        sys::GGML_LOG_LEVEL_DEBUG => Some(LogLevel::Debug),
        sys::GGML_LOG_LEVEL_CONT => None,
        _ => Some(LogLevel::Info),
    };
    // A thread that is ending has none any more, and may log nevertheless.
    if TELLING.try_with(|telling| telling.replace(true)).unwrap_or(true) {
        return;
    }
    // What it calls has errors of its own.
    let told = Told { errors: ERRORS.try_with(RefCell::take).unwrap_or_default() };
    let whole = LINES.try_with(|lines| lines.try_borrow_mut().map(|mut lines| lines.push(level, text)));
    for (level, line) in whole.into_iter().flatten().flatten() {
        sink(level, &line);
    }
    drop(told);
}

fn keep(text: &str) {
    let _ = ERRORS.try_with(|errors| {
        if let Ok(mut errors) = errors.try_borrow_mut()
            && errors.len() + text.len() <= KEPT
        {
            errors.push_str(text);
        }
    });
}

/// Ends what [`TELLING`] says and gives back the errors so far, also when the host's function panics.
struct Told {
    errors: String,
}

impl Drop for Told {
    fn drop(&mut self) {
        let _ = ERRORS.try_with(|errors| errors.replace(std::mem::take(&mut self.errors)));
        let _ = TELLING.try_with(|telling| telling.set(false));
    }
}
