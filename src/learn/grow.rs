//! Solutions drawn from the prompt or from the middle of other solutions, all in one tree.

use std::collections::BTreeMap;

use super::collect::Question;
use super::recorder::Recorder;
use crate::engine::{Engine, Stream};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{CancelToken, Observer};
use crate::reward::{Judge, StepId};
use crate::search::{SearchParams, StopReason, Vocabulary, solve};

/// A drawn solution.
#[derive(Debug, Clone)]
pub(super) struct Solution {
    /// The step that it goes on from; [`StepId::ROOT`] for the prompt.
    pub from: StepId,
    /// Its own steps, from there to its end.
    pub steps: Vec<StepId>,
    /// What was cut off before its end has failed, whatever number it holds.
    pub right: bool,
    /// Whether its first error was looked for.
    pub searched: bool,
}

/// All that was drawn for one question.
#[derive(Debug, Default)]
pub(super) struct Grown {
    pub solutions: Vec<Solution>,
    /// Of the solutions that go on from a step, the share that is right.
    pub shares: BTreeMap<StepId, f64>,
}

/// Whoever draws.
pub(super) struct Grower<'a, E: ?Sized, V> {
    pub engine: &'a mut E,
    pub vocabulary: &'a V,
    pub question: &'a Question<'a>,
    pub params: &'a SearchParams,
    pub observer: &'a mut dyn Observer,
    pub cancel: &'a CancelToken,
}

impl<E, V> Grower<'_, E, V>
where
    E: Engine + ?Sized,
    V: Vocabulary,
{
    /// Draws `n` solutions that go on from `at` and adds them to the tree; the share of right ones.
    ///
    /// [`Cancelled`](ErrorKind::Cancelled) when it was; other errors as [`solve`].
    pub fn draw(&mut self, tree: &mut Recorder, grown: &mut Grown, at: StepId, n: usize) -> Result<f64> {
        let Question { number, prompt, text, .. } = *self.question;
        let seed = self.params.seed.wrapping_add(number);
        // Every step has random numbers of its own.
        let seed = if at == StepId::ROOT { seed } else { Stream::new(seed).bits(at.0) };
        let drawn = tree.tokens(at);
        let max_tokens = self.params.max_tokens.saturating_sub(drawn.len() as u64).max(1);
        let params = SearchParams { n, seed, max_tokens, ..self.params.clone() };
        let tokens = [prompt, &drawn].concat();
        let mut search = tree.empty();
        let judge: &mut dyn Judge = &mut search;
        let judge = Some(judge);
        let outcome =
            solve(self.engine, self.vocabulary, &tokens, &params, judge, text, &mut *self.observer, self.cancel)?;
        if outcome.stop_reason == StopReason::Cancelled {
            return Err(Error::new(ErrorKind::Cancelled, "drawing solutions was cancelled"));
        }
        let paths: Vec<Vec<StepId>> = search.leaves().into_iter().map(|leaf| search.path(leaf)).collect();
        let numbers = tree.graft(at, search);
        let mut right = 0usize;
        for path in &paths {
            let steps: Vec<StepId> = path.iter().filter_map(|step| numbers.get(step).copied()).collect();
            let solution = Solution { from: at, right: self.is_right(tree, &steps), steps, searched: false };
            right += usize::from(solution.right);
            grown.solutions.push(solution);
        }
        let share = right as f64 / paths.len().max(1) as f64;
        grown.shares.insert(at, share);
        Ok(share)
    }

    fn is_right(&self, tree: &Recorder, steps: &[StepId]) -> bool {
        let last = steps.last().and_then(|last| Some((last, tree.steps().get(last)?)));
        last.is_some_and(|(&id, last)| last.complete && self.question.verifier.accepts(&tree.text(id)))
    }
}
