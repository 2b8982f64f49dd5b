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
mod node;
mod outcome;
mod program;
mod step;
mod tree;
mod vocabulary;
mod vote;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod toy;

pub use self::algo::{
    Algo, Backup, BudgetForcingParams, DeepConfParams, MctsParams, RebaseParams, Selection, SpeculativeRejectionParams,
    Traversal, TreeOfThoughtsParams,
};
pub use self::budget::{Budget, Usage};
pub use self::control::Search;
pub use self::energy::{EnergyMeter, EnergySource, Joules, PowerModel};
pub use self::outcome::{Candidate, Outcome, StopReason};
pub use self::program::{Call, Program, Proposal, Request, Thought, ThoughtEnd, ThoughtId};
pub use self::step::StepRule;
pub use self::vocabulary::Vocabulary;
pub use self::vote::{EarlyStop, Vote};
pub use crate::reward::{Aggregation, answer};

use serde::{Deserialize, Serialize};

use crate::engine::{Engine, SamplerParams};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::observe::{CancelToken, Observer};
use crate::reward::Judge;
use crate::text::{Grammar, Thinking, TokenId};

/// How to search. Traces keep it whole, so that a search can be run again; what an older one lacks has its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SearchParams {
    /// The algorithm.
    pub algo: Algo,
    /// Samples, beams, particles, leaves or simulations, at most; from 1 to [`Limits::branches`].
    pub n: usize,
    /// How finished texts become one answer. Without it: by majority, and with a judge weighted.
    pub vote: Option<Vote>,
    /// When fewer samples are enough, where a majority decides.
    pub early_stop: EarlyStop,
    /// How samples are drawn.
    pub sampler: SamplerParams,
    /// Tokens of one solution, at most; at least 1.
    pub max_tokens: u64,
    /// Where steps end.
    pub step: StepRule,
    /// How the judge's values of a text's steps become one. Without it, as the judge says.
    pub aggregation: Option<Aggregation>,
    /// Children that compete for one place in beam search, DVTS and lookahead; at least 1. Published: 4.
    pub beam_width: usize,
    /// Steps of a lookahead rollout. Published: 0 (search-and-learn) to 3 (Snell et al.).
    pub lookahead: usize,
    /// Constants of [`Algo::Rebase`].
    pub rebase: RebaseParams,
    /// Constants of [`Algo::Mcts`].
    pub mcts: MctsParams,
    /// Constants of [`Algo::TreeOfThoughts`].
    pub tree_of_thoughts: TreeOfThoughtsParams,
    /// Constants of [`Algo::SpeculativeRejection`].
    pub speculative_rejection: SpeculativeRejectionParams,
    /// Constants of [`Algo::BudgetForcing`].
    pub budget_forcing: BudgetForcingParams,
    /// Constants of [`Algo::DeepConf`].
    pub deep_conf: DeepConfParams,
    /// Ends a solution after a complete line `#### answer`.
    pub stop_at_answer: bool,
    /// How the model marks its thinking: answers are looked for behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Thinking>,
    /// What solutions, or their ends, have to be; their answer is then the part that the grammar is about, of a solution that came to
    /// its end. [`stop_at_answer`](Self::stop_at_answer) counts for nothing beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grammar: Option<Grammar>,
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
            vote: None,
            early_stop: EarlyStop::Beta(0.95),
            sampler: SamplerParams { temperature: 0.8, ..SamplerParams::default() },
            max_tokens: 512,
            step: StepRule::default(),
            aggregation: None,
            beam_width: 4,
            lookahead: 3,
            rebase: RebaseParams::default(),
            mcts: MctsParams::default(),
            tree_of_thoughts: TreeOfThoughtsParams::default(),
            speculative_rejection: SpeculativeRejectionParams::default(),
            budget_forcing: BudgetForcingParams::default(),
            deep_conf: DeepConfParams::default(),
            stop_at_answer: true,
            thinking: None,
            grammar: None,
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
            return Err(Error::invalid("max_tokens is 0: a solution needs at least 1"));
        }
        self.step.validate()?;
        self.validate_algorithms()?;
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

    fn validate_algorithms(&self) -> Result<()> {
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let (rebase, mcts, thoughts) = (&self.rebase, &self.mcts, &self.tree_of_thoughts);
        let (rejection, forcing, deep_conf) = (&self.speculative_rejection, &self.budget_forcing, &self.deep_conf);
        let traversal = match thoughts.traversal {
            Traversal::Breadth { breadth } => breadth > 0,
            Traversal::Depth { threshold, steps } => threshold.is_finite() && steps > 0,
        };
        let selection = match mcts.selection {
            Selection::Uct(c) => c >= 0.0 && c.is_finite(),
            Selection::Puct { base, init } => base > 0.0 && base.is_finite() && init >= 0.0 && init.is_finite(),
        };
        let backup = match mcts.backup {
            Backup::Mean => true,
            Backup::Max(towards) => share(towards),
        };
        let most = Limits::default().branches;
        for (fine, message) in [
            ((1..=most).contains(&self.beam_width), "beam_width: give at least 1"),
            (rebase.temperature > 0.0 && rebase.temperature.is_finite(), "rebase: the temperature must be above 0"),
            (rebase.max_depth > 0, "rebase: max_depth must be at least 1"),
            (selection, "mcts: the constants of the selection must be finite and not negative"),
            (backup, "mcts: the share of the best child lies between 0 and 1"),
            ((1..=most).contains(&mcts.expand), "mcts: a node gets at least 1 child"),
            ((1..=most).contains(&mcts.parallel), "mcts: a round holds at least 1 simulation"),
            (mcts.end_gate.is_finite(), "mcts: the end gate must be a finite number"),
            (traversal, "tree of thoughts: breadth, threshold and steps must be positive numbers"),
            ((1..=most).contains(&thoughts.candidates), "tree of thoughts: give at least 1 candidate"),
            (share(rejection.alpha) && rejection.alpha < 1.0, "speculative rejection: alpha lies in [0, 1)"),
            (rejection.round_tokens > 0, "speculative rejection: a round has at least 1 token"),
            (forcing.max_thinking > 0, "budget forcing: max_thinking must be at least 1"),
            (forcing.waits == 0 || !forcing.wait.is_empty(), "budget forcing: the text of a wait is empty"),
            (!forcing.answer.is_empty(), "budget forcing: the text that asks for the answer is empty"),
            (
                forcing.early_exit.is_none_or(share),
                "budget forcing: the confidence of an early exit lies between 0 and 1",
            ),
            (forcing.probe_tokens > 0, "budget forcing: an early exit is tried every 1 or more tokens"),
            (deep_conf.warm_up > 0 && deep_conf.window > 0, "deep-conf: warm_up and window must be at least 1"),
            (share(deep_conf.keep) && deep_conf.keep > 0.0, "deep-conf: keep lies in (0, 1]"),
        ] {
            if !fine {
                return Err(Error::invalid(message));
            }
        }
        Ok(())
    }
}

/// Searches for the answer that follows `prompt` and hands back the best one found within the budget.
///
/// A `judge` values steps; one with an engine of its own is told the `question`. A budget that runs out, a deadline and a
/// cancellation are no errors but a [`StopReason`]; when nothing at all could be produced, the outcome
/// [is empty](Outcome::is_empty). Errors: [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for the parameters or an
/// empty prompt, [`ContextLength`](crate::ErrorKind::ContextLength) for a prompt longer than the context,
/// [`Memory`](crate::ErrorKind::Memory) when not even the prompt fits the KV budget, and what the engine and the judge
/// report, such as [`NonFinite`](crate::ErrorKind::NonFinite). Every branch is given back to the engine in all cases.
#[expect(clippy::too_many_arguments, reason = "the parts of a search belong to different owners")]
pub fn solve<E, V>(
    engine: &mut E,
    vocabulary: &V,
    prompt: &[TokenId],
    params: &SearchParams,
    judge: Option<&mut (dyn Judge + '_)>,
    question: &str,
    observer: &mut dyn Observer,
    cancel: &CancelToken,
) -> Result<Outcome>
where
    E: Engine + ?Sized,
    V: Vocabulary,
{
    let mut search = Search::new(engine, vocabulary, prompt, params, judge, question)?;
    search.advance(u64::MAX, observer, cancel)?;
    Ok(search.finish(observer))
}
