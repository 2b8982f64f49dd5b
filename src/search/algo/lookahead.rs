//! Lookahead search (Snell et al., arXiv 2408.03314): beam search in which a step is worth what the text is worth after a
//! greedy rollout of some further steps. A rollout that reaches an answer votes.

use super::Extend;
use super::beam::Beam;
use super::rounds::{Rounds, by_worth, close_twins, ranked, step_or_rest};
use crate::search::SearchParams;
use crate::search::node::NodeId;
use crate::search::tree::Tree;

pub(super) struct Lookahead {
    beam: Beam,
    n: usize,
    steps: usize,
    max_steps: usize,
    /// The steps that compete, each with the end of its rollout so far.
    rollouts: Vec<(NodeId, NodeId)>,
    rolled: usize,
    begun: bool,
}

impl Lookahead {
    pub fn new(params: &SearchParams) -> Self {
        Self {
            beam: Beam::new(params),
            n: params.n,
            steps: params.lookahead,
            max_steps: params.step.max_steps,
            rollouts: Vec::new(),
            rolled: 0,
            begun: false,
        }
    }

    fn steps_of(&self, tree: &Tree, going: Vec<NodeId>) -> Vec<Extend> {
        going.into_iter().map(|at| step_or_rest(tree, at, self.max_steps)).collect()
    }

    /// One greedy step more for every rollout that can go on.
    fn roll(&mut self, tree: &Tree) -> Vec<Extend> {
        self.rolled += 1;
        let open = self.rollouts.iter().filter(|(_, end)| tree.is_open(*end));
        open.map(|&(_, end)| Extend { greedy: true, ..step_or_rest(tree, end, self.max_steps) }).collect()
    }

    /// The best steps by their rollouts go on; the rollouts themselves are dropped.
    fn select(&mut self, tree: &mut Tree) -> Vec<NodeId> {
        let rollouts = std::mem::take(&mut self.rollouts);
        let mut order = rollouts.clone();
        order.sort_by(|(x, a), (y, b)| by_worth(tree, *b, *a).then(x.cmp(y)));
        for (step, end) in rollouts {
            for node in tree.path(end).into_iter().filter(|&node| node > step) {
                tree.close(node);
            }
        }
        self.beam.keep(tree, order.into_iter().map(|(step, _)| step).collect())
    }
}

impl Rounds for Lookahead {
    fn next(&mut self, tree: &mut Tree, told: &[NodeId]) -> Vec<Extend> {
        if !std::mem::replace(&mut self.begun, true) {
            return self.steps_of(tree, vec![tree.root(); self.n]);
        }
        if self.rollouts.is_empty() {
            let open = told.iter().copied().filter(|&step| tree.is_open(step));
            self.rollouts = ranked(tree, open).into_iter().map(|step| (step, step)).collect();
            self.rolled = 0;
            close_twins(tree, told);
        } else {
            for &end in told {
                let parent = tree.parent(end);
                if let Some(rollout) = self.rollouts.iter_mut().find(|(_, at)| *at == parent) {
                    rollout.1 = end;
                }
            }
        }
        if self.rolled < self.steps {
            let rolls = self.roll(tree);
            if !rolls.is_empty() {
                return rolls;
            }
        }
        let going = self.select(tree);
        self.steps_of(tree, going)
    }
}
