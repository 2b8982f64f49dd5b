//! What the host gives along with a callback.

use std::ffi::c_void;

/// Releases what `user` points to. Called exactly once, from whichever thread lets go last, also when the function that was
/// given it fails. May be NULL. Must not call the library.
pub type rum_drop_fn = Option<unsafe extern "C" fn(user: *mut c_void)>;

/// The host's data behind a callback; dropping it calls the drop function.
#[derive(Debug)]
pub struct Host {
    user: *mut c_void,
    drop: rum_drop_fn,
}

impl Host {
    pub fn new(user: *mut c_void, drop: rum_drop_fn) -> Self {
        Self { user, drop }
    }

    /// What the callback gets as its first argument.
    pub fn user(&self) -> *mut c_void {
        self.user
    }
}

// SAFETY: the pointer is only handed back to the host, whose contract says from which threads its callbacks are called.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(drop) = self.drop.take() {
            // SAFETY: the host's function with the host's data, once.
            unsafe { drop(self.user) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    unsafe extern "C" fn count(user: *mut c_void) {
        // SAFETY: the test passes a counter that lives on.
        unsafe { &*user.cast::<AtomicUsize>() }.fetch_add(1, Ordering::Relaxed);
    }

    #[test]
    fn what_the_host_gave_is_let_go_once() {
        let counter = AtomicUsize::new(0);
        let user = (&raw const counter).cast_mut().cast();
        drop(Host::new(user, Some(count)));
        assert_eq!(counter.load(Ordering::Relaxed), 1);
        drop(Host::new(user, None));
        assert_eq!(counter.load(Ordering::Relaxed), 1);
    }
}
