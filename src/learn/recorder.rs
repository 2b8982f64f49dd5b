//! [`Recorder`]: a judge that has no opinion and keeps what it is told.

use std::collections::{BTreeMap, BTreeSet};

use super::trajectory::Trajectory;
use crate::engine::Tap;
use crate::error::{Error, Result};
use crate::observe::Interrupt;
use crate::reward::{Draw, Features, Judge, NEUTRAL, Step, StepId};
use crate::text::TokenId;

/// Values every step [`NEUTRAL`] and keeps all steps of the search, with their hidden states at the given taps.
#[derive(Debug, Clone)]
pub struct Recorder {
    taps: Vec<Tap>,
    entropy: bool,
    steps: BTreeMap<StepId, Recorded>,
    solutions: Vec<Trajectory>,
}

/// One step of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The step that it goes on from; [`StepId::ROOT`] when it follows the prompt.
    pub parent: StepId,
    /// The text of this step alone.
    pub text: String,
    /// Its tokens.
    pub tokens: Vec<TokenId>,
    /// One for each drawn token.
    pub draws: Vec<Draw>,
    /// Hidden states at the rows that drew its tokens.
    pub features: Features,
    /// Whether the solution ends with it.
    pub complete: bool,
}

impl Recorder {
    /// A recorder of hidden states at `taps`; at least one, none twice.
    pub fn new(taps: Vec<Tap>) -> Result<Self> {
        let twice = taps.iter().enumerate().any(|(i, tap)| taps.iter().take(i).any(|t| t == tap));
        if taps.is_empty() || twice {
            return Err(Error::invalid(format!("hidden states at {taps:?}: give at least one tap, and none twice")));
        }
        Ok(Self { taps, entropy: false, steps: BTreeMap::new(), solutions: Vec::new() })
    }

    /// The same recorder, which also asks for [`Draw::entropy`].
    #[must_use]
    pub fn with_entropy(self) -> Self {
        Self { entropy: true, ..self }
    }

    /// A recorder of the same things that was told nothing yet.
    pub(super) fn empty(&self) -> Self {
        Self { taps: self.taps.clone(), entropy: self.entropy, steps: BTreeMap::new(), solutions: Vec::new() }
    }

    /// Takes over the steps of a search that went on from `at`; the new number of each.
    pub(super) fn graft(&mut self, at: StepId, search: Self) -> BTreeMap<StepId, StepId> {
        let mut numbers = BTreeMap::from([(StepId::ROOT, at)]);
        for (old, mut step) in search.steps {
            let id = StepId(self.steps.last_key_value().map_or(1, |(last, _)| last.0 + 1));
            step.parent = numbers.get(&step.parent).copied().unwrap_or(at);
            numbers.insert(old, id);
            self.steps.insert(id, step);
        }
        numbers
    }

    /// All steps of the search.
    pub fn steps(&self) -> &BTreeMap<StepId, Recorded> {
        &self.steps
    }

    /// The labelled solutions that [`collect`](super::collect) drew; none of another search.
    pub fn solutions(&self) -> &[Trajectory] {
        &self.solutions
    }

    pub(super) fn keep(&mut self, solutions: Vec<Trajectory>) {
        self.solutions = solutions;
    }

    /// Every path from the prompt to a step that no other goes on from, in the order of these last steps.
    pub fn paths(&self) -> Vec<Vec<&Recorded>> {
        let path = |leaf: StepId| self.path(leaf).into_iter().filter_map(|id| self.steps.get(&id)).collect();
        self.leaves().into_iter().map(path).collect()
    }

    /// The steps that no other goes on from, in their order.
    pub(super) fn leaves(&self) -> Vec<StepId> {
        let parents: BTreeSet<StepId> = self.steps.values().map(|step| step.parent).collect();
        self.steps.keys().copied().filter(|id| !parents.contains(id)).collect()
    }

    /// The steps from the prompt to `last`; none for a step that there is not.
    pub(super) fn path(&self, last: StepId) -> Vec<StepId> {
        let mut path = Vec::new();
        let mut at = last;
        // A parent was told before its children; what claims more steps than there are goes in circles.
        while let Some(step) = self.steps.get(&at).filter(|_| path.len() <= self.steps.len()) {
            path.push(at);
            at = step.parent;
        }
        path.reverse();
        path
    }

    /// The text from the prompt's end to the end of `last`.
    pub(super) fn text(&self, last: StepId) -> String {
        self.path(last).into_iter().filter_map(|id| self.steps.get(&id)).map(|step| step.text.as_str()).collect()
    }

    /// The tokens from the prompt's end to the end of `last`.
    pub(super) fn tokens(&self, last: StepId) -> Vec<TokenId> {
        let steps = self.path(last).into_iter().filter_map(|id| self.steps.get(&id));
        steps.flat_map(|step| &step.tokens).copied().collect()
    }
}

impl Judge for Recorder {
    fn name(&self) -> &str {
        "recorder"
    }

    fn taps(&self) -> &[Tap] {
        &self.taps
    }

    fn wants_entropy(&self) -> bool {
        self.entropy
    }

    fn begin(&mut self, _question: &str) -> Result<()> {
        self.steps.clear();
        self.solutions.clear();
        Ok(())
    }

    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a step without hidden states.
    fn judge(&mut self, steps: &[Step<'_>], _: &Interrupt) -> Result<Vec<f32>> {
        for step in steps {
            let features = step.features.ok_or_else(|| Error::invalid("a step came without its hidden states"))?;
            let recorded = Recorded {
                parent: step.parent,
                text: step.text.to_owned(),
                tokens: step.tokens.to_vec(),
                draws: step.draws.to_vec(),
                features: features.clone(),
                complete: step.complete,
            };
            self.steps.insert(step.id, recorded);
        }
        Ok(vec![NEUTRAL; steps.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(recorder: &mut Recorder, id: u64, parent: u64, text: &str) {
        let features = Features { last: vec![id as f32], sum: vec![2.0 * id as f32], count: 2 };
        let draws = [Draw { logprob: -1.0, ..Draw::default() }];
        let step = Step {
            id: StepId(id),
            parent: StepId(parent),
            text,
            path: "",
            tokens: &[1],
            draws: &draws,
            features: Some(&features),
            complete: false,
        };
        assert_eq!(recorder.judge(&[step], &Interrupt::default()).unwrap(), [NEUTRAL]);
        let without = Step { features: None, ..step };
        assert!(recorder.judge(&[without], &Interrupt::default()).is_err());
    }

    #[test]
    fn paths_lead_from_the_prompt_to_every_leaf() {
        let mut recorder = Recorder::new(vec![Tap::Final]).unwrap();
        for (id, parent, text) in [(1, 0, "a"), (2, 1, "b"), (3, 0, "c"), (4, 1, "d")] {
            tell(&mut recorder, id, parent, text);
        }
        let texts: Vec<String> =
            recorder.paths().iter().map(|path| path.iter().map(|step| step.text.as_str()).collect()).collect();
        assert_eq!(texts, ["ab", "c", "ad"]);
        assert_eq!(recorder.steps()[&StepId(3)].features.mean(), [3.0]);
        recorder.begin("next").unwrap();
        assert!(recorder.steps().is_empty() && recorder.paths().is_empty());
        // Whoever lies about parents gets an end all the same.
        tell(&mut recorder, 5, 6, "x");
        tell(&mut recorder, 6, 6, "y");
        assert_eq!(recorder.paths().len(), 1);
    }

    #[test]
    fn taps_are_some_and_differ() {
        assert!(Recorder::new(vec![]).is_err() && Recorder::new(vec![Tap::Layer(1), Tap::Layer(1)]).is_err());
        assert_eq!(Recorder::new(vec![Tap::Layer(1), Tap::Final]).unwrap().taps().len(), 2);
    }
}
