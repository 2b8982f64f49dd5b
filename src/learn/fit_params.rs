//! What network a head is, and how it is fitted.

use serde::Serialize;

use crate::error::{Error, Result};

/// The penalty under which readings are compared.
pub(super) const FIRST_L2: f64 = 1e-2;

/// What network a head is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// Logistic regression.
    Linear,
    /// One hidden layer of rectified units.
    Mlp,
}

/// What is held against a solution's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Objective {
    /// The product of its steps' values: a solution is right when every step is, so that one bad step has to carry the blame and
    /// the others need not. A noisy conjunction, as multiple-instance learning uses it (Maron and Lozano-Pérez, NIPS 1998). Where
    /// steps have labels of their own, a label is held against the product of the values up to its step.
    Product,
    /// Every step's value by itself: how likely a right answer is from there on.
    Step,
    /// The mean of a solution's logits, which is to be above that of every wrong solution of the same question: the logistic loss of
    /// the difference (Bradley and Terry, Biometrika 1952; RankNet, Burges et al., ICML 2005). What makes one question harder
    /// than another cancels out, and what tells its samples apart remains. Fits logistic regressions alone.
    Ranking,
}

impl Objective {
    /// The name used in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Step => "step",
            Self::Ranking => "ranking",
        }
    }
}

/// How to fit a head.
#[derive(Debug, Clone, PartialEq)]
pub struct FitParams {
    /// The network; without it, the one that does better on the validation questions.
    pub kind: Option<Kind>,
    /// What labels are held against; without it, the product where they are solutions' outcomes, and each step where steps have
    /// labels of their own.
    pub objective: Option<Objective>,
    /// Units of the hidden layer; from 1 to 4096.
    pub n_hidden: usize,
    /// Penalties on the weights of hidden states to try, on inputs of deviation 1 and a mean loss; some, none below 0.
    pub l2: Vec<f64>,
    /// Decides the first weights of a hidden layer and the order of its batches.
    pub seed: u64,
}

impl Default for FitParams {
    /// Both networks, the objective that suits the labels, 64 hidden units, penalties from 0.001 to 10.
    fn default() -> Self {
        Self { kind: None, objective: None, n_hidden: 64, l2: vec![1e-3, FIRST_L2, 1e-1, 1.0, 10.0], seed: 0 }
    }
}

impl FitParams {
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) naming the first value out of its range.
    pub fn validate(&self) -> Result<()> {
        if !(1..=4096).contains(&self.n_hidden) {
            return Err(Error::invalid(format!("{} hidden units: give 1 to 4096", self.n_hidden)));
        }
        if self.objective == Some(Objective::Ranking) && self.kind == Some(Kind::Mlp) {
            return Err(Error::invalid("the ranking objective fits a linear head"));
        }
        if self.l2.is_empty() || !self.l2.iter().all(|l2| l2.is_finite() && *l2 >= 0.0) {
            return Err(Error::invalid("penalties: give at least one, none below 0"));
        }
        Ok(())
    }
}
