//! Search algorithms: one small file each. They ask for work and are told what came of it; the control loop does the rest.

mod auto;
mod beam;
mod best_of_n;
mod budget_forcing;
mod deep_conf;
mod dvts;
mod greedy;
mod lookahead;
mod mcts;
mod name;
mod particle_filter;
mod program;
mod rebase;
mod rounds;
mod speculative_rejection;
mod tree_of_thoughts;
pub(super) mod verdict;

pub use self::budget_forcing::BudgetForcingParams;
pub use self::deep_conf::DeepConfParams;
pub use self::mcts::{Backup, MctsParams, Selection};
pub use self::name::Algo;
pub(super) use self::program::Programmed;
pub use self::rebase::RebaseParams;
pub use self::speculative_rejection::SpeculativeRejectionParams;
pub use self::tree_of_thoughts::{Traversal, TreeOfThoughtsParams};
pub(super) use self::verdict::Verdict;

use super::lane::{Bar, Until};
use super::node::NodeId;
use super::tree::Tree;
use crate::error::{Error, Result};
use crate::observe::Interrupt;
use crate::text::{Grammar, TokenId};

/// The seam between an algorithm and the control loop.
///
/// Whatever the loop decodes together, it tells the results in the order in which they were asked for. An algorithm whose
/// questions depend on nothing but what it was told therefore gives the same outcome under every schedule.
pub(super) trait Algorithm: Send {
    /// The next node to grow; `None` while it has to be told more first, or when it is done.
    fn ask(&mut self, tree: &mut Tree) -> Option<Extend>;

    /// `node`, asked for earlier, stopped growing.
    fn tell(&mut self, tree: &mut Tree, node: NodeId);

    /// Whether no further node could change the verdict; what still grows is given up.
    fn is_done(&self) -> bool;

    /// The best so far, at any time.
    fn verdict(&self, tree: &Tree) -> Verdict;

    /// What ends the search early, told whenever it begins or goes on.
    fn attend(&mut self, interrupt: &Interrupt) {
        let _ = interrupt;
    }

    /// What it knows from elsewhere than the nodes that it was told, for a run that is to be the same.
    fn journal(&self) -> String {
        String::new()
    }

    /// The journal, if it has grown since the last call.
    fn news(&mut self) -> Option<String> {
        None
    }

    /// Takes over what an earlier run knew, before it is asked.
    fn recall(&mut self, journal: &str) -> Result<()> {
        let _ = journal;
        Ok(())
    }

    /// Why it cannot go on, told once: the search fails with it.
    fn fault(&mut self) -> Option<Error> {
        None
    }
}

/// A request to grow a new child.
#[derive(Debug, Clone)]
pub(super) struct Extend {
    /// The parent.
    pub at: NodeId,
    pub until: Until,
    /// The child's own cap in tokens, where it is below that of its step and its solution.
    pub max_tokens: Option<u64>,
    /// Takes the most likely tokens instead of drawing them.
    pub greedy: bool,
    /// Whether a judge looks at it.
    pub judged: bool,
    /// Whether it may get children.
    pub keep: bool,
    pub bar: Option<Bar>,
    /// Whether [`Draw::confidence`](crate::reward::Draw::confidence) is noted.
    pub confidence: bool,
    /// Text that is put into the model's mouth first.
    pub forced: String,
    /// For [`Until::Prompt`]: the tokens.
    pub prompt: Vec<TokenId>,
    /// Whether a complete `#### answer` line ends it, where the search's own rule does not count.
    pub stop_at_answer: Option<bool>,
    pub hold: Hold,
}

/// What a node's tokens are held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hold {
    /// The search's grammar, if it has one, from the beginning of the text on.
    Text,
    /// The search's grammar, if it has one, from the first token on that is drawn here.
    Rest,
    /// Nothing.
    Free,
    /// A grammar of its own, from the first token on that is drawn here.
    Own(Grammar),
}

impl Extend {
    /// The whole solution, or the rest of it, which gets no children.
    pub fn solution(at: NodeId) -> Self {
        Self {
            at,
            until: Until::Solution,
            max_tokens: None,
            greedy: false,
            judged: true,
            keep: false,
            bar: None,
            confidence: false,
            forced: String::new(),
            prompt: Vec::new(),
            stop_at_answer: None,
            hold: Hold::Text,
        }
    }

    /// A part of a prompt.
    pub fn prompt(at: NodeId, prompt: Vec<TokenId>) -> Self {
        Self { until: Until::Prompt, judged: false, keep: true, prompt, hold: Hold::Free, ..Self::solution(at) }
    }

    /// One step, which may get children.
    pub fn step(at: NodeId) -> Self {
        Self { until: Until::Step, keep: true, ..Self::solution(at) }
    }
}
