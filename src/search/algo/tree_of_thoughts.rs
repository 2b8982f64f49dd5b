//! Tree of Thoughts (Yao et al., NeurIPS 2023) over sampled steps, valued by the judge.

use serde::{Deserialize, Serialize};

use super::Extend;
use super::rounds::{Rounds, close_twins, ranked, step_or_rest};
use crate::search::SearchParams;
use crate::search::node::NodeId;
use crate::search::tree::Tree;

/// The order in which thoughts are followed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Traversal {
    /// Level by level: the best `breadth` thoughts of each go on. Published: 5.
    Breadth {
        /// Thoughts kept on one level.
        breadth: usize,
    },
    /// The best thought first, back up where all children are worth less than `threshold`.
    Depth {
        /// Least value of a thought that is followed.
        threshold: f64,
        /// Thoughts followed, at most. Published: 100.
        steps: usize,
    },
}

/// Constants of [`Algo::TreeOfThoughts`](crate::search::Algo::TreeOfThoughts).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TreeOfThoughtsParams {
    /// Breadth-first or depth-first.
    pub traversal: Traversal,
    /// Thoughts drawn from each that is followed. Published: 5 for text, 8 for crosswords.
    pub candidates: usize,
}

impl Default for TreeOfThoughtsParams {
    /// Breadth-first, five of five.
    fn default() -> Self {
        Self { traversal: Traversal::Breadth { breadth: 5 }, candidates: 5 }
    }
}

pub(super) struct TreeOfThoughts {
    params: TreeOfThoughtsParams,
    /// Finished texts that are enough for a depth-first search.
    n: usize,
    max_steps: usize,
    /// Depth-first: thoughts that wait to be followed, the next one last.
    stack: Vec<NodeId>,
    followed: usize,
    finished: usize,
    begun: bool,
}

impl TreeOfThoughts {
    pub fn new(params: &SearchParams) -> Self {
        Self {
            params: params.tree_of_thoughts.clone(),
            n: params.n,
            max_steps: params.step.max_steps,
            stack: Vec::new(),
            followed: 0,
            finished: 0,
            begun: false,
        }
    }

    fn follow(&self, tree: &Tree, at: NodeId) -> impl Iterator<Item = Extend> + use<> {
        std::iter::repeat_n(step_or_rest(tree, at, self.max_steps), self.params.candidates)
    }

    fn breadth_first(&self, tree: &mut Tree, thoughts: &[NodeId], breadth: usize) -> Vec<Extend> {
        let thoughts = ranked(tree, thoughts.iter().copied());
        for &node in thoughts.iter().skip(breadth) {
            tree.close(node);
        }
        thoughts.into_iter().take(breadth).flat_map(|at| self.follow(tree, at)).collect()
    }

    fn depth_first(&mut self, tree: &mut Tree, thoughts: &[NodeId], threshold: f64, steps: usize) -> Vec<Extend> {
        // The best on top.
        for node in ranked(tree, thoughts.iter().copied()).into_iter().rev() {
            if tree.value(node) >= threshold {
                self.stack.push(node);
            } else {
                tree.close(node);
            }
        }
        if self.finished >= self.n || self.followed >= steps {
            return Vec::new();
        }
        let Some(at) = self.stack.pop() else { return Vec::new() };
        self.followed += 1;
        self.follow(tree, at).collect()
    }
}

impl Rounds for TreeOfThoughts {
    fn next(&mut self, tree: &mut Tree, told: &[NodeId]) -> Vec<Extend> {
        if !std::mem::replace(&mut self.begun, true) {
            self.followed += 1;
            return self.follow(tree, tree.root()).collect();
        }
        close_twins(tree, told);
        let complete = |&&node: &&NodeId| tree.node(node).end.is_some_and(|end| end.is_complete());
        self.finished += told.iter().filter(complete).count();
        let open: Vec<NodeId> = told.iter().copied().filter(|&node| tree.is_open(node)).collect();
        match self.params.traversal {
            Traversal::Breadth { breadth } => self.breadth_first(tree, &open, breadth),
            Traversal::Depth { threshold, steps } => self.depth_first(tree, &open, threshold, steps),
        }
    }
}
