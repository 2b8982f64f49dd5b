//! The texts of a search, collected as they are done.

use std::collections::{BTreeMap, HashMap};

use ruminate::observe::{Event, Observer};

use super::record::Sample;
use crate::dataset::Gold;

/// An observer that keeps the answer of every text from the prompt to its end.
#[derive(Debug, Default)]
pub struct Samples {
    /// By node: the order in which they are done depends on the schedule.
    done: BTreeMap<u64, Sample>,
    /// Tokens and their log-probabilities from the prompt's end to the end of each node.
    paths: HashMap<u64, (u64, f64)>,
}

impl Samples {
    pub fn judged_by(self, gold: &Gold) -> Vec<Sample> {
        let judged = |sample: Sample| Sample {
            correct: sample.answer.as_deref().is_some_and(|answer| gold.accepts(answer)),
            ..sample
        };
        self.done.into_values().map(judged).collect()
    }
}

impl Observer for Samples {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::NodeDone { node, parent, tokens, logprob, score, value, end, answer, .. } = *event {
            if end == "prompt" {
                return;
            }
            let (before, so_far) = self.paths.get(&parent).copied().unwrap_or_default();
            let (tokens, logprob) = (before + tokens.len() as u64, so_far + logprob);
            self.paths.insert(node, (tokens, logprob));
            // A step is no text to its end, and what was given up with the search is no sample.
            if matches!(end, "step" | "interrupted") {
                return;
            }
            let sample = Sample {
                answer: answer.map(str::to_owned),
                correct: false,
                complete: matches!(end, "eog" | "answer" | "whole"),
                tokens,
                confidence: (logprob / tokens.max(1) as f64).exp(),
                score: score.map(|_| value),
            };
            self.done.insert(node, sample);
        }
    }
}
