//! Runs: searches, generations and learning that go on in a thread of their own.

use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

use ruminate::observe::CancelToken;

use crate::call::{entry, not_null};
use crate::event::{Happening, rum_event};
use crate::handle::{self, Kind};
use crate::outcome::Finished;
use crate::sized;
use crate::status::{Failure, rum_status};
use crate::watch::Watch;
use crate::work::{self, Channel, Work};

/// A search, a generation or learning under way, or its result.
pub struct rum_run(());

/// A run's handle on its thread.
pub struct Run {
    pub watch: Arc<Watch>,
    cancel: CancelToken,
    thread: Mutex<Option<JoinHandle<()>>>,
    thread_id: ThreadId,
    /// Whether events are pushed.
    is_pushing: bool,
    /// What the latest pulled event points to.
    pulled: Mutex<Happening>,
}

impl Kind for Run {
    type Opaque = rum_run;
    const NAME: &'static str = "run";
}

impl Run {
    pub fn start(work: Box<dyn Work>, channel: Channel) -> Result<Self, Failure> {
        let (watch, cancel) = (Arc::clone(&channel.watch), channel.cancel.clone());
        let is_pushing = channel.listener.is_some();
        let named = thread::Builder::new().name("ruminate-run".into());
        let thread = named
            .spawn(move || work::run(work, channel))
            .map_err(|e| Failure::new(rum_status::RUM_ERR_IO, format!("a thread could not be started: {e}")))?;
        let thread_id = thread.thread().id();
        let (thread, pulled) = (Mutex::new(Some(thread)), Mutex::default());
        Ok(Self { watch, cancel, thread, thread_id, is_pushing, pulled })
    }

    /// What it came to; an error while it is under way, and that of a run that failed.
    pub fn finished(&self) -> Result<&Finished, Failure> {
        match self.watch.end() {
            None => Err(Failure::new(rum_status::RUM_ERR_NOT_DONE, "the run has not ended yet")),
            Some(Ok(finished)) => Ok(finished),
            Some(Err((status, message))) => Err(Failure::new(*status, message.as_str())),
        }
    }

    fn not_from_inside(&self) -> Result<(), Failure> {
        match thread::current().id() == self.thread_id {
            false => Ok(()),
            true => Err(Failure::busy("a callback cannot wait for the run that calls it")),
        }
    }

    /// Cancels the run and waits for its thread.
    fn stop(&self) {
        self.cancel.cancel();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A callback that outlives the handle ends its own thread, which cannot wait for itself.
        if let Some(thread) = thread.filter(|_| thread::current().id() != self.thread_id) {
            // Its panics were caught inside.
            let _ = thread.join();
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Pulls the next event of a run. Set `event->struct_size` first; what the event points to lives until the next pull from the run.
///
/// Waits up to `timeout_ms` milliseconds (0 not at all, `UINT64_MAX` for ever) and gives `RUM_EVENT_NONE` when there was none.
/// The last one is `RUM_EVENT_DONE`, whether the run succeeded or failed. One thread at a time: `RUM_ERR_BUSY` for a second one.
/// `RUM_ERR_INVALID_ARGUMENT` for a run that pushes its events.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_run_next(run: *mut rum_run, timeout_ms: u64, event: *mut rum_event) -> rum_status {
    entry("rum_run_next", |call| {
        let run = call.receiver::<Run>(run)?;
        let run = &run.value;
        // SAFETY: the caller's promise.
        let size = unsafe { sized::check_out(event, "the event") }?;
        if run.is_pushing {
            return Err(Failure::invalid("this run pushes its events to a function"));
        }
        run.not_from_inside()?;
        let mut pulled = match run.pulled.try_lock() {
            Ok(pulled) => pulled,
            Err(TryLockError::Poisoned(pulled)) => pulled.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Failure::busy("another thread pulls from this run")),
        };
        *pulled = run.watch.next(timeout(timeout_ms));
        // SAFETY: the size is that of `event`.
        unsafe { sized::write(event, size, &pulled.lend()) };
        Ok(())
    })
}

/// Waits up to `timeout_ms` milliseconds (`UINT64_MAX` for ever) for the run to end, and writes to `done` whether it has: 1 or 0.
/// `RUM_ERR_BUSY` from a callback of the run. `done` may be NULL. From any thread, concurrently.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_run_wait(run: *const rum_run, timeout_ms: u64, done: *mut u32) -> rum_status {
    entry("rum_run_wait", |call| {
        let run = call.receiver::<Run>(run)?;
        run.value.not_from_inside()?;
        let is_over = run.value.watch.wait(timeout(timeout_ms));
        if !done.is_null() {
            not_null(done, "the out-parameter")?;
            // SAFETY: the caller's promise; not NULL.
            unsafe { done.write(is_over.into()) };
        }
        Ok(())
    })
}

/// Asks the run to end, as a cancel token does. Always allowed, also from its callbacks. From any thread, concurrently.
#[unsafe(no_mangle)]
pub extern "C" fn rum_run_cancel(run: *const rum_run) -> rum_status {
    entry("rum_run_cancel", |call| {
        call.receiver::<Run>(run)?.value.cancel.cancel();
        Ok(())
    })
}

/// Cancels the run if it is under way, waits for its thread and frees it; NULL is fine. `RUM_ERR_BUSY`, and nothing is done, from a
/// callback of the run.
#[unsafe(no_mangle)]
pub extern "C" fn rum_run_free(run: *mut rum_run) -> rum_status {
    entry("rum_run_free", |_| {
        if run.is_null() {
            return Ok(());
        }
        handle::find::<Run>(run)?.value.not_from_inside()?;
        handle::take::<Run>(run)?.value.stop();
        Ok(())
    })
}

/// `None` for ever.
fn timeout(ms: u64) -> Option<Duration> {
    (ms != u64::MAX).then(|| Duration::from_millis(ms))
}
