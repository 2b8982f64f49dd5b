//! One context: KV cells that sequences share, and passes over batches of tokens.

use std::collections::BTreeSet;
use std::ffi::{CStr, c_char};
use std::ptr::NonNull;
use std::sync::{Arc, PoisonError};

use llama_cpp_sys_2 as sys;

use crate::adapter::Adapter;
use crate::error::{Error, ErrorKind, Result};
use crate::hooks::{self, Hooks, Tap};
use crate::log;
use crate::model::Model;
use crate::sequence::Twins;

/// What `guard.cpp` gives back after an exception.
const EXCEPTION: i32 = -100;
/// llama.cpp takes cells by so many.
pub const CELL_STEP: usize = 256;

unsafe extern "C" {
    fn ruminate_llama_decode(
        context: *mut sys::llama_context,
        batch: *const sys::llama_batch,
        message: *mut c_char,
        size: usize,
    ) -> i32;
}

/// How keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KvType {
    /// Half precision.
    #[default]
    F16,
    /// 8 bits, which needs flash attention.
    Q8,
}

/// How a context is made.
#[derive(Debug, Clone)]
pub struct ContextOptions {
    /// KV cells: tokens of all sequences together, shared ones once; rounded up to a multiple of [`CELL_STEP`].
    pub n_cells: usize,
    /// Tokens of one pass, at most.
    pub n_batch: usize,
    /// Sequences, at most; up to [`Model::max_sequences`].
    pub n_sequences: usize,
    /// Threads of the CPU backend.
    pub threads: usize,
    /// How keys and values are kept.
    pub kv_type: KvType,
}

/// One token of a pass.
#[derive(Debug, Clone, Copy)]
pub struct Token {
    /// Its number in the vocabulary.
    pub id: u32,
    /// Its place in its sequence, which must follow the last one held.
    pub position: usize,
    /// Its sequence.
    pub sequence: usize,
    /// Whether its logits, and hidden states at the taps, are wanted.
    pub output: bool,
}

/// A context of one model: one user at a time.
#[derive(Debug)]
pub struct Context {
    raw: NonNull<sys::llama_context>,
    /// llama.cpp holds its address; freed after `raw`.
    hooks: NonNull<Hooks>,
    model: Arc<Model>,
    adapters: Vec<Arc<Adapter>>,
    /// The next pass plans its buffers, for which llama.cpp reads the model's list of adapters.
    plans: bool,
    n_vocab: usize,
    n_embd: usize,
    n_cells: usize,
    n_batch: usize,
    n_sequences: usize,
    pub(crate) twins: Option<Twins>,
    /// Whether each token of the last pass was an output.
    outputs: Vec<bool>,
    /// After an exception nobody knows what state it is in.
    failed: bool,
}

// SAFETY: a context may move between threads; all its calls that change it take `&mut self`.
unsafe impl Send for Context {}

impl Context {
    /// A context of `model`. Errors: [`ErrorKind::InvalidArgument`] for sizes out of range,
    /// [`ErrorKind::Memory`] with what llama.cpp logged when it cannot be made.
    pub fn new(model: &Arc<Model>, options: &ContextOptions) -> Result<Self> {
        let ContextOptions { n_cells, n_batch, n_sequences, threads, kv_type } = *options;
        let most = model.max_sequences();
        if !(1..=most).contains(&n_sequences) {
            return Err(Error::invalid(format!("{n_sequences} sequences; give 1 to {most}")));
        }
        let n_cells = n_cells.max(1).next_multiple_of(CELL_STEP);
        // Room for one output of each sequence in every pass.
        let n_batch = n_batch.max(n_sequences + 1);
        if n_cells < n_batch {
            return Err(Error::invalid(format!("{n_cells} KV cells do not hold a pass of {n_batch} tokens")));
        }
        let size = |n: usize| u32::try_from(n).map_err(|_| Error::invalid(format!("{n} is too large")));
        let hooks = NonNull::from(Box::leak(Box::<Hooks>::default()));
        // SAFETY: a plain value of the pinned version.
        let mut params = unsafe { sys::llama_context_default_params() };
        params.n_ctx = size(n_cells)?;
        (params.n_batch, params.n_ubatch) = (size(n_batch)?, size(n_batch)?);
        params.n_seq_max = size(n_sequences + 1)?;
        // Logits of a whole pass would take hundreds of megabytes; llama.cpp asks for a row of each sequence.
        params.n_outputs_max = size(n_sequences + 1)?;
        let threads = i32::try_from(threads.max(1)).map_err(|_| Error::invalid("too many threads"))?;
        (params.n_threads, params.n_threads_batch) = (threads, threads);
        let kv = if kv_type == KvType::Q8 { sys::GGML_TYPE_Q8_0 } else { sys::GGML_TYPE_F16 };
        (params.type_k, params.type_v) = (kv, kv);
        // Without it every sequence has a buffer of its own, and a fork copies all of it.
        params.kv_unified = true;
        params.cb_eval = Some(hooks::see);
        params.cb_eval_user_data = hooks.as_ptr().cast();
        params.abort_callback = Some(hooks::stop);
        params.abort_callback_data = hooks.as_ptr().cast();
        let making = model.making.lock().map_err(|_| Error::new(ErrorKind::Failed, "an earlier call failed"))?;
        // SAFETY: the model lives, and the hooks until after the context; llama.cpp catches its exceptions here.
        let (raw, errors) = log::with_errors(|| unsafe { sys::llama_init_from_model(model.raw(), params) });
        drop(making);
        let Some(raw) = NonNull::new(raw) else {
            // SAFETY: leaked above, and no context holds it.
            drop(unsafe { Box::from_raw(hooks.as_ptr()) });
            return Err(Error::new(ErrorKind::Memory, format!("llama.cpp cannot make a context: {errors}")));
        };
        Ok(Self {
            raw,
            hooks,
            adapters: Vec::new(),
            plans: false,
            n_vocab: model.n_vocab(),
            n_embd: model.n_embd(),
            n_cells,
            // SAFETY: the context was just made; it may have lowered the number.
            n_batch: n_batch.min(unsafe { sys::llama_n_batch(raw.as_ptr()) } as usize),
            n_sequences,
            twins: Twins::new(model, n_sequences),
            outputs: Vec::new(),
            failed: false,
            model: Arc::clone(model),
        })
    }

    /// KV cells.
    pub fn n_cells(&self) -> usize {
        self.n_cells
    }

    /// Tokens of one pass, at most.
    pub fn n_batch(&self) -> usize {
        self.n_batch
    }

    /// Outputs of one pass, at most, and sequences.
    pub fn n_outputs(&self) -> usize {
        self.n_sequences
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Appends `tokens` to their sequences in one pass. Gives the hidden states of the outputs for each of `taps`, rows in the order
    /// of the tokens. `stop` is asked during the pass, on the CPU backend only.
    ///
    /// Errors: [`ErrorKind::Memory`] when there are no cells left, [`ErrorKind::Stopped`], [`ErrorKind::InvalidArgument`] for what
    /// llama.cpp would not survive or refuses, [`ErrorKind::Unsupported`] for a tap that this architecture does not name,
    /// [`ErrorKind::Failed`]. After the first two the caller has to [cut](Self::cut) the sequences back.
    pub fn decode(&mut self, tokens: &[Token], taps: &[Tap], stop: &dyn Fn() -> bool) -> Result<Vec<Vec<f32>>> {
        self.check()?;
        self.check_pass(tokens)?;
        // SAFETY: only this thread touches the hooks, and nothing else refers to them between two passes.
        unsafe { self.hooks.as_mut() }.begin(taps, self.n_embd, stop);
        let (code, message) = self.pass(tokens);
        // SAFETY: as above.
        let rows = unsafe { self.hooks.as_mut() }.end();
        match code {
            0 => {}
            1 => return Err(Error::new(ErrorKind::Memory, format!("no room in {} KV cells", self.n_cells))),
            2 => return Err(Error::new(ErrorKind::Stopped, "the pass was stopped")),
            -1 => return Err(Error::invalid(format!("llama.cpp refuses the batch: {message}"))),
            code => {
                self.failed = true;
                return Err(Error::new(ErrorKind::Failed, format!("llama.cpp failed ({code}): {message}")));
            }
        }
        let sequences: BTreeSet<usize> = tokens.iter().map(|token| token.sequence).collect();
        sequences.into_iter().for_each(|sequence| self.keep(sequence));
        self.outputs = tokens.iter().map(|token| token.output).collect();
        let n_outputs = self.outputs.iter().filter(|output| **output).count();
        if n_outputs == 0 {
            return Ok(vec![Vec::new(); taps.len()]);
        }
        taps.iter().zip(rows).map(|(tap, rows)| self.output_rows(*tap, rows, n_outputs)).collect()
    }

    /// The logits of token `i` of the last pass, which was an output; length `n_vocab`.
    pub fn logits(&self, i: usize) -> Result<&[f32]> {
        self.check()?;
        if self.outputs.get(i) != Some(&true) {
            return Err(Error::invalid(format!("token {i} of the last pass has no logits")));
        }
        // SAFETY: `i` is an output of the last pass; the row lives until the next one, which needs `&mut self`.
        let row = unsafe { sys::llama_get_logits_ith(self.raw.as_ptr(), i as i32) };
        if row.is_null() {
            return Err(Error::new(ErrorKind::Failed, format!("llama.cpp has no logits of token {i}")));
        }
        // SAFETY: llama.cpp's rows are `n_vocab` numbers.
        Ok(unsafe { std::slice::from_raw_parts(row, self.n_vocab) })
    }

    /// Uses these adapters, each counted as often as its number says, from the next pass on. Errors leave the old ones in use;
    /// the caller has to clear sequences whose KV the old ones made.
    pub fn set_adapters(&mut self, adapters: &[(Arc<Adapter>, f32)]) -> Result<()> {
        self.check()?;
        if adapters.iter().any(|(adapter, scale)| !adapter.fits(&self.model) || !scale.is_finite()) {
            return Err(Error::invalid("an adapter of another model, or a scale that is not finite"));
        }
        let mut raw: Vec<_> = adapters.iter().map(|(adapter, _)| adapter.raw()).collect();
        let mut scales: Vec<f32> = adapters.iter().map(|(_, scale)| *scale).collect();
        // SAFETY: as many adapters as scales, all alive and of this model.
        let set = || unsafe {
            sys::llama_set_adapters_lora(self.raw.as_ptr(), raw.as_mut_ptr(), raw.len(), scales.as_mut_ptr())
        };
        let (code, errors) = log::with_errors(set);
        if code != 0 {
            return Err(Error::new(ErrorKind::Load, format!("llama.cpp does not take the adapters: {errors}")));
        }
        self.adapters = adapters.iter().map(|(adapter, _)| Arc::clone(adapter)).collect();
        self.plans = true;
        Ok(())
    }

    pub(crate) fn raw(&self) -> *mut sys::llama_context {
        self.raw.as_ptr()
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.failed {
            return Err(Error::new(ErrorKind::Failed, "the context failed earlier: make a new one"));
        }
        Ok(())
    }

    /// Everything about a pass that llama.cpp asserts.
    fn check_pass(&self, tokens: &[Token]) -> Result<()> {
        if tokens.is_empty() || tokens.len() > self.n_batch {
            return Err(Error::invalid(format!("a pass of {} tokens; give 1 to {}", tokens.len(), self.n_batch)));
        }
        let outputs = tokens.iter().filter(|token| token.output).count();
        if outputs > self.n_sequences {
            return Err(Error::invalid(format!("{outputs} outputs in one pass; give at most {}", self.n_sequences)));
        }
        for token in tokens {
            self.check_sequence(token.sequence)?;
            if token.id as usize >= self.n_vocab {
                return Err(Error::invalid(format!("token {} of a vocabulary of {}", token.id, self.n_vocab)));
            }
            if token.position >= self.n_cells {
                return Err(Error::invalid(format!("position {} with {} KV cells", token.position, self.n_cells)));
            }
        }
        Ok(())
    }

    /// One call of llama_decode, whose numbers are all in range.
    fn pass(&mut self, tokens: &[Token]) -> (i32, String) {
        let mut ids: Vec<i32> = tokens.iter().map(|token| token.id as i32).collect();
        let mut positions: Vec<i32> = tokens.iter().map(|token| token.position as i32).collect();
        let mut counts = vec![1i32; tokens.len()];
        let mut sequences: Vec<i32> = tokens.iter().map(|token| token.sequence as i32).collect();
        let mut lists: Vec<*mut i32> = sequences.iter_mut().map(std::ptr::from_mut).collect();
        let mut outputs: Vec<i8> = tokens.iter().map(|token| i8::from(token.output)).collect();
        let batch = sys::llama_batch {
            n_tokens: tokens.len() as i32,
            token: ids.as_mut_ptr(),
            embd: std::ptr::null_mut(),
            pos: positions.as_mut_ptr(),
            n_seq_id: counts.as_mut_ptr(),
            seq_id: lists.as_mut_ptr(),
            logits: outputs.as_mut_ptr(),
        };
        let mut message = [0 as c_char; 256];
        let model = Arc::clone(&self.model);
        let planning = self.plans.then(|| model.making.lock().unwrap_or_else(PoisonError::into_inner));
        // SAFETY: every array is as long as the batch says and lives during the call; the message is cut to its size.
        let decode =
            || unsafe { ruminate_llama_decode(self.raw.as_ptr(), &batch, message.as_mut_ptr(), message.len()) };
        let (code, errors) = log::with_errors(decode);
        drop(planning);
        self.plans = false;
        if code != EXCEPTION {
            return (code, errors);
        }
        // SAFETY: `guard.cpp` ends what it writes with a zero.
        (code, unsafe { CStr::from_ptr(message.as_ptr()) }.to_string_lossy().into_owned())
    }

    /// The outputs' rows among those that a tap saw: all tokens' in most layers, the outputs' alone from the last layer on.
    fn output_rows(&self, tap: Tap, rows: Vec<f32>, n_outputs: usize) -> Result<Vec<f32>> {
        let (width, seen) = (self.n_embd, rows.len() / self.n_embd.max(1));
        if seen == n_outputs {
            return Ok(rows);
        }
        if seen != self.outputs.len() {
            let message = format!("llama.cpp's graph of this architecture does not show hidden states at {tap:?}");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let outputs = rows.chunks_exact(width).zip(&self.outputs).filter(|(_, output)| **output);
        Ok(outputs.flat_map(|(row, _)| row).copied().collect())
    }

    pub(crate) fn memory(&self) -> sys::llama_memory_t {
        // SAFETY: the context lives.
        unsafe { sys::llama_get_memory(self.raw.as_ptr()) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: nothing refers to the context any more; then nothing holds the hooks, which `new` leaked.
        unsafe {
            sys::llama_free(self.raw.as_ptr());
            drop(Box::from_raw(self.hooks.as_ptr()));
        }
    }
}
