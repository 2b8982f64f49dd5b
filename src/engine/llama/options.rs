//! How llama.cpp runs a model.

use std::path::PathBuf;

use ruminate_llama as llama;

use crate::engine::context::checked_n_ctx;
use crate::engine::native::NativeOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::KvType;
use crate::limits::Limits;

/// KV cells when the caller caps no bytes: so many contexts, since branches share most of theirs,
const DEFAULT_CONTEXTS: usize = 4;
/// or one context and so many cells for each branch.
const DEFAULT_OWN: usize = 64;
/// Cells are taken by so many.
const STEP: usize = llama::CELL_STEP;
/// Tokens of one call.
const BATCH: usize = 512;
/// Branches at once: each costs a row of logits in llama.cpp's buffers, 600 KB of a vocabulary of 150,000.
const BRANCHES: usize = 64;

/// How an engine on llama.cpp runs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LlamaOptions {
    /// The model's file, or the first one of a split model.
    pub path: PathBuf,
    /// Threads of the CPU backend. Default: the processors available to the process.
    pub threads: usize,
    /// Tokens that one branch may hold. Default: the model's training context, at most 4,096.
    pub n_ctx: Option<usize>,
    /// Bytes of KV, which are taken at once. Default: four contexts. Within the original context of a LongRoPE model there are never more
    /// cells than that context has tokens, since llama.cpp chooses the factors by the number of cells.
    pub kv_limit: Option<u64>,
    /// How keys and values are kept. Default: half precision.
    pub kv_type: KvType,
    /// Layers on a GPU, from the last one on. Default: all of them, where there is one.
    pub gpu_layers: Option<u32>,
    /// The only devices to use, by name. Default: whatever there is.
    pub devices: Vec<String>,
    /// Branches alive at once, up to 255, or 127 where layers have a sliding window. Default: 64.
    pub branches: usize,
    /// Caps on batches.
    pub limits: Limits,
}

impl LlamaOptions {
    /// Defaults for the model at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            n_ctx: None,
            kv_limit: None,
            kv_type: KvType::default(),
            gpu_layers: None,
            devices: Vec::new(),
            branches: BRANCHES,
            limits: Limits::default(),
        }
    }

    /// Those of an engine on the model at `path` that runs as `options` say.
    pub fn like(options: &NativeOptions, path: impl Into<PathBuf>) -> Self {
        Self {
            threads: options.threads,
            n_ctx: options.n_ctx,
            kv_limit: options.kv_limit,
            kv_type: options.kv_type,
            ..Self::new(path)
        }
    }

    pub(super) fn model(&self) -> llama::ModelOptions {
        llama::ModelOptions { gpu_layers: self.gpu_layers, devices: self.devices.clone(), ..Default::default() }
    }

    pub(super) fn context(&self, n_cells: usize) -> llama::ContextOptions {
        let kv_type = match self.kv_type {
            KvType::F16 => llama::KvType::F16,
            KvType::Q8 => llama::KvType::Q8,
        };
        let n_batch = BATCH.min(n_cells);
        llama::ContextOptions { n_cells, n_batch, n_sequences: self.branches, threads: self.threads, kv_type }
    }

    /// Tokens that one branch holds.
    pub(super) fn n_ctx(&self, n_ctx_train: usize) -> Result<usize> {
        checked_n_ctx(self.n_ctx, n_ctx_train)
    }

    /// The least KV cells that it can work with.
    pub(super) fn least_cells(&self, n_ctx: usize) -> usize {
        steps(n_ctx.max(self.branches))
    }

    /// KV cells of all branches together, as llama.cpp takes them. `n_ctx_short` is [`n_ctx_short`](super::model::n_ctx_short)'s.
    pub(super) fn cells(&self, n_ctx: usize, cell_bytes: u64, n_ctx_short: Option<usize>) -> Result<usize> {
        let least = self.least_cells(n_ctx);
        let most = steps(n_ctx.saturating_mul(self.branches)).max(least);
        let cells = match self.kv_limit {
            None => {
                let own = self.branches.saturating_mul(DEFAULT_OWN);
                steps(n_ctx.saturating_mul(DEFAULT_CONTEXTS).max(n_ctx.saturating_add(own)))
            }
            Some(bytes) => whole_steps(usize::try_from(bytes / cell_bytes.max(1)).unwrap_or(usize::MAX)).min(most),
        };
        if cells < least {
            let needed = (least as u64).saturating_mul(cell_bytes);
            let message =
                format!("KV of {least} tokens takes {needed} bytes, more than its cap: raise it or lower the context");
            return Err(Error::new(ErrorKind::Memory, message));
        }
        match n_ctx_short.filter(|short| n_ctx <= *short).map(whole_steps) {
            Some(short) if short < least => {
                let message = format!(
                    "llama.cpp takes KV cells by the {STEP} and this model's rotations from their number: give a context of at most \
                     {short} tokens, or of more than its original one"
                );
                Err(Error::unsupported(message))
            }
            short => Ok(cells.min(short.unwrap_or(usize::MAX))),
        }
    }
}

/// As many cells as llama.cpp takes for `n`,
fn steps(n: usize) -> usize {
    n.div_ceil(STEP).saturating_mul(STEP)
}

/// and as many as it takes without more than `n`.
fn whole_steps(n: usize) -> usize {
    n / STEP * STEP
}
