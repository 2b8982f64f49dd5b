//! [`Labels`]: what the steps of samples are held against, and where it is published.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What the steps of a question's samples are held against.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Labels {
    /// The outcome of the step's own solution: Math-Shepherd's estimate (Wang et al., arXiv 2312.08935) with one completion.
    #[default]
    Outcome,
    /// Of this many rollouts from each step of each sample, the share that ends right: Math-Shepherd's soft estimate. Published: 8.
    MonteCarlo {
        /// Rollouts from a step.
        rollouts: usize,
    },
    /// Of wrong samples the first error, by halving, with rollouts from the middle: `OmegaPRM`.
    FirstError(OmegaParams),
    /// The values of ReST-MCTS* (Zhang et al., arXiv 2406.03816) in the tree that `FirstError` grows: a step that a right answer
    /// follows brings the value nearer to 1 by 1 over the steps that are left, any other takes as much away.
    TreeValue(OmegaParams),
}

/// Constants of `OmegaPRM` (Luo et al., arXiv 2406.06592), as published unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OmegaParams {
    /// Rollouts from the middle of a solution. Published: 8; `OpenR` 16.
    pub rollouts: usize,
    /// Wrong solutions of one question whose first error is looked for, at most. `OpenR`: 20.
    pub searches: usize,
    /// Q is `alpha^(1 - MC)` times `beta^(length / longest)`: solutions that go wrong where most go right come first.
    pub alpha: f64,
    /// How much long solutions are held back.
    pub beta: f64,
    /// The length that counts as one, in tokens; `OpenR` counts words.
    pub longest: f64,
    /// Weight of U, which is `c_puct * sqrt(all visits) / (1 + visits)` of the step that a solution goes on from.
    pub c_puct: f64,
}

impl Default for OmegaParams {
    fn default() -> Self {
        Self { rollouts: 8, searches: 20, alpha: 0.5, beta: 0.9, longest: 500.0, c_puct: 0.125 }
    }
}

impl Labels {
    /// The name used in files and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Outcome => "outcome",
            Self::MonteCarlo { .. } => "monte-carlo",
            Self::FirstError(_) => "first-error",
            Self::TreeValue(_) => "tree-value",
        }
    }

    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) naming the first value out of its range.
    pub fn validate(&self) -> Result<()> {
        let rollouts = match self {
            Self::Outcome => return Ok(()),
            Self::MonteCarlo { rollouts } => *rollouts,
            Self::FirstError(params) | Self::TreeValue(params) => {
                let OmegaParams { alpha, beta, longest, c_puct, .. } = *params;
                let shares = [alpha, beta].iter().all(|x| *x > 0.0 && *x <= 1.0);
                let sizes = longest.is_finite() && longest > 0.0 && c_puct.is_finite() && c_puct >= 0.0;
                if !(shares && sizes) {
                    return Err(Error::invalid(format!(
                        "the constants of the search for errors are out of range: {params:?}"
                    )));
                }
                params.rollouts
            }
        };
        if !(1..=1024).contains(&rollouts) {
            return Err(Error::invalid(format!("{rollouts} rollouts from a step: give 1 to 1024")));
        }
        Ok(())
    }
}
