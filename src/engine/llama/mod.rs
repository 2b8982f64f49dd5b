//! llama.cpp as an engine: CUDA, Metal, Vulkan, every architecture it knows, and an independent program to compare ours with.
//!
//! A branch is a sequence over one buffer of KV cells; a fork marks cells and copies none. Its cells are taken when the engine
//! is made, so the cap on KV only lowers what of them is used.

mod cells;
mod options;

use std::sync::Arc;

use ruminate_llama as llama;

pub use self::options::LlamaOptions;
use crate::engine::kv_tree::KvTree;
use crate::engine::llama::cells::Cells;
use crate::engine::plan::{Lane, Plan, Step};
use crate::engine::{ASSUMED_FREE_WIDTH, Batch, Branch, Engine, MemoryReport, ModelInfo, Rows, Tap, adapters_in_use};
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::Gguf;
use crate::kernels::row_logit_blocks;
use crate::limits::Limits;
use crate::model::{Adapter, Config, adapted_fingerprint};
use crate::observe::Interrupt;
use crate::simd::Isa;

/// Runs a model by llama.cpp.
pub struct LlamaEngine {
    info: ModelInfo,
    /// [`ModelInfo::fingerprint`] without adapters.
    fingerprint: String,
    /// Where this library knows the architecture: what adapters are checked against.
    config: Option<Config>,
    context: llama::Context,
    kv: KvTree<Cells>,
    adapter_bytes: u64,
    max_batch: usize,
    isa: Isa,
}

impl LlamaEngine {
    /// Loads the file at `options.path`, whose parsed form is `gguf`. Errors: [`InvalidArgument`](ErrorKind::InvalidArgument) for sizes
    /// out of range and devices that there are not, [`Unsupported`](ErrorKind::Unsupported) for a file that llama.cpp refuses and a
    /// network with recurrent layers, [`Memory`](ErrorKind::Memory) when the cells cannot be had.
    pub fn load(gguf: &Gguf, options: &LlamaOptions) -> Result<Self> {
        let model = Arc::new(llama::Model::load(&options.path, &options.model())?);
        if model.is_recurrent() {
            let message = "this network has recurrent layers, whose state cannot be shared by branches or cut back";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let meta = gguf.metadata();
        let architecture = meta.str("general.architecture")?.unwrap_or_default().to_owned();
        let n_ctx = options.n_ctx(model.n_ctx_train())?;
        let cell_bytes = options.cell_bytes(gguf, &architecture, &model)?;
        let n_cells = options.cells(n_ctx, cell_bytes)?;
        let context = llama::Context::new(&model, &options.context(n_cells))?;
        let info = ModelInfo {
            name: meta.str("general.name")?.unwrap_or_default().to_owned(),
            fingerprint: gguf.fingerprint().to_owned(),
            n_vocab: model.n_vocab(),
            n_embd: model.n_embd(),
            n_layer: model.n_layer(),
            n_ctx,
            n_ctx_train: model.n_ctx_train(),
            free_width: ASSUMED_FREE_WIDTH,
            architecture,
        };
        let cells = Cells::new(context.n_cells(), cell_bytes, options.kv_limit.unwrap_or(u64::MAX));
        Ok(Self {
            fingerprint: info.fingerprint.clone(),
            config: Config::from_gguf(gguf, &Limits::default()).ok(),
            kv: KvTree::new(cells, context.n_outputs()),
            context,
            info,
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

    fn memory(&self) -> MemoryReport {
        let cells = self.kv.pages();
        MemoryReport {
            weights: self.context.model().bytes(),
            adapters: self.adapter_bytes,
            kv: cells.used(),
            kv_peak: cells.peak(),
            kv_limit: cells.limit(),
            // What is known of it: the logits of one pass, in llama.cpp's buffer and in its graph.
            scratch: (8 * self.context.n_outputs() * self.info.n_vocab) as u64,
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
        let fingerprint = adapted_fingerprint(&self.fingerprint, adapters)?;
        let mut loaded = Vec::with_capacity(adapters.len());
        for (adapter, scale) in adapters {
            let config = self.config.as_ref().ok_or_else(|| {
                Error::new(ErrorKind::Unsupported, format!("adapters of {:?} models", self.info.architecture))
            })?;
            adapter.check(config, &self.fingerprint)?;
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
