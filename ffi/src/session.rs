//! Sessions: an engine over a model, and the line of tokens that plain generation goes on from.

use std::sync::{Arc, Mutex, PoisonError};

use ruminate::engine::native::{KvType, NativeOptions};
use ruminate::engine::{Branch, Engine};
use ruminate::observe::Interrupt;
use ruminate::text::TokenId;
use ruminate::trace::AdapterRecord;

use crate::call::{clear, entry, free, hand_out, not_null};
use crate::cancel::{self, Cancel, rum_cancel};
use crate::handle::{Kind, Object};
use crate::lend::{Lending, Loan};
use crate::model::{Model, rum_model};
use crate::number::numbers;
use crate::runtime::Reservation;
use crate::sized::{self, Struct};
use crate::status::{Failure, rum_status};

/// Runs a model: keys and values, buffers, threads. One run at a time; another call meanwhile gives `RUM_ERR_BUSY`. Sessions
/// of one model share its weights and run side by side.
pub struct rum_session(());

/// How keys and values are kept.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_kv {
    /// Half precision.
    RUM_KV_F16 = 0,
    /// 8 bits, for a little more than half the memory.
    RUM_KV_Q8 = 1,
}

numbers!(rum_kv, "kv_type": RUM_KV_F16, RUM_KV_Q8);

/// How a session is made. Fill it with `rum_session_options_init`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_session_options {
    pub struct_size: usize,
    /// Threads of one forward pass; 0 for the runtime's. The answers do not depend on it.
    pub threads: u64,
    /// Tokens that one branch may hold; 0 for what the model was trained for, at most 4096.
    pub n_ctx: u64,
    /// Bytes that keys and values of all branches may take; 0 for what is left of the runtime's memory budget, and no limit
    /// where it has none. Never exceeded: a search then decodes fewer branches at once.
    pub kv_bytes: u64,
    /// Branches worth decoding at once; 0 for 8, until `rum_session_measure_width`.
    pub width: u64,
    /// A `rum_kv`.
    pub kv_type: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: `repr(C)`, whole numbers without padding.
unsafe impl Struct for rum_session_options {
    const FIRST: usize = 40 + size_of::<usize>();

    fn initial() -> Self {
        Self { struct_size: size_of::<Self>(), threads: 0, n_ctx: 0, kv_bytes: 0, width: 0, kv_type: 0, reserved: 0 }
    }
}

/// Bytes in use by a session and its clones.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_memory {
    pub struct_size: usize,
    /// Weights, shared by all sessions of the model: as in its files or packed, or both where the files were read.
    pub weights: u64,
    /// Keys and values of all branches.
    pub kv: u64,
    /// The most that they ever took.
    pub kv_peak: u64,
    /// What they may take; `UINT64_MAX` for no limit.
    pub kv_limit: u64,
    /// Activations and other buffers.
    pub scratch: u64,
    /// Adapters in use.
    pub adapters: u64,
}

// SAFETY: `repr(C)`, whole numbers without padding.
unsafe impl Struct for rum_memory {
    const FIRST: usize = 48 + size_of::<usize>();

    fn initial() -> Self {
        Self { struct_size: size_of::<Self>(), weights: 0, kv: 0, kv_peak: 0, kv_limit: 0, scratch: 0, adapters: 0 }
    }
}

/// A session: its line, and the engine that it shares with its clones.
pub struct Session {
    pub model: Arc<Object<Model>>,
    pub engine: Arc<Lending<Motor>>,
    pub line: Arc<Lending<Line>>,
    pub kv_name: &'static str,
    left: Arc<Left>,
}

impl Kind for Session {
    type Opaque = rum_session;
    const NAME: &'static str = "session";
}

/// Branches of lines that went while the engine was in use.
type Left = Mutex<Vec<Branch>>;

/// An engine and the memory that it was granted.
pub struct Motor {
    pub engine: Box<dyn Engine>,
    /// What stands beside the model's matrices, for traces.
    pub adapters: Vec<AdapterRecord>,
    _memory: Reservation,
}

/// The tokens of a conversation and the branch that holds them.
pub struct Line {
    pub branch: Option<Branch>,
    /// What the branch holds.
    pub tokens: Vec<TokenId>,
    left: Arc<Left>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).extend(self.branch.take());
    }
}

impl Session {
    /// The engine and the line, for one user; what freed lines left behind is given back to the engine first.
    pub fn lend(&self) -> Result<(Loan<Motor>, Loan<Line>), Failure> {
        let (mut motor, line) = (self.lend_motor()?, self.line.lend()?);
        let left = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        left.into_iter().for_each(|branch| motor.engine.release(branch));
        Ok((motor, line))
    }

    pub fn lend_motor(&self) -> Result<Loan<Motor>, Failure> {
        self.engine.lend()
    }

    /// A session with an engine of its own and nothing in its line.
    pub fn new(model: Arc<Object<Model>>, options: &rum_session_options) -> Result<Self, Failure> {
        let mut native = native_options(options, model.value.threads)?;
        let network = &model.value.network;
        let needs = network.needs(&native)?;
        let budget = model.value.weights.budget();
        let (memory, kv_limit) = budget.reserve_engine(needs, options.kv_bytes, "the session")?;
        native.kv_limit = kv_limit;
        let mut engine = network.engine(&native)?;
        if let Some(width) = usize::try_from(options.width).ok().filter(|&width| width > 0) {
            engine.set_free_width(width);
        }
        let engine = Lending::new("session", Motor { engine, adapters: Vec::new(), _memory: memory });
        budget.pressure.add(&engine);
        Ok(Self::with_line(model, engine, Arc::default(), native.kv_type.name(), None, Vec::new()))
    }

    fn with_line(
        model: Arc<Object<Model>>,
        engine: Arc<Lending<Motor>>,
        left: Arc<Left>,
        kv_name: &'static str,
        branch: Option<Branch>,
        tokens: Vec<TokenId>,
    ) -> Self {
        let line = Lending::new("session", Line { branch, tokens, left: Arc::clone(&left) });
        Self { model, engine, line, kv_name, left }
    }
}

/// The engine's options for those of a session; `threads` where it does not choose.
pub fn native_options(options: &rum_session_options, threads: usize) -> Result<NativeOptions, Failure> {
    let number = |n: u64, what: &str| {
        usize::try_from(n).map_err(|_| Failure::invalid(format!("{what} is {n}, more than this system can count")))
    };
    let mut native = NativeOptions::default();
    native.threads = if options.threads == 0 { threads } else { number(options.threads, "threads")? };
    native.n_ctx = Some(number(options.n_ctx, "n_ctx")?).filter(|&n| n > 0);
    native.kv_type = match rum_kv::read(options.kv_type)? {
        rum_kv::RUM_KV_F16 => KvType::F16,
        rum_kv::RUM_KV_Q8 => KvType::Q8,
    };
    if options.width > native.limits.branches as u64 {
        return Err(Failure::invalid(format!("width is {}: give at most {}", options.width, native.limits.branches)));
    }
    Ok(native)
}

/// Fills `options` with the defaults. `struct_size` is `sizeof *options`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rum_session_options_init(options: *mut rum_session_options, struct_size: usize) -> rum_status {
    // SAFETY: the caller's promise.
    entry("rum_session_options_init", |_| unsafe { sized::init(options, struct_size) })
}

/// A new session on `model`; `options` may be NULL. The caller frees `out`. Errors: `RUM_ERR_INVALID_ARGUMENT` for a context
/// longer than the model was trained for, `RUM_ERR_MEMORY` when the runtime's budget is spent, `RUM_ERR_IO` when no threads
/// can be started. From any thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_session_new(
    model: *const rum_model,
    options: *const rum_session_options,
    out: *mut *mut rum_session,
) -> rum_status {
    entry("rum_session_new", |call| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        let model = call.object::<Model>(model)?;
        // SAFETY: the caller's promise.
        let options = unsafe { sized::read_or_initial(options, "the options") }?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(Session::new(model, &options)?, out) }
    })
}

/// A session that goes on from where `session` stands. Keys and values are shared until the two differ, so nothing is copied.
///
/// Both run on one engine: while one has a run, the other is busy too. The caller frees `out`, before or after `session`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_session_clone(session: *mut rum_session, out: *mut *mut rum_session) -> rum_status {
    entry("rum_session_clone", |call| {
        // SAFETY: the caller's promise.
        unsafe { clear(out) }?;
        let session = call.receiver::<Session>(session)?;
        let session = &session.value;
        let (mut motor, line) = session.lend()?;
        let branch = line.branch.as_ref().map(|branch| motor.engine.fork(branch)).transpose()?;
        let (model, engine, left) = (session.model.clone(), session.engine.clone(), session.left.clone());
        let clone = Session::with_line(model, engine, left, session.kv_name, branch, line.tokens.clone());
        // SAFETY: the caller's promise; not NULL.
        unsafe { hand_out(clone, out) }
    })
}

/// Writes to `out` how many tokens the session holds after its latest generation.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_session_n_tokens(session: *mut rum_session, out: *mut usize) -> rum_status {
    entry("rum_session_n_tokens", |call| {
        let session = call.receiver::<Session>(session)?;
        not_null(out, "the out-parameter")?;
        let line = session.value.line.lend()?;
        // SAFETY: the caller's promise; not NULL.
        unsafe { out.write(line.tokens.len()) };
        Ok(())
    })
}

/// Cuts what the session holds back to its first `n_tokens` tokens, and frees the keys and values of the rest; 0 empties it.
/// `RUM_ERR_INVALID_ARGUMENT` for more than it holds.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn rum_session_rewind(session: *mut rum_session, n_tokens: usize) -> rum_status {
    entry("rum_session_rewind", |call| {
        let session = call.receiver::<Session>(session)?;
        let (mut motor, mut line) = session.value.lend()?;
        let held = line.tokens.len();
        if n_tokens > held {
            return Err(Failure::invalid(format!("the session holds {held} tokens, so it has no first {n_tokens}")));
        }
        if let Some(branch) = line.branch.as_mut() {
            motor.engine.truncate(branch, n_tokens)?;
        }
        line.tokens.truncate(n_tokens);
        Ok(())
    })
}

/// Bytes in use by the session and its clones. Set `out->struct_size` first.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_session_memory(session: *mut rum_session, out: *mut rum_memory) -> rum_status {
    entry("rum_session_memory", |call| {
        let session = call.receiver::<Session>(session)?;
        // SAFETY: the caller's promise.
        let size = unsafe { sized::check_out(out, "the memory report") }?;
        let (motor, _) = session.value.lend()?;
        let report = motor.engine.memory();
        let memory = rum_memory {
            weights: report.weights,
            kv: report.kv,
            kv_peak: report.kv_peak,
            kv_limit: report.kv_limit,
            scratch: report.scratch,
            adapters: report.adapters,
            ..rum_memory::initial()
        };
        // SAFETY: the size is that of `out`.
        unsafe { sized::write(out, size, &memory) };
        Ok(())
    })
}

/// Times decoding at widths from 1 to 64 and sets how many branches a search decodes at once to the fewest that reach nine
/// tenths of the best rate; writes that number to `out` if it is not NULL.
///
/// About 30 forward passes, 630 tokens in all; `cancel` may be NULL. `RUM_ERR_CANCELLED`, and the old width, when it is cancelled
/// before every width was tried once. Outcomes of searches within a budget in tokens do not depend on the width.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn rum_session_measure_width(
    session: *mut rum_session,
    cancel: *const rum_cancel,
    out: *mut u64,
) -> rum_status {
    entry("rum_session_measure_width", |call| {
        let session = call.receiver::<Session>(session)?;
        let cancel = call.optional::<Cancel>(cancel)?;
        cancel::check(cancel.as_ref().map(|cancel| &cancel.value))?;
        let interrupt = Interrupt::default();
        if let Some(cancel) = &cancel {
            cancel.value.link(&interrupt.cancel);
        }
        let mut motor = session.value.lend_motor()?;
        let measured = motor.engine.measure_free_width(&interrupt);
        // The token forgets this call's.
        interrupt.cancel.cancel();
        measured?;
        if !out.is_null() {
            not_null(out, "the out-parameter")?;
            // SAFETY: the caller's promise; not NULL.
            unsafe { out.write(motor.engine.info().free_width as u64) };
        }
        Ok(())
    })
}

/// Frees a session; NULL is fine. A run on it goes on, and its memory is given back with its last clone and run.
#[unsafe(no_mangle)]
pub extern "C" fn rum_session_free(session: *mut rum_session) -> rum_status {
    free::<Session>("rum_session_free", session)
}
