//! A model ready to answer: its engine, opened with the flags that several commands share.

use std::sync::Arc;

use clap::ValueEnum;
use clap::builder::RangedU64ValueParser;
use ruminate::Limits;
use ruminate::engine::Engine;
use ruminate::engine::native::{NativeEngine, NativeOptions};
use ruminate::model::Model;
use serde_json::{Value, json};

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
    /// What computes.
    #[arg(long, env = "RUMINATE_BACKEND", value_enum, default_value_t = Backend::Native)]
    pub backend: Backend,
}

/// The engines of this build.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    Native,
}

/// An opened model.
pub struct Loaded {
    pub engine: NativeEngine,
}

impl ModelArgs {
    pub fn load(&self) -> Result<Loaded, Failure> {
        let limits = Limits::default();
        let gguf = self.source.open()?;
        let naming = |e: ruminate::Error| e.context(self.source.name());
        let model = Arc::new(Model::load(&gguf, &limits).map_err(naming)?);
        let mut options = NativeOptions::default();
        options.threads = self.threads.unwrap_or(options.threads);
        options.n_ctx = self.ctx;
        let Backend::Native = self.backend;
        let engine = NativeEngine::new(model, &options)?;
        Ok(Loaded { engine })
    }
}

impl Loaded {
    /// The `model` object of JSON documents.
    pub fn document(&self, name: &str) -> Value {
        let info = self.engine.info();
        json!({
            "file": name,
            "name": info.name,
            "architecture": info.architecture,
            "fingerprint": info.fingerprint,
            "n_ctx": info.n_ctx,
            "weights_bytes": self.engine.memory().weights,
            "backend": "native",
        })
    }
}
