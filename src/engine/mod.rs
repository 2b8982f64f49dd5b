//! The one seam between search and arithmetic: branches that share their prefix's KV, decoded together.

mod backend;
mod batch;
mod context;
mod delegate;
mod device;
mod kv_tree;
#[cfg(feature = "llama")]
pub mod llama;
mod log;
mod lookup;
pub mod native;
mod plan;
mod prefill;
mod rng;
mod sampler;
mod saved;
mod shared;
#[cfg(test)]
pub(crate) mod toy;
mod width;

pub use backend::{Backend, Needs, Network};
pub use batch::{Batch, Row, Rows, Tap, Want};
pub use device::{Device, Footprint, devices};
pub use log::{LogObserver, observe_log};
pub use lookup::{Lookup, pass_ahead};
pub(crate) use prefill::PREFILL_CHUNK;
pub use prefill::prefill;
pub use rng::Stream;
pub use sampler::{Sampled, Sampler, SamplerParams};
pub use shared::{Share, Shared};
pub use width::{WIDEST, WidthCost};

use std::io::{Read, Write};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::model::Adapter;
use crate::observe::Interrupt;

/// The free width until [`Engine::measure_free_width`] has run or [`Engine::set_free_width`] tells it.
const ASSUMED_FREE_WIDTH: usize = 8;

/// A line of thought inside one engine: a path of tokens whose KV it shares with the branches forked from it.
///
/// It is a handle: not cloned but [forked](Engine::fork), and given back by [`Engine::release`]. A handle that is
/// dropped instead keeps its KV until the engine is dropped.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Branch {
    pub(crate) slot: u32,
    pub(crate) serial: u64,
}

/// What one engine is and can do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ModelInfo {
    /// `general.architecture`.
    pub architecture: String,
    /// `general.name`, or an empty string.
    pub name: String,
    /// Digest of the tensor directory and metadata, and of the adapters in use: equal files, equal fingerprints.
    pub fingerprint: String,
    /// Tokens in the vocabulary: the length of one row of logits.
    pub n_vocab: usize,
    /// Width of the residual stream: the length of one row of hidden states.
    pub n_embd: usize,
    /// Transformer layers.
    pub n_layer: usize,
    /// Tokens that one branch can hold.
    pub n_ctx: usize,
    /// Tokens that the model was trained to hold.
    pub n_ctx_train: usize,
    /// Branches worth decoding in one pass: the narrowest width that reaches nine tenths of the best rate in tokens per
    /// second over all branches. A search keeps at most that many lanes.
    pub free_width: usize,
}

/// Bytes in use by one engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryReport {
    /// Weights, mapped or read.
    pub weights: u64,
    /// Adapters in use, as they were packed.
    pub adapters: u64,
    /// KV pages in use by all branches together.
    pub kv: u64,
    /// The most KV that was ever in use.
    pub kv_peak: u64,
    /// The cap on KV pages.
    pub kv_limit: u64,
    /// Activations and other buffers of a forward pass.
    pub scratch: u64,
}

/// Decodes branches of tokens. The native engine and llama.cpp sit behind it and give the same answers.
///
/// A branch's last token stays undecoded until it is needed: a fork shares KV, not the logits that followed it.
pub trait Engine: Send {
    /// Sizes, context, fingerprint and free width.
    fn info(&self) -> &ModelInfo;

    /// A new branch without tokens.
    fn root(&mut self) -> Result<Branch>;

    /// A branch that starts where `at` stands. O(1): KV is shared and nothing is copied.
    fn fork(&mut self, at: &Branch) -> Result<Branch>;

    /// Tokens that `branch` holds; 0 for a handle of another engine.
    fn len(&self, branch: &Branch) -> usize;

    /// Cuts `branch` back to its first `len` tokens.
    fn truncate(&mut self, branch: &mut Branch, len: usize) -> Result<()>;

    /// Gives a branch back; KV that no other branch shares is freed.
    fn release(&mut self, branch: Branch);

    /// Appends the batch's tokens to their branches in one pass and fills `rows` as asked for each token.
    ///
    /// On an error no branch has changed: [`Memory`](crate::ErrorKind::Memory) when KV would exceed its cap,
    /// [`ContextLength`](crate::ErrorKind::ContextLength) past `n_ctx`, [`Cancelled`](crate::ErrorKind::Cancelled)
    /// when the batch's interrupt fired between layers, [`NonFinite`](crate::ErrorKind::NonFinite) with the layer,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a tap of a layer that the model does not have.
    fn forward(&mut self, batch: &Batch<'_>, rows: &mut Rows) -> Result<()>;

    /// Writes `branches` with their KV, in this order, so that [`load`](Self::load) can go on with them in another process.
    /// [`Unsupported`](crate::ErrorKind::Unsupported) by an engine that cannot.
    fn save(&self, branches: &[&Branch], out: &mut dyn Write) -> Result<()> {
        let _ = (branches, out);
        Err(Error::new(ErrorKind::Unsupported, "this engine cannot save KV"))
    }

    /// Reads what [`save`](Self::save) of an engine with the same model, adapters and options wrote: the branches in their
    /// order. On an error nothing of it stays.
    fn load(&mut self, input: &mut dyn Read) -> Result<Vec<Branch>> {
        let _ = input;
        Err(Error::new(ErrorKind::Unsupported, "this engine cannot load KV"))
    }

    /// Bytes in use.
    fn memory(&self) -> MemoryReport;

    /// The most that [`MemoryReport::scratch`] is while `batch` is computed and after it, so that a cap can be held before anything
    /// is taken.
    fn scratch_of(&self, batch: &Batch<'_>) -> u64 {
        let _ = batch;
        self.memory().scratch
    }

    /// Gives back to the system what no branch holds: freed KV pages, and the buffers of a pass. They are taken again when they are
    /// needed. Nothing happens in an engine that cannot.
    fn trim(&mut self) {}

    /// Caps KV at `bytes` from now on ([`MemoryReport::kv_limit`]). Pages already in use stay, only growth past the cap is
    /// refused, so a search can tighten the cap for its own duration and put the old one back.
    fn set_kv_limit(&mut self, bytes: u64);

    /// Puts `adapters` beside the model's matrices in place of those before, each counted as often as the number beside it
    /// says; none of them leaves the model alone. [`ModelInfo::fingerprint`] names the adapters too from then on.
    ///
    /// Errors, after which nothing has changed: those of [`Adapter::check_base`];
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a scale that is not finite, and while any branch holds tokens,
    /// because KV of other adapters must not be mixed in; [`NonFinite`](ErrorKind::NonFinite) for scaled factors that
    /// leave f32; [`Unsupported`](ErrorKind::Unsupported) by an engine that has none.
    fn set_adapters(&mut self, adapters: &[(Arc<Adapter>, f32)]) -> Result<()> {
        if adapters.is_empty() {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Unsupported, "this engine takes no adapters"))
        }
    }

    /// Sets [`ModelInfo::free_width`], at least 1, to what an earlier measurement found for the same model, machine and options.
    fn set_free_width(&mut self, width: usize);

    /// Times decoding at widths from 1 to [`WIDEST`] and sets [`ModelInfo::free_width`] to the narrowest that reaches nine tenths
    /// of the best rate.
    ///
    /// A batch shares the reading of the weights; its arithmetic grows with it. So the rate rises steeply, then hardly:
    /// past the knee more lanes buy nothing but later answers, more KV and more work thrown away by an early stop.
    ///
    /// Three rounds, about 30 passes and 630 tokens in all; leaves no branch behind. When `interrupt` fires, or KV runs
    /// short, what was timed so far counts; [`Cancelled`](ErrorKind::Cancelled), and the old width, before the end of the
    /// first round.
    fn measure_free_width(&mut self, interrupt: &Interrupt) -> Result<Vec<WidthCost>> {
        width::measure(self, interrupt)
    }
}

/// What [`Engine::set_adapters`] says while branches hold KV that the old ones made.
fn adapters_in_use() -> Error {
    Error::invalid("adapters cannot change while a branch holds tokens: release all branches first")
}
