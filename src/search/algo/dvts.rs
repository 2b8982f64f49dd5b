//! Diverse verifier tree search (Beeching, Tunstall and Rush, "Scaling test-time compute with open models", 2024):
//! `n / beam_width` subtrees of the prompt that neither compete nor wait for each other. In each, `beam_width` steps are drawn
//! and the best goes on; a subtree ends when its best step ends the text.

use super::Extend;
use super::rounds::{Rounds, by_worth, step_or_rest};
use crate::search::SearchParams;
use crate::search::node::NodeId;
use crate::search::tree::Tree;

pub(super) struct Dvts {
    subtrees: usize,
    width: usize,
    max_steps: usize,
    begun: bool,
}

impl Dvts {
    pub fn new(params: &SearchParams) -> Self {
        let subtrees = (params.n / params.beam_width).max(1);
        let width = params.beam_width.min(params.n);
        Self { subtrees, width, max_steps: params.step.max_steps, begun: false }
    }
}

impl Rounds for Dvts {
    fn group(&self) -> Option<usize> {
        Some(self.width)
    }

    fn next(&mut self, tree: &mut Tree, told: &[NodeId]) -> Vec<Extend> {
        let going = if std::mem::replace(&mut self.begun, true) {
            // The same words may well be the best of two subtrees; of equals the first.
            let better = |best, step| if by_worth(tree, step, best).is_gt() { step } else { best };
            let best = told.iter().copied().reduce(better);
            for &step in told.iter().filter(|&&step| Some(step) != best) {
                tree.close(step);
            }
            best.filter(|&best| tree.is_open(best)).into_iter().collect()
        } else {
            vec![tree.root(); self.subtrees]
        };
        let requests = going.into_iter().map(|at| step_or_rest(tree, at, self.max_steps));
        requests.flat_map(|request| std::iter::repeat_n(request, self.width)).collect()
    }
}
