//! Judges from files: heads on the model's own states, and reward models in an engine of their own.

use std::ffi::c_char;
use std::path::Path;
use std::sync::Arc;

use ruminate::Limits;
use ruminate::engine::native::NativeEngine;
use ruminate::engine::{Engine, ModelInfo, Network};
use ruminate::gguf::Gguf;
use ruminate::model::Model as Native;
use ruminate::reward::convention::{Convention, Generative, MathShepherd, QwenPrm, RlhFlow, Skywork, TokenPair};
use ruminate::reward::{ExternalJudge, Head, HeadJudge, Judge as Valuer, JudgeUsage, Step, StepId};
use ruminate::storage::LoadMode;
use ruminate::text::{ChatTemplate, Tokenizer};

use crate::call::{clear, entry, hand_out};
use crate::judge::{Judge, rum_judge};
use crate::model::{Model, rum_model};
use crate::number::numbers;
use crate::runtime::{Reservation, Runtime, rum_runtime};
use crate::session::{Session, native_options, rum_session, rum_session_options};
use crate::sized;
use crate::status::{Failure, rum_status};
use crate::text;

/// Families of reward models: the text that each was trained on.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_convention {
    /// Math-Shepherd.
    RUM_CONVENTION_MATH_SHEPHERD = 0,
    /// RLHFlow.
    RUM_CONVENTION_RLHFLOW = 1,
    /// A `+` or `-` behind each step, steps apart by an empty line.
    RUM_CONVENTION_TOKEN_PAIR = 2,
    /// A chat model that is asked yes or no.
    RUM_CONVENTION_GENERATIVE = 3,
    /// Qwen2.5-Math-PRM; needs a head file.
    RUM_CONVENTION_QWEN_PRM = 4,
    /// Skywork-o1 PRM; needs a head file.
    RUM_CONVENTION_SKYWORK = 5,
}

numbers!(rum_convention, "convention": RUM_CONVENTION_MATH_SHEPHERD, RUM_CONVENTION_RLHFLOW, RUM_CONVENTION_TOKEN_PAIR, RUM_CONVENTION_GENERATIVE, RUM_CONVENTION_QWEN_PRM, RUM_CONVENTION_SKYWORK);

/// The reward head in the GGUF file at `path`, which reads the hidden states of `model` at no cost. `RUM_ERR_INVALID_ARGUMENT`
/// unless it was fitted on exactly that model, and from a search on a session whose model has adapters beside it. The caller
/// frees `out`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_judge_open_head(
    model: *const rum_model,
    path: *const c_char,
    path_len: usize,
    out: *mut *mut rum_judge,
) -> rum_status {
    entry("rum_judge_open_head", |call| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        let model = call.object::<Model>(model)?;
        // SAFETY: the caller's promise.
        let path = unsafe { text::read(path, path_len, "the path") }?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(on_trunk(path, &model.value.info)?, out) }
    })
}

/// As `rum_judge_open_head`, for a head that was fitted on the session's model with the adapters that stand beside it now.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_judge_open_session_head(
    session: *mut rum_session,
    path: *const c_char,
    path_len: usize,
    out: *mut *mut rum_judge,
) -> rum_status {
    entry("rum_judge_open_session_head", |call| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        let session = call.receiver::<Session>(session)?;
        // SAFETY: the caller's promise.
        let path = unsafe { text::read(path, path_len, "the path") }?;
        let motor = session.value.lend_motor()?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(on_trunk(path, motor.engine.info())?, out) }
    })
}

fn on_trunk(path: &str, model: &ModelInfo) -> Result<Judge, Failure> {
    let judge = HeadJudge::new(head(path)?, model)?;
    Ok(Judge::on(Box::new(judge), vec![model.fingerprint.clone()]))
}

/// The reward model in the GGUF file at `path`, in an engine of its own with `options` (NULL for the defaults), read as
/// `convention` (a `rum_convention`) says. `head` is the path of its head file, with length 0 for a convention without one.
///
/// `runtime` may be NULL for the defaults; its memory budget is charged, for keys and values as for a session's. The caller frees
/// `out`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_judge_open_model(
    runtime: *const rum_runtime,
    convention: u32,
    path: *const c_char,
    path_len: usize,
    head: *const c_char,
    head_len: usize,
    options: *const rum_session_options,
    out: *mut *mut rum_judge,
) -> rum_status {
    entry("rum_judge_open_model", |call| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        let given = call.optional::<Runtime>(runtime)?;
        let initial = Runtime::initial();
        let runtime = given.as_ref().map_or(&initial, |given| &given.value);
        // SAFETY: the caller's promise.
        let (path, head) =
            unsafe { (text::read(path, path_len, "the path")?, text::read(head, head_len, "the head")?) };
        // SAFETY: the caller's promise.
        let options = unsafe { sized::read_or_initial(options, "the options") }?;
        let judge = external(runtime, convention, path, head, &options).map_err(|failure| failure.context(path))?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(Judge::new(Box::new(judge)), out) }
    })
}

fn external(
    runtime: &Runtime,
    convention: u32,
    path: &str,
    head_path: &str,
    options: &rum_session_options,
) -> Result<External, Failure> {
    let limits = Limits::default();
    let mut native = native_options(options, runtime.threads)?;
    let gguf = Gguf::open(Path::new(path), LoadMode::Mmap, &limits)?;
    let weights = runtime.budget().reserve(Native::resident_bytes(&gguf), "the reward model")?;
    let tokenizer = Arc::new(Tokenizer::from_gguf(&gguf, &limits)?);
    let template = ChatTemplate::from_gguf(&gguf, &limits)?;
    let no_template = || Failure::new(rum_status::RUM_ERR_UNSUPPORTED, "the reward model has no chat template");
    let chat = || template.as_ref().ok_or_else(no_template);
    let beside = || match head_path {
        "" => Err(Failure::invalid("this convention needs a head file")),
        path => head(path),
    };
    use rum_convention::*;
    let convention = rum_convention::read(convention)?;
    let takes_head = matches!(convention, RUM_CONVENTION_QWEN_PRM | RUM_CONVENTION_SKYWORK);
    if !takes_head && !head_path.is_empty() {
        return Err(Failure::invalid("this convention has no head file"));
    }
    let convention: Box<dyn Convention> = match convention {
        RUM_CONVENTION_MATH_SHEPHERD => Box::new(MathShepherd::new(&tokenizer)?),
        RUM_CONVENTION_RLHFLOW => Box::new(RlhFlow::new(&tokenizer, chat()?)?),
        RUM_CONVENTION_TOKEN_PAIR => Box::new(TokenPair::new(&tokenizer, "\n\n", "+", "-")?),
        RUM_CONVENTION_GENERATIVE => Box::new(Generative::new(&tokenizer, chat()?)?),
        RUM_CONVENTION_QWEN_PRM => Box::new(QwenPrm::new(&tokenizer, chat()?, beside()?)?),
        RUM_CONVENTION_SKYWORK => Box::new(Skywork::new(&tokenizer, beside()?)?),
    };
    let model = Arc::new(Native::load(&gguf, &limits)?);
    let needs = Network::Native(Arc::clone(&model)).needs(&native)?;
    let (room, kv_limit) = runtime.budget().reserve_engine(needs, options.kv_bytes, "the reward model")?;
    native.kv_limit = kv_limit;
    let engine = NativeEngine::new(model, &native)?;
    Ok(External { judge: ExternalJudge::new(engine, tokenizer, convention)?, _memory: [weights, room] })
}

fn head(path: &str) -> Result<Head, Failure> {
    Head::open(Path::new(path), &Limits::default()).map_err(|e| Failure::from(e.context(path)))
}

/// A reward model and the memory that it was granted.
struct External {
    judge: ExternalJudge<NativeEngine>,
    _memory: [Reservation; 2],
}

impl Valuer for External {
    fn name(&self) -> &str {
        self.judge.name()
    }

    fn aggregation(&self) -> ruminate::reward::Aggregation {
        self.judge.aggregation()
    }

    fn begin(&mut self, question: &str) -> ruminate::Result<()> {
        self.judge.begin(question)
    }

    fn judge(&mut self, steps: &[Step<'_>], interrupt: &ruminate::observe::Interrupt) -> ruminate::Result<Vec<f32>> {
        self.judge.judge(steps, interrupt)
    }

    fn recall(&mut self, steps: &[Step<'_>], interrupt: &ruminate::observe::Interrupt) -> ruminate::Result<()> {
        self.judge.recall(steps, interrupt)
    }

    fn release(&mut self, step: StepId) {
        self.judge.release(step);
    }

    fn usage(&self) -> JudgeUsage {
        self.judge.usage()
    }
}
