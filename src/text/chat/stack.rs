//! Work on a stack of its own, for code that recurses as deeply as a file says.

use std::thread;

use crate::error::{Error, ErrorKind, Result};

/// Runs `work` on a thread with `bytes` of stack and waits for it.
pub(super) fn deep<T: Send>(bytes: usize, work: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("chat template".into()).stack_size(bytes).spawn_scoped(scope, work);
        let thread = thread.map_err(|e| {
            Error::new(ErrorKind::Memory, format!("no room for the {bytes} bytes of stack of a chat template"))
                .with_source(e)
        })?;
        thread
            .join()
            .map_err(|_| Error::new(ErrorKind::Internal, "the template engine panicked; please report the template"))
    })
}
