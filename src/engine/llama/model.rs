//! A model as llama.cpp has it.

use std::path::PathBuf;
use std::sync::Arc;

use ruminate_llama as llama;

use super::LlamaOptions;
use crate::engine::native::NativeOptions;
use crate::engine::{ASSUMED_FREE_WIDTH, ModelInfo, Needs};
use crate::error::{Error, ErrorKind, Result};
use crate::gguf::Gguf;
use crate::kernels::KvType;
use crate::limits::Limits;
use crate::model::Config;

/// A model as llama.cpp has it, which engines share.
pub struct LlamaModel {
    pub(super) model: Arc<llama::Model>,
    path: PathBuf,
    name: String,
    architecture: String,
    fingerprint: String,
    /// Where this library knows the architecture: what adapters are checked against.
    config: Option<Config>,
    /// Numbers that keys and values of one token take in all layers.
    cell_numbers: u64,
    pub(super) n_ctx_short: Option<usize>,
}

impl LlamaModel {
    /// Loads the file at `options.path`, whose parsed form is `gguf`, onto the devices of the options. Errors:
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for devices that there are not, [`Unsupported`](ErrorKind::Unsupported) for a
    /// file that llama.cpp refuses and a network with recurrent layers.
    pub fn load(gguf: &Gguf, options: &LlamaOptions) -> Result<Self> {
        let model = Arc::new(llama::Model::load(&options.path, &options.model())?);
        if model.is_recurrent() {
            let message = "this network has recurrent layers, whose state cannot be shared by branches or cut back";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let meta = gguf.metadata();
        let architecture = meta.str("general.architecture")?.unwrap_or_default().to_owned();
        Ok(Self {
            path: options.path.clone(),
            name: meta.str("general.name")?.unwrap_or_default().to_owned(),
            fingerprint: gguf.fingerprint().to_owned(),
            config: Config::from_gguf(gguf, &Limits::default()).ok(),
            cell_numbers: cell_numbers(gguf, &architecture, &model)?,
            n_ctx_short: n_ctx_short(gguf, &architecture, &model)?,
            architecture,
            model,
        })
    }

    /// What the model is, with a context of so many tokens; with the default one for `None`.
    pub fn info(&self, n_ctx: Option<usize>) -> Result<ModelInfo> {
        let options = LlamaOptions { n_ctx, ..LlamaOptions::new(&self.path) };
        Ok(ModelInfo {
            architecture: self.architecture.clone(),
            name: self.name.clone(),
            fingerprint: self.fingerprint.clone(),
            n_vocab: self.model.n_vocab(),
            n_embd: self.model.n_embd(),
            n_layer: self.model.n_layer(),
            n_ctx: options.n_ctx(self.model.n_ctx_train())?,
            n_ctx_train: self.model.n_ctx_train(),
            free_width: ASSUMED_FREE_WIDTH,
        })
    }

    /// The hyperparameters; [`Unsupported`](ErrorKind::Unsupported) for an architecture that this library does not know, where nothing
    /// could be checked.
    pub fn config(&self) -> Result<&Config> {
        let unknown = || Error::new(ErrorKind::Unsupported, format!("adapters of {:?} models", self.architecture));
        self.config.as_ref().ok_or_else(unknown)
    }

    /// [`ModelInfo::fingerprint`] without adapters.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The options of an engine on this model that runs as `options` say.
    pub fn options(&self, options: &NativeOptions) -> LlamaOptions {
        LlamaOptions::like(options, &self.path)
    }

    /// What an engine with these options would take, but for buffers that llama.cpp does not tell of.
    pub fn needs(&self, options: &LlamaOptions) -> Result<Needs> {
        let n_ctx = options.n_ctx(self.model.n_ctx_train())?;
        let kv = self.cell_bytes(options.kv_type).saturating_mul(options.least_cells(n_ctx) as u64);
        Ok(Needs { scratch: scratch(options.branches, self.model.n_vocab()), kv })
    }

    /// Bytes of keys and values of one token in all layers.
    pub(super) fn cell_bytes(&self, kv_type: KvType) -> u64 {
        cell_bytes(self.cell_numbers, kv_type)
    }
}

/// Bytes of so many numbers of keys and values. Q8_0 keeps 32 numbers in 34 bytes.
pub(super) fn cell_bytes(numbers: u64, kv_type: KvType) -> u64 {
    match kv_type {
        KvType::F16 => numbers.saturating_mul(2),
        KvType::Q8 => numbers.saturating_mul(34) / 32,
    }
}

/// What is known of llama.cpp's buffers: the logits of one pass, in its buffer and in its graph.
pub(super) fn scratch(n_outputs: usize, n_vocab: usize) -> u64 {
    (8 * n_outputs * n_vocab) as u64
}

/// Up to how many tokens of context LongRoPE's short factors count; `None` for other rotations. llama.cpp compares it with the number of
/// KV cells, since it does not know how many of them one branch may take.
pub(super) fn n_ctx_short(gguf: &Gguf, architecture: &str, model: &llama::Model) -> Result<Option<usize>> {
    if gguf.tensor("rope_factors_long.weight").is_none() {
        return Ok(None);
    }
    let original = gguf.metadata().u32(&format!("{architecture}.rope.scaling.original_context_length"))?;
    Ok(Some(original.map_or(model.n_ctx_train(), |tokens| tokens as usize)))
}

/// Numbers that keys and values of one token take in all layers.
pub(super) fn cell_numbers(gguf: &Gguf, architecture: &str, model: &llama::Model) -> Result<u64> {
    let meta = gguf.metadata();
    let own = (model.n_embd() / model.n_head().max(1)) as u64;
    let width = |name: &str| -> Result<u64> {
        Ok(meta.u64(&format!("{architecture}.attention.{name}_length"))?.unwrap_or(own))
    };
    (width("key")? + width("value")?)
        .checked_mul((model.n_head_kv() * model.n_layer()) as u64)
        .ok_or_else(|| Error::format("the model's heads are too wide"))
}
