//! The texts of a search, collected as they are done.

use std::collections::BTreeMap;

use ruminate::observe::{Event, Observer};

use super::record::Sample;
use crate::dataset::Gold;

/// An observer that keeps the answer of every text drawn from the prompt.
#[derive(Debug, Default)]
pub struct Samples {
    /// By number: the order in which they are done depends on the schedule.
    done: BTreeMap<usize, (Option<String>, u64)>,
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
        if let Event::BranchDone { branch, answer, tokens } = event {
            self.done.insert(*branch, (answer.map(str::to_owned), *tokens as u64));
        }
    }
}
