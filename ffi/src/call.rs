//! What stands around every function: the thread's message, and a stop for panics.

use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::handle::{self, Kind, Object, Poison};
use crate::status::{Failure, rum_status};
use crate::{log, panic};

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// One call of a function.
#[derive(Default)]
pub struct Call {
    receiver: Option<Arc<dyn Poison>>,
}

impl Call {
    /// The object that the call is about: it is poisoned when the call panics.
    pub fn receiver<T: Kind>(&mut self, handle: *const T::Opaque) -> Result<Arc<Object<T>>, Failure> {
        let object = self.object::<T>(handle)?;
        self.receiver = Some(object.clone());
        Ok(object)
    }

    /// Another object that the call needs.
    pub fn object<T: Kind>(&self, handle: *const T::Opaque) -> Result<Arc<Object<T>>, Failure> {
        let object = handle::find::<T>(handle)?;
        object.check()?;
        Ok(object)
    }

    /// Another object that the call can do without: NULL is none.
    pub fn optional<T: Kind>(&self, handle: *const T::Opaque) -> Result<Option<Arc<Object<T>>>, Failure> {
        if handle.is_null() { Ok(None) } else { self.object(handle).map(Some) }
    }
}

/// Runs the body of the function `name`: clears the thread's message, keeps that of a failure, turns a panic into one and
/// poisons the receiver then.
pub fn entry(name: &str, body: impl FnOnce(&mut Call) -> Result<(), Failure>) -> rum_status {
    panic::keep_quiet();
    say("");
    let mut call = Call::default();
    let done = catch_unwind(AssertUnwindSafe(|| body(&mut call)));
    let failure = match done {
        Ok(Ok(())) => return rum_status::RUM_OK,
        Ok(Err(failure)) => failure,
        Err(payload) => {
            if let Some(receiver) = &call.receiver {
                receiver.poison();
            }
            Failure::internal(format!("the library broke its own rule: {}", panic::message(&*payload)))
        }
    };
    let failure = failure.context(name);
    say(&failure.message);
    if matches!(failure.status, rum_status::RUM_ERR_MISUSE | rum_status::RUM_ERR_INTERNAL) {
        log::write(log::rum_log_level::RUM_LOG_ERROR, &failure.message);
    }
    failure.status
}

/// The body of a function that frees: NULL is fine.
pub fn free<T: Kind>(name: &str, handle: *mut T::Opaque) -> rum_status {
    if handle.is_null() {
        return entry(name, |_| Ok(()));
    }
    entry(name, |_| handle::take::<T>(handle).map(drop))
}

/// Hands `value` out as a new handle.
///
/// # Safety
/// `out` is NULL or valid for writing one pointer.
pub unsafe fn hand_out<T: Kind>(value: T, out: *mut *mut T::Opaque) -> Result<(), Failure> {
    let handle = handle::give(value)?;
    // SAFETY: the caller's promise; NULL was refused before any work was done.
    unsafe { out.write(handle) };
    Ok(())
}

/// Refuses an out-parameter that is NULL, and sets a handle to NULL until there is one.
///
/// # Safety
/// `out` is NULL or valid for writing one pointer.
pub unsafe fn clear<T>(out: *mut *mut T) -> Result<(), Failure> {
    not_null(out, "the out-parameter")?;
    // SAFETY: the caller's promise.
    unsafe { out.write(std::ptr::null_mut()) };
    Ok(())
}

/// Refuses NULL, and an address that the type cannot have.
pub fn not_null<T>(pointer: *const T, what: &str) -> Result<(), Failure> {
    match (pointer.is_null(), pointer.is_aligned()) {
        (true, _) => Err(Failure::invalid(format!("{what} is NULL"))),
        (_, false) => Err(Failure::invalid(format!("{what} is not aligned"))),
        _ => Ok(()),
    }
}

fn say(message: &str) {
    // NUL would cut the message short.
    let message = CString::new(message.replace('\0', "?")).unwrap_or_default();
    // A thread that is ending has no message any more.
    let _ = LAST.try_with(|last| last.replace(message));
}

/// What went wrong in this thread's latest call, for a person; "" after a success. Every other function clears it when it
/// begins. Valid until the next call on the same thread. A run has an error of its own: `rum_run_error`.
#[unsafe(no_mangle)]
pub extern "C" fn rum_last_error() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Plum;

    impl Kind for Plum {
        type Opaque = u8;
        const NAME: &'static str = "plum";
    }

    fn last() -> String {
        // SAFETY: the text is this thread's, and nothing is called meanwhile.
        unsafe { std::ffi::CStr::from_ptr(rum_last_error()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_message_lasts_until_the_next_call() {
        assert_eq!(entry("f", |_| Err(Failure::busy("no\0pe"))), rum_status::RUM_ERR_BUSY);
        assert_eq!(last(), "f: no?pe");
        assert_eq!(last(), "f: no?pe", "reading it does not clear it");
        assert_eq!(std::thread::spawn(last).join().unwrap(), "", "other threads have their own");
        assert_eq!(entry("f", |_| Ok(())), rum_status::RUM_OK);
        assert_eq!(last(), "");
    }

    #[test]
    fn a_panic_is_an_error_and_poisons_the_receiver() {
        let plum = handle::give(Plum).unwrap();
        let status = entry("f", |call| {
            call.receiver::<Plum>(plum)?;
            panic!("pit");
        });
        assert_eq!(status, rum_status::RUM_ERR_INTERNAL);
        assert!(last().contains("pit"), "{}", last());
        let again = entry("f", |call| call.receiver::<Plum>(plum).map(drop));
        assert_eq!(again, rum_status::RUM_ERR_POISONED);
        assert_eq!(free::<Plum>("free", plum), rum_status::RUM_OK);
        assert_eq!(free::<Plum>("free", plum), rum_status::RUM_ERR_MISUSE);
        assert_eq!(free::<Plum>("free", std::ptr::null_mut()), rum_status::RUM_OK);
    }
}
