//! llama.cpp as an engine: CUDA, Metal, Vulkan, every architecture it knows, and an independent program to compare ours with.
//!
//! A branch is a sequence over one buffer of KV cells; a fork marks cells and copies none. Its cells are taken when the engine
//! is made, so the cap on KV only lowers what of them is used.

mod cells;
mod footprint;
mod model;
mod options;
mod saved;

use std::io::{Read, Write};
use std::sync::Arc;

use ruminate_llama as llama;

pub use self::model::LlamaModel;
pub use self::options::LlamaOptions;
use crate::engine::kv_tree::KvTree;
use crate::engine::llama::cells::Cells;
use crate::engine::plan::{Lane, Plan, Step};
use crate::engine::{Batch, Branch, Engine, MemoryReport, ModelInfo, Rows, Tap, adapters_in_use};
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::Gguf;
use crate::kernels::{KvType, row_logit_blocks};
use crate::model::{Adapter, adapted_fingerprint};
use crate::observe::Interrupt;
use crate::simd::Isa;

/// Runs a model by llama.cpp.
pub struct LlamaEngine {
    info: ModelInfo,
    model: Arc<LlamaModel>,
    context: llama::Context,
    kv: KvTree<Cells>,
    /// Bytes of keys and values of one token.
    cell_bytes: u64,
    kv_type: KvType,
    adapter_bytes: u64,
    max_batch: usize,
    isa: Isa,
}

impl LlamaEngine {
    /// An engine on a model of its own: [`LlamaModel::load`] and [`new`](Self::new).
    pub fn load(gguf: &Gguf, options: &LlamaOptions) -> Result<Self> {
        Self::new(&Arc::new(LlamaModel::load(gguf, options)?), options)
    }

    /// An engine on `model`. The options' path and devices are those that it was loaded with. Errors:
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for sizes out of range, [`Memory`](ErrorKind::Memory) when the cells cannot be had.
    pub fn new(model: &Arc<LlamaModel>, options: &LlamaOptions) -> Result<Self> {
        let n_ctx = options.n_ctx(model.model.n_ctx_train())?;
        let cell_bytes = model.cell_bytes(options.kv_type);
        let n_cells = options.cells(n_ctx, cell_bytes, model.n_ctx_short)?;
        let context = llama::Context::new(&model.model, &options.context(n_cells))?;
        let cells = Cells::new(context.n_cells(), cell_bytes, options.kv_limit.unwrap_or(u64::MAX));
        Ok(Self {
            info: model.info(Some(n_ctx))?,
            model: Arc::clone(model),
            kv: KvTree::new(cells, context.n_outputs()),
            context,
            cell_bytes,
            kv_type: options.kv_type,
            adapter_bytes: 0,
            max_batch: options.limits.batch_tokens,
            isa: Isa::detect(),
        })
    }

    /// llama.cpp takes adapters from files alone.
    fn load_adapter(&self, adapter: &Adapter) -> Result<llama::Adapter> {
        let file = tempfile::Builder::new().prefix("ruminate-adapter-").suffix(".gguf").tempfile();
        let file = file.map_err(|e| Error::new(ErrorKind::Io, format!("a temporary file for the adapter: {e}")))?;
        adapter.save(file.path())?;
        Ok(llama::Adapter::load(self.context.model(), file.path())?)
    }

    /// All tokens of a pass, in as many calls as llama.cpp needs.
    fn run(&mut self, plan: &Plan, batch: &Batch<'_>, rows: &mut Rows) -> Result<()> {
        let mut steps = plan.steps.as_slice();
        while !steps.is_empty() {
            batch.interrupt.check()?;
            let (chunk, rest) = steps.split_at(self.chunk(steps));
            self.run_chunk(chunk, &plan.lanes, batch.taps, &batch.interrupt, rows)?;
            steps = rest;
        }
        Ok(())
    }

    /// How many of `steps` fit one call: so many tokens, and so many of them with an output.
    fn chunk(&self, steps: &[Step]) -> usize {
        let mut outputs = 0;
        let fits = |step: &&Step| {
            outputs += usize::from(wants(step));
            outputs <= self.context.n_outputs()
        };
        steps.iter().take(self.context.n_batch()).take_while(fits).count()
    }

    fn run_chunk(
        &mut self,
        steps: &[Step],
        lanes: &[Lane],
        taps: &[Tap],
        interrupt: &Interrupt,
        rows: &mut Rows,
    ) -> Result<()> {
        let token = |step: &Step| llama::Token {
            id: step.token,
            position: step.position,
            sequence: lanes.get(step.lane).map_or(usize::MAX, |lane| lane.slot),
            output: wants(step),
        };
        let tokens: Vec<llama::Token> = steps.iter().map(token).collect();
        let hidden = steps.iter().any(|step| step.want.hidden());
        let taps: Vec<llama::Tap> = taps.iter().filter(|_| hidden).copied().map(llama::Tap::from).collect();
        let states = self.context.decode(&tokens, &taps, &|| interrupt.check().is_err())?;
        for (output, (i, step)) in steps.iter().enumerate().filter(|(_, step)| wants(step)).enumerate() {
            if step.want.hidden() {
                let width = self.info.n_embd;
                for states in &states {
                    let row = states.get(output * width..(output + 1) * width);
                    rows.hidden.extend_from_slice(row.ok_or_else(|| missing("hidden states"))?);
                }
            }
            if step.want.logits() {
                let (logits, blocks) = rows.add_logits(1);
                let row = self.context.logits(i)?;
                if row.len() != logits.len() {
                    return Err(missing("logits"));
                }
                logits.copy_from_slice(row);
                if !row_logit_blocks(self.isa, logits, blocks) {
                    return Err(Error::new(ErrorKind::NonFinite, "llama.cpp's logits hold NaN or infinity"));
                }
            }
        }
        Ok(())
    }

    /// Gives the sequence of a new branch the cells of sequence `from`, or none.
    fn fill(&mut self, branch: Branch, from: Option<usize>) -> Result<Branch> {
        let to = self.kv.find(&branch)?;
        let filled = self.context.cut(to, 0).and_then(|()| from.map_or(Ok(()), |from| self.context.fork(from, to)));
        match filled {
            Ok(()) => Ok(branch),
            Err(error) => {
                self.kv.release(branch);
                Err(error.into())
            }
        }
    }

    /// Takes the pass's tokens back out of llama.cpp's cells.
    fn cut_back(&mut self, lanes: &[Lane]) {
        for lane in lanes {
            // A context that failed is refused by every later call too; a network that cannot be cut back was refused at the start.
            let _ = self.context.cut(lane.slot, lane.held);
        }
    }
}

impl Engine for LlamaEngine {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn root(&mut self) -> Result<Branch> {
        let branch = self.kv.root()?;
        self.fill(branch, None)
    }

    fn fork(&mut self, at: &Branch) -> Result<Branch> {
        let branch = self.kv.fork(at)?;
        let from = self.kv.find(at)?;
        self.fill(branch, Some(from))
    }

    fn len(&self, branch: &Branch) -> usize {
        self.kv.find(branch).map_or(0, |slot| self.kv.len(slot))
    }

    fn truncate(&mut self, branch: &mut Branch, len: usize) -> Result<()> {
        self.kv.truncate(branch, len)?;
        Ok(self.context.cut(self.kv.find(branch)?, len)?)
    }

    fn release(&mut self, branch: Branch) {
        if let Ok(slot) = self.kv.find(&branch) {
            // As in `cut_back`.
            let _ = self.context.cut(slot, 0);
        }
        self.kv.release(branch);
    }

    fn forward(&mut self, batch: &Batch<'_>, rows: &mut Rows) -> Result<()> {
        if batch.len() > self.max_batch {
            let message = format!("{} tokens in one pass; at most {} are allowed", batch.len(), self.max_batch);
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let hidden_width = batch.hidden_width(self.info.n_embd, self.info.n_layer)?;
        rows.clear(self.info.n_vocab, hidden_width);
        let plan = Plan::new(&mut self.kv, batch, self.info.n_vocab, self.info.n_ctx)?;
        match self.run(&plan, batch, rows) {
            Ok(()) => {
                plan.commit(&mut self.kv);
                Ok(())
            }
            Err(error) => {
                self.cut_back(&plan.lanes);
                plan.abandon(&mut self.kv);
                rows.clear(self.info.n_vocab, hidden_width);
                Err(error)
            }
        }
    }

    /// [`Unsupported`](ErrorKind::Unsupported) on an architecture that this library does not know: what its cells hold could not be checked.
    fn save(&self, branches: &[&Branch], out: &mut dyn Write) -> Result<()> {
        self.save_branches(branches, out)
    }

    fn load(&mut self, input: &mut dyn Read) -> Result<Vec<Branch>> {
        self.load_branches(input)
    }

    fn memory(&self) -> MemoryReport {
        let cells = self.kv.pages();
        MemoryReport {
            weights: self.context.model().bytes(),
            adapters: self.adapter_bytes,
            kv: cells.used(),
            kv_peak: cells.peak(),
            kv_limit: cells.limit(),
            scratch: model::scratch(self.context.n_outputs(), self.info.n_vocab),
        }
    }

    fn set_kv_limit(&mut self, bytes: u64) {
        self.kv.pages_mut().set_limit(bytes);
    }

    /// On an architecture that this library does not know nothing could be checked, so that it takes none.
    fn set_adapters(&mut self, adapters: &[(Arc<Adapter>, f32)]) -> Result<()> {
        if self.kv.holds_tokens() {
            return Err(adapters_in_use());
        }
        let fingerprint = adapted_fingerprint(self.model.fingerprint(), adapters)?;
        let mut loaded = Vec::with_capacity(adapters.len());
        for (adapter, scale) in adapters {
            adapter.check(self.model.config()?, self.model.fingerprint())?;
            loaded.push((Arc::new(self.load_adapter(adapter)?), *scale));
        }
        self.context.set_adapters(&loaded)?;
        self.adapter_bytes = adapters.iter().map(|(adapter, _)| 4 * adapter.parameters() as u64).sum();
        self.info.fingerprint = fingerprint;
        Ok(())
    }

    fn set_free_width(&mut self, width: usize) {
        self.info.free_width = width.clamp(1, self.context.n_outputs());
    }
}

/// Whether a token has an output.
fn wants(step: &Step) -> bool {
    step.want.logits() || step.want.hidden()
}

fn missing(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("llama.cpp gave fewer {what} than asked for"))
}

impl From<Tap> for llama::Tap {
    fn from(tap: Tap) -> Self {
        match tap {
            Tap::Layer(layer) => Self::Layer(layer),
            Tap::Final => Self::Final,
        }
    }
}

impl From<llama::Error> for Error {
    fn from(error: llama::Error) -> Self {
        let kind = match error.kind() {
            llama::ErrorKind::InvalidArgument => ErrorKind::InvalidArgument,
            llama::ErrorKind::Load | llama::ErrorKind::Unsupported => ErrorKind::Unsupported,
            llama::ErrorKind::Memory => ErrorKind::Memory,
            llama::ErrorKind::Stopped => ErrorKind::Cancelled,
            _ => ErrorKind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}
