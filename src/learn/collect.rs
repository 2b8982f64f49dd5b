//! Samples of one question, every step labelled with its solution's outcome.

use super::recorder::{Recorded, Recorder};
use super::rows::{Block, Row};
use crate::engine::{Engine, SamplerParams, Tap};
use crate::error::Result;
use crate::observe::{CancelToken, Observer};
use crate::reward::Judge;
use crate::reward::verify::Verifier;
use crate::search::{Algo, EarlyStop, SearchParams, StopReason, Vocabulary, Vote, solve};
use crate::text::TokenId;

/// A question with a known answer.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// Its number in its set.
    pub number: u64,
    /// As a person would put it.
    pub text: &'a str,
    /// What the samples go on from.
    pub prompt: &'a [TokenId],
    /// What makes an answer right.
    pub verifier: &'a dyn Verifier,
}

/// Where hidden states are read unless something else is asked for: two thirds up the trunk, where verifiers on hidden states
/// tend to do best (Azaria and Mitchell, arXiv 2304.13734), and after the final norm.
pub fn default_taps(n_layer: usize) -> Vec<Tap> {
    let layer = (2 * n_layer / 3).min(n_layer.saturating_sub(1));
    vec![Tap::Layer(layer), Tap::Final]
}

/// `n` samples, all of them drawn to their end.
pub fn sampling(n: usize, sampler: SamplerParams, max_tokens: u64, seed: u64) -> SearchParams {
    SearchParams {
        algo: Algo::BestOfN,
        n,
        vote: Some(Vote::Majority),
        early_stop: EarlyStop::Never,
        sampler,
        max_tokens,
        seed,
        ..SearchParams::default()
    }
}

/// Draws the samples of one question and labels their steps; `None` when it was cancelled.
///
/// `params` are those of [`sampling`]; every question gets random numbers of its own. A sample that was cut off before its end
/// has failed, whatever number it holds. Errors as [`solve`].
pub fn collect<E, V>(
    engine: &mut E,
    vocabulary: &V,
    question: &Question<'_>,
    params: &SearchParams,
    recorder: &mut Recorder,
    observer: &mut dyn Observer,
    cancel: &CancelToken,
) -> Result<Option<Block>>
where
    E: Engine + ?Sized,
    V: Vocabulary,
{
    let params = SearchParams { seed: params.seed.wrapping_add(question.number), ..params.clone() };
    let judge: &mut dyn Judge = recorder;
    let (prompt, text) = (question.prompt, question.text);
    let outcome = solve(engine, vocabulary, prompt, &params, Some(judge), text, observer, cancel)?;
    if outcome.stop_reason == StopReason::Cancelled {
        return Ok(None);
    }
    let mut rows = Vec::new();
    for (sample, path) in recorder.paths().iter().enumerate() {
        let right = is_right(path, question.verifier);
        let steps = path.iter().enumerate().filter(|(_, step)| step.features.count > 0);
        rows.extend(steps.map(|(index, step)| Row::new(sample, index, right, step)));
    }
    Ok(Some(Block { question: question.number, rows }))
}

fn is_right(path: &[&Recorded], verifier: &dyn Verifier) -> bool {
    let text: String = path.iter().map(|step| step.text.as_str()).collect();
    path.last().is_some_and(|step| step.complete) && verifier.accepts(&text)
}
