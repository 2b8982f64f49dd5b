//! Search for an answer within a budget: many branches of one prompt, decoded together, always with a best answer so far.
//!
//! The algorithm ([`Algo`]) asks for nodes and is told what they became; the control loop owns batching, memory, the
//! budget and the clock. The same prompt, parameters and token budget give the same outcome for any free width, memory
//! cap (unless a single sample outgrows it) and batch grouping.

mod algo;
mod budget;
mod control;
mod energy;
mod lane;
mod outcome;
mod tree;
mod vocabulary;
mod vote;

#[cfg(test)]
mod tests;

pub use self::algo::Algo;
pub use self::budget::{Budget, Usage};
pub use self::energy::{EnergyMeter, EnergySource, Joules, PowerModel};
pub use self::outcome::{Candidate, Outcome, StopReason};
pub use self::vocabulary::Vocabulary;
pub use self::vote::EarlyStop;
pub use crate::reward::answer;

use serde::{Deserialize, Serialize};

use crate::engine::{Engine, SamplerParams};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::observe::{CancelToken, Observer};
use crate::text::TokenId;

/// How to search. Traces keep it whole, so that a search can be run again; what an older one lacks has its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SearchParams {
    /// The algorithm.
    pub algo: Algo,
    /// Samples, at most; from 1 to [`Limits::branches`].
    pub n: usize,
    /// When fewer samples are enough.
    pub early_stop: EarlyStop,
    /// How samples are drawn.
    pub sampler: SamplerParams,
    /// Tokens of one sample, at most; at least 1.
    pub max_tokens: u64,
    /// Ends a sample after a complete line `#### answer`.
    pub stop_at_answer: bool,
    /// Decides every random number.
    pub seed: u64,
    /// What may be spent.
    pub budget: Budget,
}

impl Default for SearchParams {
    /// Eight samples at temperature 0.8 with Adaptive-Consistency's early stop, 512 tokens each, without a budget.
    fn default() -> Self {
        Self {
            algo: Algo::BestOfN,
            n: 8,
            early_stop: EarlyStop::Beta(0.95),
            sampler: SamplerParams { temperature: 0.8, ..SamplerParams::default() },
            max_tokens: 512,
            stop_at_answer: true,
            seed: 0,
            budget: Budget::default(),
        }
    }
}

impl SearchParams {
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) naming the first value out of its range.
    pub fn validate(&self) -> Result<()> {
        let most = Limits::default().branches;
        if !(1..=most).contains(&self.n) {
            return Err(Error::invalid(format!("n is {}: give a number from 1 to {most}", self.n)));
        }
        if self.max_tokens == 0 {
            return Err(Error::invalid("max_tokens is 0: a sample needs at least 1"));
        }
        match self.early_stop {
            EarlyStop::Beta(confidence) if !(confidence > 0.5 && confidence < 1.0) => Err(Error::invalid(format!(
                "the early stop's confidence is {confidence}: give a number between 0.5 and 1"
            ))),
            EarlyStop::Window(size) if size < 2 => {
                Err(Error::invalid(format!("the early stop's window is {size}: give at least 2")))
            }
            _ => self.sampler.validate(),
        }
    }
}

/// Searches for the answer that follows `prompt` and hands back the best one found within the budget.
///
/// A budget that runs out, a deadline and a cancellation are no errors but a [`StopReason`]; when nothing at all could be
/// produced, the outcome [is empty](Outcome::is_empty). Errors: [`InvalidArgument`](crate::ErrorKind::InvalidArgument)
/// for the parameters or an empty prompt, [`ContextLength`](crate::ErrorKind::ContextLength) for a prompt longer than the
/// context, [`Memory`](crate::ErrorKind::Memory) when not even the prompt fits the KV budget, and what the engine reports,
/// such as [`NonFinite`](crate::ErrorKind::NonFinite). Every branch is given back to the engine in all cases.
pub fn solve<E, V>(
    engine: &mut E,
    vocabulary: &V,
    prompt: &[TokenId],
    params: &SearchParams,
    observer: &mut dyn Observer,
    cancel: &CancelToken,
) -> Result<Outcome>
where
    E: Engine + ?Sized,
    V: Vocabulary,
{
    params.validate()?;
    let before = engine.memory().kv_limit;
    if let Some(bytes) = params.budget.kv_bytes {
        engine.set_kv_limit(bytes.min(before));
    }
    let outcome = control::run(engine, vocabulary, prompt, params, observer, cancel);
    engine.set_kv_limit(before);
    outcome
}
