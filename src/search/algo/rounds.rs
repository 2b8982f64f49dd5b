//! Algorithms that work in rounds: ask for some nodes, wait for them, think again.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::{Algorithm, Extend, Verdict};
use crate::search::Vote;
use crate::search::node::NodeId;
use crate::search::tree::Tree;

/// One algorithm, round by round.
pub(super) trait Rounds: Send {
    /// The requests of the next round, given what the last one became, in the order of its requests (nothing in the first
    /// round). No requests while nothing is waited for: the algorithm is done.
    fn next(&mut self, tree: &mut Tree, told: &[NodeId]) -> Vec<Extend>;

    /// Requests, one after another, that make a round of their own, which waits for no other; `None` for all that were made.
    fn group(&self) -> Option<usize> {
        None
    }

    /// The nodes whose answers count, a node several times if it stands for several; `None` for every leaf of the tree.
    fn voters(&self) -> Option<&[NodeId]> {
        None
    }

    /// What a voter's answer weighs, where it is not the value of its text.
    fn weight(&self, tree: &Tree, node: NodeId) -> f64 {
        tree.value(node)
    }
}

/// [`Rounds`] as an [`Algorithm`].
pub(super) struct Rounded<R> {
    rounds: R,
    vote: Vote,
    asks: VecDeque<Extend>,
    /// Requests that were handed out and not yet told.
    waiting: usize,
    told: Vec<NodeId>,
    begun: bool,
}

impl<R: Rounds + 'static> Rounded<R> {
    pub fn new(rounds: R, vote: Vote) -> Self {
        Self { rounds, vote, asks: VecDeque::new(), waiting: 0, told: Vec::new(), begun: false }
    }

    pub fn boxed(rounds: R, vote: Vote) -> Box<dyn Algorithm> {
        Box::new(Self::new(rounds, vote))
    }
}

impl<R: Rounds> Rounded<R> {
    /// What the requests of a round became, once all of them are told; nothing before the first round.
    fn complete_round(&mut self) -> Option<Vec<NodeId>> {
        if !std::mem::replace(&mut self.begun, true) {
            return Some(Vec::new());
        }
        let told = self.told.len();
        let size = self.rounds.group().unwrap_or(told + self.asks.len() + self.waiting);
        (told > 0 && told >= size).then(|| self.told.drain(..size).collect())
    }
}

impl<R: Rounds> Algorithm for Rounded<R> {
    fn ask(&mut self, tree: &mut Tree) -> Option<Extend> {
        // What is told in the order of its requests completes groups in their order, so that no schedule shows.
        while let Some(told) = self.complete_round() {
            self.asks.extend(self.rounds.next(tree, &told));
        }
        let extend = self.asks.pop_front()?;
        self.waiting += 1;
        Some(extend)
    }

    fn tell(&mut self, _: &mut Tree, node: NodeId) {
        self.waiting = self.waiting.saturating_sub(1);
        self.told.push(node);
    }

    fn is_done(&self) -> bool {
        self.begun && self.asks.is_empty() && self.waiting == 0 && self.told.is_empty()
    }

    fn verdict(&self, tree: &Tree) -> Verdict {
        let weight = |node| self.rounds.weight(tree, node);
        match self.rounds.voters() {
            Some(voters) => Verdict::of(tree, voters, self.vote, &weight),
            None => Verdict::of(tree, &tree.leaves(), self.vote, &weight),
        }
    }
}

/// `nodes` by value, then by confidence, best first, the earlier of equals first; twins are left out, since they would take
/// places twice.
pub(super) fn ranked(tree: &Tree, nodes: impl IntoIterator<Item = NodeId>) -> Vec<NodeId> {
    let mut ranked: Vec<NodeId> = nodes.into_iter().filter(|&node| tree.node(node).twin.is_none()).collect();
    ranked.sort_by(|&a, &b| by_worth(tree, b, a).then(a.cmp(&b)));
    ranked.dedup();
    ranked
}

/// Whether `a` is worth less or more than `b`; of equals, whether the model was less or more sure of it.
pub(super) fn by_worth(tree: &Tree, a: NodeId, b: NodeId) -> Ordering {
    tree.value(a).total_cmp(&tree.value(b)).then(tree.confidence(a).total_cmp(&tree.confidence(b)))
}

/// Gives up what an earlier node says word for word.
pub(super) fn close_twins(tree: &mut Tree, nodes: &[NodeId]) {
    for &node in nodes {
        if tree.node(node).twin.is_some() {
            tree.close(node);
        }
    }
}

/// One step from `at`, or the rest of the solution when it has taken all the steps it may but one.
pub(super) fn step_or_rest(tree: &Tree, at: NodeId, max_steps: usize) -> Extend {
    if tree.depth(at) + 1 >= max_steps { Extend::solution(at) } else { Extend::step(at) }
}
