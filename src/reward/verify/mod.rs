//! Verifiers: whether an answer is right, decided by computing and not by a model.

mod countdown;
mod expression;
mod number;

pub use self::countdown::{Countdown, reachable};
pub use self::expression::Expression;
pub use self::number::Number;

use crate::error::Result;
use crate::observe::Interrupt;
use crate::reward::{Judge, NEUTRAL, Step, answer};

/// Decides whether an answer is right.
pub trait Verifier: Send {
    /// A short name for tables and messages.
    fn name(&self) -> &str;

    /// Whether `answer`, as it stands in a solution, is right. What cannot be read is wrong.
    fn is_right(&self, answer: &str) -> bool;

    /// The answer of a solution: by default what [`answer::extract`] finds.
    fn find(&self, solution: &str) -> Option<String> {
        answer::extract(solution).map(|found| found.answer.text().to_owned())
    }

    /// Whether the answer of a solution is right; one without an answer is wrong.
    fn accepts(&self, solution: &str) -> bool {
        self.find(solution).is_some_and(|answer| self.is_right(&answer))
    }
}

/// Values a finished solution 1 or 0 by a [`Verifier`], and a step that finishes none [`NEUTRAL`]. A finished solution without
/// an answer is wrong.
#[derive(Debug, Clone)]
pub struct VerifierJudge<V> {
    verifier: V,
}

impl<V: Verifier> VerifierJudge<V> {
    /// A judge by this verifier.
    pub fn new(verifier: V) -> Self {
        Self { verifier }
    }
}

impl<V: Verifier> Judge for VerifierJudge<V> {
    fn name(&self) -> &str {
        self.verifier.name()
    }

    fn judge(&mut self, steps: &[Step<'_>], _: &Interrupt) -> Result<Vec<f32>> {
        let right = |step: &Step<'_>| self.verifier.accepts(step.path);
        let value = |step: &Step<'_>| match step.complete {
            true => f32::from(u8::from(right(step))),
            false => NEUTRAL,
        };
        Ok(steps.iter().map(value).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::StepId;

    #[test]
    fn only_finished_solutions_are_right_or_wrong() {
        let mut judge = VerifierJudge::new(Number::new("18").unwrap());
        let step = |path, complete| Step {
            id: StepId(1),
            parent: StepId::ROOT,
            text: path,
            path,
            tokens: &[],
            draws: &[],
            features: None,
            complete,
        };
        let steps = [step("9*2=18\n#### 18", true), step("#### 17", true), step("#### 18", false), step("so", true)];
        assert_eq!(judge.judge(&steps, &Interrupt::default()).unwrap(), [1.0, 0.0, NEUTRAL, 0.0]);
    }
}
