//! A network's sizes and constants, proven consistent before anything is computed with them.

use crate::error::{Error, Result};
use crate::gguf::Gguf;
use crate::kernels::Activation;
use crate::limits::Limits;
use crate::model::{Rope, arch, key, reject_feature};

/// Sliding-window attention: a local layer sees only the last `size` positions, its own included.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Positions that a local layer sees.
    pub size: usize,
    /// For each layer, whether it is local.
    pub local: Vec<bool>,
    /// The rotation of local layers.
    pub rope: Rope,
}

/// Sizes in elements, constants as the architecture defines them. Every field was checked against the caps of
/// [`Limits`], and no size is zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `general.architecture`.
    pub architecture: String,
    /// `general.name`, or an empty string.
    pub name: String,
    /// Tokens in the vocabulary.
    pub n_vocab: usize,
    /// Width of the residual stream.
    pub n_embd: usize,
    /// Transformer layers.
    pub n_layer: usize,
    /// Query heads.
    pub n_head: usize,
    /// Key and value heads; divides `n_head`.
    pub n_head_kv: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Width of the feed-forward layer.
    pub n_ff: usize,
    /// Tokens that the model was trained to hold.
    pub n_ctx_train: usize,
    /// Epsilon of every RMS norm.
    pub norm_eps: f32,
    /// Rotation of the (global) layers.
    pub rope: Rope,
    /// Sliding window, where the architecture has one.
    pub window: Option<Window>,
    /// Factor on `q · k` before the softmax.
    pub attention_scale: f32,
    /// Factor on token embeddings.
    pub embedding_scale: f32,
    /// Gate of the feed-forward layer.
    pub activation: Activation,
    /// `cap * tanh(logits / cap)` on the logits.
    pub logit_softcap: Option<f32>,
}

impl Config {
    /// Reads and checks the configuration of a supported architecture.
    pub fn from_gguf(gguf: &Gguf, limits: &Limits) -> Result<Self> {
        let architecture = gguf.metadata().require_str("general.architecture")?;
        let refine = arch::find(architecture)?;
        for feature in ["expert_count", "attention.kv_lora_rank", "ssm.state_size"] {
            reject_feature(gguf, architecture, feature)?;
        }
        let mut config = Self::common(gguf, architecture, limits)?;
        refine(gguf, &mut config)?;
        Ok(config)
    }

    /// Query heads that share one key and value head.
    pub fn n_group(&self) -> usize {
        self.n_head / self.n_head_kv
    }

    /// Width of all queries of one token.
    pub fn n_embd_q(&self) -> usize {
        self.n_head * self.head_dim
    }

    /// Width of all keys, and of all values, of one token.
    pub fn n_embd_kv(&self) -> usize {
        self.n_head_kv * self.head_dim
    }

    /// Positions that layer `i` sees, `None` for all.
    pub fn window_of(&self, i: usize) -> Option<usize> {
        self.window.as_ref().filter(|w| w.local.get(i) == Some(&true)).map(|w| w.size)
    }

    /// What all architectures have in common, with llama's constants.
    fn common(gguf: &Gguf, architecture: &str, limits: &Limits) -> Result<Self> {
        let read = Reader { gguf, architecture, limits };
        let n_embd = read.width("embedding_length")?;
        let n_head = read.width("attention.head_count")?;
        let n_head_kv = read.width_or("attention.head_count_kv", n_head)?;
        if n_head % n_head_kv != 0 {
            return Err(Error::format(format!("{n_head} query heads cannot share {n_head_kv} key heads evenly")));
        }
        let head_dim = read.width_or("attention.key_length", n_embd / n_head)?;
        if read.width_or("attention.value_length", head_dim)? != head_dim {
            return Err(Error::unsupported("keys and values of different widths are not supported"));
        }
        if head_dim % 8 != 0 {
            return Err(Error::unsupported(format!("heads {head_dim} wide: only multiples of 8 are supported")));
        }
        let n_layer = read.width("block_count")?;
        if n_layer > limits.layers as usize {
            return Err(Error::format(format!("{n_layer} layers; at most {} are allowed", limits.layers)));
        }
        let n_ctx_train = read.width("context_length")?;
        let norm_eps = gguf.metadata().require_f32(&key(architecture, "attention.layer_norm_rms_epsilon"))?;
        if !(norm_eps.is_finite() && norm_eps >= 0.0) {
            return Err(Error::format(format!("the norm's epsilon is {norm_eps}")));
        }
        Ok(Self {
            architecture: architecture.to_owned(),
            name: gguf.metadata().str("general.name")?.unwrap_or_default().to_owned(),
            n_vocab: vocabulary_rows(gguf)?,
            n_embd,
            n_layer,
            n_head,
            n_head_kv,
            head_dim,
            n_ff: read.width("feed_forward_length")?,
            n_ctx_train,
            norm_eps,
            rope: Rope::from_gguf(gguf, architecture, head_dim, n_ctx_train)?,
            window: None,
            attention_scale: 1.0 / (head_dim as f32).sqrt(),
            embedding_scale: 1.0,
            activation: Activation::Silu,
            logit_softcap: None,
        })
    }
}

/// The vocabulary's size is the embedding's row count: metadata may omit it, the tensor cannot.
fn vocabulary_rows(gguf: &Gguf) -> Result<usize> {
    let embedding = gguf
        .tensor("token_embd.weight")
        .ok_or_else(|| Error::format("the file has no tensor token_embd.weight, so it is no language model"))?;
    match embedding.shape() {
        &[_, rows] => usize::try_from(rows).map_err(|_| Error::format("token_embd.weight is too large")),
        shape => Err(Error::format(format!("token_embd.weight has {} dimensions, expected 2", shape.len()))),
    }
}

/// Reads sizes that must be positive and below the cap on widths.
struct Reader<'a> {
    gguf: &'a Gguf,
    architecture: &'a str,
    limits: &'a Limits,
}

impl Reader<'_> {
    fn width(&self, name: &str) -> Result<usize> {
        let key = key(self.architecture, name);
        self.check(&key, self.gguf.metadata().require_u32(&key)?)
    }

    fn width_or(&self, name: &str, default: usize) -> Result<usize> {
        let key = key(self.architecture, name);
        match self.gguf.metadata().u32(&key)? {
            Some(n) => self.check(&key, n),
            None if default > 0 => Ok(default),
            None => Err(Error::format(format!("{key} is missing"))),
        }
    }

    fn check(&self, key: &str, n: u32) -> Result<usize> {
        // A context length is no width, but models train on up to 10M tokens.
        let cap = if key.ends_with("context_length") { 1 << 30 } else { self.limits.width };
        if n == 0 || n > cap {
            return Err(Error::format(format!("{key} is {n}; it must lie between 1 and {cap}")));
        }
        Ok(n as usize)
    }
}
