//! What is kept of one search.

use ruminate::search::Outcome;
use serde::{Deserialize, Serialize};

use super::samples::Samples;
use crate::dataset::Gold;

/// Which search it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The row of the question set, counted from 0.
    pub row: usize,
    /// Which of several runs with different seeds.
    pub repeat: usize,
    /// The setting's name.
    pub config: String,
}

/// One line of the result file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    #[serde(flatten)]
    pub key: Key,
    pub correct: bool,
    pub answer: Option<String>,
    pub text: String,
    pub stop_reason: String,
    /// Why there was no search: the question does not fit the context.
    pub error: Option<String>,
    pub candidates: Vec<Candidate>,
    pub samples: Vec<Sample>,
    #[serde(flatten)]
    pub cost: Cost,
}

/// A class of equal answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    pub answer: String,
    pub correct: bool,
    pub votes: usize,
    pub score: Option<f64>,
}

/// One text from the prompt to its end, in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub answer: Option<String>,
    pub correct: bool,
    /// It came to an end of its own.
    pub complete: bool,
    pub tokens: u64,
    /// The geometric mean of its tokens' probabilities.
    pub confidence: f64,
    /// What a judge makes of it as a whole.
    pub score: Option<f64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    pub prompt_tokens: u64,
    pub policy_tokens: u64,
    pub reward_tokens: u64,
    pub forward_passes: u64,
    pub wall_ms: f64,
    pub kv_peak_bytes: u64,
    pub joules: Option<f64>,
    pub joules_source: Option<String>,
}

impl Record {
    pub fn new(key: Key, gold: &Gold, outcome: &Outcome, samples: Samples) -> Self {
        let usage = &outcome.usage;
        let candidates = outcome.candidates.iter().map(|candidate| Candidate {
            answer: candidate.answer.clone(),
            correct: gold.accepts(&candidate.answer),
            votes: candidate.votes,
            score: Some(candidate.score),
        });
        Self {
            key,
            correct: gold.accepts_found(outcome.answer.as_deref(), &outcome.text),
            answer: outcome.answer.clone(),
            text: outcome.text.clone(),
            stop_reason: outcome.stop_reason.name().to_owned(),
            error: None,
            candidates: candidates.collect(),
            samples: samples.judged_by(gold),
            cost: Cost {
                prompt_tokens: usage.prompt_tokens,
                policy_tokens: usage.policy_tokens,
                reward_tokens: usage.reward_tokens,
                forward_passes: usage.forward_passes,
                wall_ms: usage.wall.as_secs_f64() * 1e3,
                kv_peak_bytes: usage.kv_peak_bytes,
                joules: Some(usage.joules.joules),
                joules_source: Some(usage.joules.source.name().to_owned()),
            },
        }
    }

    /// A question that could not be put: counted as wrong.
    pub fn failed(key: Key, error: String) -> Self {
        Self {
            key,
            correct: false,
            answer: None,
            text: String::new(),
            stop_reason: "failed".to_owned(),
            error: Some(error),
            candidates: Vec::new(),
            samples: Vec::new(),
            cost: Cost::default(),
        }
    }

    /// Whether any of its answers is right.
    pub fn has_right(&self) -> bool {
        self.correct || self.candidates.iter().any(|c| c.correct) || self.samples.iter().any(|s| s.correct)
    }
}
