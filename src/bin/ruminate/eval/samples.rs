//! The texts of a search, collected as they are done.

use std::collections::{BTreeMap, HashMap};

use ruminate::observe::{Event, Observer};

use super::record::Sample;
use crate::dataset::Gold;

/// An observer that keeps the answer of every text drawn from the prompt.
#[derive(Debug, Default)]
pub struct Samples {
    /// By node: the order in which they are done depends on the schedule.
    done: BTreeMap<u64, (Option<String>, u64)>,
    /// Tokens from the prompt's end to the end of each node.
    paths: HashMap<u64, u64>,
}

impl Samples {
    pub fn judged_by(self, gold: &Gold) -> Vec<Sample> {
        let judged = |(answer, tokens): (Option<String>, u64)| Sample {
            correct: answer.as_deref().is_some_and(|answer| gold.accepts(answer)),
            answer,
            tokens,
        };
        self.done.into_values().map(judged).collect()
    }
}

impl Observer for Samples {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::NodeDone { node, parent, tokens, end, answer, .. } = *event {
            let path = self.paths.get(&parent).copied().unwrap_or_default() + tokens.len() as u64;
            self.paths.insert(node, path);
            // A step is no text to its end, and what was given up with the search is no sample.
            if !matches!(end, "step" | "interrupted") {
                self.done.insert(node, (answer.map(str::to_owned), path));
            }
        }
    }
}
