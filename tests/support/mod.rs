//! What the reference tests share: fixtures, real models, and an engine driven by token ids.
#![allow(dead_code, clippy::expect_used, clippy::unwrap_used, clippy::panic)]

pub mod tiny;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ruminate::engine::native::{NativeEngine, NativeOptions};
use ruminate::engine::{Batch, Branch, Engine, Rows, Want};
use ruminate::gguf::Gguf;
use ruminate::model::Model;
use ruminate::observe::Interrupt;
use ruminate::storage::LoadMode;

use ruminate::Limits;
use serde_json::Value;

/// Tokens of one forward pass; small, so that a prefill crosses several passes.
const CHUNK: usize = 128;

/// `tests/fixtures`.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

pub fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A file that scripts/fetch-models.sh provides: `None`, with a line that says so, where it is absent.
pub fn fetched(file: &str) -> Option<PathBuf> {
    let folder = match std::env::var_os("RUMINATE_TEST_MODELS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/models"),
    };
    let path = folder.join(file);
    if path.is_file() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is absent; scripts/fetch-models.sh fetches it", path.display());
    None
}

pub fn ids(value: &Value) -> Vec<u32> {
    let list = value.as_array().expect("a list of ids");
    list.iter().map(|v| u32::try_from(v.as_u64().expect("an id")).expect("an id")).collect()
}

pub fn floats(value: &Value) -> Vec<f32> {
    value.as_array().expect("a list of numbers").iter().map(|v| v.as_f64().expect("a number") as f32).collect()
}

pub fn engine(path: &Path, n_ctx: Option<usize>) -> NativeEngine {
    let limits = Limits::default();
    let gguf = Gguf::open(path, LoadMode::Mmap, &limits).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let model = Model::load(&gguf, &limits).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut options = NativeOptions::default();
    options.n_ctx = n_ctx;
    // The tests themselves run side by side.
    options.threads = 1;
    NativeEngine::new(Arc::new(model), &options).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

pub fn root(engine: &mut dyn Engine) -> Branch {
    engine.root().unwrap_or_else(|e| panic!("{e}"))
}

/// Rows of every token that was asked for, as owned lists.
#[derive(Default)]
pub struct Owned {
    pub logits: Vec<Vec<f32>>,
    pub hidden: Vec<Vec<f32>>,
}

/// Appends `tokens` in several passes, asking `want` of every one.
pub fn extend(engine: &mut dyn Engine, branch: &Branch, tokens: &[u32], want: Want) -> Owned {
    let mut rows = Rows::new();
    let mut owned = Owned::default();
    for part in tokens.chunks(CHUNK) {
        let mut batch = Batch::new(&Interrupt::default());
        for &token in part {
            batch.push(branch, token, want);
        }
        engine.forward(&batch, &mut rows).unwrap_or_else(|e| panic!("{e}"));
        owned.logits.extend((0..).map_while(|i| rows.logits(i)).map(<[f32]>::to_vec));
        owned.hidden.extend((0..).map_while(|i| rows.hidden(i)).map(<[f32]>::to_vec));
    }
    owned
}

/// The index of the largest logit, the first of equals.
pub fn argmax(logits: &[f32]) -> usize {
    let mut best = 0;
    for (i, &v) in logits.iter().enumerate() {
        if v > logits[best] {
            best = i;
        }
    }
    best
}

/// `-ln softmax(logits)[token]`, in f64.
pub fn nll(logits: &[f32], token: u32) -> f64 {
    let top = f64::from(logits[argmax(logits)]);
    let sum: f64 = logits.iter().map(|&v| (f64::from(v) - top).exp()).sum();
    top + sum.ln() - f64::from(logits[token as usize])
}
