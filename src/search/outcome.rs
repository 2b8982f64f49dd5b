//! What a search hands back.

use std::fmt;

use super::algo::Algo;
use super::budget::Usage;

/// The best answer found, and what it took.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outcome {
    /// The answer: numbers as `12`, `-3` or `5/2`. `None` when no text holds one.
    pub answer: Option<String>,
    /// The text that gave the answer, or the best text without one. Empty when nothing could be produced.
    pub text: String,
    /// Whether `text` came to its end. With a grammar a text that did not has no answer.
    pub complete: bool,
    /// What `text` is worth: the judge's values of its steps as one. Without a judge its confidence: the geometric mean of
    /// its tokens' probabilities under the model. `None` without tokens.
    pub score: Option<f64>,
    /// Why the search ended.
    pub stop_reason: StopReason,
    /// The algorithm.
    pub algo: Algo,
    /// The seed.
    pub seed: u64,
    /// Every answer with its votes, best first.
    pub candidates: Vec<Candidate>,
    /// What was spent.
    pub usage: Usage,
    /// What its way depended on beside the model's words: what tools said, or how many samples [`Algo::Auto`] could afford.
    pub journal: String,
}

impl Outcome {
    /// Whether the budget ended before anything could be produced.
    pub fn is_empty(&self) -> bool {
        self.answer.is_none() && self.text.is_empty()
    }
}

/// One class of equal answers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Candidate {
    /// The answer.
    pub answer: String,
    /// Samples that gave it. When no sample came to its end, unfinished ones count.
    pub votes: usize,
    /// The sum of its samples' values.
    pub weight: f64,
    /// What its best sample is worth, as [`Outcome::score`].
    pub score: f64,
}

/// Why a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// The algorithm had what it wanted.
    Finished,
    /// The budget's tokens ran out.
    Tokens,
    /// The deadline passed.
    Deadline,
    /// A sample alone outgrew the KV budget and was cut short.
    Memory,
    /// The budget's energy is spent.
    Energy,
    /// The caller cancelled.
    Cancelled,
}

impl StopReason {
    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Tokens => "tokens",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Energy => "energy",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
