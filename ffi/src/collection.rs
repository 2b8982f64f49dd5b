//! Samples of questions with known answers, as a run.

use std::ffi::c_void;
use std::path::Path;
use std::sync::Arc;

use ruminate::engine::{Backend, SamplerParams, Tap};
use ruminate::learn::{self, CollectParams, Labels, Origin, Recorder, RowWriter};
use ruminate::reason::Strategy;
use ruminate::reward::verify::Number;
use ruminate::search::SearchParams;
use serde_json::json;

use crate::call::{Call, clear, entry, hand_out, not_null};
use crate::collect::{Asked, Collect, HostVerifier, Right};
use crate::governor::Governor;
use crate::host::{Host, rum_drop_fn};
use crate::judge_host::{Verify, rum_verify_fn};
use crate::method::{Method, rum_method};
use crate::pairing::{self, rum_pairing};
use crate::preferences::{Preferences, rum_preferences};
use crate::prompt::{self, Prompt, rum_prompt, rum_prompt_kind};
use crate::run::rum_run;
use crate::run_start::{Options, rum_run_options};
use crate::session::{Motor, Session, rum_session};
use crate::sized::{self, Struct};
use crate::status::{Failure, rum_status};
use crate::text::rum_str;

/// Questions of one run, at most.
const MOST: usize = 1 << 24;

/// A question with a known answer. Set `struct_size` first.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_question {
    pub struct_size: usize,
    /// Its number in its set; no two are equal.
    pub number: u64,
    /// The question.
    pub text: rum_str,
    /// The right answer; not looked at where the host's function decides.
    pub answer: rum_str,
}

// SAFETY: `repr(C)`; whole numbers and pointers, without padding.
unsafe impl Struct for rum_question {
    const FIRST: usize = 8 + 5 * size_of::<usize>();

    fn initial() -> Self {
        Self { struct_size: size_of::<Self>(), number: 0, text: rum_str::NONE, answer: rum_str::NONE }
    }
}

/// How samples are drawn, and what is kept of them. Fill it with `rum_collection_init`, then change what you like.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_collection {
    pub struct_size: usize,
    /// A file of labelled steps for `rum_run_fit_head`, or no text. It grows question by question; questions that it holds are not
    /// asked again, so that a run that was stopped goes on.
    pub rows: rum_str,
    /// Names the question set; with a question's number it names the question. A file holds questions of one set only.
    pub data: rum_str,
    /// Gets preference pairs of the samples, or NULL.
    pub pairs: *const rum_preferences,
    /// Which pairs, or NULL for the defaults.
    pub pairing: *const rum_pairing,
    /// Layers, from 0, whose hidden states are kept, `UINT32_MAX` for the state after the final norm; NULL for a layer two thirds up
    /// and the state after the final norm.
    pub layers: *const u32,
    /// How many layers.
    pub n_layers: usize,
    /// Whether a solution is right; NULL compares its answer with the question's. Otherwise as for `rum_judge_new_verifier`.
    pub verify: rum_verify_fn,
    /// The first argument of `verify`.
    pub user: *mut c_void,
    /// Called with `user` once, when the run is over, and also when it cannot be started; unless the struct itself is refused because
    /// of its `struct_size`.
    pub drop: rum_drop_fn,
    /// Samples of every question. Default: 16.
    pub n: u64,
    /// Tokens of one sample, at most. Default: 512.
    pub max_tokens: u64,
    /// Decides every random number, together with a question's number.
    pub seed: u64,
    /// Default: 0.8.
    pub temperature: f32,
    /// Keeps the fewest most likely tokens whose probabilities add up to this; 1 keeps all.
    pub top_p: f32,
    /// A `rum_strategy`: how a question is put.
    pub strategy: u32,
    /// 0.
    pub reserved: u32,
    /// How a question is put, instead of `strategy`: one of a single prompt, such as `few-shot`; or NULL.
    pub method: *const rum_method,
}

// SAFETY: `repr(C)`; whole numbers, floats and pointers, without padding.
unsafe impl Struct for rum_collection {
    const FIRST: usize = 40 + 13 * size_of::<usize>();

    fn initial() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            rows: rum_str::NONE,
            data: rum_str::NONE,
            pairs: std::ptr::null(),
            pairing: std::ptr::null(),
            layers: std::ptr::null(),
            n_layers: 0,
            verify: None,
            user: std::ptr::null_mut(),
            drop: None,
            n: 16,
            max_tokens: 512,
            seed: 0,
            temperature: 0.8,
            top_p: 1.0,
            strategy: 0,
            reserved: 0,
            method: std::ptr::null(),
        }
    }
}

/// Fills `collection` with the defaults: 16 samples at temperature 0.8, 512 tokens each, of which nothing is kept.
/// `struct_size` is `sizeof *collection`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rum_collection_init(collection: *mut rum_collection, struct_size: usize) -> rum_status {
    // SAFETY: the caller's promise.
    entry("rum_collection_init", |_| unsafe { sized::init(collection, struct_size) })
}

/// Starts sampling solutions of the `n_questions` questions at `questions` in a thread of its own, and keeps what `collection` says:
/// labelled steps for a reward head, preference pairs for an adapter, or both. `options` may be NULL.
///
/// Everything is copied. Events are `RUM_EVENT_PROGRESS`, questions done; the result's text is a report as JSON. A cancelled run
/// keeps what it has of whole questions. A question that is longer than the context gives nothing. The session is busy until the run
/// ends. The caller frees `out`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_run_collect(
    session: *mut rum_session,
    questions: *const *const rum_question,
    n_questions: usize,
    collection: *const rum_collection,
    options: *const rum_run_options,
    out: *mut *mut rum_run,
) -> rum_status {
    entry("rum_run_collect", |call| {
        // SAFETY: the caller's promise.
        let cleared = unsafe { clear(out) };
        // SAFETY: the caller's promise.
        let options = unsafe { Options::read(call, options) };
        // SAFETY: the caller's promise.
        let asked = unsafe { sized::read_or_initial(collection, "the collection") }?;
        let host = Arc::new(Host::new(asked.user, asked.drop));
        let verifier = asked.verify.map(|call| HostVerifier::new(Verify { host: Arc::clone(&host), call }));
        let mut options = options?;
        cleared?;
        options.refuse_judge_and_trace("collecting")?;
        options.refuse_checkpoint("collecting")?;
        let session = call.object::<Session>(session)?;
        let session = &session.value;
        // SAFETY: the caller's promise.
        let questions = unsafe { read_questions(call, session, questions, n_questions, &asked, verifier.is_some()) }?;
        let method = call.optional::<Method>(asked.method)?;
        let strategy = match &method {
            Some(method) => method.value.strategy(),
            None => prompt::strategy(asked.strategy)?,
        };
        let params = params(&asked, strategy)?;
        // SAFETY: the caller's promise.
        let pairing = unsafe { pairing::read(asked.pairing) }?;
        let pairs = call.optional::<Preferences>(asked.pairs)?;
        check_vocabulary(pairs.as_ref().map(|pairs| &pairs.value), session)?;
        let (motor, line) = session.lend()?;
        // SAFETY: the caller's promise.
        let taps = unsafe { taps(&asked, motor.engine.info().n_layer) }?;
        let recorder = Recorder::new(taps.clone())?;
        // SAFETY: the caller's promise.
        let rows = unsafe { open_rows(&asked, session, &motor, &params, strategy, taps) }?;
        let model = Arc::clone(&session.model);
        let governor = Governor::new(options.power.take(), None);
        let work = Collect {
            model,
            motor,
            _line: line,
            questions,
            params: CollectParams { search: params, labels: Labels::Outcome },
            recorder,
            rows,
            pairs,
            pairing,
            verifier,
            _host: host,
            governor,
        };
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(options.start(work)?, out) }
    })
}

/// # Safety
/// `questions` is NULL or holds `n` structs whose pointers can be read.
unsafe fn read_questions(
    call: &Call,
    session: &Session,
    questions: *const *const rum_question,
    n: usize,
    asked: &rum_collection,
    by_host: bool,
) -> Result<Vec<Asked>, Failure> {
    if n == 0 || n > MOST {
        return Err(Failure::invalid(format!("{n} questions: give 1 to {MOST}")));
    }
    not_null(questions, "the questions")?;
    let model = &session.model.value;
    let mut read = Vec::new();
    for i in 0..n {
        // SAFETY: the caller's promise: `n` pointers can be read; not NULL.
        let question = unsafe { sized::read(questions.add(i).read(), "a question") }?;
        // SAFETY: the caller's promise.
        let (text, answer) = unsafe { (question.text.read("a question")?, question.answer.read("an answer")?) };
        let kind = rum_prompt_kind::RUM_PROMPT_QUESTION as u32;
        let (strategy, method) = (asked.strategy, asked.method);
        let prompt = rum_prompt { kind, strategy, method, text: question.text, ..rum_prompt::initial() };
        // SAFETY: a whole struct whose text was read.
        let prompt =
            unsafe { Prompt::read_single(call, model, &prompt) }.map_err(|e| e.context(&format!("question {i}")))?;
        let right = match by_host {
            true => Right::Host,
            false => Right::Equal(Number::new(answer).map_err(|e| Failure::from(e.context(format!("question {i}"))))?),
        };
        let prompt_text = String::from_utf8_lossy(&model.tokenizer.decode(&prompt.tokens, true)).into_owned();
        read.push(Asked {
            number: question.number,
            text: text.trim().to_owned(),
            prompt: prompt.tokens,
            prompt_text,
            right,
        });
    }
    Ok(read)
}

fn params(asked: &rum_collection, strategy: &dyn Strategy) -> Result<SearchParams, Failure> {
    let sampler = SamplerParams { temperature: asked.temperature, top_p: asked.top_p, ..SamplerParams::default() };
    let n = usize::try_from(asked.n).unwrap_or(usize::MAX);
    let stop_at_answer = strategy.stop_at_answer();
    let params = SearchParams { stop_at_answer, ..learn::sampling(n, sampler, asked.max_tokens, asked.seed) };
    params.validate()?;
    Ok(params)
}

fn check_vocabulary(pairs: Option<&Preferences>, session: &Session) -> Result<(), Failure> {
    let ours = &session.model.value.info.fingerprint;
    match pairs.map(|pairs| &pairs.model.value.info.fingerprint).filter(|theirs| *theirs != ours) {
        None => Ok(()),
        Some(theirs) => Err(Failure::invalid(format!("the list of preferences is of a model of fingerprint {theirs}"))),
    }
}

/// # Safety
/// The struct's pointers can be read.
unsafe fn taps(asked: &rum_collection, n_layer: usize) -> Result<Vec<Tap>, Failure> {
    if asked.layers.is_null() {
        return Ok(learn::default_taps(n_layer));
    }
    not_null(asked.layers, "the layers")?;
    if asked.n_layers > n_layer + 1 {
        return Err(Failure::invalid(format!("{} layers of a model that has {n_layer}", asked.n_layers)));
    }
    // SAFETY: the caller's promise; not NULL, and few.
    let layers = unsafe { std::slice::from_raw_parts(asked.layers, asked.n_layers) };
    let tap = |&layer: &u32| match layer {
        u32::MAX => Ok(Tap::Final),
        layer if (layer as usize) < n_layer => Ok(Tap::Layer(layer as usize)),
        layer => {
            Err(Failure::invalid(format!("layer {layer}: the model's layers are 0 to {}", n_layer.saturating_sub(1))))
        }
    };
    layers.iter().map(tap).collect()
}

/// The file of labelled steps, if one is wanted.
///
/// # Safety
/// The struct's pointers can be read.
unsafe fn open_rows(
    asked: &rum_collection,
    session: &Session,
    motor: &Motor,
    params: &SearchParams,
    strategy: &dyn Strategy,
    taps: Vec<Tap>,
) -> Result<Option<RowWriter>, Failure> {
    // SAFETY: the caller's promise.
    let (path, data) = unsafe { (asked.rows.read("rows")?, asked.data.read("data")?) };
    if path.is_empty() {
        return Ok(None);
    }
    let info = motor.engine.info();
    let mut settings = json!({
        "n": params.n,
        "temp": params.sampler.temperature.to_string(),
        "top_p": params.sampler.top_p.to_string(),
        "max_tokens": params.max_tokens,
        "seed": params.seed,
        "step": params.step,
        "strategy": strategy.name(),
        "n_ctx": info.n_ctx,
        "kv": session.kv_name,
    });
    if !asked.method.is_null() {
        // Its examples decide what is sampled; one question stands for all.
        let words = strategy.messages("?").into_iter().map(|message| [message.role, message.content]);
        settings["prompt"] = words.collect::<Vec<_>>().into();
    }
    let backend = &session.model.value.backend;
    if *backend != Backend::Native {
        // Samples of two engines are never mixed in one file.
        settings["backend"] = backend.name().into();
    }
    let origin = Origin {
        architecture: info.architecture.clone(),
        fingerprint: info.fingerprint.clone(),
        data: data.to_owned(),
        settings: settings.to_string(),
        n_embd: info.n_embd,
        n_layer: info.n_layer,
        taps,
    };
    Ok(Some(RowWriter::open(Path::new(path), &origin)?))
}
