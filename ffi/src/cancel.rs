//! Cancel tokens: separate from what they cancel, so that cancelling never races with freeing.

use std::sync::{Mutex, PoisonError};

use ruminate::observe::CancelToken;

use crate::call::{clear, entry, free, hand_out, not_null};
use crate::handle::Kind;
use crate::status::{Failure, rum_status};

/// Ends work early when asked, from any thread.
///
/// One token may be given to any number of calls and runs. It stays cancelled; make a new one for the next run. Freeing it
/// ends nothing.
pub struct rum_cancel(());

/// A token of the host, and the tokens of what it cancels.
#[derive(Default)]
pub struct Cancel {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_cancelled: bool,
    linked: Vec<CancelToken>,
}

impl Kind for Cancel {
    type Opaque = rum_cancel;
    const NAME: &'static str = "cancel token";
}

impl Cancel {
    /// Cancels `token` together with this one from now on; at once if this one is cancelled.
    pub fn link(&self, token: &CancelToken) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_cancelled {
            token.cancel();
        }
        // Cancelled tokens belong to work that has ended: a token that serves a thousand runs holds those under way.
        state.linked.retain(|token| !token.is_cancelled());
        state.linked.push(token.clone());
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_cancelled
    }

    fn cancel(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_cancelled = true;
        state.linked.drain(..).for_each(|token| token.cancel());
    }
}

/// A new token that nobody has cancelled. Free it with `rum_cancel_free`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_cancel_new(out: *mut *mut rum_cancel) -> rum_status {
    entry("rum_cancel_new", |_| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(Cancel::default(), out) }
    })
}

/// Asks everything that has this token to end. It does so within one layer of one forward pass, or when a callback of the host
/// returns. Always allowed: from any thread, and from a callback. Not for signal handlers: it takes a lock.
#[unsafe(no_mangle)]
pub extern "C" fn rum_cancel_cancel(cancel: *const rum_cancel) -> rum_status {
    entry("rum_cancel_cancel", |call| {
        call.receiver::<Cancel>(cancel)?.value.cancel();
        Ok(())
    })
}

/// Writes 1 to `out` if `rum_cancel_cancel` was called, else 0. From any thread, concurrently.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_cancel_is_cancelled(cancel: *const rum_cancel, out: *mut u32) -> rum_status {
    entry("rum_cancel_is_cancelled", |call| {
        let cancel = call.receiver::<Cancel>(cancel)?;
        not_null(out, "the out-parameter")?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { out.write(cancel.value.is_cancelled().into()) };
        Ok(())
    })
}

/// Frees a token, also while something uses it; NULL is fine. `RUM_ERR_MISUSE` for one that was freed before.
#[unsafe(no_mangle)]
pub extern "C" fn rum_cancel_free(cancel: *mut rum_cancel) -> rum_status {
    free::<Cancel>("rum_cancel_free", cancel)
}

/// An error once the token, if there is one, is cancelled.
pub fn check(cancel: Option<&Cancel>) -> Result<(), Failure> {
    match cancel.is_some_and(Cancel::is_cancelled) {
        true => Err(Failure::new(rum_status::RUM_ERR_CANCELLED, "cancelled")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_linked_is_cancelled_and_what_comes_later_too() {
        let cancel = Cancel::default();
        let (early, late) = (CancelToken::new(), CancelToken::new());
        cancel.link(&early);
        assert!(!early.is_cancelled() && check(Some(&cancel)).is_ok() && check(None).is_ok());
        cancel.cancel();
        cancel.link(&late);
        assert!(early.is_cancelled() && late.is_cancelled() && cancel.is_cancelled());
        assert_eq!(check(Some(&cancel)).unwrap_err().status, rum_status::RUM_ERR_CANCELLED);
    }

    #[test]
    fn a_token_forgets_runs_that_ended() {
        let cancel = Cancel::default();
        for _ in 0..1000 {
            let run = CancelToken::new();
            cancel.link(&run);
            run.cancel();
        }
        assert!(cancel.state.lock().unwrap().linked.len() <= 1);
    }
}
