//! What a search did, as a trace.

use std::ffi::c_char;

use ruminate::Limits;
use ruminate::trace::{Trace, openinference, view};

use crate::call::{clear, entry, not_null};
use crate::number::numbers;
use crate::run::{Run, rum_run};
use crate::status::{Failure, rum_status};
use crate::text::{self, rum_str, rum_text};

/// What a trace can become.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_trace_format {
    /// One HTML page that shows the tree and needs no network.
    RUM_TRACE_HTML = 0,
    /// OpenTelemetry spans with OpenInference's attributes: JSON, one document on each line.
    RUM_TRACE_OPENINFERENCE = 1,
}

numbers!(rum_trace_format, "trace format": RUM_TRACE_HTML, RUM_TRACE_OPENINFERENCE);

/// The trace of a search that was started with `trace` set: JSON lines, borrowed from `run`. `RUM_ERR_NOT_FOUND` for a run without
/// one, `RUM_ERR_NOT_DONE` while it is under way. From any thread, concurrently.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_run_get_trace(run: *const rum_run, out: *mut rum_str) -> rum_status {
    entry("rum_run_get_trace", |call| {
        let run = call.receiver::<Run>(run)?;
        not_null(out, "the out-parameter")?;
        let missing = || Failure::new(rum_status::RUM_ERR_NOT_FOUND, "this run was started without a trace");
        let trace = run.value.finished()?.trace.as_ref().ok_or_else(missing)?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { out.write(trace.lend()) };
        Ok(())
    })
}

/// Turns a trace, JSON lines, into a `rum_trace_format`. `name` is what a page calls it. The caller frees `out`.
/// `RUM_ERR_FORMAT` for a damaged trace. From any thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_trace_convert(
    trace: *const c_char,
    trace_len: usize,
    format: u32,
    name: *const c_char,
    name_len: usize,
    out: *mut *mut rum_text,
) -> rum_status {
    entry("rum_trace_convert", |_| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        // SAFETY: the caller's promise.
        let (trace, name) =
            unsafe { (text::read(trace, trace_len, "the trace")?, text::read(name, name_len, "the name")?) };
        let read = Trace::read(trace.as_bytes(), &Limits::default())?;
        let converted = match rum_trace_format::read(format)? {
            rum_trace_format::RUM_TRACE_HTML => view::page(&[(name, &read)])?,
            rum_trace_format::RUM_TRACE_OPENINFERENCE => {
                let mut spans = Vec::new();
                openinference::export(&read, &mut spans)?;
                String::from_utf8(spans).map_err(|_| Failure::internal("the spans are not UTF-8"))?
            }
        };
        // SAFETY: the caller's promise; not NULL.
        unsafe { text::hand_out(converted, out) }
    })
}
