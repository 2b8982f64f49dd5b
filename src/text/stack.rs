//! Work on a stack of its own, for code that recurses as deeply as a file says.

use std::thread;

use crate::error::{Error, ErrorKind, Result};

/// Runs `work` on a thread with `bytes` of stack and waits for it; `what` is worked on.
pub(super) fn deep<T: Send>(what: &str, bytes: usize, work: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name(what.into()).stack_size(bytes).spawn_scoped(scope, work);
        let thread = thread.map_err(|e| {
            Error::new(ErrorKind::Memory, format!("no room for the {bytes} bytes of stack of a {what}")).with_source(e)
        })?;
        thread
            .join()
            .map_err(|_| Error::new(ErrorKind::Internal, format!("the work on a {what} panicked; please report it")))
    })
}
