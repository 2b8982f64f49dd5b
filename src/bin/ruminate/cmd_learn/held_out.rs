//! How well a model answers questions that nothing is learned from.

use std::ops::Range;

use ruminate::engine::SamplerParams;
use ruminate::observe::{CancelToken, Silent};
use ruminate::reason::{Resources, Strategy};
use ruminate::search::{Algo, EarlyStop, SearchParams, Vote};
use serde::Serialize;

use crate::ask::{Asked, Respondent};
use crate::dataset::Question;
use crate::exit::{Code, Failure};
use crate::model::Loaded;
use crate::output::Output;

/// Samples that vote where a majority is measured.
pub const VOTERS: usize = 8;

/// Questions and how they are put.
pub struct HeldOut<'a> {
    pub questions: &'a [Question],
    pub rows: Range<usize>,
    pub strategy: &'a dyn Strategy,
    pub temp: f32,
    pub max_tokens: u64,
    pub seed: u64,
}

/// The share of right answers.
#[derive(Debug, Clone, Serialize)]
pub struct Accuracy {
    pub greedy: f64,
    pub majority: f64,
    /// The greedy answers, question by question.
    #[serde(skip)]
    pub right: Vec<bool>,
}

impl HeldOut<'_> {
    /// Greedy answers and majorities of the model as it is.
    pub fn measure(
        &self,
        model: &mut Loaded,
        what: &str,
        cancel: &CancelToken,
        output: &Output,
    ) -> Result<Accuracy, Failure> {
        let bar = output.count_progress(what, self.rows.len() as u64);
        let (mut right, mut majority) = (Vec::new(), 0usize);
        for row in self.rows.clone() {
            right.push(self.is_right(model, row, Algo::Greedy, cancel)?);
            majority += usize::from(self.is_right(model, row, Algo::BestOfN, cancel)?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        let share = |n: usize| n as f64 / right.len().max(1) as f64;
        Ok(Accuracy { greedy: share(right.iter().filter(|&&right| right).count()), majority: share(majority), right })
    }

    /// A question that is too long is not answered.
    fn is_right(&self, model: &mut Loaded, row: usize, algo: Algo, cancel: &CancelToken) -> Result<bool, Failure> {
        let question = self.questions.get(row).ok_or_else(|| Failure::usage("a held-out row is out of range"))?;
        let params = SearchParams {
            algo,
            n: VOTERS,
            vote: Some(Vote::Majority),
            early_stop: EarlyStop::Never,
            sampler: SamplerParams { temperature: self.temp, ..SamplerParams::default() },
            max_tokens: self.max_tokens,
            stop_at_answer: self.strategy.stop_at_answer(),
            seed: self.seed.wrapping_add(row as u64),
            ..SearchParams::default()
        };
        let how = (self.strategy, &Resources::default());
        match Respondent::whole(model).ask(&question.text, how, &params, &mut Silent, cancel) {
            Ok(Asked::Interrupted) => Err(Failure::quiet(Code::Interrupted)),
            Ok(Asked::Answered(outcome)) => Ok(question.gold.accepts_found(outcome.answer.as_deref(), &outcome.text)),
            Ok(Asked::TooLong(_)) => Ok(false),
            Err(failure) => Err(failure.context(format!("held-out row {row}"))),
        }
    }
}
