//! The tiny models and a short way to run them.

use std::path::PathBuf;
use std::sync::Arc;

use ruminate::engine::native::{NativeEngine, NativeOptions};
use ruminate::engine::{Batch, Branch, Engine, Rows, Want};
use ruminate::gguf::Gguf;
use ruminate::model::Model;
use ruminate::observe::Interrupt;
use ruminate::storage::{Bytes, LoadMode};
use ruminate::{Error, Limits};

/// The tiny models with logits from an independent program.
pub const TINY: [&str; 13] = [
    "llama",
    "llama_linear",
    "llama_rope3",
    "llama_tied",
    "llama_yarn",
    "mistral",
    "qwen2",
    "qwen2_yarn",
    "qwen3",
    "gemma3",
    "gemma3_softcap",
    "phi3",
    "phi3_longrope",
];

pub fn tiny_path(name: &str, extension: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/tiny/{name}.{extension}"))
}

pub fn tiny(name: &str) -> Arc<Model> {
    let limits = Limits::default();
    let gguf = Gguf::open(&tiny_path(name, "gguf"), LoadMode::Mmap, &limits).unwrap();
    Arc::new(Model::load(&gguf, &limits).unwrap())
}

/// The model in `bytes`, after whatever a test did to them.
pub fn from_bytes(bytes: Vec<u8>) -> Result<Arc<Model>, Error> {
    let limits = Limits::default();
    let gguf = Gguf::parse(Bytes::from_vec(bytes), &limits)?;
    Ok(Arc::new(Model::load(&gguf, &limits)?))
}

pub fn engine(model: &Arc<Model>, change: impl FnOnce(&mut NativeOptions)) -> NativeEngine {
    let mut options = NativeOptions::default();
    options.threads = 1;
    options.n_ctx = Some(256);
    change(&mut options);
    NativeEngine::new(Arc::clone(model), &options).unwrap()
}

/// Appends `tokens` to `branch` in one pass; logits of all of them.
pub fn extend(engine: &mut NativeEngine, branch: &Branch, tokens: &[u32]) -> Vec<Vec<f32>> {
    let mut batch = Batch::new(&Interrupt::default());
    tokens.iter().for_each(|&token| batch.push(branch, token, Want::Both));
    let mut rows = Rows::new();
    engine.forward(&batch, &mut rows).unwrap();
    (0..tokens.len()).map(|i| rows.logits(i).unwrap().to_vec()).collect()
}

/// `n` tokens that depend on `seed` only.
pub fn tokens(seed: u64, n: usize, n_vocab: usize) -> Vec<u32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    (0..n).map(|_| (next() % n_vocab) as u32).collect()
}

pub fn bits(rows: &[Vec<f32>]) -> Vec<Vec<u32>> {
    rows.iter().map(|row| row.iter().map(|x| x.to_bits()).collect()).collect()
}
