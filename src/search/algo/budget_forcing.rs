//! Budget forcing (Muennighoff et al., "s1: Simple test-time scaling", arXiv 2501.19393): one greedy line of thought. When it
//! would end too early, its end is replaced by "Wait"; when it grows too long, it is told to answer.

use serde::{Deserialize, Serialize};

use super::Extend;
use super::rounds::Rounds;
use crate::search::SearchParams;
use crate::search::lane::Until;
use crate::search::tree::{End, NodeId, Tree};

/// Constants of [`Algo::BudgetForcing`](crate::search::Algo::BudgetForcing).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BudgetForcingParams {
    /// Tokens of thinking, at most. Published: 32000.
    pub max_thinking: u64,
    /// Tokens of thinking, at least: it is not ended before, as long as there are waits left.
    pub min_thinking: u64,
    /// How often an end is put off. Published: 1.
    pub waits: usize,
    /// What is written instead of the end.
    pub wait: String,
    /// What ends thinking in the text; empty for models that do not mark it, whose thinking ends with their text.
    pub end_of_thinking: String,
    /// What is written to get the answer.
    pub answer: String,
    /// Most likely tokens instead of drawn ones. Published: true.
    pub greedy: bool,
}

impl Default for BudgetForcingParams {
    fn default() -> Self {
        Self {
            max_thinking: 32_000,
            min_thinking: u64::MAX,
            waits: 1,
            wait: "Wait".into(),
            end_of_thinking: String::new(),
            answer: "\n#### ".into(),
            greedy: true,
        }
    }
}

pub(super) struct BudgetForcing {
    params: BudgetForcingParams,
    waits: usize,
    answered: bool,
}

impl BudgetForcing {
    pub fn new(params: &SearchParams) -> Self {
        let params = params.budget_forcing.clone();
        Self { waits: params.waits, params, answered: false }
    }

    fn think(&self, at: NodeId, forced: &str, spent: u64) -> Extend {
        let end = &self.params.end_of_thinking;
        let until = if end.is_empty() { Until::Solution } else { Until::Markers(vec![end.clone()]) };
        let left = self.params.max_thinking.saturating_sub(spent).max(1);
        let (max_tokens, forced) = (Some(left), forced.to_owned());
        Extend { until, max_tokens, forced, greedy: self.params.greedy, keep: true, ..Extend::solution(at) }
    }

    fn answer(&mut self, at: NodeId, forced: String) -> Vec<Extend> {
        self.answered = true;
        vec![Extend { forced, greedy: self.params.greedy, ..Extend::solution(at) }]
    }
}

impl Rounds for BudgetForcing {
    fn next(&mut self, tree: &mut Tree, told: &[NodeId]) -> Vec<Extend> {
        let Some(&at) = told.first() else { return vec![self.think(tree.root(), "", 0)] };
        if self.answered {
            return Vec::new();
        }
        let spent = tree.drawn(at);
        let marked = !self.params.end_of_thinking.is_empty()
            && tree.node(at).text.contains(self.params.end_of_thinking.as_str());
        let too_long = tree.node(at).end == Some(End::Step) && !marked;
        let ended = tree.node(at).end.is_some_and(End::is_complete);
        if !(too_long || ended || marked) {
            return Vec::new();
        }
        if too_long {
            let forced = format!("{}{}", self.params.end_of_thinking, self.params.answer);
            return self.answer(at, forced);
        }
        if self.waits > 0 && spent < self.params.min_thinking.min(self.params.max_thinking) {
            self.waits -= 1;
            return vec![self.think(at, &self.params.wait.clone(), spent)];
        }
        if marked { self.answer(at, String::new()) } else { Vec::new() }
    }
}
