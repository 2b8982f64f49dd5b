//! Starting runs: what accompanies one, searches and generations.

use std::ffi::c_void;
use std::sync::Arc;

use ruminate::engine::Engine;
use ruminate::observe::CancelToken;

use crate::call::{Call, clear, entry, hand_out};
use crate::cancel::{Cancel, rum_cancel};
use crate::event::RUM_EVENTS_ALL;
use crate::generate::Generate;
use crate::generation::{self, rum_generation};
use crate::governor::Governor;
use crate::handle::Object;
use crate::host::{Host, rum_drop_fn};
use crate::judge::{Judge, rum_judge};
use crate::power::{Power, rum_power_fn};
use crate::prompt::{Prompt, rum_prompt};
use crate::run::{Run, rum_run};
use crate::search::rum_search;
use crate::search_params;
use crate::session::{Session, rum_session};
use crate::sized::{self, Struct};
use crate::solve::Solve;
use crate::status::{Failure, rum_status};
use crate::text::rum_str;
use crate::watch::{Listener, rum_event_fn};
use crate::work::{Channel, Work};

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
    /// The first argument of `on_event` and `on_power`.
    pub user: *mut c_void,
    /// Called with `user` once, after the last event, whether there is a function for events or not, and also when the run cannot be
    /// started; unless the options themselves are refused because of their `struct_size`.
    pub drop: rum_drop_fn,
    /// A file in which a cancelled search is kept, with its keys and values, or no text: a run with the same arguments goes on
    /// with it. The file is removed when the search ends of itself. Training is kept in it on the way, and when its budget runs
    /// out, too.
    pub checkpoint: rum_str,
    /// Which events are told: `RUM_EVENTS_…`. The default is all; 0 leaves `RUM_EVENT_DONE`.
    pub events: u32,
    /// 1 to keep a trace of a search, for `rum_run_get_trace`.
    pub trace: u32,
    /// Tells the run of the device's heat and energy, or NULL; gets `user`, too. Every run heeds it.
    pub on_power: rum_power_fn,
}

// SAFETY: `repr(C)`; whole numbers and pointers, without padding.
unsafe impl Struct for rum_run_options {
    const FIRST: usize = 8 + 9 * size_of::<usize>();

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
            on_power: None,
        }
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
        let cleared = unsafe { clear(out) };
        // SAFETY: the caller's promise.
        let mut options = unsafe { Options::read(call, options) }?;
        cleared?;
        let session = call.object::<Session>(session)?;
        let session = &session.value;
        // SAFETY: the caller's promise.
        let prompt = unsafe { Prompt::read(call, &session.model.value, prompt) }?;
        // SAFETY: the caller's promise.
        let params =
            unsafe { search_params::params(search, prompt.stop_at_answer, prompt.thinking(&session.model.value)) };
        let params = Box::new(params?);
        if let Some(grammar) = &params.grammar {
            // What is wrong with it is said before the search starts.
            session.model.value.tokenizer.guide(grammar).map_err(|e| Failure::from(e).context("more: grammar"))?;
        }
        let (motor, line) = session.lend()?;
        let judge = match options.judge.take() {
            None => None,
            Some(judge) => {
                judge.value.check_trunk(motor.engine.info())?;
                Some((judge.value.name.clone(), judge.value.judge.lend()?))
            }
        };
        let (model, kv_name) = (Arc::clone(&session.model), session.kv_name);
        let (trace, checkpoint) = (options.trace, std::mem::take(&mut options.checkpoint));
        let governor = Governor::new(options.power.take(), params.budget.joules);
        let work = Solve { model, kv_name, motor, _line: line, judge, prompt, params, trace, checkpoint, governor };
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(options.start(work)?, out) }
    })
}

/// Starts the generation of one text behind `prompt` in a thread of its own; `generation` and `options` may be NULL for the
/// defaults, and a judge, a trace and a checkpoint are none of its options.
///
/// `prompt` is the whole text: what the session already holds of its beginning is not computed again, the rest of what it holds
/// is dropped. So a conversation is given as a whole each time. A run that ends while the prompt is computed leaves the session with the
/// part that was. Otherwise as `rum_run_search`.
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
        let cleared = unsafe { clear(out) };
        // SAFETY: the caller's promise.
        let mut options = unsafe { Options::read(call, options) }?;
        cleared?;
        let session = call.object::<Session>(session)?;
        let session = &session.value;
        // SAFETY: the caller's promise.
        let prompt = unsafe { Prompt::read_single(call, &session.model.value, prompt) }?.tokens;
        // SAFETY: the caller's promise.
        let how = unsafe { generation::read(generation) }?;
        options.refuse_judge_and_trace("a generation")?;
        options.refuse_checkpoint("a generation")?;
        let (motor, line) = session.lend()?;
        let governor = Governor::new(options.power.take(), None);
        let work = Generate { model: Arc::clone(&session.model), motor, line, prompt, how, governor };
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(options.start(work)?, out) }
    })
}

/// What accompanies a run, found and checked.
pub struct Options {
    pub judge: Option<Arc<Object<Judge>>>,
    pub trace: bool,
    /// Empty for none.
    pub checkpoint: String,
    pub power: Option<Power>,
    cancel: Option<Arc<Object<Cancel>>>,
    /// Let go when the run is over, whichever functions there are.
    host: Arc<Host>,
    listener: Option<Listener>,
    events: u32,
}

impl Options {
    /// Reads `options`; the listener in them is let go whatever happens next.
    ///
    /// # Safety
    /// `options` is NULL or a struct of its size.
    pub unsafe fn read(call: &Call, options: *const rum_run_options) -> Result<Self, Failure> {
        // SAFETY: the caller's promise.
        let options = unsafe { sized::read_or_initial(options, "the options") }?;
        let host = Arc::new(Host::new(options.user, options.drop));
        let power = options.on_power.map(|call| Power { host: Arc::clone(&host), call });
        let listener = options.on_event.map(|call| Listener { host: Arc::clone(&host), call });
        if options.events & !RUM_EVENTS_ALL != 0 {
            return Err(Failure::invalid(format!("there are no events {:#x}", options.events)));
        }
        Ok(Self {
            judge: call.optional::<Judge>(options.judge)?,
            trace: options.trace != 0,
            // SAFETY: the caller's promise.
            checkpoint: unsafe { options.checkpoint.read("the checkpoint") }?.to_owned(),
            power,
            cancel: call.optional::<Cancel>(options.cancel)?,
            host,
            listener,
            events: options.events,
        })
    }

    /// An error if `what`, which has neither, was given a judge or asked for a trace.
    pub fn refuse_judge_and_trace(&self, what: &str) -> Result<(), Failure> {
        match self.judge.is_some() || self.trace {
            true => Err(Failure::invalid(format!("{what} has no judge and no trace; use a search"))),
            false => Ok(()),
        }
    }

    /// An error if `what`, which has none, was given a checkpoint.
    pub fn refuse_checkpoint(&self, what: &str) -> Result<(), Failure> {
        match self.checkpoint.is_empty() {
            true => Ok(()),
            false => Err(Failure::invalid(format!("{what} has no checkpoint"))),
        }
    }

    /// Starts `work` in a thread of its own.
    pub fn start(self, work: impl Work + 'static) -> Result<Run, Failure> {
        let cancel = CancelToken::new();
        if let Some(given) = self.cancel {
            given.value.link(&cancel);
        }
        let (host, listener, events) = (self.host, self.listener, self.events);
        let channel = Channel { watch: Arc::default(), host, listener, events, cancel };
        Run::start(Box::new(work), channel)
    }
}
