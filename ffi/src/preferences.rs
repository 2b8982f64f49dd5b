//! Preferences that an adapter is trained on: from the host, from files, and from the traces of searches.

use std::ffi::c_char;
use std::sync::{Arc, Mutex, PoisonError};

use ruminate::Limits;
use ruminate::engine::Tap;
use ruminate::learn::preference::{Example, Preference};
use ruminate::learn::{self, PairParams, Recorder, pairs};
use ruminate::observe::Interrupt;
use ruminate::reward::verify::{Number, Verifier};
use ruminate::reward::{Features, Judge, Step, StepId};
use ruminate::trace::Trace;

use crate::call::{clear, entry, free, hand_out, not_null};
use crate::handle::{Kind, Object};
use crate::model::{Model, rum_model};
use crate::pairing::{self, rum_pairing};
use crate::prompt::{Prompt, rum_prompt};
use crate::sized::{self, Struct};
use crate::status::{Failure, rum_status};
use crate::text::{self, rum_str, rum_text};

/// Preferences to train on: pairs of a better and a worse completion, or single completions with a thumb up or down.
///
/// Any number of threads may add to it and read it at once; what is trained on is what was there when training began.
pub struct rum_preferences(());

/// `flags` of `rum_preference`: the chosen completion does not end its turn, because it is a step, or was cut off.
pub const RUM_PREFERENCE_CHOSEN_OPEN: u32 = 1;
/// `flags` of `rum_preference`: the rejected completion does not end its turn.
pub const RUM_PREFERENCE_REJECTED_OPEN: u32 = 2;
/// `flags` of `rum_preference`: the single completion does not end its turn.
pub const RUM_PREFERENCE_COMPLETION_OPEN: u32 = 4;
/// `flags` of `rum_preference`: the single completion got a thumb up; without it, down.
pub const RUM_PREFERENCE_GOOD: u32 = 8;

const FLAGS: u32 =
    RUM_PREFERENCE_CHOSEN_OPEN | RUM_PREFERENCE_REJECTED_OPEN | RUM_PREFERENCE_COMPLETION_OPEN | RUM_PREFERENCE_GOOD;

/// One preference: `chosen` and `rejected`, or `completion` alone. Fill it with `rum_preference_init`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_preference {
    pub struct_size: usize,
    /// What the completions go on from.
    pub prompt: *const rum_prompt,
    /// The better completion; NULL for none.
    pub chosen: rum_str,
    /// The worse one; NULL for none.
    pub rejected: rum_str,
    /// A single completion; NULL for none.
    pub completion: rum_str,
    /// How likely the preference is the wrong way round, from 0 to 0.5; less than 0, as by default, for the training's own.
    pub smoothing: f64,
    /// `RUM_PREFERENCE_…`.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`; whole numbers, floats and pointers, without padding.
unsafe impl Struct for rum_preference {
    const FIRST: usize = 16 + 4 * size_of::<rum_str>();

    fn initial() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            prompt: std::ptr::null(),
            chosen: rum_str::NONE,
            rejected: rum_str::NONE,
            completion: rum_str::NONE,
            smoothing: -1.0,
            flags: 0,
            reserved: 0,
        }
    }
}

/// Preferences over one model's tokens.
pub struct Preferences {
    pub model: Arc<Object<Model>>,
    rows: Mutex<Rows>,
}

/// As they came, and in tokens.
#[derive(Default)]
struct Rows {
    texts: Vec<Preference>,
    examples: Vec<Example>,
}

impl Kind for Preferences {
    type Opaque = rum_preferences;
    const NAME: &'static str = "list of preferences";
}

impl Preferences {
    /// Appends all of these or, if one cannot be, none.
    pub fn extend(&self, mut texts: Vec<Preference>) -> Result<usize, Failure> {
        let tokenizer = &self.model.value.tokenizer;
        texts.iter_mut().try_for_each(|text| text.settle_prompt(tokenizer))?;
        let encoded = texts.iter().enumerate().map(|(i, text)| {
            text.encode(tokenizer).map_err(|e| Failure::from(e.context(format_args!("preference {i}"))))
        });
        let (encoded, n) = (encoded.collect::<Result<Vec<_>, _>>()?, texts.len());
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.examples.extend(encoded);
        rows.texts.extend(texts);
        Ok(n)
    }

    /// All of them in tokens.
    pub fn examples(&self) -> Vec<Example> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).examples.clone()
    }
}

/// Fills `preference` with none. `struct_size` is `sizeof *preference`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rum_preference_init(preference: *mut rum_preference, struct_size: usize) -> rum_status {
    // SAFETY: the caller's promise.
    entry("rum_preference_init", |_| unsafe { sized::init(preference, struct_size) })
}

/// An empty list of preferences for `model`. The caller frees `out`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_preferences_new(model: *const rum_model, out: *mut *mut rum_preferences) -> rum_status {
    entry("rum_preferences_new", |call| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        let model = call.object::<Model>(model)?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(Preferences { model, rows: Mutex::default() }, out) }
    })
}

/// Appends one preference, which is copied. `RUM_ERR_FORMAT` unless it is a pair or a single completion. From any thread,
/// concurrently.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_preferences_add(
    preferences: *const rum_preferences,
    preference: *const rum_preference,
) -> rum_status {
    entry("rum_preferences_add", |call| {
        let preferences = call.receiver::<Preferences>(preferences)?;
        // SAFETY: the caller's promise.
        let given = unsafe { sized::read(preference, "the preference") }?;
        if given.flags & !FLAGS != 0 {
            return Err(Failure::invalid(format!("there are no flags {:#x}", given.flags)));
        }
        let is = |flag: u32| given.flags & flag != 0;
        let model = &preferences.value.model.value;
        // SAFETY: the caller's promise.
        let prompt = unsafe { Prompt::read_single(call, model, given.prompt) }?;
        // SAFETY: the caller's promise.
        let completion = unsafe { optional(given.completion, "the completion") }?;
        let row = Preference {
            prompt: String::from_utf8_lossy(&model.tokenizer.decode(&prompt.tokens, true)).into_owned(),
            // SAFETY: the caller's promise.
            chosen: unsafe { optional(given.chosen, "the chosen completion") }?,
            // SAFETY: the caller's promise.
            rejected: unsafe { optional(given.rejected, "the rejected completion") }?,
            label: completion.is_some().then_some(is(RUM_PREFERENCE_GOOD)),
            completion,
            chosen_open: is(RUM_PREFERENCE_CHOSEN_OPEN),
            rejected_open: is(RUM_PREFERENCE_REJECTED_OPEN),
            completion_open: is(RUM_PREFERENCE_COMPLETION_OPEN),
            smoothing: (given.smoothing >= 0.0 || given.smoothing.is_nan()).then_some(given.smoothing),
            ..Preference::default()
        };
        preferences.value.extend(vec![row]).map(drop)
    })
}

/// Appends the rows of `text`, one JSON object a line: `prompt`, `chosen`, `rejected`, or `prompt`, `completion`, `label`, as
/// `rum_preferences_to_jsonl` and `ruminate learn collect --pairs` write them; all or none. Writes how many to `n` if it is not NULL.
/// `RUM_ERR_FORMAT` names the line. From any thread, concurrently.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_preferences_add_jsonl(
    preferences: *const rum_preferences,
    text: *const c_char,
    text_len: usize,
    n: *mut usize,
) -> rum_status {
    entry("rum_preferences_add_jsonl", |call| {
        let preferences = call.receiver::<Preferences>(preferences)?;
        // SAFETY: the caller's promise.
        let text = unsafe { text::read(text, text_len, "the rows") }?;
        let added = preferences.value.extend(Preference::parse(text)?)?;
        // SAFETY: the caller's promise.
        unsafe { put(n, added) }
    })
}

/// Appends pairs from the tree of a search, by its trace (`rum_run_get_trace`): solutions whose answer equals `answer` are right.
/// `pairing` may be NULL for the defaults. Writes how many to `n` if it is not NULL; none where all solutions are right, or all wrong.
/// None either where all solutions come to more than 256 MiB, each counted from the prompt on with four bytes a token.
/// `RUM_ERR_INVALID_ARGUMENT` for a trace of another model. From any thread, concurrently.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_preferences_add_trace(
    preferences: *const rum_preferences,
    trace: *const c_char,
    trace_len: usize,
    answer: *const c_char,
    answer_len: usize,
    pairing: *const rum_pairing,
    n: *mut usize,
) -> rum_status {
    entry("rum_preferences_add_trace", |call| {
        let preferences = call.receiver::<Preferences>(preferences)?;
        // SAFETY: the caller's promise.
        let (trace, answer) =
            unsafe { (text::read(trace, trace_len, "the trace")?, text::read(answer, answer_len, "the answer")?) };
        // SAFETY: the caller's promise.
        let params = unsafe { pairing::read(pairing) }?;
        let (right, trace) = (Number::new(answer)?, Trace::read(trace.as_bytes(), &Limits::default())?);
        let (theirs, ours) = (&trace.header.model, &preferences.value.model.value.info.fingerprint);
        // With adapters the fingerprint is another, and the vocabulary the same.
        if theirs.fingerprint != *ours && theirs.adapters.is_empty() {
            return Err(Failure::invalid(format!("the trace is of a model of fingerprint {}", theirs.fingerprint)));
        }
        let found = of_trace(&trace, &right, &params)?;
        let added = preferences.value.extend(found)?;
        // SAFETY: the caller's promise.
        unsafe { put(n, added) }
    })
}

fn of_trace(trace: &Trace, right: &Number, params: &PairParams) -> Result<Vec<Preference>, Failure> {
    // Pairs are made of texts and their fate; hidden states, which a trace lacks, play no part.
    let (mut recorder, features) = (Recorder::new(vec![Tap::Final])?, Features::default());
    for node in &trace.nodes {
        let end = node.done.as_ref().map_or("", |done| done.end.as_str());
        let step = Step {
            id: StepId(node.number),
            parent: StepId(node.parent),
            text: &node.text,
            path: "",
            tokens: node.done.as_ref().map_or(&[], |done| done.tokens.as_slice()),
            draws: &[],
            features: Some(&features),
            complete: matches!(end, "eog" | "answer"),
        };
        recorder.judge(&[step], &Interrupt::default())?;
    }
    let prompt = learn::Prompt { text: &trace.header.prompt.text, tokens: &trace.header.prompt.tokens };
    Ok(pairs(&recorder, prompt, &|_, text| f64::from(u8::from(right.accepts(text))), params))
}

/// Writes how many preferences there are to `n`. From any thread, concurrently.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_preferences_count(preferences: *const rum_preferences, n: *mut usize) -> rum_status {
    entry("rum_preferences_count", |call| {
        let preferences = call.receiver::<Preferences>(preferences)?;
        not_null(n, "the out-parameter")?;
        let count = preferences.value.rows.lock().unwrap_or_else(PoisonError::into_inner).texts.len();
        // SAFETY: the caller's promise.
        unsafe { put(n, count) }
    })
}

/// All preferences as text, one JSON object a line, for `rum_preferences_add_jsonl` and `ruminate learn dpo`. The caller frees `out`.
/// From any thread, concurrently.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_preferences_to_jsonl(
    preferences: *const rum_preferences,
    out: *mut *mut rum_text,
) -> rum_status {
    entry("rum_preferences_to_jsonl", |call| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        let preferences = call.receiver::<Preferences>(preferences)?;
        let mut lines = String::new();
        for row in &preferences.value.rows.lock().unwrap_or_else(PoisonError::into_inner).texts {
            let line = serde_json::to_string(row).map_err(|e| Failure::internal(format!("a preference: {e}")))?;
            lines.extend([line.as_str(), "\n"]);
        }
        // SAFETY: the caller's promise; not NULL.
        unsafe { text::hand_out(lines, out) }
    })
}

/// Frees a list of preferences; NULL is fine. Runs that use it go on.
#[unsafe(no_mangle)]
pub extern "C" fn rum_preferences_free(preferences: *mut rum_preferences) -> rum_status {
    free::<Preferences>("rum_preferences_free", preferences)
}

/// # Safety
/// As [`text::read`].
unsafe fn optional(text: rum_str, what: &str) -> Result<Option<String>, Failure> {
    // SAFETY: the caller's promise.
    if text.ptr.is_null() { Ok(None) } else { unsafe { text.read(what) }.map(|text| Some(text.to_owned())) }
}

/// # Safety
/// `out` is NULL or valid for writing one number.
unsafe fn put(out: *mut usize, n: usize) -> Result<(), Failure> {
    if !out.is_null() {
        not_null(out, "the out-parameter")?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { out.write(n) };
    }
    Ok(())
}
