//! The native CPU engine: KV tree, forward pass.

mod attend;
mod forward;
mod lora;
mod pages;
mod saved;
mod scratch;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;

pub use crate::kernels::KvType;

use crate::engine::context::{checked_n_ctx, n_ctx};
use crate::engine::kv_tree::{KvTree, SlotId};
use crate::engine::native::forward::Pass;
use crate::engine::native::lora::LoraSet;
pub(in crate::engine) use crate::engine::native::pages::PagePool;
use crate::engine::native::scratch::{CHUNK_TOKENS, Demand, Scratch, ScratchSizes};
use crate::engine::plan::Plan;
use crate::engine::{ASSUMED_FREE_WIDTH, Batch, Branch, Engine, MemoryReport, ModelInfo, Rows, adapters_in_use};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::Team;
use crate::kernels::{Activations, KvLayout, LONGEST_BLOCK, PAGE_TOKENS};
use crate::limits::Limits;
use crate::model::{Adapter, Config, Model, Tensor};
use crate::simd::Isa;

/// Bytes of [`LONGEST_BLOCK`] inputs where the weights' formats are not known: as f32, and as f32 again for F16 and BF16; quantized forms take less.
const ESTIMATED_BLOCK_BYTES: usize = 8 * LONGEST_BLOCK;

/// How a native engine runs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NativeOptions {
    /// Threads of one forward pass. Default: the processors available to the process.
    pub threads: usize,
    /// Tokens that one branch may hold. Default: the model's training context, at most 4,096.
    pub n_ctx: Option<usize>,
    /// Cap on KV, in bytes. Default: none.
    pub kv_limit: Option<u64>,
    /// How keys and values are kept. Default: half precision.
    pub kv_type: KvType,
    /// Instruction set; the best one available by default.
    pub isa: Isa,
    /// Caps on branches and batches.
    pub limits: Limits,
}

impl Default for NativeOptions {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            n_ctx: None,
            kv_limit: None,
            kv_type: KvType::default(),
            isa: Isa::detect(),
            limits: Limits::default(),
        }
    }
}

impl NativeOptions {
    fn layout(&self, config: &Config) -> KvLayout {
        let (n_layer, n_head_kv, head_dim) = (config.n_layer, config.n_head_kv, config.head_dim);
        KvLayout { ty: self.kv_type, n_layer, n_head_kv, head_dim }
    }
}

/// Runs a [`Model`] on the CPU.
pub struct NativeEngine {
    model: Arc<Model>,
    info: ModelInfo,
    team: Team,
    isa: Isa,
    kv: KvTree<PagePool>,
    loras: Option<LoraSet>,
    scratch: Scratch,
    max_batch: usize,
}

impl NativeEngine {
    /// An engine over `model`, which several engines may share.
    pub fn new(model: Arc<Model>, options: &NativeOptions) -> Result<Self> {
        let config = model.config();
        let n_ctx = checked_n_ctx(options.n_ctx, config.n_ctx_train)?;
        let info = ModelInfo {
            architecture: config.architecture.clone(),
            name: config.name.clone(),
            fingerprint: model.fingerprint().to_owned(),
            n_vocab: config.n_vocab,
            n_embd: config.n_embd,
            n_layer: config.n_layer,
            n_ctx,
            n_ctx_train: config.n_ctx_train,
            free_width: ASSUMED_FREE_WIDTH,
        };
        let limit = options.kv_limit.unwrap_or(u64::MAX);
        Ok(Self {
            team: Team::new(options.threads)?,
            isa: options.isa,
            kv: KvTree::new(PagePool::new(options.layout(config), limit), options.limits.branches),
            loras: None,
            scratch: Scratch::new(config, n_ctx),
            max_batch: options.limits.batch_tokens,
            info,
            model,
        })
    }

    /// What a batch asks of the buffers; branches that are not this engine's are left to [`forward`](Engine::forward).
    fn demand(&self, batch: &Batch<'_>) -> Demand {
        let mut added: BTreeMap<SlotId, usize> = BTreeMap::new();
        for slot in batch.items.iter().filter_map(|item| self.kv.find(item.branch).ok()) {
            *added.entry(slot).or_default() += 1;
        }
        let of_branch = |(slot, tokens): (SlotId, usize)| {
            let held = self.kv.len(slot);
            let parts = self.kv.path(slot, held).len() + tokens.div_ceil(PAGE_TOKENS) + 1;
            Demand { tokens, positions: held + tokens, stretches: tokens * parts }
        };
        added.into_iter().map(of_branch).fold(Demand::default(), Demand::beside)
    }

    /// The model that it runs.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// What an engine over a model of this configuration would take, before anything is loaded.
    pub fn estimate(config: &Config, weights: u64, options: &NativeOptions) -> Estimate {
        let layout = options.layout(config);
        let positions = n_ctx(options.n_ctx, config.n_ctx_train);
        // A prompt that one branch holds alone: a token sees parts of pages as it sees pages.
        let stretches = CHUNK_TOKENS * positions.div_ceil(PAGE_TOKENS);
        let demand = Demand { tokens: CHUNK_TOKENS, positions, stretches };
        Estimate {
            weights,
            kv_per_token: layout.token_bytes(),
            kv_page: layout.page_bytes(),
            page_tokens: PAGE_TOKENS,
            scratch: ScratchSizes { config, threads: options.threads, block_bytes: ESTIMATED_BLOCK_BYTES, rank: 0 }
                .bytes(demand),
        }
    }
}

/// Bytes that an engine would take.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Estimate {
    /// The model's files.
    pub weights: u64,
    /// KV of one token of one branch.
    pub kv_per_token: u64,
    /// KV is taken in pages of this many bytes.
    pub kv_page: u64,
    /// Tokens in one page.
    pub page_tokens: usize,
    /// Activations of the largest pass.
    pub scratch: u64,
}

impl Estimate {
    /// KV of `branches` branches that share `prompt` tokens and add `tokens` of their own each.
    pub fn kv(&self, prompt: usize, branches: usize, tokens: usize) -> u64 {
        let pages = |n: usize| n.div_ceil(self.page_tokens) as u64;
        (pages(prompt) + branches as u64 * pages(tokens)).saturating_mul(self.kv_page)
    }

    /// The most branches of `tokens` tokens each over a common prompt whose KV fits `budget` bytes.
    pub fn widest(&self, prompt: usize, tokens: usize, budget: u64) -> u64 {
        let branch = self.kv(0, 1, tokens).max(1);
        budget.saturating_sub(self.kv(prompt, 0, 0)) / branch
    }
}

impl Engine for NativeEngine {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn root(&mut self) -> Result<Branch> {
        self.kv.root()
    }

    fn fork(&mut self, at: &Branch) -> Result<Branch> {
        self.kv.fork(at)
    }

    fn len(&self, branch: &Branch) -> usize {
        self.kv.find(branch).map_or(0, |slot| self.kv.len(slot))
    }

    fn truncate(&mut self, branch: &mut Branch, len: usize) -> Result<()> {
        self.kv.truncate(branch, len)
    }

    fn release(&mut self, branch: Branch) {
        self.kv.release(branch);
    }

    fn forward(&mut self, batch: &Batch<'_>, rows: &mut Rows) -> Result<()> {
        if batch.len() > self.max_batch {
            let message = format!("{} tokens in one pass; at most {} are allowed", batch.len(), self.max_batch);
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let hidden_width = batch.hidden_width(self.info.n_embd, self.info.n_layer)?;
        rows.clear(self.info.n_vocab, hidden_width);
        let demand = self.demand(batch);
        let plan = Plan::new(&mut self.kv, batch, self.info.n_vocab, self.info.n_ctx)?;
        self.scratch.expect(demand);
        let pass = Pass {
            model: &self.model,
            team: &self.team,
            isa: self.isa,
            kv: &mut self.kv,
            loras: self.loras.as_ref(),
            scratch: &mut self.scratch,
            lanes: &plan.lanes,
            taps: batch.taps,
            interrupt: &batch.interrupt,
        };
        // A mapped file that changed would have given wrong numbers: nothing of this pass may be used then.
        match pass.run(&plan.steps, rows).and_then(|()| self.model.check_unchanged()) {
            Ok(()) => {
                plan.commit(&mut self.kv);
                Ok(())
            }
            Err(error) => {
                plan.abandon(&mut self.kv);
                rows.clear(self.info.n_vocab, hidden_width);
                Err(error)
            }
        }
    }

    fn save(&self, branches: &[&Branch], out: &mut dyn Write) -> Result<()> {
        self.save_branches(branches, out)
    }

    fn load(&mut self, input: &mut dyn Read) -> Result<Vec<Branch>> {
        self.load_branches(input)
    }

    fn trim(&mut self) {
        self.kv.pages_mut().trim();
        self.scratch.trim();
    }

    fn memory(&self) -> MemoryReport {
        let pages = self.kv.pages();
        MemoryReport {
            weights: self.model.weight_bytes(),
            adapters: self.loras.as_ref().map_or(0, LoraSet::bytes),
            kv: pages.used(),
            kv_peak: pages.peak(),
            kv_limit: pages.limit(),
            scratch: self.scratch.bytes(),
        }
    }

    fn scratch_of(&self, batch: &Batch<'_>) -> u64 {
        let formats = self.model.weights().multiplied().map(Tensor::ty);
        let block_bytes = Activations::block_bytes(formats);
        let rank = self.loras.as_ref().map_or(0, LoraSet::rank);
        let sizes = ScratchSizes { config: self.model.config(), threads: self.team.threads(), block_bytes, rank };
        sizes.bytes(self.scratch.together_with(self.demand(batch)))
    }

    fn set_kv_limit(&mut self, bytes: u64) {
        self.kv.pages_mut().set_limit(bytes);
    }

    fn set_adapters(&mut self, adapters: &[(Arc<Adapter>, f32)]) -> Result<()> {
        if self.kv.holds_tokens() {
            return Err(adapters_in_use());
        }
        self.loras = match adapters {
            [] => None,
            _ => Some(LoraSet::new(&self.team, &self.model, adapters)?),
        };
        let fingerprint = self.loras.as_ref().map_or(self.model.fingerprint(), LoraSet::fingerprint);
        self.info.fingerprint = fingerprint.to_owned();
        Ok(())
    }

    fn set_free_width(&mut self, width: usize) {
        self.info.free_width = width.max(1);
    }
}
