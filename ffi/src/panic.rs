//! Panics: nothing on standard error, and a text for the message.

use std::any::Any;
use std::sync::Once;

/// Replaces the standard library's hook, which prints, by one that writes to the host's log. This library has a copy of the
/// standard library of its own, so nobody else's hook is touched.
pub fn keep_quiet() {
    static ONCE: Once = Once::new();
    // The test harness shares this copy, and its failures should print.
    if !cfg!(test) {
        ONCE.call_once(|| {
            std::panic::set_hook(Box::new(|info| {
                crate::log::write(crate::log::rum_log_level::RUM_LOG_ERROR, &info.to_string())
            }))
        });
    }
}

/// What a caught panic says.
pub fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a text".to_owned())
}

/// Panics inside the library, in a call on this model: the test of what becomes of it. Only in builds with the feature
/// `panic-test`, and not in the header.
#[cfg(feature = "panic-test")]
#[unsafe(no_mangle)]
pub extern "C" fn rum_test_panic(model: *const crate::model::rum_model) -> crate::status::rum_status {
    #[expect(clippy::panic, reason = "this is what it is for")]
    crate::call::entry("rum_test_panic", |call| {
        call.receiver::<crate::model::Model>(model)?;
        panic!("asked for");
    })
}
