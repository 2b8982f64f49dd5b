//! What steps and measurements find.

use serde::{Deserialize, Serialize};

use super::{PairLoss, Scored, SingleLoss};

/// What a step, or a measurement, found; means over its examples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Examples.
    pub examples: usize,
    /// The loss.
    pub loss: f64,
    /// The share of pairs whose chosen completion is paid more, of singles that are paid on the side of their thumb.
    pub accuracy: f64,
    /// Reward of the chosen completion less that of the rejected one.
    pub margin: f64,
    /// Log-probability of chosen completions, or of those with a thumb up.
    pub chosen_logprob: f64,
    /// Log-probability of rejected completions, or of those with a thumb down.
    pub rejected_logprob: f64,
    /// Mean over all completions' tokens of the log-ratio between the adapted model and the base: an estimate of how far they are
    /// apart on this text.
    pub log_ratio: f64,
    /// Tokens of the passes.
    pub tokens: usize,
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Counted from 1.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Under the adapter as it was before the step.
    #[serde(flatten)]
    pub measured: Measured,
    /// Length of the gradient before it was cut.
    pub grad_norm: f64,
    /// Learning rate.
    pub lr: f64,
    /// Time that it took.
    pub seconds: f64,
}

/// Sums that become [`Measured`].
#[derive(Default)]
pub(super) struct Totals {
    sums: Measured,
    chosen: usize,
    rejected: usize,
    scored_tokens: usize,
    pub tokens: usize,
}

impl Totals {
    pub fn add_pair(&mut self, pair: &PairLoss, chosen: Scored, rejected: Scored) {
        self.sums.loss += pair.loss;
        self.sums.accuracy += f64::from(u8::from(pair.rewards[0] > pair.rewards[1]));
        self.sums.margin += pair.rewards[0] - pair.rewards[1];
        self.sums.examples += 1;
        self.add_completion(chosen, true);
        self.add_completion(rejected, false);
    }

    pub fn add_single(&mut self, single: &SingleLoss, scored: Scored, good: bool) {
        let signed = if good { single.reward } else { -single.reward };
        self.sums.loss += single.loss;
        self.sums.accuracy += f64::from(u8::from(signed > 0.0));
        self.sums.margin += signed;
        self.sums.examples += 1;
        self.add_completion(scored, good);
    }

    fn add_completion(&mut self, scored: Scored, good: bool) {
        let (sum, count) = match good {
            true => (&mut self.sums.chosen_logprob, &mut self.chosen),
            false => (&mut self.sums.rejected_logprob, &mut self.rejected),
        };
        *sum += scored.logprob;
        *count += 1;
        self.sums.log_ratio += scored.logprob - scored.reference;
        self.scored_tokens += scored.tokens;
    }

    pub fn mean(self) -> Measured {
        let over = |sum: f64, count: usize| sum / count.max(1) as f64;
        let Self { sums, chosen, rejected, scored_tokens, tokens } = self;
        Measured {
            examples: sums.examples,
            loss: over(sums.loss, sums.examples),
            accuracy: over(sums.accuracy, sums.examples),
            margin: over(sums.margin, sums.examples),
            chosen_logprob: over(sums.chosen_logprob, chosen),
            rejected_logprob: over(sums.rejected_logprob, rejected),
            log_ratio: over(sums.log_ratio, scored_tokens),
            tokens,
        }
    }
}
