//! How to search, and what that may cost.

use ruminate::search::SearchParams;

use crate::algo::number_of;
use crate::call::entry;
use crate::number::numbers;
use crate::sized::{self, Struct};
use crate::status::rum_status;
use crate::text::rum_str;

/// How finished texts become one answer.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_vote {
    /// By majority; with a judge, weighted.
    RUM_VOTE_DEFAULT = 0,
    /// The answer with the most votes.
    RUM_VOTE_MAJORITY = 1,
    /// The answer whose texts' values add up to the most.
    RUM_VOTE_WEIGHTED = 2,
    /// The answer of the text with the best value.
    RUM_VOTE_BEST = 3,
}

numbers!(rum_vote, "vote": RUM_VOTE_DEFAULT, RUM_VOTE_MAJORITY, RUM_VOTE_WEIGHTED, RUM_VOTE_BEST);

/// When fewer samples are enough, where a majority decides.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_early_stop {
    /// Never.
    RUM_EARLY_STOP_NEVER = 0,
    /// When the leader leads with at least the probability `early_stop_value`, between 0.5 and 1 (Adaptive-Consistency).
    RUM_EARLY_STOP_BETA = 1,
    /// When `early_stop_value` consecutive samples agree; at least 2.
    RUM_EARLY_STOP_WINDOW = 2,
}

numbers!(rum_early_stop, "early stop": RUM_EARLY_STOP_NEVER, RUM_EARLY_STOP_BETA, RUM_EARLY_STOP_WINDOW);

/// How a judge's values of a text's steps become one.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_aggregation {
    /// As the judge says.
    RUM_AGGREGATION_DEFAULT = 0,
    /// The last step's.
    RUM_AGGREGATION_LAST = 1,
    /// The least of all steps.
    RUM_AGGREGATION_MIN = 2,
    /// The product of all steps.
    RUM_AGGREGATION_PRODUCT = 3,
    /// The mean of all steps.
    RUM_AGGREGATION_MEAN = 4,
    /// The mean of the last `aggregation_window` steps.
    RUM_AGGREGATION_WINDOW = 5,
}

numbers!(rum_aggregation, "aggregation": RUM_AGGREGATION_DEFAULT, RUM_AGGREGATION_LAST, RUM_AGGREGATION_MIN, RUM_AGGREGATION_PRODUCT, RUM_AGGREGATION_MEAN, RUM_AGGREGATION_WINDOW);

/// Whether a complete line `#### answer` ends a solution.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_stop_at_answer {
    /// As the prompt's strategy says; without one it does not.
    RUM_STOP_AT_ANSWER_DEFAULT = 0,
    /// It does.
    RUM_STOP_AT_ANSWER_YES = 1,
    /// It does not.
    RUM_STOP_AT_ANSWER_NO = 2,
}

numbers!(rum_stop_at_answer, "stop_at_answer": RUM_STOP_AT_ANSWER_DEFAULT, RUM_STOP_AT_ANSWER_YES, RUM_STOP_AT_ANSWER_NO);

/// How to search, and what it may cost. Fill it with `rum_search_init`, then change what you like: fields are taken as they
/// stand. A budget of 0 is no limit; one that runs out is no error but a `rum_stop_reason`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_search {
    pub struct_size: usize,
    /// A `rum_algo`. Default: best of n.
    pub algo: u32,
    /// A `rum_vote`.
    pub vote: u32,
    /// Samples, beams, particles, leaves or simulations, at most; from 1 to 4096. Default: 8.
    pub n: u64,
    /// Tokens of one solution, at most. Default: 512.
    pub max_tokens: u64,
    /// Decides every random number: equal seeds and budgets in tokens give equal outcomes.
    pub seed: u64,
    /// Tokens drawn over all branches; 0 for no limit.
    pub budget_tokens: u64,
    /// Milliseconds from the start to the answer, missed by at most one forward pass; 0 for no limit.
    pub budget_ms: u64,
    /// Bytes of keys and values of all branches; 0 for no limit.
    pub budget_kv_bytes: u64,
    /// Bytes of weights, keys and values and buffers together; 0 for no limit.
    pub budget_bytes: u64,
    /// Joules from the start to the answer, measured or estimated; 0 for no limit.
    pub budget_joules: f64,
    /// The value of `early_stop`.
    pub early_stop_value: f64,
    /// A `rum_early_stop`. Default: beta at 0.95.
    pub early_stop: u32,
    /// 0 takes the most likely token; else from 0.001 to 100. Default: 0.8.
    pub temperature: f32,
    /// Keeps that many of the most likely tokens; 0 keeps all.
    pub top_k: u32,
    /// Keeps the fewest most likely tokens whose probabilities add up to this; 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens at least this fraction as likely as the most likely one; 0 keeps all.
    pub min_p: f32,
    /// Makes tokens of the last `repetition_window` less likely, from 0.1 to 10; 1 is off.
    pub repetition_penalty: f32,
    /// Tokens that the repetition penalty looks back on.
    pub repetition_window: u32,
    /// A `rum_stop_at_answer`.
    pub stop_at_answer: u32,
    /// Children that compete for one place in beam search, DVTS and lookahead.
    pub beam_width: u32,
    /// Steps of a lookahead rollout.
    pub lookahead: u32,
    /// A `rum_aggregation`.
    pub aggregation: u32,
    /// For `RUM_AGGREGATION_WINDOW`.
    pub aggregation_window: u32,
    /// Tokens of one step, at most.
    pub step_tokens: u32,
    /// Steps of one solution, at most.
    pub max_steps: u32,
    /// What ends a step; without it, a line end.
    pub step_separator: rum_str,
    /// More parameters, as a JSON object with the names and values that traces have under `params`, such as
    /// `{"mcts": {"parallel": 4}}`; or no text. They count more than the fields above, and a name that there is not is refused. `grammar`
    /// holds the answer to a form, in builds with grammars: `{"grammar": {"form": {"regex": "[0-9]+"}, "after": "####"}}`; other forms are
    /// `json_schema`, `choice` and `lark`. `{"thinking": null}` has answers looked for in all of a text.
    pub more: rum_str,
}

// SAFETY: `repr(C)`; whole numbers, floats and pointers, without padding.
unsafe impl Struct for rum_search {
    const FIRST: usize = 136 + 5 * size_of::<usize>();

    fn initial() -> Self {
        let params = SearchParams::default();
        let sampler = &params.sampler;
        Self {
            struct_size: size_of::<Self>(),
            algo: number_of(params.algo),
            vote: 0,
            n: params.n as u64,
            max_tokens: params.max_tokens,
            seed: params.seed,
            budget_tokens: 0,
            budget_ms: 0,
            budget_kv_bytes: 0,
            budget_bytes: 0,
            budget_joules: 0.0,
            early_stop_value: 0.95,
            early_stop: rum_early_stop::RUM_EARLY_STOP_BETA as u32,
            temperature: sampler.temperature,
            top_k: sampler.top_k as u32,
            top_p: sampler.top_p,
            min_p: sampler.min_p,
            repetition_penalty: sampler.repetition_penalty,
            repetition_window: sampler.repetition_window as u32,
            stop_at_answer: 0,
            beam_width: params.beam_width as u32,
            lookahead: params.lookahead as u32,
            aggregation: 0,
            aggregation_window: 1,
            step_tokens: params.step.max_tokens as u32,
            max_steps: params.step.max_steps as u32,
            step_separator: rum_str::NONE,
            more: rum_str::NONE,
        }
    }
}

/// Fills `search` with the defaults: eight samples at temperature 0.8, 512 tokens each, no budget. `struct_size` is
/// `sizeof *search`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rum_search_init(search: *mut rum_search, struct_size: usize) -> rum_status {
    // SAFETY: the caller's promise.
    entry("rum_search_init", |_| unsafe { sized::init(search, struct_size) })
}
