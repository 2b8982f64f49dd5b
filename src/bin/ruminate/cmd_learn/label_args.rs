//! What the steps of samples are held against: the flags.

use clap::ValueEnum;
use ruminate::learn::{Labels, OmegaParams};

#[derive(clap::Args)]
pub struct LabelArgs {
    /// What the steps of samples are held against.
    #[arg(long = "labels", env = "RUMINATE_LABELS", value_enum)]
    kind: Option<LabelKind>,
    /// Rollouts from a step, for the labels that need some.
    #[arg(long, env = "RUMINATE_ROLLOUTS", value_name = "N", default_value_t = OmegaParams::default().rollouts, requires = "kind")]
    rollouts: usize,
    /// Wrong solutions of one question whose first error is looked for, at most.
    #[arg(long, env = "RUMINATE_SEARCHES", value_name = "N", default_value_t = OmegaParams::default().searches, requires = "kind")]
    searches: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LabelKind {
    /// The outcome of the step's own solution; what stands without the flag.
    Outcome,
    /// The share of right ones among rollouts from each step (Math-Shepherd).
    MonteCarlo,
    /// Of wrong solutions the first error, found by halving with rollouts from the middle (OmegaPRM).
    FirstError,
    /// The values of ReST-MCTS* in the tree of those rollouts.
    TreeValue,
}

impl LabelArgs {
    /// Whether a user asked for labels.
    pub fn given(&self) -> bool {
        self.kind.is_some()
    }

    pub fn labels(&self) -> Labels {
        let omega = OmegaParams { rollouts: self.rollouts, searches: self.searches, ..OmegaParams::default() };
        match self.kind.unwrap_or(LabelKind::Outcome) {
            LabelKind::Outcome => Labels::Outcome,
            LabelKind::MonteCarlo => Labels::MonteCarlo { rollouts: self.rollouts },
            LabelKind::FirstError => Labels::FirstError(omega),
            LabelKind::TreeValue => Labels::TreeValue(omega),
        }
    }
}
