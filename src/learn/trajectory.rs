//! [`Trajectory`]: a drawn solution with the labels of its steps, for people and other programs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::grow::Grown;
use super::recorder::Recorder;
use super::rows::Label;
use crate::reward::StepId;

/// One solution that was drawn for a question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trajectory {
    /// Which of the question's solutions, from 0.
    pub sample: usize,
    /// Whether its answer is right; one that was cut off is not.
    pub right: bool,
    /// Whether it came to its end.
    pub complete: bool,
    /// How many of the steps are those of another solution, from whose middle it goes on.
    pub shared: usize,
    /// From the prompt's end on.
    pub steps: Vec<TrajectoryStep>,
}

/// One step of a solution.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrajectoryStep {
    /// The text of this step alone.
    pub text: String,
    /// Tokens drawn.
    pub tokens: usize,
    /// Mean of their log-probabilities.
    pub mean_logprob: f64,
    /// How right the labels call it, from 0 to 1; `None` where they say nothing.
    pub value: Option<f32>,
}

impl Trajectory {
    /// All solutions of a question, in the order in which they were drawn.
    pub(super) fn all(tree: &Recorder, grown: &Grown, labels: &BTreeMap<StepId, Label>) -> Vec<Self> {
        let step = |id: &StepId| {
            let step = tree.steps().get(id)?;
            let sum: f64 = step.draws.iter().map(|draw| f64::from(draw.logprob)).sum();
            Some(TrajectoryStep {
                text: step.text.clone(),
                tokens: step.draws.len(),
                mean_logprob: sum / step.draws.len().max(1) as f64,
                value: labels.get(id).map(|label| label.value),
            })
        };
        let solutions = grown.solutions.iter().enumerate().map(|(sample, solution)| {
            let before = tree.path(solution.from);
            let last = solution.steps.last().and_then(|last| tree.steps().get(last));
            Self {
                sample,
                right: solution.right,
                complete: last.is_some_and(|step| step.complete),
                shared: before.len(),
                steps: before.iter().chain(&solution.steps).filter_map(step).collect(),
            }
        });
        solutions.collect()
    }
}
