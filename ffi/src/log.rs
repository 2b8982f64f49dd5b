//! What the library has to say goes to the host's function, and nowhere else.

use std::cell::Cell;
use std::ffi::c_void;
use std::sync::{Arc, Once, PoisonError, RwLock};

use ruminate::engine::observe_log;
use ruminate::observe::{Event, LogLevel};

use crate::call::entry;
use crate::host::{Host, rum_drop_fn};
use crate::number::numbers;
use crate::status::rum_status;
use crate::text::{Text, rum_str};

/// How much a message matters.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_log_level {
    /// Nothing at all.
    RUM_LOG_OFF = 0,
    /// A call that breaks the contract (a stale handle), a fault inside the library, or an error of llama.cpp.
    RUM_LOG_ERROR = 1,
    /// Models opened, runs started and ended; warnings of llama.cpp.
    RUM_LOG_INFO = 2,
    /// All that llama.cpp says while it loads and runs, in builds with it: hundreds of lines for a model.
    RUM_LOG_DEBUG = 3,
}

numbers!(rum_log_level, "log level": RUM_LOG_OFF, RUM_LOG_ERROR, RUM_LOG_INFO, RUM_LOG_DEBUG);

/// Takes a message of `level` (a `rum_log_level`); `message` is valid during the call only.
///
/// Called from any thread, also from several at once, with no lock of the library held. It may call the library; what that
/// would log is then left out. It must not throw or jump out.
pub type rum_log_fn = Option<unsafe extern "C" fn(user: *mut c_void, level: u32, message: rum_str)>;

struct Sink {
    level: u32,
    log: unsafe extern "C" fn(*mut c_void, u32, rum_str),
    host: Host,
}

static SINK: RwLock<Option<Arc<Sink>>> = RwLock::new(None);
/// Backends are listened to from the first log on.
static BACKENDS: Once = Once::new();

thread_local! {
    static LOGGING: Cell<bool> = const { Cell::new(false) };
}

/// Sends messages up to `level` (a `rum_log_level`) to `log`, in the whole process; `RUM_LOG_OFF` or a NULL `log` ends it.
/// There is no log otherwise: the library writes to no stream.
///
/// `log` is called with `user`; `drop` is called with it once, when another log was set and the last message under way was
/// delivered, and also when this function fails. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn rum_log_set(level: u32, log: rum_log_fn, user: *mut c_void, drop: rum_drop_fn) -> rum_status {
    let host = Host::new(user, drop);
    entry("rum_log_set", move |_| {
        let is_on = rum_log_level::read(level)? != rum_log_level::RUM_LOG_OFF;
        let sink = log.filter(|_| is_on).map(|log| Arc::new(Sink { level, log, host }));
        let old = std::mem::replace(&mut *SINK.write().unwrap_or_else(PoisonError::into_inner), sink);
        // The host's drop function must not run under the lock.
        std::mem::drop(old);
        BACKENDS.call_once(|| observe_log(Some(Arc::new(pass_on))));
        Ok(())
    })
}

/// What a backend logs, to the host's function.
fn pass_on(event: &Event<'_>) {
    let Event::Log { level, text } = event else { return };
    let level = match level {
        LogLevel::Error => rum_log_level::RUM_LOG_ERROR,
        LogLevel::Warning => rum_log_level::RUM_LOG_INFO,
        LogLevel::Info | LogLevel::Debug => rum_log_level::RUM_LOG_DEBUG,
    };
    write(level, &format!("llama.cpp: {text}"));
}

/// Hands `message` to the host's function, if it wants it.
pub fn write(level: rum_log_level, message: &str) {
    let sink = SINK.read().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(sink) = sink.filter(|sink| level as u32 <= sink.level) else { return };
    if LOGGING.try_with(|logging| logging.replace(true)).unwrap_or(true) {
        return;
    }
    let text = Text::new(message);
    // SAFETY: the host's function with the host's data; no lock is held, and the text outlives the call.
    unsafe { (sink.log)(sink.host.user(), level as u32, text.lend()) };
    let _ = LOGGING.try_with(|logging| logging.set(false));
}
