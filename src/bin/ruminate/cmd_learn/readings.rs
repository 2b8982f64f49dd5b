//! Steps that others labelled, as the model's own hidden states see them.

use ruminate::ErrorKind;
use ruminate::engine::Tap;
use ruminate::learn::{self, Block};
use ruminate::observe::{CancelToken, Interrupt};
use ruminate::reason::{self, Strategy};
use ruminate::search::StepRule;
use serde_json::json;

use super::step_file::{StepFile, with_engine};
use crate::dataset::steps::{StepQuestion, StepSet};
use crate::exit::Failure;
use crate::model::Loaded;
use crate::output::Output;
use crate::provenance::prompt_digest;

/// Readings of a set of labelled steps.
pub struct Readings<'a> {
    pub file: StepFile,
    set: &'a StepSet,
    strategy: &'a dyn Strategy,
    /// What stands between two steps, as between those that the model draws.
    separator: String,
}

impl<'a> Readings<'a> {
    /// Goes on with the file at `path`.
    pub fn open(
        path: &std::path::Path,
        set: &'a StepSet,
        strategy: &'a dyn Strategy,
        taps: &[Tap],
        model: &Loaded,
    ) -> Result<Self, Failure> {
        let separator = StepRule::default().separator;
        let settings = json!({
            "labels": set.format.name(),
            "separator": separator,
            "prompt": prompt_digest(strategy),
        });
        let settings = with_engine(settings, model);
        let file = StepFile::open(path, set.digest.clone(), &settings, taps, model)?;
        Ok(Self { file, set, strategy, separator })
    }

    /// Reads those of the wanted rows that the file lacks; whether all were read before it was cancelled.
    pub fn run(
        &mut self,
        model: &mut Loaded,
        numbers: &[usize],
        cancel: &CancelToken,
        output: &Output,
    ) -> Result<bool, Failure> {
        let wanted = |file: &StepFile, number: usize| numbers.binary_search(&number).is_ok() && !file.contains(number);
        let todo = numbers.iter().filter(|&&number| wanted(&self.file, number)).count();
        let bar = output.count_progress("questions", todo as u64);
        for row in self.set.rows()? {
            let (number, line) = row?;
            if !wanted(&self.file, number) {
                continue;
            }
            let named = |e: String| Failure::data(format!("{}: row {number}: {e}", self.set.path.display()));
            let question = self.set.format.read(&line).map_err(named)?;
            let Some(block) = self.read(model, &question, number, cancel)? else {
                bar.finish_and_clear();
                return Ok(false);
            };
            self.file.push(&block)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(true)
    }

    /// One question's block; `None` when it was interrupted. A question that is too long gets an empty one.
    fn read(
        &self,
        model: &mut Loaded,
        question: &StepQuestion,
        number: usize,
        cancel: &CancelToken,
    ) -> Result<Option<Block>, Failure> {
        let interrupt = Interrupt { cancel: cancel.clone(), deadline: None };
        let Loaded { engine, tokenizer, template, .. } = model;
        let question_number = number as u64;
        let prompt = reason::prompt(self.strategy, &question.text, tokenizer, template.as_ref());
        let block = prompt.and_then(|prompt| {
            let steps = (question.steps.as_slice(), self.separator.as_str());
            let taps = &self.file.origin.taps;
            learn::read_steps(engine, tokenizer, (question_number, &prompt), steps, taps, &interrupt)
        });
        match block {
            Ok(block) => Ok(Some(block)),
            Err(error) if error.kind() == ErrorKind::Cancelled => Ok(None),
            Err(error) if error.kind() == ErrorKind::ContextLength => {
                Ok(Some(Block { question: question_number, rows: Vec::new() }))
            }
            Err(error) => Err(Failure::from(error).context(format!("row {number}"))),
        }
    }
}
