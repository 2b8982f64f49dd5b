//! Budget forcing (Muennighoff et al., "s1: Simple test-time scaling", arXiv 2501.19393): one greedy line of thought. When it
//! would end too early, its end is replaced by "Wait"; when it grows too long, it is told to answer. With an early exit it is asked
//! for its answer now and then, and stops thinking when it is sure of it (Yang et al., "Dynamic Early Exit in Reasoning Models",
//! arXiv 2504.15895).

use serde::{Deserialize, Serialize};

use super::rounds::Rounds;
use super::{Extend, Hold};
use crate::search::SearchParams;
use crate::search::lane::Until;
use crate::search::node::{End, NodeId};
use crate::search::tree::Tree;
use crate::text::Thinking;

/// Constants of [`Algo::BudgetForcing`](crate::search::Algo::BudgetForcing).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BudgetForcingParams {
    /// Tokens of thinking, at most. Published: 32000. What the answer needs is kept back from the solution's tokens and the
    /// budget's.
    pub max_thinking: u64,
    /// Tokens of thinking, at least: it is not ended before, as long as there are waits left.
    pub min_thinking: u64,
    /// How often an end is put off. Published: 1.
    pub waits: usize,
    /// What is written instead of the end.
    pub wait: String,
    /// What ends thinking in the text, where [`SearchParams::thinking`] does not say; empty for models that do not mark it, whose
    /// thinking ends with their text.
    pub end_of_thinking: String,
    /// What is written to get the answer.
    pub answer: String,
    /// Ends thinking when a tentative answer is at least this likely, as the geometric mean of its tokens' probabilities. In [0, 1];
    /// `None` asks for none. Published: 0.95.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_exit: Option<f64>,
    /// Tokens of thinking between tentative answers; at least 1.
    pub probe_tokens: u64,
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
            early_exit: None,
            probe_tokens: 64,
            greedy: true,
        }
    }
}

/// Tokens that are kept back for the answer, and those of a tentative one.
const ANSWER_TOKENS: u64 = 64;
const PROBE_ANSWER_TOKENS: u64 = 24;

pub(super) struct BudgetForcing {
    params: BudgetForcingParams,
    thinking: Option<Thinking>,
    /// The answer has to be of a grammar, which thinking is not.
    held: bool,
    waits: usize,
    /// Tokens of thinking and answer together, and what tentative answers took of the budget's.
    most: u64,
    budget: u64,
    probed: u64,
    stage: Stage,
    /// The node of the answer.
    answer: Vec<NodeId>,
}

enum Stage {
    Thinking,
    /// A tentative answer to this thinking.
    Probing(NodeId),
    Answering,
}

impl BudgetForcing {
    pub fn new(params: &SearchParams) -> Self {
        let forcing = params.budget_forcing.clone();
        let given = Some(forcing.end_of_thinking.as_str()).filter(|end| !end.is_empty()).map(Thinking::until);
        Self {
            thinking: given.or_else(|| params.thinking.clone()),
            held: params.grammar.is_some(),
            waits: forcing.waits,
            most: params.max_tokens,
            budget: params.budget.tokens.unwrap_or(u64::MAX),
            probed: 0,
            stage: Stage::Thinking,
            answer: Vec::new(),
            params: forcing,
        }
    }

    /// Tokens of thinking, at most: something is left for the answer.
    fn limit(&self) -> u64 {
        let most = self.most.min(self.budget.saturating_sub(self.probed));
        self.params.max_thinking.min(most - ANSWER_TOKENS.min(most / 2)).max(1)
    }

    fn think(&self, at: NodeId, forced: &str, spent: u64) -> Extend {
        let until = match &self.thinking {
            Some(thinking) => Until::Before(vec![thinking.close.clone()]),
            None => Until::Solution,
        };
        let left = self.limit().saturating_sub(spent).max(1);
        let probe = self.params.early_exit.map_or(u64::MAX, |_| self.params.probe_tokens);
        let (max_tokens, forced) = (Some(left.min(probe)), forced.to_owned());
        let hold = Hold::Free;
        Extend { until, max_tokens, forced, hold, greedy: self.params.greedy, keep: true, ..Extend::solution(at) }
    }

    /// The answer, which the model begins itself behind thinking that it ended, unless it is `asked` for.
    fn answer(&self, at: NodeId, asked: bool) -> Extend {
        let bridge = self.thinking.as_ref().map(Thinking::bridge).unwrap_or_default();
        let forced = if asked { format!("{bridge}{}", self.params.answer) } else { bridge };
        Extend { forced, hold: Hold::Rest, greedy: self.params.greedy, ..Extend::solution(at) }
    }

    /// What follows thinking that stopped at `at`.
    fn thought(&mut self, tree: &Tree, at: NodeId) -> Vec<Extend> {
        let node = tree.node(at);
        let (spent, marked) = (tree.drawn(at), node.dropped > 0);
        let ended = marked || node.end.is_some_and(End::is_complete);
        if !ended && node.end != Some(End::Step) {
            return Vec::new();
        }
        if ended && self.waits > 0 && spent < self.params.min_thinking.min(self.limit()) {
            self.waits -= 1;
            return vec![self.think(at, &self.params.wait, spent)];
        }
        if !ended && spent < self.limit() {
            self.stage = Stage::Probing(at);
            let probe = self.answer(at, true);
            return vec![Extend { max_tokens: Some(PROBE_ANSWER_TOKENS), greedy: true, judged: false, ..probe }];
        }
        // A text that ended without having thought is an answer itself.
        let open = self.thinking.as_ref().is_some_and(|thinking| thinking.is_open(&tree.text(at)));
        self.stage = Stage::Answering;
        match (ended, marked || open || self.held) {
            (true, false) => Vec::new(),
            (true, true) => vec![self.answer(at, !marked)],
            (false, _) => vec![self.answer(at, true)],
        }
    }

    /// What follows a tentative answer.
    fn tried(&mut self, tree: &Tree, probe: NodeId, thought: NodeId) -> Vec<Extend> {
        let node = tree.node(probe);
        self.probed += node.draws.len() as u64;
        let sure = (node.logprob / node.draws.len().max(1) as f64).exp();
        let complete = node.end.is_some_and(End::is_complete);
        if complete && self.params.early_exit.is_some_and(|least| sure >= least) {
            self.answer = vec![probe];
            return Vec::new();
        }
        self.stage = Stage::Thinking;
        let spent = tree.drawn(thought);
        if spent < self.limit() { vec![self.think(thought, "", spent)] } else { self.thought(tree, thought) }
    }
}

impl Rounds for BudgetForcing {
    fn next(&mut self, tree: &mut Tree, told: &[NodeId]) -> Vec<Extend> {
        let Some(&at) = told.first() else { return vec![self.think(tree.root(), "", 0)] };
        match self.stage {
            Stage::Thinking => self.thought(tree, at),
            Stage::Probing(thought) => self.tried(tree, at, thought),
            Stage::Answering => {
                self.answer = vec![at];
                Vec::new()
            }
        }
    }

    fn voters(&self) -> Option<&[NodeId]> {
        // Before there is an answer, tentative ones count.
        (!self.answer.is_empty()).then_some(self.answer.as_slice())
    }
}
