//! What a step of reasoning is worth: judges of steps and solutions, answers and their equality.
//!
//! A search tells a [`Judge`] of every finished step and gets one value in `[0, 1]` for each: the probability that the
//! solution is right so far, or what the judge's own page says. [`Aggregation`] turns the steps' values into one of the
//! whole path.

pub mod answer;
pub mod convention;
pub mod verify;

mod aggregation;
mod arithmetic;
mod confidence;
mod exact;
mod external;
mod head;
mod host;
mod product;

pub use self::aggregation::Aggregation;
pub use self::arithmetic::{Arithmetic, Sums, check as check_sums};
pub use self::confidence::Confidence;
pub use self::external::{ExternalJudge, ImplicitJudge};
pub use self::head::{Activation, Dense, Extra, Head, HeadJudge, NEUTRAL, Pool, Purpose, Transform};
pub use self::host::Host;
pub use self::product::{Mix, Product};

use crate::engine::Tap;
use crate::error::{Error, ErrorKind, Result};
use crate::observe::Interrupt;
use crate::text::TokenId;

/// A step's number, unique within one search. The root, which is the prompt, is `StepId(0)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct StepId(pub u64);

impl StepId {
    /// The prompt, which every first step follows.
    pub const ROOT: Self = Self(0);
}

/// How the model drew one token, under its own distribution: before temperature and truncation.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Draw {
    /// Natural logarithm of the token's probability.
    pub logprob: f32,
    /// Entropy of the distribution that it was drawn from, in nats; NaN unless the judge
    /// [asks for it](Judge::wants_entropy).
    pub entropy: f32,
    /// Mean negative log-probability of the 20 most likely tokens; NaN unless the algorithm asks for it.
    pub confidence: f32,
}

/// One finished step, as a judge sees it.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// Its number.
    pub id: StepId,
    /// The step that it goes on from; [`StepId::ROOT`] when it follows the prompt.
    pub parent: StepId,
    /// The text of this step, and what no judge was asked about between the step before and this one.
    pub text: &'a str,
    /// The text from the prompt's end to this step's end.
    pub path: &'a str,
    /// The tokens of this step alone.
    pub tokens: &'a [TokenId],
    /// One for each token that was drawn; tokens put into the model's mouth come before them and have none.
    pub draws: &'a [Draw],
    /// Hidden states; present exactly when the judge's [`taps`](Judge::taps) are not empty and the step is to be judged.
    pub features: Option<&'a Features>,
    /// Whether the solution ends with this step.
    pub complete: bool,
}

/// Hidden states at the rows that drew the step's tokens, each `taps.len() * n_embd` numbers, taps in the judge's order.
///
/// A row that draws a token is the state before that token, so that reading it costs no pass of its own.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Features {
    /// The row that drew the step's last token.
    pub last: Vec<f32>,
    /// The sum of all rows; their mean is `sum / count`.
    pub sum: Vec<f32>,
    /// Rows in the sum.
    pub count: u32,
}

impl Features {
    /// Counts one more row: the first decides the length, a row of another length is left out.
    pub fn push(&mut self, row: &[f32]) {
        if self.count == 0 {
            (self.last, self.sum) = (row.to_vec(), row.to_vec());
            self.count = 1;
        } else if row.len() == self.sum.len() {
            self.last.copy_from_slice(row);
            self.sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            self.count = self.count.saturating_add(1);
        }
    }

    /// The mean of all rows; empty when there are none.
    pub fn mean(&self) -> Vec<f32> {
        let count = f64::from(self.count.max(1));
        self.sum.iter().map(|&sum| (f64::from(sum) / count) as f32).collect()
    }
}

/// What a judge has spent since [`Judge::begin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JudgeUsage {
    /// Tokens that went through a model of its own.
    pub tokens: u64,
    /// Forward passes of that model.
    pub passes: u64,
    /// KV bytes that it holds now.
    pub kv_bytes: u64,
}

/// Values steps. A judge belongs to one search at a time.
pub trait Judge: Send {
    /// A short name for tables and messages.
    fn name(&self) -> &str;

    /// The hidden states that it reads on the policy's trunk; none for a judge of texts.
    fn taps(&self) -> &[Tap] {
        &[]
    }

    /// Whether it reads [`Draw::entropy`], which costs a pass over the vocabulary for each token.
    fn wants_entropy(&self) -> bool {
        false
    }

    /// How its values of a text's steps become one, unless the search is told otherwise.
    fn aggregation(&self) -> Aggregation {
        Aggregation::Last
    }

    /// A new search about `question`: all steps of the one before are forgotten.
    fn begin(&mut self, question: &str) -> Result<()> {
        let _ = question;
        Ok(())
    }

    /// One value in `[0, 1]` for each step, in their order. A step's parent was judged before it, in this call or an
    /// earlier one. An error leaves the judge able to judge the same steps again;
    /// [`Cancelled`](crate::ErrorKind::Cancelled) when `interrupt` fired.
    fn judge(&mut self, steps: &[Step<'_>], interrupt: &Interrupt) -> Result<Vec<f32>>;

    /// Shows steps that were judged before the search was saved, for a judge that keeps something for the steps behind them.
    /// Their values are known, and hidden states come with none of them. Errors as [`judge`](Self::judge).
    fn recall(&mut self, steps: &[Step<'_>], interrupt: &Interrupt) -> Result<()> {
        let _ = (steps, interrupt);
        Ok(())
    }

    /// The step will not be followed by another: what was kept for it may go.
    fn release(&mut self, step: StepId) {
        let _ = step;
    }

    /// What it has spent since [`begin`](Self::begin).
    fn usage(&self) -> JudgeUsage {
        JudgeUsage::default()
    }
}

/// The values that `judge` gave, one for each of so many steps; [`Internal`](ErrorKind::Internal) for another number of them.
pub(crate) fn one_for_each(values: Vec<f32>, steps: usize, judge: &str) -> Result<Vec<f32>> {
    if values.len() == steps {
        return Ok(values);
    }
    let n = values.len();
    Err(Error::new(ErrorKind::Internal, format!("the judge {judge} gave {n} values for {steps} steps")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_keep_the_last_row_and_the_mean() {
        let mut features = Features::default();
        assert_eq!(features.mean(), Vec::<f32>::new());
        for row in [[1.0, 2.0], [3.0, 6.0], [5.0, 1.0]] {
            features.push(&row);
        }
        features.push(&[9.0]);
        assert_eq!((features.last.as_slice(), features.count), ([5.0, 1.0].as_slice(), 3));
        assert_eq!(features.mean(), [3.0, 3.0]);
    }
}
