//! Samples of a question set, kept as labelled steps and as preference pairs.

use std::path::Path;

use ruminate::ErrorKind;
use ruminate::engine::{Engine, Tap};
use ruminate::learn::{self, Block, Origin, PairParams, Recorder, RowReader, RowWriter};
use ruminate::observe::{CancelToken, Silent};
use ruminate::reason::{self, Strategy};
use ruminate::search::SearchParams;
use serde_json::json;

use super::pair_writer::PairWriter;
use crate::dataset::{Dataset, Question};
use crate::exit::Failure;
use crate::model::Loaded;
use crate::output::Output;
use crate::provenance::{digest, prompt_digest};

/// How questions are put and what is kept of their samples.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    pub strategy: &'a dyn Strategy,
    pub params: &'a SearchParams,
    /// Where hidden states are read; the usual places without any.
    pub taps: &'a [Tap],
    /// A file of pairs, and how many a question gives at most.
    pub pairs: Option<(&'a Path, usize)>,
}

/// Samples that grow question by question.
pub struct Rollouts<'a> {
    pub origin: Origin,
    pub rows: RowWriter,
    pub collected: Collected,
    settings: Settings<'a>,
    data: &'a Dataset,
    pairs: Option<PairWriter>,
    recorder: Recorder,
}

/// What came of this process's questions.
#[derive(Default, Clone, Copy)]
pub struct Collected {
    pub questions: usize,
    pub rows: usize,
    pub samples: usize,
    pub right: usize,
    pub too_long: usize,
    pub pairs: usize,
}

impl<'a> Rollouts<'a> {
    /// Goes on with the file at `path`; `text` is the question set's file.
    pub fn open(
        path: &Path,
        text: &str,
        data: &'a Dataset,
        settings: Settings<'a>,
        model: &Loaded,
    ) -> Result<Self, Failure> {
        let origin = origin(text, &settings, model)?;
        if settings.pairs.is_some_and(|(pairs, _)| pairs == path) {
            return Err(Failure::usage("--pairs names the file of labelled steps"));
        }
        let recorder = Recorder::new(origin.taps.clone())?;
        let rows = RowWriter::open(path, &origin)?;
        let pairs = settings.pairs.map(|(path, _)| PairWriter::open(path, &origin, &rows)).transpose()?;
        Ok(Self { origin, rows, collected: Collected::default(), settings, data, pairs, recorder })
    }

    /// Puts those of the questions that the file lacks; whether all were put before it was cancelled.
    pub fn run(
        &mut self,
        model: &mut Loaded,
        numbers: Vec<usize>,
        cancel: &CancelToken,
        output: &Output,
    ) -> Result<bool, Failure> {
        let todo: Vec<usize> = numbers.into_iter().filter(|&number| !self.rows.contains(number as u64)).collect();
        let bar = output.count_progress("questions", todo.len() as u64);
        let mut finished = true;
        for number in todo {
            let question = self.data.questions.get(number).ok_or_else(|| Failure::usage("a row is out of range"))?;
            let block = if cancel.is_cancelled() { None } else { self.sample(model, question, number, cancel)? };
            let Some(block) = block else {
                finished = false;
                break;
            };
            // Pairs first: a question counts as done once its steps are written.
            if !block.rows.is_empty() {
                self.write_pairs(model, question, number)?;
            }
            self.rows.push(&block)?;
            self.collected.count(&block);
            bar.set_message(format!("{} of {} samples right,", self.collected.right, self.collected.samples));
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(finished)
    }

    /// One question's block; `None` when it was interrupted. A question that is too long gets an empty one.
    fn sample(
        &mut self,
        model: &mut Loaded,
        question: &Question,
        number: usize,
        cancel: &CancelToken,
    ) -> Result<Option<Block>, Failure> {
        let Settings { strategy, params, .. } = self.settings;
        let number = number as u64;
        let block =
            reason::prompt(strategy, &question.text, &model.tokenizer, model.template.as_ref()).and_then(|prompt| {
                let verifier = question.gold.verifier();
                let question = learn::Question { number, text: &question.text, prompt: &prompt, verifier };
                let (engine, recorder) = (&mut model.engine, &mut self.recorder);
                learn::collect(engine, &model.tokenizer, &question, params, recorder, &mut Silent, cancel)
            });
        match block {
            Err(error) if error.kind() == ErrorKind::ContextLength => {
                Ok(Some(Block { question: number, rows: Vec::new() }))
            }
            block => block.map_err(|e| Failure::from(e).context(format!("row {number}"))),
        }
    }

    /// The pairs of the question that was sampled last, which the recorder still holds.
    fn write_pairs(&mut self, model: &Loaded, question: &Question, number: usize) -> Result<(), Failure> {
        let (Some(pairs), Some((_, most))) = (&mut self.pairs, self.settings.pairs) else { return Ok(()) };
        let prompt = reason::prompt(self.settings.strategy, &question.text, &model.tokenizer, model.template.as_ref());
        let prompt = String::from_utf8_lossy(&model.tokenizer.decode(&prompt?, true)).into_owned();
        let params = PairParams { most, ..PairParams::default() };
        let found = learn::pairs(&self.recorder, &prompt, question.gold.verifier(), &params);
        self.collected.pairs += found.len();
        pairs.push(number, found)
    }
}

impl Collected {
    fn count(&mut self, block: &Block) {
        self.questions += 1;
        self.rows += block.rows.len();
        self.too_long += usize::from(block.rows.is_empty());
        let (samples, right) = outcomes(block);
        self.samples += samples;
        self.right += right;
    }
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

/// Samples of a block, and how many of them are right.
fn outcomes(block: &Block) -> (usize, usize) {
    let firsts = || block.rows.chunk_by(|a, b| a.sample == b.sample).filter_map(|rows| rows.first());
    (firsts().count(), firsts().filter(|first| first.right).count())
}

fn origin(text: &str, settings: &Settings<'_>, model: &Loaded) -> Result<Origin, Failure> {
    let (info, params) = (model.engine.info(), settings.params);
    let taps = if settings.taps.is_empty() { learn::default_taps(info.n_layer) } else { settings.taps.to_vec() };
    if let Some(Tap::Layer(layer)) = taps.iter().find(|tap| matches!(tap, Tap::Layer(i) if *i >= info.n_layer)) {
        let n = info.n_layer;
        return Err(Failure::usage(format!("--taps {layer}: the model's layers are 0 to {}", n.saturating_sub(1))));
    }
    let drawn = json!({
        "n": params.n,
        "temp": params.sampler.temperature.to_string(),
        "top_p": params.sampler.top_p.to_string(),
        "max_tokens": params.max_tokens,
        "seed": params.seed,
        "step": params.step,
        "prompt": prompt_digest(settings.strategy),
        "n_ctx": info.n_ctx,
        "kv": model.options.kv_type.name(),
    });
    Ok(Origin {
        architecture: info.architecture.clone(),
        fingerprint: info.fingerprint.clone(),
        data: digest(text),
        settings: drawn.to_string(),
        n_embd: info.n_embd,
        n_layer: info.n_layer,
        taps,
    })
}
