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
mod rebase;
mod rounds;
mod speculative_rejection;
mod tree_of_thoughts;
mod verdict;

pub use self::budget_forcing::BudgetForcingParams;
pub use self::deep_conf::DeepConfParams;
pub use self::mcts::{Backup, MctsParams, Selection};
pub use self::name::Algo;
pub use self::rebase::RebaseParams;
pub use self::speculative_rejection::SpeculativeRejectionParams;
pub use self::tree_of_thoughts::{Traversal, TreeOfThoughtsParams};
pub(super) use self::verdict::Verdict;

use super::lane::{Bar, Until};
use super::tree::{NodeId, Tree};

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
        }
    }

    /// One step, which may get children.
    pub fn step(at: NodeId) -> Self {
        Self { until: Until::Step, keep: true, ..Self::solution(at) }
    }
}
