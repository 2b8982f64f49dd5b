//! A file of labelled steps that grows question by question.

use std::path::Path;

use ruminate::engine::{Engine, Tap};
use ruminate::learn::{self, Block, Origin, RowReader, RowWriter};
use serde_json::Value;

use crate::exit::Failure;
use crate::model::Loaded;

/// The file, and what this process added to it.
pub struct StepFile {
    pub origin: Origin,
    pub rows: RowWriter,
    pub collected: Collected,
}

/// What came of this process's questions.
#[derive(Default, Clone, Copy)]
pub struct Collected {
    pub questions: usize,
    pub rows: usize,
    pub samples: usize,
    pub right: usize,
    /// Questions that are too long, and those of which no step could be labelled.
    pub empty: usize,
    pub pairs: usize,
}

impl StepFile {
    /// Goes on with the file at `path`; `data` names the set and `settings` says how its steps are made.
    pub fn open(path: &Path, data: String, settings: &Value, taps: &[Tap], model: &Loaded) -> Result<Self, Failure> {
        let info = model.engine.info();
        let taps = if taps.is_empty() { learn::default_taps(info.n_layer) } else { taps.to_vec() };
        if let Some(Tap::Layer(layer)) = taps.iter().find(|tap| matches!(tap, Tap::Layer(i) if *i >= info.n_layer)) {
            let n = info.n_layer;
            return Err(Failure::usage(format!("--taps {layer}: the model's layers are 0 to {}", n.saturating_sub(1))));
        }
        // Taken together, so that the message about taps that stand twice is the library's.
        learn::Recorder::new(taps.clone())?;
        let origin = Origin {
            architecture: info.architecture.clone(),
            fingerprint: info.fingerprint.clone(),
            data,
            settings: settings.to_string(),
            n_embd: info.n_embd,
            n_layer: info.n_layer,
            taps,
        };
        let rows = RowWriter::open(path, &origin)?;
        Ok(Self { origin, rows, collected: Collected::default() })
    }

    pub fn contains(&self, number: usize) -> bool {
        self.rows.contains(number as u64)
    }

    pub fn push(&mut self, block: &Block) -> Result<(), Failure> {
        self.rows.push(block)?;
        let (samples, right) = outcomes(block);
        let collected = &mut self.collected;
        collected.questions += 1;
        collected.rows += block.rows.len();
        collected.empty += usize::from(block.rows.is_empty());
        (collected.samples, collected.right) = (collected.samples + samples, collected.right + right);
        Ok(())
    }
}

/// `settings` and what of the engine decides the bits of hidden states.
pub fn with_engine(mut settings: Value, model: &Loaded) -> Value {
    settings["n_ctx"] = model.engine.info().n_ctx.into();
    settings["kv"] = model.options.kv_type.name().into();
    if let Some(backend) = model.other_backend() {
        settings["backend"] = backend.into();
    }
    settings
}

/// The share of right samples in a file of labelled steps.
pub fn share_right(path: &Path) -> Result<f64, Failure> {
    let mut reader = RowReader::open(path)?;
    let (mut samples, mut right) = (0usize, 0usize);
    while let Some(block) = reader.block()? {
        let (n, also) = outcomes(&block);
        (samples, right) = (samples + n, right + also);
    }
    Ok(right as f64 / samples.max(1) as f64)
}

/// Samples of a block, and how many of them are right to their last step.
fn outcomes(block: &Block) -> (usize, usize) {
    let lasts = || block.rows.chunk_by(|a, b| a.sample == b.sample).filter_map(|rows| rows.last());
    (lasts().count(), lasts().filter(|last| last.right).count())
}
