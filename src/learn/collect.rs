//! Samples of one question with labelled steps.

use std::collections::BTreeMap;

use super::grow::{Grower, Grown, Solution};
use super::labels::Labels;
use super::recorder::Recorder;
use super::rows::{Block, Label, Row};
use super::trajectory::Trajectory;
use super::{first_error, tree_value};
use crate::engine::{Engine, SamplerParams, Tap};
use crate::error::{ErrorKind, Result};
use crate::observe::{CancelToken, Observer};
use crate::reward::StepId;
use crate::reward::verify::Verifier;
use crate::search::{Algo, EarlyStop, SearchParams, Vocabulary, Vote};
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

/// What a tap is called in flags and reports: its layer's number, or `final`.
pub fn tap_name(tap: Tap) -> String {
    match tap {
        Tap::Layer(layer) => layer.to_string(),
        Tap::Final => "final".to_owned(),
    }
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

/// How the samples of a question are drawn and labelled.
#[derive(Debug, Clone, PartialEq)]
pub struct CollectParams {
    /// Those of [`sampling`].
    pub search: SearchParams,
    /// What steps are held against.
    pub labels: Labels,
}

/// Draws the samples of one question and labels their steps; `None` when it was cancelled. The recorder holds the tree of all that
/// was drawn, and the solutions with their labels.
///
/// Every question gets random numbers of its own. A sample that was cut off before its end has failed, whatever number it holds.
/// Steps about which the labels say nothing have no row. Errors as [`solve`](crate::search::solve), and
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for labels out of range.
pub fn collect<E, V>(
    engine: &mut E,
    vocabulary: &V,
    question: &Question<'_>,
    params: &CollectParams,
    recorder: &mut Recorder,
    observer: &mut dyn Observer,
    cancel: &CancelToken,
) -> Result<Option<Block>>
where
    E: Engine + ?Sized,
    V: Vocabulary,
{
    params.labels.validate()?;
    *recorder = recorder.empty();
    let mut grower = Grower { engine, vocabulary, question, params: &params.search, observer, cancel };
    match labelled(&mut grower, params, recorder) {
        Ok((grown, labels)) => {
            recorder.keep(Trajectory::all(recorder, &grown, &labels));
            Ok(Some(Block { question: question.number, rows: rows(recorder, &grown, &labels) }))
        }
        Err(error) if error.kind() == ErrorKind::Cancelled => Ok(None),
        Err(error) => Err(error),
    }
}

fn labelled<E, V>(
    grower: &mut Grower<'_, E, V>,
    params: &CollectParams,
    tree: &mut Recorder,
) -> Result<(Grown, BTreeMap<StepId, Label>)>
where
    E: Engine + ?Sized,
    V: Vocabulary,
{
    let mut grown = Grown::default();
    grower.draw(tree, &mut grown, StepId::ROOT, params.search.n)?;
    let labels = match &params.labels {
        Labels::Outcome => by_outcome(&grown.solutions),
        Labels::MonteCarlo { rollouts } => {
            let samples = grown.solutions.clone();
            for step in samples.iter().flat_map(|sample| sample.steps.split_last()).flat_map(|(_, steps)| steps) {
                grower.draw(tree, &mut grown, *step, *rollouts)?;
            }
            let mut labels = by_outcome(&samples);
            let shares = grown.shares.iter().filter(|(step, _)| **step != StepId::ROOT);
            labels.extend(shares.map(|(&step, &share)| (step, Label::soft(share))));
            labels
        }
        Labels::FirstError(params) => {
            first_error::search(grower, tree, &mut grown, params)?;
            // Where no sample is right, no step can be told to be the wrong one.
            if grown.shares.get(&StepId::ROOT).is_some_and(|share| *share > 0.0) {
                first_error::labels(&grown)
            } else {
                BTreeMap::new()
            }
        }
        Labels::TreeValue(params) => {
            first_error::search(grower, tree, &mut grown, params)?;
            tree_value::labels(tree, &grown)
        }
    };
    Ok((grown, labels))
}

fn by_outcome(solutions: &[Solution]) -> BTreeMap<StepId, Label> {
    let each = |solution: &Solution| {
        let label = Label::hard(solution.right);
        solution.steps.iter().map(|&step| (step, label)).collect::<Vec<_>>()
    };
    solutions.iter().flat_map(each).collect()
}

/// The labelled steps, solution by solution; one that goes on from another's middle holds its own steps alone.
fn rows(tree: &Recorder, grown: &Grown, labels: &BTreeMap<StepId, Label>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (sample, solution) in grown.solutions.iter().enumerate() {
        let before = tree.path(solution.from).len();
        for (index, id) in solution.steps.iter().enumerate() {
            if let (Some(step), Some(&label)) = (tree.steps().get(id), labels.get(id))
                && step.features.count > 0
            {
                rows.push(Row::new(sample, before + index, label, step));
            }
        }
    }
    rows
}
