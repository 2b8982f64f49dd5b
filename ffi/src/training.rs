//! How an adapter is trained on preferences.

use std::sync::Arc;
use std::time::Duration;

use ruminate::learn::preference::{Loss, TrainParams, digest};
use ruminate::model::Projection;

use crate::adapter::{Adapter, rum_adapter};
use crate::call::{Call, clear, entry, hand_out};
use crate::governor::Governor;
use crate::number::numbers;
use crate::preferences::{Preferences, rum_preferences};
use crate::run::rum_run;
use crate::run_start::{Options, rum_run_options};
use crate::sized::{self, Struct};
use crate::status::{Failure, rum_status};
use crate::text::rum_str;
use crate::train::Train;

/// What a preference is held against.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_loss {
    /// Direct preference optimization, over pairs.
    RUM_LOSS_DPO = 0,
    /// Identity preference optimization, over pairs.
    RUM_LOSS_IPO = 1,
    /// Simple preference optimization, over pairs, without a reference.
    RUM_LOSS_SIMPO = 2,
    /// Kahneman-Tversky optimization, over single completions.
    RUM_LOSS_KTO = 3,
}

numbers!(rum_loss, "loss": RUM_LOSS_DPO, RUM_LOSS_IPO, RUM_LOSS_SIMPO, RUM_LOSS_KTO);

/// How an adapter is trained, and what that may cost. Fill it with `rum_training_init`, then change what you like.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_training {
    pub struct_size: usize,
    /// A `rum_loss`. Default: DPO.
    pub loss: u32,
    /// Inner width of the adapter. Default: 8.
    pub rank: u32,
    /// How strongly the model is held to what it was; 0 for the loss's own: 0.1, and 2 for SimPO.
    pub beta: f64,
    /// How often preferences are the wrong way round, from 0 to 0.5; for DPO.
    pub label_smoothing: f64,
    /// Weight of the chosen completion's own log-probability beside a pair's loss. Default: 1; not for KTO.
    pub sft: f64,
    /// Largest learning rate: reached after a tenth of the steps, then falling to 0. Default: 0.0001.
    pub lr: f64,
    /// The adapter counts alpha / rank times; 0 for twice the rank.
    pub alpha: f64,
    /// Layers from the top that are trained; 0 for all.
    pub layers: u64,
    /// Passes over the preferences. Default: 1.
    pub epochs: u64,
    /// Preferences of one step. Default: 8.
    pub batch: u64,
    /// Tokens of a prompt with its completions, at most; longer preferences are left out. Default: 1024.
    pub max_tokens: u64,
    /// Bytes for what would else be computed twice. Default: 256 MiB. The runtime's memory budget is charged with them, and with the
    /// adapter and what the optimizer keeps of it, until all of that is given back a moment behind the run's end, which `rum_run_free`
    /// waits for; buffers of a pass are not counted.
    pub keep_bytes: u64,
    /// Decides the first adapter and the order of the preferences.
    pub seed: u64,
    /// Milliseconds of training; 0 for no limit. Measuring `test` a second time comes behind it.
    pub budget_ms: u64,
    /// Tokens of the passes; 0 for no limit. Missed by at most one step.
    pub budget_tokens: u64,
    /// Threads; 0 for the runtime's.
    pub threads: u64,
    /// The matrices that are trained, with commas between: attn_q, attn_k, attn_v, attn_output, ffn_gate, ffn_up, ffn_down; all of
    /// them without text.
    pub projections: rum_str,
    /// A file that gets a JSON line for every step, or no text.
    pub log: rum_str,
    /// An adapter to go on from, or NULL; its rank and matrices stay.
    pub from: *const rum_adapter,
    /// Preferences to measure on, before and after, or NULL. Not afterwards in a run that was cancelled or had no time for it before.
    pub test: *const rum_preferences,
}

// SAFETY: `repr(C)`; whole numbers, floats and pointers, without padding.
unsafe impl Struct for rum_training {
    const FIRST: usize = 120 + 7 * size_of::<usize>();

    fn initial() -> Self {
        let params = TrainParams::default();
        Self {
            struct_size: size_of::<Self>(),
            loss: 0,
            rank: params.rank as u32,
            beta: 0.0,
            label_smoothing: 0.0,
            sft: 1.0,
            lr: params.lr,
            alpha: 0.0,
            layers: 0,
            epochs: params.epochs as u64,
            batch: params.batch as u64,
            max_tokens: params.max_tokens as u64,
            keep_bytes: params.keep_bytes as u64,
            seed: 0,
            budget_ms: 0,
            budget_tokens: 0,
            threads: 0,
            projections: rum_str::NONE,
            log: rum_str::NONE,
            from: std::ptr::null(),
            test: std::ptr::null(),
        }
    }
}

/// Fills `training` with the defaults: DPO of rank 8 on all matrices, one pass in steps of 8 preferences. `struct_size` is
/// `sizeof *training`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rum_training_init(training: *mut rum_training, struct_size: usize) -> rum_status {
    // SAFETY: the caller's promise.
    entry("rum_training_init", |_| unsafe { sized::init(training, struct_size) })
}

/// Starts training an adapter on `preferences` in a thread of its own; `training` and `options` may be NULL for the defaults.
///
/// Events are `RUM_EVENT_STEP`; the result's text is a report as JSON, its stop reason `RUM_STOP_FINISHED`, `RUM_STOP_TOKENS`,
/// `RUM_STOP_DEADLINE` or `RUM_STOP_CANCELLED`, and `rum_run_get_adapter` gives the adapter in each case. With a checkpoint, a run
/// that was stopped or killed goes on where it was. A cancellation ends it within one layer of one pass. The model does not change
/// and may be used meanwhile. Not every fault is found before the run starts: see `rum_run_error`. The caller frees `out`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_run_train(
    preferences: *const rum_preferences,
    training: *const rum_training,
    options: *const rum_run_options,
    out: *mut *mut rum_run,
) -> rum_status {
    entry("rum_run_train", |call| {
        // SAFETY: the caller's promise.
        let cleared = unsafe { clear(out) };
        // SAFETY: the caller's promise.
        let mut options = unsafe { Options::read(call, options) }?;
        cleared?;
        options.refuse_judge_and_trace("training")?;
        let preferences = call.object::<Preferences>(preferences)?;
        // SAFETY: the caller's promise.
        let mut train = unsafe { read(call, &preferences.value, training) }?;
        options.checkpoint.clone_into(&mut train.checkpoint);
        train.governor = Governor::new(options.power.take(), None);
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(options.start(train)?, out) }
    })
}

/// # Safety
/// `training` is NULL, for the defaults, or a struct whose pointers can be read.
unsafe fn read(call: &Call, preferences: &Preferences, training: *const rum_training) -> Result<Train, Failure> {
    // SAFETY: the caller's promise.
    let asked = unsafe { sized::read_or_initial(training, "the training") }?;
    // SAFETY: the caller's promise.
    let (names, log) = unsafe { (asked.projections.read("projections")?, asked.log.read("log")?) };
    let params = params(&asked, names)?;
    let from = call.optional::<Adapter>(asked.from)?;
    let test = call.optional::<Preferences>(asked.test)?;
    let model = Arc::clone(&preferences.model);
    model.value.network.native()?;
    if let Some(test) =
        test.as_ref().filter(|test| test.value.model.value.info.fingerprint != model.value.info.fingerprint)
    {
        let theirs = &test.value.model.value.info.fingerprint;
        return Err(Failure::invalid(format!("the test's preferences are of a model of fingerprint {theirs}")));
    }
    let examples = preferences.examples();
    if examples.is_empty() {
        return Err(Failure::invalid("there is no preference to train on"));
    }
    if asked.threads > 1024 {
        return Err(Failure::invalid(format!("{} threads: give at most 1024, or 0 for the runtime's", asked.threads)));
    }
    let threads = if asked.threads == 0 { model.value.threads } else { asked.threads as usize };
    Ok(Train {
        digest: digest(&examples),
        memory: model.value.weights.budget().reserve(asked.keep_bytes, "training")?,
        examples,
        test: test.map(|test| test.value.examples()).unwrap_or_default(),
        from: from.map(|from| Arc::clone(&from.value.lora)),
        log: log.to_owned(),
        checkpoint: String::new(),
        governor: Governor::default(),
        wall: (asked.budget_ms > 0).then(|| Duration::from_millis(asked.budget_ms)),
        tokens: (asked.budget_tokens > 0).then_some(asked.budget_tokens),
        model,
        params,
        threads,
    })
}

fn params(asked: &rum_training, names: &str) -> Result<TrainParams, Failure> {
    let loss = match rum_loss::read(asked.loss)? {
        rum_loss::RUM_LOSS_DPO => Loss::Dpo { label_smoothing: asked.label_smoothing },
        _ if asked.label_smoothing != 0.0 => return Err(Failure::invalid("label_smoothing is for DPO")),
        rum_loss::RUM_LOSS_IPO => Loss::by_name("ipo")?,
        rum_loss::RUM_LOSS_SIMPO => Loss::by_name("simpo")?,
        rum_loss::RUM_LOSS_KTO => Loss::by_name("kto")?,
    };
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let all = || Projection::ALL.iter().map(|projection| projection.name().to_owned()).collect();
    let params = TrainParams {
        loss,
        beta: if asked.beta == 0.0 { loss.default_beta() } else { asked.beta },
        sft: if loss.takes_singles() { 0.0 } else { asked.sft },
        rank: asked.rank as usize,
        alpha: if asked.alpha == 0.0 { 2.0 * asked.rank as f32 } else { asked.alpha as f32 },
        projections: match names.trim() {
            "" => all(),
            names => names.split(',').map(|name| name.trim().to_owned()).collect(),
        },
        layers: number(asked.layers),
        epochs: number(asked.epochs),
        batch: number(asked.batch),
        lr: asked.lr,
        max_tokens: number(asked.max_tokens),
        keep_bytes: number(asked.keep_bytes),
        seed: asked.seed,
        ..TrainParams::default()
    };
    params.validate()?;
    Ok(params)
}
