//! Beam search over steps by value, as in search-and-learn: `n` beams; after every step the best `n / beam_width` of those
//! still going are kept, and repeated in turn until there are `n` again. Finished texts leave the competition.

use super::Extend;
use super::rounds::{Rounds, close_twins, ranked, step_or_rest};
use crate::search::SearchParams;
use crate::search::node::NodeId;
use crate::search::tree::Tree;

pub(super) struct Beam {
    n: usize,
    kept: usize,
    max_steps: usize,
    begun: bool,
}

impl Beam {
    pub fn new(params: &SearchParams) -> Self {
        let kept = (params.n / params.beam_width).max(1);
        Self { n: params.n, kept, max_steps: params.step.max_steps, begun: false }
    }

    /// Keeps the first of `open`, best first, closes the others, and says which nodes go on, some of them several times.
    pub fn keep(&self, tree: &mut Tree, open: Vec<NodeId>) -> Vec<NodeId> {
        for &node in open.iter().skip(self.kept) {
            tree.close(node);
        }
        let best: Vec<NodeId> = open.into_iter().take(self.kept).collect();
        best.iter().copied().cycle().take(if best.is_empty() { 0 } else { self.n }).collect()
    }
}

impl Rounds for Beam {
    fn next(&mut self, tree: &mut Tree, told: &[NodeId]) -> Vec<Extend> {
        let going = if std::mem::replace(&mut self.begun, true) {
            let (open, ended): (Vec<NodeId>, Vec<NodeId>) = told.iter().partition(|&&node| tree.is_open(node));
            ended.into_iter().for_each(|node| tree.close(node));
            close_twins(tree, &open);
            let open = ranked(tree, open);
            self.keep(tree, open)
        } else {
            vec![tree.root(); self.n]
        };
        going.into_iter().map(|at| step_or_rest(tree, at, self.max_steps)).collect()
    }
}
