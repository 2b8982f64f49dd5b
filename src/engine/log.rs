//! What a backend logs.

use std::sync::Arc;

use crate::observe::Event;

/// Takes [`Event::Log`]; see [`observe_log`].
pub type LogObserver = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// Tells `observer` of every line that a backend logs from now on, in the whole process; `None` ends it. Our own engine logs nothing, and
/// llama.cpp knows of no call that a line belongs to: `observer` is called from any thread, from several at once.
#[cfg(feature = "llama")]
pub fn observe_log(observer: Option<LogObserver>) {
    use ruminate_llama::{LogLevel as Level, LogSink, set_log};

    use crate::observe::LogLevel;

    let sink = |observer: LogObserver| -> LogSink {
        Arc::new(move |level, text| {
            let level = match level {
                Level::Error => LogLevel::Error,
                Level::Warning => LogLevel::Warning,
                Level::Info => LogLevel::Info,
                Level::Debug => LogLevel::Debug,
            };
            observer(&Event::Log { level, text });
        })
    };
    set_log(observer.map(sink));
}

/// As in a build with llama.cpp: there is nobody here who logs.
#[cfg(not(feature = "llama"))]
pub fn observe_log(observer: Option<LogObserver>) {
    drop(observer);
}
