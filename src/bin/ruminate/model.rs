//! A model ready to answer: engine, tokenizer and chat template, opened with the flags that several commands share.

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;
use clap::builder::RangedU64ValueParser;
use ruminate::Limits;
use ruminate::engine::Engine;
use ruminate::engine::native::{KvType, NativeOptions};
use ruminate::model::Model;
use ruminate::reward::Judge;
use ruminate::simd::Isa;
use ruminate::text::{ChatMessage, ChatTemplate, EncodeOptions, Thinking, TokenId, Tokenizer};
use serde_json::{Value, json};

use crate::adapter_args::{self, AdapterArg};
use crate::backend::{BackendArgs, NATIVE, Opened};
use crate::exit::Failure;
use crate::source::SourceArgs;

#[derive(clap::Args)]
pub struct ModelArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// Threads; all processors without it. The answer does not depend on it.
    #[arg(long, short, env = "RUMINATE_THREADS", value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    pub threads: Option<usize>,
    /// Tokens that one branch can hold; at most what the model was trained for.
    #[arg(long, env = "RUMINATE_CTX", value_name = "N")]
    pub ctx: Option<usize>,
    /// A LoRA adapter beside the model's matrices, counted SCALE times, once without it; several add up.
    #[arg(long = "adapter", env = "RUMINATE_ADAPTER", value_name = "FILE[=SCALE]", value_parser = adapter_args::adapter)]
    pub adapters: Vec<AdapterArg>,
    #[command(flatten)]
    pub backend: BackendArgs,
    /// How keys and values are kept: half precision, or 8 bits for half the memory.
    #[arg(long, env = "RUMINATE_KV", value_enum, default_value_t = Kv::F16)]
    pub kv: Kv,
    /// Instruction set of the kernels: `scalar`, `avx2`, `avxvnni`, `avx512`; the best of this machine without it.
    #[arg(long, env = "RUMINATE_ISA", value_name = "NAME", value_parser = isa)]
    pub isa: Option<Isa>,
    /// A file for the packed weights: made on the first run, mapped by later ones, which then start without packing.
    #[arg(long, env = "RUMINATE_PACKED_CACHE", value_name = "FILE")]
    pub packed_cache: Option<PathBuf>,
}

/// An instruction set of this machine.
pub fn isa(name: &str) -> Result<Isa, String> {
    Isa::by_name(name).ok_or_else(|| {
        let names: Vec<_> = Isa::available().into_iter().map(Isa::name).collect();
        format!("this machine has {}", names.join(", "))
    })
}

/// Number formats of keys and values.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kv {
    F16,
    Q8,
}

impl From<Kv> for KvType {
    fn from(kv: Kv) -> Self {
        match kv {
            Kv::F16 => Self::F16,
            Kv::Q8 => Self::Q8,
        }
    }
}

/// An opened model.
pub struct Loaded {
    pub engine: Box<dyn Engine>,
    /// Its network, where it is our own engine's.
    network: Option<Arc<Model>>,
    /// What computes, by [`BackendArgs::name`].
    pub backend: String,
    /// What the engine was made with.
    pub options: NativeOptions,
    /// What stands beside the model's matrices.
    pub adapters: Vec<AdapterArg>,
    pub tokenizer: Tokenizer,
    pub template: Option<ChatTemplate>,
    /// What values the steps of searches.
    pub judge: Option<Box<dyn Judge>>,
}

impl ModelArgs {
    pub fn load(&self) -> Result<Loaded, Failure> {
        let limits = Limits::default();
        let gguf = self.source.open()?;
        let naming = |e: ruminate::Error| e.context(self.source.name());
        let tokenizer = Tokenizer::from_gguf(&gguf, &limits).map_err(naming)?;
        let template = ChatTemplate::from_gguf(&gguf, &limits).map_err(naming)?;
        let mut options = NativeOptions::default();
        options.threads = self.threads.unwrap_or(options.threads);
        options.n_ctx = self.ctx;
        options.kv_type = self.kv.into();
        options.isa = self.isa.unwrap_or(options.isa);
        let Opened { engine, network } = self.backend.open(self, &gguf, &options)?;
        let (backend, adapters) = (self.backend.name(), self.adapters.clone());
        Ok(Loaded { engine, network, backend, options, adapters, tokenizer, template, judge: None })
    }
}

impl Loaded {
    /// The network of our own engine, which training goes through.
    pub fn network(&self) -> Result<&Arc<Model>, Failure> {
        self.network
            .as_ref()
            .ok_or_else(|| Failure::usage("this needs --backend native: llama.cpp's weights are its own"))
    }

    /// What computes, where it is not our own engine, whose bits others do not share: samples and results of the two are kept apart.
    pub fn other_backend(&self) -> Option<&str> {
        (self.backend != NATIVE).then_some(self.backend.as_str())
    }

    /// A text as it is, names of control tokens read as those tokens.
    pub fn encode_raw(&self, text: &str) -> Result<Vec<TokenId>, Failure> {
        Ok(self.tokenizer.encode(text, EncodeOptions { add_special: true, parse_special: true })?)
    }

    /// Roles and texts through the model's chat template, up to where its answer begins.
    pub fn encode_chat(&self, messages: &[(&str, &str)]) -> Result<Vec<TokenId>, Failure> {
        let Some(template) = &self.template else {
            return Err(Failure::data("the model has no chat template; `run --raw` takes a prompt as it is"));
        };
        let messages: Vec<ChatMessage> = messages.iter().map(|(role, text)| ChatMessage::new(*role, *text)).collect();
        let text = template.render(&messages, true)?;
        let mut tokens = self.tokenizer.encode(&text, EncodeOptions { add_special: false, parse_special: true })?;
        // Some templates write the BOS token themselves; it has to stand there once.
        if let Some(bos) = self.tokenizer.bos().filter(|bos| self.tokenizer.add_bos() && tokens.first() != Some(bos)) {
            tokens.insert(0, bos);
        }
        Ok(tokens)
    }

    /// How the model marks its thinking, as its chat template says.
    pub fn thinking(&self) -> Option<Thinking> {
        self.template.as_ref().and_then(ChatTemplate::thinking)
    }

    /// The `model` object of JSON documents.
    pub fn document(&self, name: &str) -> Value {
        let info = self.engine.info();
        json!({
            "file": name,
            "name": info.name,
            "architecture": info.architecture,
            "fingerprint": info.fingerprint,
            "adapters": adapter_args::document(&self.adapters),
            "n_ctx": info.n_ctx,
            "weights_bytes": self.engine.memory().weights,
            "backend": self.backend,
        })
    }
}
