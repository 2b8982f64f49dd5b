//! Runs: searches and generations that go on in a thread of their own.

use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::Duration;

use ruminate::observe::CancelToken;

use crate::call::{Call, clear, entry, hand_out, not_null};
use crate::cancel::{Cancel, rum_cancel};
use crate::event::{Happening, RUM_EVENTS_ALL, rum_event};
use crate::generation::{self, rum_generation};
use crate::handle::{self, Kind};
use crate::host::{Host, rum_drop_fn};
use crate::judge::{Judge, rum_judge};
use crate::outcome::{Finished, rum_candidate, rum_result, rum_usage};
use crate::prompt::{Prompt, rum_prompt};
use crate::search::{self, rum_search};
use crate::session::{Session, rum_session};
use crate::sized::{self, Struct};
use crate::status::{Failure, rum_status};
use crate::text::rum_str;
use crate::watch::{Listener, Watch, rum_event_fn};
use crate::work::{self, Channel, Job, Work};

/// A search or a generation under way, or its result.
pub struct rum_run(());

/// What accompanies a run. Fill it with `rum_run_options_init`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_run_options {
    pub struct_size: usize,
    /// Values the steps of a search, or NULL.
    pub judge: *mut rum_judge,
    /// Ends the run early, or NULL.
    pub cancel: *const rum_cancel,
    /// Gets the run's events; without it they wait to be pulled with `rum_run_next`.
    pub on_event: rum_event_fn,
    /// The first argument of `on_event`.
    pub user: *mut c_void,
    /// Called with `user` once, after the last event, and also when the run cannot be started; unless the options themselves are
    /// refused because of their `struct_size`.
    pub drop: rum_drop_fn,
    /// A file in which a cancelled search is kept, with its keys and values, or no text: a run with the same arguments goes on
    /// with it. The file is removed when the search ends of itself.
    pub checkpoint: rum_str,
    /// Which events are told: `RUM_EVENTS_…`. The default is all; 0 leaves `RUM_EVENT_DONE`.
    pub events: u32,
    /// 1 to keep a trace of a search, for `rum_run_get_trace`.
    pub trace: u32,
}

// SAFETY: `repr(C)`; whole numbers and pointers, without padding.
unsafe impl Struct for rum_run_options {
    const FIRST: usize = 4 * size_of::<rum_str>() + 8;

    fn initial() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            judge: std::ptr::null_mut(),
            cancel: std::ptr::null(),
            on_event: None,
            user: std::ptr::null_mut(),
            drop: None,
            checkpoint: rum_str::NONE,
            events: RUM_EVENTS_ALL,
            trace: 0,
        }
    }
}

/// A run's handle on its thread.
pub struct Run {
    watch: Arc<Watch>,
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
    fn start(work: Work, channel: Channel) -> Result<Self, Failure> {
        let (watch, cancel) = (Arc::clone(&channel.watch), work.cancel.clone());
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

/// Fills `options` with the defaults. `struct_size` is `sizeof *options`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rum_run_options_init(options: *mut rum_run_options, struct_size: usize) -> rum_status {
    // SAFETY: the caller's promise.
    entry("rum_run_options_init", |_| unsafe { sized::init(options, struct_size) })
}

/// Starts a search for the answer to `prompt` in a thread of its own; `search` and `options` may be NULL for the defaults.
///
/// The session, and the judge if there is one, are busy until the run ends; what the session holds does not matter and does not
/// change. A budget that runs out and a cancellation are results, not errors. Everything in the structs is copied or kept alive.
/// The caller frees `out`. Errors found before the search starts are given here, later ones by `rum_run_error`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_run_search(
    session: *mut rum_session,
    prompt: *const rum_prompt,
    search: *const rum_search,
    options: *const rum_run_options,
    out: *mut *mut rum_run,
) -> rum_status {
    entry("rum_run_search", |call| {
        // SAFETY: the caller's promise.
        let (options, listener) = unsafe { read_options(options) }?;
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        let session = call.object::<Session>(session)?;
        // SAFETY: the caller's promise.
        let prompt = unsafe { Prompt::read(&session.value.model.value, prompt) }?;
        // SAFETY: the caller's promise.
        let params = Box::new(unsafe { search::params(search, prompt.stop_at_answer) }?);
        // SAFETY: the caller's promise.
        let checkpoint = unsafe { options.checkpoint.read("the checkpoint") }?.to_owned();
        let job = Job::Search { params, trace: options.trace != 0, checkpoint };
        let run = start(call, &session.value, prompt, job, &options, listener)?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(run, out) }
    })
}

/// Starts the generation of one text behind `prompt` in a thread of its own; `generation` and `options` may be NULL for the
/// defaults, and a judge, a trace and a checkpoint are none of its options.
///
/// `prompt` is the whole text: what the session already holds of its beginning is not computed again, the rest of what it holds
/// is dropped. So a conversation is given as a whole each time. Otherwise as `rum_run_search`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_run_generate(
    session: *mut rum_session,
    prompt: *const rum_prompt,
    generation: *const rum_generation,
    options: *const rum_run_options,
    out: *mut *mut rum_run,
) -> rum_status {
    entry("rum_run_generate", |call| {
        // SAFETY: the caller's promise.
        let (options, listener) = unsafe { read_options(options) }?;
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        let session = call.object::<Session>(session)?;
        // SAFETY: the caller's promise.
        let prompt = unsafe { Prompt::read(&session.value.model.value, prompt) }?;
        // SAFETY: the caller's promise.
        let generation = unsafe { generation::read(generation) }?;
        if !options.judge.is_null() || options.trace != 0 || options.checkpoint.len != 0 {
            return Err(Failure::invalid("a generation has no judge, no trace and no checkpoint; use a search"));
        }
        let run = start(call, &session.value, prompt, Job::Generation(generation), &options, listener)?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(run, out) }
    })
}

/// The options, and the listener in them, which is let go whatever happens next.
///
/// # Safety
/// `options` is NULL or a struct of its size.
unsafe fn read_options(options: *const rum_run_options) -> Result<(rum_run_options, Option<Listener>), Failure> {
    // SAFETY: the caller's promise.
    let options = unsafe { sized::read_or_initial(options, "the options") }?;
    let host = Host::new(options.user, options.drop);
    let listener = options.on_event.map(|call| Listener { host, call });
    if options.events & !RUM_EVENTS_ALL != 0 {
        return Err(Failure::invalid(format!("there are no events {:#x}", options.events)));
    }
    Ok((options, listener))
}

fn start(
    call: &Call,
    session: &Session,
    prompt: Prompt,
    job: Job,
    options: &rum_run_options,
    listener: Option<Listener>,
) -> Result<Run, Failure> {
    let cancel = CancelToken::new();
    let given = call.optional::<Cancel>(options.cancel)?;
    let judge = call.optional::<Judge>(options.judge)?;
    let (motor, line) = session.lend()?;
    let judge =
        judge.map(|judge| Ok::<_, Failure>((judge.value.name.clone(), judge.value.judge.lend()?))).transpose()?;
    if let Some(given) = given {
        given.value.link(&cancel);
    }
    let (model, kv_name) = (Arc::clone(&session.model), session.kv_name);
    let work = Work { model, kv_name, motor, line, judge, prompt, job, cancel };
    Run::start(work, Channel { watch: Arc::default(), listener, events: options.events })
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
