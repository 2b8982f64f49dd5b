//! The records of a trace, as they are written.

use serde::{Deserialize, Serialize};

use super::Header;
use crate::error::Error;
use crate::search::Outcome;

/// One line.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Record<'a> {
    Header(&'a Header),
    NodeStarted {
        node: u64,
        parent: u64,
        greedy: bool,
        ms: f64,
    },
    NodeText {
        node: u64,
        text: &'a str,
        ms: f64,
    },
    NodeDone {
        node: u64,
        parent: u64,
        text: &'a str,
        tokens: &'a [u32],
        logprob: f64,
        score: Option<f32>,
        end: &'a str,
        answer: Option<&'a str>,
        policy_tokens: u64,
        wall_ms: f64,
        ms: f64,
    },
    NodeClosed {
        node: u64,
        ms: f64,
    },
    Learned {
        journal: &'a str,
        ms: f64,
    },
    Outcome(&'a OutcomeRecord),
    Error(&'a ErrorRecord),
}

/// How the search ended: [`Outcome`] as a trace keeps it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutcomeRecord {
    /// [`Outcome::answer`].
    pub answer: Option<String>,
    /// [`Outcome::text`].
    pub text: String,
    /// [`Outcome::score`].
    pub score: Option<f64>,
    /// [`Outcome::stop_reason`], by name.
    pub stop_reason: String,
    /// [`Outcome::algo`], by name.
    pub algo: String,
    /// [`Outcome::candidates`].
    pub candidates: Vec<CandidateRecord>,
    /// [`Outcome::journal`].
    #[serde(skip_serializing_if = "String::is_empty")]
    pub journal: String,
    /// [`Outcome::usage`].
    pub usage: UsageRecord,
    /// Milliseconds since the trace was opened.
    pub ms: f64,
}

/// One class of equal answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CandidateRecord {
    /// The answer.
    pub answer: String,
    /// Samples that gave it.
    pub votes: usize,
    /// The sum of its samples' values.
    pub weight: f64,
    /// The score of its best sample.
    pub score: f64,
}

/// What was spent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UsageRecord {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens drawn.
    pub policy_tokens: u64,
    /// Tokens computed by a judge's own engine.
    pub reward_tokens: u64,
    /// Drawn tokens that were computed again.
    pub recomputed_tokens: u64,
    /// Forward passes.
    pub forward_passes: u64,
    /// Forward passes of a judge's own engine.
    pub reward_passes: u64,
    /// Time from the call to the answer, in milliseconds.
    pub wall_ms: f64,
    /// Of that, time spent in the judge.
    pub reward_ms: f64,
    /// The most KV in use, in bytes.
    pub kv_peak_bytes: u64,
    /// The most that the engine held at once, in bytes.
    pub peak_bytes: u64,
    /// Energy, in joules.
    pub joules: f64,
    /// How it is known: `measured` or `estimated`.
    pub joules_source: String,
}

/// Why the search failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorRecord {
    /// The [`ErrorKind`](crate::ErrorKind), by its Rust name.
    pub kind: String,
    /// For a person.
    pub message: String,
}

impl OutcomeRecord {
    /// `outcome`, `ms` after the trace was opened.
    pub fn new(outcome: &Outcome, ms: f64) -> Self {
        let usage = &outcome.usage;
        let candidates = outcome.candidates.iter();
        Self {
            answer: outcome.answer.clone(),
            text: outcome.text.clone(),
            score: outcome.score,
            stop_reason: outcome.stop_reason.name().to_owned(),
            algo: outcome.algo.name().to_owned(),
            candidates: candidates
                .map(|c| CandidateRecord { answer: c.answer.clone(), votes: c.votes, weight: c.weight, score: c.score })
                .collect(),
            journal: outcome.journal.clone(),
            usage: UsageRecord {
                prompt_tokens: usage.prompt_tokens,
                policy_tokens: usage.policy_tokens,
                reward_tokens: usage.reward_tokens,
                recomputed_tokens: usage.recomputed_tokens,
                forward_passes: usage.forward_passes,
                reward_passes: usage.reward_passes,
                wall_ms: usage.wall.as_secs_f64() * 1e3,
                reward_ms: usage.reward_wall.as_secs_f64() * 1e3,
                kv_peak_bytes: usage.kv_peak_bytes,
                peak_bytes: usage.peak_bytes,
                joules: usage.joules.joules,
                joules_source: usage.joules.source.name().to_owned(),
            },
            ms,
        }
    }
}

impl ErrorRecord {
    /// `error`, for a trace.
    pub fn new(error: &Error) -> Self {
        Self { kind: format!("{:?}", error.kind()), message: error.to_string() }
    }
}
