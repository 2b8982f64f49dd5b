//! How to search, and what that may cost.

use std::time::Duration;

use ruminate::engine::SamplerParams;
use ruminate::reward::Aggregation;
use ruminate::search::{Algo, Budget, EarlyStop, SearchParams, StepRule, Vote};

use crate::call::entry;
use crate::number::numbers;
use crate::sized::{self, Struct};
use crate::status::{Failure, rum_status};
use crate::text::rum_str;

/// Ways to search.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_algo {
    /// One text, the most likely token each time.
    RUM_ALGO_GREEDY = 0,
    /// Independent samples and a vote over their answers.
    RUM_ALGO_BEST_OF_N = 1,
    /// Independent samples and a majority vote, whatever a judge says.
    RUM_ALGO_SELF_CONSISTENCY = 2,
    /// Step-wise beam search by the judge's values.
    RUM_ALGO_BEAM = 3,
    /// Diverse verifier tree search: beams in subtrees that do not compete.
    RUM_ALGO_DVTS = 4,
    /// Beam search whose steps are valued by where a greedy rollout leads.
    RUM_ALGO_LOOKAHEAD = 5,
    /// Reward-balanced search: children in proportion to a softmax of values.
    RUM_ALGO_REBASE = 6,
    /// Monte-Carlo tree search over steps.
    RUM_ALGO_MCTS = 7,
    /// Tree of Thoughts.
    RUM_ALGO_TREE_OF_THOUGHTS = 8,
    /// Particle filtering: steps resampled by their values.
    RUM_ALGO_PARTICLE_FILTER = 9,
    /// Many samples, the worse half of which is dropped again and again.
    RUM_ALGO_SPECULATIVE_REJECTION = 10,
    /// One line of thought held to a length.
    RUM_ALGO_BUDGET_FORCING = 11,
    /// Samples that end early when the model becomes unsure.
    RUM_ALGO_DEEP_CONF = 12,
    /// Looks at the question's first samples and chooses.
    RUM_ALGO_AUTO = 13,
}

numbers!(rum_algo, "algorithm":
    RUM_ALGO_GREEDY, RUM_ALGO_BEST_OF_N, RUM_ALGO_SELF_CONSISTENCY, RUM_ALGO_BEAM, RUM_ALGO_DVTS, RUM_ALGO_LOOKAHEAD,
    RUM_ALGO_REBASE, RUM_ALGO_MCTS, RUM_ALGO_TREE_OF_THOUGHTS, RUM_ALGO_PARTICLE_FILTER, RUM_ALGO_SPECULATIVE_REJECTION,
    RUM_ALGO_BUDGET_FORCING, RUM_ALGO_DEEP_CONF, RUM_ALGO_AUTO,
);

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
    /// `{"mcts": {"parallel": 4}}`; or no text. They count more than the fields above.
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

/// The number of `algo` in `rum_algo`; `UINT32_MAX` for one that this version has no number for.
pub fn number_of(algo: Algo) -> u32 {
    (0..)
        .map_while(|number| rum_algo::read(number).ok())
        .find(|known| algorithm(*known) == algo)
        .map_or(u32::MAX, |known| known as u32)
}

fn algorithm(algo: rum_algo) -> Algo {
    use rum_algo::*;
    match algo {
        RUM_ALGO_GREEDY => Algo::Greedy,
        RUM_ALGO_BEST_OF_N => Algo::BestOfN,
        RUM_ALGO_SELF_CONSISTENCY => Algo::SelfConsistency,
        RUM_ALGO_BEAM => Algo::Beam,
        RUM_ALGO_DVTS => Algo::Dvts,
        RUM_ALGO_LOOKAHEAD => Algo::Lookahead,
        RUM_ALGO_REBASE => Algo::Rebase,
        RUM_ALGO_MCTS => Algo::Mcts,
        RUM_ALGO_TREE_OF_THOUGHTS => Algo::TreeOfThoughts,
        RUM_ALGO_PARTICLE_FILTER => Algo::ParticleFilter,
        RUM_ALGO_SPECULATIVE_REJECTION => Algo::SpeculativeRejection,
        RUM_ALGO_BUDGET_FORCING => Algo::BudgetForcing,
        RUM_ALGO_DEEP_CONF => Algo::DeepConf,
        RUM_ALGO_AUTO => Algo::Auto,
    }
}

/// The parameters that `search` describes, checked; `stop_at_answer` where it leaves that open.
///
/// # Safety
/// `search` is NULL, for the defaults, or a struct whose pointers can be read.
pub unsafe fn params(search: *const rum_search, stop_at_answer: bool) -> Result<SearchParams, Failure> {
    // SAFETY: the caller's promise.
    let search = unsafe { sized::read_or_initial(search, "the search") }?;
    // SAFETY: the caller's promise.
    let (separator, more) = unsafe { (search.step_separator.read("step_separator")?, search.more.read("more")?) };
    let params = fields(&search, separator, stop_at_answer)?;
    let params = if more.is_empty() { params } else { with_more(&params, more)? };
    params.validate()?;
    Ok(params)
}

fn fields(search: &rum_search, separator: &str, stop_at_answer: bool) -> Result<SearchParams, Failure> {
    let some = |limit: u64| (limit > 0).then_some(limit);
    if !(search.budget_joules >= 0.0 && search.budget_joules.is_finite()) {
        return Err(Failure::invalid(format!(
            "budget_joules is {}: give a number of at least 0",
            search.budget_joules
        )));
    }
    Ok(SearchParams {
        algo: algorithm(rum_algo::read(search.algo)?),
        n: usize::try_from(search.n).unwrap_or(usize::MAX),
        vote: match rum_vote::read(search.vote)? {
            rum_vote::RUM_VOTE_DEFAULT => None,
            rum_vote::RUM_VOTE_MAJORITY => Some(Vote::Majority),
            rum_vote::RUM_VOTE_WEIGHTED => Some(Vote::Weighted),
            rum_vote::RUM_VOTE_BEST => Some(Vote::Best),
        },
        early_stop: match rum_early_stop::read(search.early_stop)? {
            rum_early_stop::RUM_EARLY_STOP_NEVER => EarlyStop::Never,
            rum_early_stop::RUM_EARLY_STOP_BETA => EarlyStop::Beta(search.early_stop_value),
            // NaN becomes 0, which is refused with the other parameters.
            rum_early_stop::RUM_EARLY_STOP_WINDOW => EarlyStop::Window(search.early_stop_value as usize),
        },
        sampler: SamplerParams {
            temperature: search.temperature,
            top_k: search.top_k as usize,
            top_p: search.top_p,
            min_p: search.min_p,
            repetition_penalty: search.repetition_penalty,
            repetition_window: search.repetition_window as usize,
        },
        max_tokens: search.max_tokens,
        step: StepRule {
            separator: if separator.is_empty() { StepRule::default().separator } else { separator.to_owned() },
            max_tokens: search.step_tokens.into(),
            max_steps: search.max_steps as usize,
        },
        aggregation: match rum_aggregation::read(search.aggregation)? {
            rum_aggregation::RUM_AGGREGATION_DEFAULT => None,
            rum_aggregation::RUM_AGGREGATION_LAST => Some(Aggregation::Last),
            rum_aggregation::RUM_AGGREGATION_MIN => Some(Aggregation::Min),
            rum_aggregation::RUM_AGGREGATION_PRODUCT => Some(Aggregation::Product),
            rum_aggregation::RUM_AGGREGATION_MEAN => Some(Aggregation::Mean),
            rum_aggregation::RUM_AGGREGATION_WINDOW => match search.aggregation_window {
                0 => return Err(Failure::invalid("aggregation_window is 0: give at least 1")),
                size => Some(Aggregation::Window(size as usize)),
            },
        },
        beam_width: search.beam_width as usize,
        lookahead: search.lookahead as usize,
        stop_at_answer: match rum_stop_at_answer::read(search.stop_at_answer)? {
            rum_stop_at_answer::RUM_STOP_AT_ANSWER_DEFAULT => stop_at_answer,
            rum_stop_at_answer::RUM_STOP_AT_ANSWER_YES => true,
            rum_stop_at_answer::RUM_STOP_AT_ANSWER_NO => false,
        },
        seed: search.seed,
        budget: Budget {
            tokens: some(search.budget_tokens),
            wall: some(search.budget_ms).map(Duration::from_millis),
            kv_bytes: some(search.budget_kv_bytes),
            bytes: some(search.budget_bytes),
            joules: (search.budget_joules > 0.0).then_some(search.budget_joules),
            power: None,
        },
        ..SearchParams::default()
    })
}

/// `params` with the values of the JSON object `more`; objects are merged, so that `{"mcts": {"parallel": 4}}` leaves the other
/// constants as they are.
fn with_more(params: &SearchParams, more: &str) -> Result<SearchParams, Failure> {
    use serde_json::Value;

    let wrong = |e: serde_json::Error| Failure::invalid(format!("more: {e}"));
    let more: Value = serde_json::from_str(more).map_err(wrong)?;
    let Value::Object(more) = more else { return Err(Failure::invalid("more is no JSON object")) };
    let mut all = serde_json::to_value(params).map_err(wrong)?;
    for (name, value) in more {
        let Some(place) = all.get_mut(&name) else {
            return Err(Failure::invalid(format!("more: there is no search parameter {name:?}")));
        };
        match (place, value) {
            (Value::Object(place), Value::Object(value)) => place.extend(value),
            (place, value) => *place = value,
        }
    }
    serde_json::from_value(all).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(change: impl FnOnce(&mut rum_search)) -> Result<SearchParams, Failure> {
        let mut search = rum_search::initial();
        change(&mut search);
        // SAFETY: a whole struct with texts that live on.
        unsafe { params(&search, true) }
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        assert_eq!(made(|_| ()).unwrap(), SearchParams::default());
        // SAFETY: NULL means the defaults.
        assert!(!unsafe { params(std::ptr::null(), false) }.unwrap().stop_at_answer);
    }

    #[test]
    fn every_algorithm_has_a_number() {
        for algo in Algo::ALL {
            assert_eq!(rum_algo::read(number_of(algo)).map(algorithm).unwrap(), algo);
        }
        assert_eq!(number_of(Algo::Auto), rum_algo::RUM_ALGO_AUTO as u32);
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let bad: [fn(&mut rum_search); 12] = [
            |s| s.algo = 14,
            |s| s.vote = 4,
            |s| s.early_stop = 3,
            |s| s.aggregation = 6,
            |s| s.stop_at_answer = 3,
            |s| s.n = 0,
            |s| s.n = u64::MAX,
            |s| s.max_tokens = 0,
            |s| s.temperature = f32::NAN,
            |s| s.early_stop_value = f64::NAN,
            |s| s.budget_joules = -1.0,
            |s| s.step_tokens = 0,
        ];
        for change in bad {
            assert_eq!(made(change).unwrap_err().status, rum_status::RUM_ERR_INVALID_ARGUMENT);
        }
    }

    #[test]
    fn more_parameters_come_as_json() {
        let more = |text: &'static str| made(move |s| s.more = rum_str { ptr: text.as_ptr().cast(), len: text.len() });
        let params = more(r#"{"mcts": {"parallel": 3}, "n": 2}"#).unwrap();
        let mut expected = SearchParams { n: 2, ..SearchParams::default() };
        expected.mcts.parallel = 3;
        assert_eq!(params, expected);
        for bad in ["{", "[]", r#"{"nn": 1}"#, r#"{"n": "x"}"#, r#"{"mcts": {"parallel": 0}}"#] {
            assert_eq!(more(bad).unwrap_err().status, rum_status::RUM_ERR_INVALID_ARGUMENT, "{bad}");
        }
    }
}
