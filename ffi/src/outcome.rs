//! What a run comes to.

use ruminate::search::{EnergySource, Outcome, StopReason, Usage};

use crate::adapter::Adapter;
use crate::algo::number_of;
use crate::sized::Struct;
use crate::text::{Text, rum_str};

/// Why a run ended. None of these is an error: the best answer so far is there.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum rum_stop_reason {
    /// The algorithm had what it wanted; the text came to its end.
    RUM_STOP_FINISHED = 0,
    /// The tokens ran out: drawn, or trained on.
    RUM_STOP_TOKENS = 1,
    /// The deadline passed.
    RUM_STOP_DEADLINE = 2,
    /// A sample alone outgrew the memory for keys and values and was cut short.
    RUM_STOP_MEMORY = 3,
    /// The energy is spent.
    RUM_STOP_ENERGY = 4,
    /// Cancelled: by a token, by a callback, or by freeing the run.
    RUM_STOP_CANCELLED = 5,
    /// The context is full (plain generation; in a search that ends a node).
    RUM_STOP_CONTEXT = 6,
    /// For a reason that this version has no number for.
    RUM_STOP_OTHER = 7,
    /// The device is too hot, as the host says.
    RUM_STOP_HEAT = 8,
}

/// What a run came to. Texts are borrowed from the run.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_result {
    pub struct_size: usize,
    /// The answer; NULL when no text holds one.
    pub answer: rum_str,
    /// The text that gave the answer, or the best text without one; empty when nothing could be produced. Of a run that learns,
    /// its report: one JSON object.
    pub text: rum_str,
    /// What `text` is worth, from 0 to 1: the judge's values of its steps as one; without a judge, the geometric mean of its
    /// tokens' probabilities. NaN without tokens.
    pub score: f64,
    /// The seed.
    pub seed: u64,
    /// How many candidates `rum_run_get_candidate` has.
    pub n_candidates: usize,
    /// A `rum_stop_reason`.
    pub stop_reason: u32,
    /// The `rum_algo`; `UINT32_MAX` for a run that is no search, and for a method of several calls, which needs none.
    pub algo: u32,
}

// SAFETY: `repr(C)`; whole numbers, floats and pointers, without padding.
unsafe impl Struct for rum_result {
    const FIRST: usize = 24 + 6 * size_of::<usize>();

    fn initial() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            answer: rum_str::NONE,
            text: rum_str::NONE,
            score: f64::NAN,
            seed: 0,
            n_candidates: 0,
            stop_reason: 0,
            algo: u32::MAX,
        }
    }
}

/// One class of equal answers. Texts are borrowed from the run.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_candidate {
    pub struct_size: usize,
    /// The answer.
    pub answer: rum_str,
    /// Samples that gave it.
    pub votes: u64,
    /// The sum of its samples' values.
    pub weight: f64,
    /// What its best sample is worth, from 0 to 1.
    pub score: f64,
}

// SAFETY: `repr(C)`; whole numbers, floats and pointers, without padding.
unsafe impl Struct for rum_candidate {
    const FIRST: usize = 24 + 3 * size_of::<usize>();

    fn initial() -> Self {
        Self { struct_size: size_of::<Self>(), answer: rum_str::NONE, votes: 0, weight: 0.0, score: 0.0 }
    }
}

/// What a run has spent. Of runs that learn, collecting samples tells what a search does, and training and fitting tell time and energy
/// alone: their reports have the rest.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct rum_usage {
    pub struct_size: usize,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens drawn, over all branches.
    pub policy_tokens: u64,
    /// Tokens computed by a judge's own model.
    pub reward_tokens: u64,
    /// Drawn tokens whose keys and values were given up for want of memory and computed again.
    pub recomputed_tokens: u64,
    /// Forward passes.
    pub forward_passes: u64,
    /// Forward passes of a judge's own model.
    pub reward_passes: u64,
    /// The most bytes that keys and values took after any pass.
    pub kv_peak_bytes: u64,
    /// The most bytes that weights, keys and values and buffers took at once.
    pub peak_bytes: u64,
    /// Milliseconds from the start to the answer.
    pub wall_ms: f64,
    /// Of those, milliseconds in the judge.
    pub reward_ms: f64,
    /// Energy in joules.
    pub joules: f64,
    /// 1 if the processor or the host counted the joules, 0 if they are an estimate.
    pub joules_measured: u32,
    /// 1 once the run has ended; until then only `policy_tokens` and `wall_ms` are kept up to date, when a node ends.
    pub complete: u32,
}

// SAFETY: `repr(C)`, whole numbers and floats without padding.
unsafe impl Struct for rum_usage {
    const FIRST: usize = 96 + size_of::<usize>();

    fn initial() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            prompt_tokens: 0,
            policy_tokens: 0,
            reward_tokens: 0,
            recomputed_tokens: 0,
            forward_passes: 0,
            reward_passes: 0,
            kv_peak_bytes: 0,
            peak_bytes: 0,
            wall_ms: 0.0,
            reward_ms: 0.0,
            joules: 0.0,
            joules_measured: 0,
            complete: 0,
        }
    }
}

impl From<&Usage> for rum_usage {
    fn from(usage: &Usage) -> Self {
        Self {
            struct_size: size_of::<Self>(),
            prompt_tokens: usage.prompt_tokens,
            policy_tokens: usage.policy_tokens,
            reward_tokens: usage.reward_tokens,
            recomputed_tokens: usage.recomputed_tokens,
            forward_passes: usage.forward_passes,
            reward_passes: usage.reward_passes,
            kv_peak_bytes: usage.kv_peak_bytes,
            peak_bytes: usage.peak_bytes,
            wall_ms: usage.wall.as_secs_f64() * 1e3,
            reward_ms: usage.reward_wall.as_secs_f64() * 1e3,
            joules: usage.joules.joules,
            joules_measured: (usage.joules.source == EnergySource::Measured).into(),
            complete: 1,
        }
    }
}

/// What a run came to, owned.
#[derive(Debug)]
pub struct Finished {
    pub answer: Option<Text>,
    pub text: Text,
    pub score: Option<f64>,
    pub seed: u64,
    pub stop_reason: rum_stop_reason,
    pub algo: u32,
    pub candidates: Vec<Candidate>,
    pub usage: rum_usage,
    pub trace: Option<Text>,
    /// What training came to.
    pub adapter: Option<Adapter>,
}

impl Default for Finished {
    /// Nothing, and no search.
    fn default() -> Self {
        Self {
            answer: None,
            text: Text::default(),
            score: None,
            seed: 0,
            stop_reason: rum_stop_reason::RUM_STOP_FINISHED,
            algo: u32::MAX,
            candidates: Vec::new(),
            usage: rum_usage::initial(),
            trace: None,
            adapter: None,
        }
    }
}

#[derive(Debug)]
pub struct Candidate {
    answer: Text,
    votes: usize,
    weight: f64,
    score: f64,
}

impl Finished {
    pub fn search(outcome: &Outcome, trace: Option<Text>) -> Self {
        let candidates = outcome.candidates.iter();
        Self {
            answer: outcome.answer.as_deref().map(Text::new),
            text: Text::new(outcome.text.as_str()),
            score: outcome.score,
            seed: outcome.seed,
            stop_reason: stop_reason(outcome.stop_reason),
            algo: number_of(outcome.algo),
            candidates: candidates
                .map(|c| Candidate {
                    answer: Text::new(c.answer.as_str()),
                    votes: c.votes,
                    weight: c.weight,
                    score: c.score,
                })
                .collect(),
            usage: rum_usage::from(&outcome.usage),
            trace,
            adapter: None,
        }
    }

    pub fn lend(&self) -> rum_result {
        rum_result {
            struct_size: size_of::<rum_result>(),
            answer: Text::lend_optional(self.answer.as_ref()),
            text: self.text.lend(),
            score: self.score.unwrap_or(f64::NAN),
            seed: self.seed,
            n_candidates: self.candidates.len(),
            stop_reason: self.stop_reason as u32,
            algo: self.algo,
        }
    }
}

impl Candidate {
    pub fn lend(&self) -> rum_candidate {
        rum_candidate {
            struct_size: size_of::<rum_candidate>(),
            answer: self.answer.lend(),
            votes: self.votes as u64,
            weight: self.weight,
            score: self.score,
        }
    }
}

fn stop_reason(reason: StopReason) -> rum_stop_reason {
    match reason {
        StopReason::Finished => rum_stop_reason::RUM_STOP_FINISHED,
        StopReason::Tokens => rum_stop_reason::RUM_STOP_TOKENS,
        StopReason::Deadline => rum_stop_reason::RUM_STOP_DEADLINE,
        StopReason::Memory => rum_stop_reason::RUM_STOP_MEMORY,
        StopReason::Energy => rum_stop_reason::RUM_STOP_ENERGY,
        StopReason::Cancelled => rum_stop_reason::RUM_STOP_CANCELLED,
        _ => rum_stop_reason::RUM_STOP_OTHER,
    }
}
