//! What a run has spent, what it came to, and why it failed.

use crate::call::{entry, not_null};
use crate::outcome::{rum_candidate, rum_result, rum_usage};
use crate::run::{Run, rum_run};
use crate::sized;
use crate::status::{Failure, rum_status};
use crate::text::rum_str;

/// What the run has spent; `out->complete` says whether it has ended. Set `out->struct_size` first. From any thread, concurrently.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_run_get_usage(run: *const rum_run, out: *mut rum_usage) -> rum_status {
    entry("rum_run_get_usage", |call| {
        let run = call.receiver::<Run>(run)?;
        // SAFETY: the caller's promise.
        let size = unsafe { sized::check_out(out, "the usage") }?;
        // SAFETY: the size is that of `out`.
        unsafe { sized::write(out, size, &run.value.watch.usage()) };
        Ok(())
    })
}

/// What the run came to. Set `out->struct_size` first; texts are borrowed from `run`. `RUM_ERR_NOT_DONE` while it is under way;
/// the run's own error if it failed. From any thread, concurrently.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_run_get_result(run: *const rum_run, out: *mut rum_result) -> rum_status {
    entry("rum_run_get_result", |call| {
        let run = call.receiver::<Run>(run)?;
        // SAFETY: the caller's promise.
        let size = unsafe { sized::check_out(out, "the result") }?;
        let result = run.value.finished()?.lend();
        // SAFETY: the size is that of `out`.
        unsafe { sized::write(out, size, &result) };
        Ok(())
    })
}

/// The answer number `index` of those that were voted on, best first; `RUM_ERR_NOT_FOUND` past the last. Otherwise as
/// `rum_run_get_result`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_run_get_candidate(
    run: *const rum_run,
    index: usize,
    out: *mut rum_candidate,
) -> rum_status {
    entry("rum_run_get_candidate", |call| {
        let run = call.receiver::<Run>(run)?;
        // SAFETY: the caller's promise.
        let size = unsafe { sized::check_out(out, "the candidate") }?;
        let candidates = &run.value.finished()?.candidates;
        let missing = || {
            let message = format!("there is no candidate {index}; there are {}", candidates.len());
            Failure::new(rum_status::RUM_ERR_NOT_FOUND, message)
        };
        let candidate = candidates.get(index).ok_or_else(missing)?.lend();
        // SAFETY: the size is that of `out`.
        unsafe { sized::write(out, size, &candidate) };
        Ok(())
    })
}

/// Why the run failed: writes its status to `status` (`RUM_OK` for one that did not) and a text for a person, borrowed from `run`, to
/// `message`, which may be NULL. `RUM_ERR_NOT_DONE` while it is under way. From any thread, concurrently.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_run_error(run: *const rum_run, status: *mut i32, message: *mut rum_str) -> rum_status {
    entry("rum_run_error", |call| {
        let run = call.receiver::<Run>(run)?;
        not_null(status, "status")?;
        let (code, text) = match run.value.watch.end() {
            None => return run.value.finished().map(drop),
            Some(Ok(_)) => (rum_status::RUM_OK, rum_str { ptr: c"".as_ptr(), len: 0 }),
            Some(Err((code, text))) => (*code, text.lend()),
        };
        // SAFETY: the caller's promise; not NULL.
        unsafe { status.write(code as i32) };
        if !message.is_null() {
            not_null(message, "message")?;
            // SAFETY: the caller's promise; not NULL.
            unsafe { message.write(text) };
        }
        Ok(())
    })
}
