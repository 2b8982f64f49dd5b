//! How a reward head is fitted on labelled steps, as a run.

use std::ffi::c_char;

use ruminate::learn::{FitParams, Kind, Objective};

use crate::call::{clear, entry, hand_out, not_null};
use crate::fit::Fit;
use crate::governor::Governor;
use crate::number::numbers;
use crate::run::rum_run;
use crate::run_start::{Options, rum_run_options};
use crate::runtime::{Runtime, rum_runtime};
use crate::sized::{self, Struct};
use crate::status::{Failure, rum_status};
use crate::text::{self, rum_str};

/// Files of labelled steps, at most.
const MOST: usize = 1 << 16;

/// What network a head is.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_head_kind {
    /// Whichever does better on questions that neither was fitted on.
    RUM_HEAD_AUTO = 0,
    /// Logistic regression.
    RUM_HEAD_LINEAR = 1,
    /// One hidden layer.
    RUM_HEAD_MLP = 2,
}

numbers!(rum_head_kind, "kind of head": RUM_HEAD_AUTO, RUM_HEAD_LINEAR, RUM_HEAD_MLP);

/// What a solution's outcome is the label of.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_objective {
    /// The product of its steps' values: one bad step makes a solution wrong.
    RUM_OBJECTIVE_PRODUCT = 0,
    /// Every step's value by itself: the chance of a right answer from there on.
    RUM_OBJECTIVE_STEP = 1,
    /// Right solutions above wrong ones of the same question, by a linear head.
    RUM_OBJECTIVE_RANKING = 2,
}

numbers!(rum_objective, "objective": RUM_OBJECTIVE_PRODUCT, RUM_OBJECTIVE_STEP, RUM_OBJECTIVE_RANKING);

/// How a reward head is fitted. Fill it with `rum_fitting_init`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_fitting {
    pub struct_size: usize,
    /// A `rum_head_kind`.
    pub kind: u32,
    /// A `rum_objective`.
    pub objective: u32,
    /// Units of the hidden layer, from 1 to 4096. Default: 64.
    pub n_hidden: u64,
    /// Decides the first weights of a hidden layer and the order of its batches.
    pub seed: u64,
    /// Threads; 0 for the runtime's. The head does not depend on it.
    pub threads: u64,
    /// Penalties on the weights to choose from; NULL for 0.0001, 0.001, 0.01 and 0.1.
    pub l2: *const f64,
    /// How many penalties, at most 64.
    pub n_l2: usize,
    /// Labelled steps of other questions for the figures, or no text: then 15 % of the questions give them.
    pub test: rum_str,
}

// SAFETY: `repr(C)`; whole numbers and pointers, without padding.
unsafe impl Struct for rum_fitting {
    const FIRST: usize = 32 + 5 * size_of::<usize>();

    fn initial() -> Self {
        let params = FitParams::default();
        Self {
            struct_size: size_of::<Self>(),
            kind: 0,
            objective: 0,
            n_hidden: params.n_hidden as u64,
            seed: params.seed,
            threads: 0,
            l2: std::ptr::null(),
            n_l2: 0,
            test: rum_str::NONE,
        }
    }
}

/// Fills `fitting` with the defaults. `struct_size` is `sizeof *fitting`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rum_fitting_init(fitting: *mut rum_fitting, struct_size: usize) -> rum_status {
    // SAFETY: the caller's promise.
    entry("rum_fitting_init", |_| unsafe { sized::init(fitting, struct_size) })
}

/// Starts fitting a reward head on the `n` files of labelled steps at `files`, all of one model, in a thread of its own. It is
/// written to the file at `path`, for `rum_judge_open_head`, once the run has finished; a cancelled run writes none.
///
/// `runtime`, `fitting` and `options` may be NULL for the defaults. Events are `RUM_EVENT_PROGRESS`, fits made; the result's text is
/// a report as JSON. Of the questions, 70 % are fitted on, 15 % choose and calibrate, 15 % give the figures. Files that cannot be read
/// and parts without right and wrong solutions are errors of the run. The caller frees `out`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_run_fit_head(
    runtime: *const rum_runtime,
    files: *const rum_str,
    n: usize,
    path: *const c_char,
    path_len: usize,
    fitting: *const rum_fitting,
    options: *const rum_run_options,
    out: *mut *mut rum_run,
) -> rum_status {
    entry("rum_run_fit_head", |call| {
        // SAFETY: the caller's promise.
        let cleared = unsafe { clear(out) };
        // SAFETY: the caller's promise.
        let mut options = unsafe { Options::read(call, options) }?;
        cleared?;
        options.refuse_judge_and_trace("fitting")?;
        options.refuse_checkpoint("fitting")?;
        let threads =
            call.optional::<Runtime>(runtime)?.map_or(Runtime::initial().threads, |given| given.value.threads);
        // SAFETY: the caller's promise.
        let fitting = unsafe { sized::read_or_initial(fitting, "the fitting") }?;
        // SAFETY: the caller's promise.
        let params = unsafe { params(&fitting) }?;
        not_null(files, "the files")?;
        if n == 0 || n > MOST {
            return Err(Failure::invalid(format!("{n} files: give 1 to {MOST}")));
        }
        // SAFETY: the caller's promise: `n` texts can be read; not NULL.
        let files = unsafe { std::slice::from_raw_parts(files, n) };
        // SAFETY: the caller's promise.
        let read = |file: &rum_str| unsafe { file.read("a file's path") }.map(str::to_owned);
        let files = files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        // SAFETY: the caller's promise.
        let path = unsafe { text::read(path, path_len, "the path") }?.to_owned();
        // SAFETY: the caller's promise.
        let test = unsafe { fitting.test.read("the test") }?.to_owned();
        if path.is_empty() || files.iter().chain([&test]).any(|file| *file == path) {
            return Err(Failure::invalid("the path of the head is empty, or names a file of labelled steps"));
        }
        if fitting.threads > 1024 {
            let message = format!("{} threads: give at most 1024, or 0 for the runtime's", fitting.threads);
            return Err(Failure::invalid(message));
        }
        let threads = if fitting.threads == 0 { threads } else { fitting.threads as usize };
        let governor = Governor::new(options.power.take(), None);
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(options.start(Fit { files, test, path, params, threads, governor })?, out) }
    })
}

/// # Safety
/// The struct's pointers can be read.
unsafe fn params(fitting: &rum_fitting) -> Result<FitParams, Failure> {
    let mut params = FitParams {
        kind: match rum_head_kind::read(fitting.kind)? {
            rum_head_kind::RUM_HEAD_AUTO => None,
            rum_head_kind::RUM_HEAD_LINEAR => Some(Kind::Linear),
            rum_head_kind::RUM_HEAD_MLP => Some(Kind::Mlp),
        },
        objective: match rum_objective::read(fitting.objective)? {
            rum_objective::RUM_OBJECTIVE_PRODUCT => Some(Objective::Product),
            rum_objective::RUM_OBJECTIVE_STEP => Some(Objective::Step),
            rum_objective::RUM_OBJECTIVE_RANKING => Some(Objective::Ranking),
        },
        n_hidden: usize::try_from(fitting.n_hidden).unwrap_or(usize::MAX),
        seed: fitting.seed,
        ..FitParams::default()
    };
    if !fitting.l2.is_null() {
        not_null(fitting.l2, "the penalties")?;
        if fitting.n_l2 > 64 {
            return Err(Failure::invalid(format!("{} penalties: give at most 64", fitting.n_l2)));
        }
        // SAFETY: the caller's promise; not NULL, and few.
        params.l2 = unsafe { std::slice::from_raw_parts(fitting.l2, fitting.n_l2) }.to_vec();
    }
    params.validate()?;
    Ok(params)
}
