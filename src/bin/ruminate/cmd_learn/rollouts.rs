//! Samples of a question set, kept as labelled steps and as preference pairs.

use std::path::Path;

use ruminate::ErrorKind;
use ruminate::engine::Tap;
use ruminate::learn::{self, Block, CollectParams, Judged, Labels, PairParams, Prompt, Recorder, Trajectory};
use ruminate::observe::{CancelToken, Interrupt, Silent};
use ruminate::reason::{self, Strategy};
use ruminate::reward::Judge;
use serde::Serialize;
use serde_json::{Value, json};

use super::line_writer::LineWriter;
use super::step_file::{Collected, StepFile, with_engine};
use crate::dataset::{Dataset, Question};
use crate::exit::{Code, Failure};
use crate::model::Loaded;
use crate::output::Output;
use crate::provenance::{digest, prompt_digest};

/// What a judge has to tell two solutions apart by, unless a user says otherwise.
const JUDGED_GAP: f64 = 0.1;

/// How questions are put and what is kept of their samples.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    pub strategy: &'a dyn Strategy,
    pub params: &'a CollectParams,
    /// Where hidden states are read; the usual places without any.
    pub taps: &'a [Tap],
    pub pairs: Option<PairSettings<'a>>,
    /// Where the solutions are written, if anywhere.
    pub trajectories: Option<&'a Path>,
}

/// Which pairs are written, and where.
#[derive(Clone, Copy)]
pub struct PairSettings<'a> {
    pub path: &'a Path,
    /// Pairs of one question, at most.
    pub most: usize,
    /// What the chosen completion is worth more than the rejected one, at least; by what orders them without it.
    pub gap: Option<f64>,
    /// What orders them, as a user names it; the known answers without it.
    pub judge: Option<&'a str>,
}

/// Samples that grow question by question.
pub struct Rollouts<'a> {
    pub file: StepFile,
    settings: Settings<'a>,
    data: &'a Dataset,
    pairs: Option<LineWriter>,
    trajectories: Option<LineWriter>,
    recorder: Recorder,
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
        let beside = [settings.pairs.map(|pairs| pairs.path), settings.trajectories];
        if beside.contains(&Some(path)) || (beside[0].is_some() && beside[0] == beside[1]) {
            return Err(Failure::usage("--out, --pairs and --trajectories name one file twice"));
        }
        settings.params.labels.validate()?;
        let file = StepFile::open(path, digest(text), &drawn(&settings, model)?, settings.taps, model)?;
        let mut recorder = Recorder::new(file.origin.taps.clone())?;
        if model.judge.as_deref().is_some_and(|judge| judge.wants_entropy()) {
            recorder = recorder.with_entropy();
        }
        let pairs =
            settings.pairs.map(|pairs| LineWriter::open(pairs.path, "chosen", &file, pairs.judge)).transpose()?;
        let trajectories =
            settings.trajectories.map(|path| LineWriter::open(path, "steps", &file, None)).transpose()?;
        Ok(Self { file, settings, data, pairs, trajectories, recorder })
    }

    /// Puts those of the questions that the file lacks; whether all were put before it was cancelled.
    pub fn run(
        &mut self,
        model: &mut Loaded,
        numbers: Vec<usize>,
        cancel: &CancelToken,
        output: &Output,
    ) -> Result<bool, Failure> {
        let todo: Vec<usize> = numbers.into_iter().filter(|&number| !self.file.contains(number)).collect();
        let bar = output.count_progress("questions", todo.len() as u64);
        let mut finished = true;
        for number in todo {
            let question = self.data.questions.get(number).ok_or_else(|| Failure::usage("a row is out of range"))?;
            let block = if cancel.is_cancelled() { None } else { self.sample(model, question, number, cancel)? };
            let Some(block) = block else {
                finished = false;
                break;
            };
            // Steps last: a question counts as done once they are written.
            if !block.rows.is_empty() {
                self.write_pairs(model, question, number, cancel)?;
            }
            self.write_trajectories(question, number)?;
            self.file.push(&block)?;
            let Collected { right, samples, .. } = self.file.collected;
            bar.set_message(format!("{right} of {samples} samples right,"));
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
        self.recorder.begin(&question.text)?;
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

    /// The pairs of the question that was sampled last, whose tree the recorder still holds.
    fn write_pairs(
        &mut self,
        model: &mut Loaded,
        question: &Question,
        number: usize,
        cancel: &CancelToken,
    ) -> Result<(), Failure> {
        let (Some(writer), Some(pairs)) = (&mut self.pairs, self.settings.pairs) else { return Ok(()) };
        let Loaded { tokenizer, template, judge, .. } = model;
        let tokens = reason::prompt(self.settings.strategy, &question.text, tokenizer, template.as_ref())?;
        let text = String::from_utf8_lossy(&tokenizer.decode(&tokens, true)).into_owned();
        let prompt = Prompt { text: &text, tokens: &tokens };
        let gap = pairs.gap.unwrap_or(if judge.is_some() { JUDGED_GAP } else { PairParams::default().gap });
        let params = PairParams { most: pairs.most, gap, ..PairParams::default() };
        let mut found = match judge {
            Some(judge) => {
                let interrupt = Interrupt { cancel: cancel.clone(), deadline: None };
                let judged = Judged::of(&self.recorder, judge.as_mut(), &question.text, &interrupt)?;
                learn::pairs(&self.recorder, prompt, &|last, _| judged.worth(last), &params)
            }
            None => {
                let verifier = question.gold.verifier();
                let worth = |_, text: &str| f64::from(u8::from(verifier.accepts(text)));
                learn::pairs(&self.recorder, prompt, &worth, &params)
            }
        };
        found.truncate(pairs.most);
        found.iter_mut().try_for_each(|pair| pair.settle_prompt(tokenizer))?;
        self.file.collected.pairs += found.len();
        writer.push(number, &found)
    }

    /// The solutions of the question that was sampled last; none of one that was too long.
    fn write_trajectories(&mut self, question: &Question, number: usize) -> Result<(), Failure> {
        let Some(writer) = &mut self.trajectories else { return Ok(()) };
        let line = |solution| Line { question: &question.text, solution };
        let lines: Vec<Line<'_>> = self.recorder.solutions().iter().map(line).collect();
        writer.push(number, &lines)
    }
}

/// A solution and its question.
#[derive(Serialize)]
struct Line<'a> {
    question: &'a str,
    #[serde(flatten)]
    solution: &'a Trajectory,
}

/// How the samples are drawn and labelled, so that a run goes on only as it began.
fn drawn(settings: &Settings<'_>, model: &Loaded) -> Result<Value, Failure> {
    let CollectParams { search, labels } = settings.params;
    let drawn = json!({
        "n": search.n,
        "temp": search.sampler.temperature.to_string(),
        "top_p": search.sampler.top_p.to_string(),
        "max_tokens": search.max_tokens,
        "seed": search.seed,
        "step": search.step,
        "prompt": prompt_digest(settings.strategy),
    });
    let mut drawn = with_engine(drawn, model);
    if *labels != Labels::Outcome {
        drawn["labels"] = serde_json::to_value(labels).map_err(|e| Failure::new(Code::Failure, e))?;
    }
    Ok(drawn)
}
