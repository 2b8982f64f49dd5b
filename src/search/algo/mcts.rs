//! Monte-Carlo tree search over steps. One simulation goes down by the selection rule to a node without children, gives it
//! `expand` children, values them, and sends the values up. Without a judge a child is worth what a rollout to the end of
//! the text is worth.
//!
//! Several simulations run in one round. Each of them leaves a visit behind on its way down before the next one chooses (a
//! virtual loss: Chaslot, Winands and van den Herik, 2008), so that they part; how many is a parameter and no matter of the
//! schedule. One that comes to a finished text again asks for nothing and counts like any other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Extend;
use super::rounds::{Rounds, close_twins, step_or_rest};
use crate::search::SearchParams;
use crate::search::node::NodeId;
use crate::search::tree::Tree;

/// How a simulation chooses between children of mean value Q with N visits, under a parent with `N_p` visits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Selection {
    /// Q + c sqrt(ln `N_p` / N) (Kocsis and Szepesvari, 2006). Published: c = 2 (rStar, rStar-Math), 1 (LLM Reasoners),
    /// 0.7 sqrt(2) (ReST-MCTS*).
    Uct(f64),
    /// Q + P (ln((`N_p` + base + 1) / base) + init) sqrt(`N_p`) / (1 + N) (Silver et al., 2018), where the prior P is the
    /// softmax of the children's mean log-probability. Published: base 19652, init 1.25 (`AlphaZero`, `OpenR`).
    Puct {
        /// Visits at which exploration begins to grow.
        base: f64,
        /// Exploration before that.
        init: f64,
    },
}

/// What goes up from a child to its ancestors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Backup {
    /// A node is worth the mean of all values below it.
    Mean,
    /// A node is worth the visit-weighted mean of its children, and its own value moves by this share towards the best
    /// child's (ReST-MCTS*; Zhang et al., NeurIPS 2024). Published: 0.5.
    Max(f64),
}

/// Constants of [`Algo::Mcts`](crate::search::Algo::Mcts).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MctsParams {
    /// How children are chosen.
    pub selection: Selection,
    /// How values go up.
    pub backup: Backup,
    /// Children of a node. Published: 3 (ReST-MCTS*), 4 (`OpenR`), 32 (rStar-Math).
    pub expand: usize,
    /// Simulations of one round.
    pub parallel: usize,
    /// A finished text worth this much ends the search; above 1 never. Published: 0.9 (ReST-MCTS*).
    pub end_gate: f64,
}

impl Default for MctsParams {
    /// UCT with c = 2, mean values, four children, two simulations at once, no early end.
    fn default() -> Self {
        Self { selection: Selection::Uct(2.0), backup: Backup::Mean, expand: 4, parallel: 2, end_gate: 2.0 }
    }
}

#[derive(Debug, Clone, Default)]
struct Stat {
    visits: f64,
    /// Mean value.
    q: f64,
    children: Vec<NodeId>,
}

pub(super) struct Mcts {
    params: MctsParams,
    simulations: usize,
    max_steps: usize,
    /// Whether children are valued by rollouts, since no judge values them.
    rollouts: bool,
    stats: BTreeMap<NodeId, Stat>,
    /// Visits that this round's simulations left behind on their way down.
    left_behind: Vec<NodeId>,
    /// Finished texts that they ended in.
    finished: Vec<NodeId>,
    begun: bool,
    rolling: bool,
}

impl Mcts {
    pub fn new(params: &SearchParams, judged: bool) -> Self {
        Self {
            params: params.mcts.clone(),
            simulations: params.n,
            max_steps: params.step.max_steps,
            rollouts: !judged,
            stats: BTreeMap::new(),
            left_behind: Vec::new(),
            finished: Vec::new(),
            begun: false,
            rolling: false,
        }
    }

    /// Down to a node without children, leaving visits behind.
    fn descend(&mut self, tree: &Tree) -> NodeId {
        let mut at = tree.root();
        loop {
            let stat = self.stats.entry(at).or_default();
            stat.visits += 1.0;
            self.left_behind.push(at);
            let parent_visits = stat.visits;
            let children = stat.children.clone();
            let priors = self.priors(tree, &children);
            let mut best: Option<(f64, NodeId)> = None;
            for (&child, prior) in children.iter().zip(priors) {
                let score = self.score(child, parent_visits, prior);
                if best.is_none_or(|(most, _)| score > most) {
                    best = Some((score, child));
                }
            }
            match best {
                Some((_, child)) => at = child,
                None => return at,
            }
        }
    }

    fn score(&self, child: NodeId, parent_visits: f64, prior: f64) -> f64 {
        let (q, n) = self.stats.get(&child).map_or((0.0, 0.0), |stat| (stat.q, stat.visits));
        match self.params.selection {
            Selection::Uct(c) => q + c * (parent_visits.ln().max(0.0) / n.max(1.0)).sqrt(),
            Selection::Puct { base, init } => {
                let c = ((parent_visits + base + 1.0) / base).ln() + init;
                q + prior * c * parent_visits.sqrt() / (1.0 + n)
            }
        }
    }

    fn priors(&self, tree: &Tree, children: &[NodeId]) -> Vec<f64> {
        let mean = |&id: &NodeId| {
            let node = tree.node(id);
            (node.logprob / node.draws.len().max(1) as f64).exp()
        };
        let sum: f64 = children.iter().map(mean).sum();
        children.iter().map(|id| mean(id) / sum.max(f64::MIN_POSITIVE)).collect()
    }

    /// Takes the visits of a round back, now that its values are known. A finished text that a simulation came to again is
    /// worth once more what it is worth.
    fn end_round(&mut self, tree: &Tree) {
        for id in std::mem::take(&mut self.left_behind) {
            if let Some(stat) = self.stats.get_mut(&id) {
                stat.visits -= 1.0;
            }
        }
        for id in std::mem::take(&mut self.finished) {
            let Some(stat) = self.stats.get_mut(&id) else { continue };
            stat.visits += 1.0;
            let value = stat.q;
            self.send_up(tree, id, value);
        }
    }

    /// Values of new children go up to the root.
    fn back_up(&mut self, tree: &Tree, child: NodeId, value: f64) {
        let parent = tree.parent(child);
        self.stats.entry(parent).or_default().children.push(child);
        self.stats.insert(child, Stat { visits: 1.0, q: value, children: Vec::new() });
        self.send_up(tree, child, value);
    }

    /// The value of `from` changes what stands above it.
    fn send_up(&mut self, tree: &Tree, from: NodeId, value: f64) {
        for id in tree.ancestry(from).skip(1) {
            let (q, visits) = self.revalued(id, value);
            if let Some(stat) = self.stats.get_mut(&id) {
                (stat.q, stat.visits) = (q, visits);
            }
        }
    }

    fn revalued(&self, id: NodeId, value: f64) -> (f64, f64) {
        let Some(stat) = self.stats.get(&id) else { return (value, 1.0) };
        match self.params.backup {
            Backup::Mean => {
                let visits = stat.visits + 1.0;
                (stat.q + (value - stat.q) / visits, visits)
            }
            Backup::Max(share) => {
                let children = || stat.children.iter().filter_map(|child| self.stats.get(child));
                let visits: f64 = children().map(|child| child.visits).sum();
                let mean = children().map(|child| child.q * child.visits).sum::<f64>() / visits.max(1.0);
                let best = children().map(|child| child.q).fold(0.0, f64::max);
                ((1.0 - share) * mean + share * best, stat.visits + 1.0)
            }
        }
    }

    /// Whether one of these is a finished text that is good enough to end the search.
    fn is_found(&self, tree: &Tree, nodes: &[NodeId]) -> bool {
        let complete = |node| tree.node(node).end.is_some_and(|end| end.is_complete());
        nodes.iter().any(|&node| complete(node) && tree.value(node) >= self.params.end_gate)
    }

    /// The simulations of one round; those that came to the same node count once.
    fn simulate(&mut self, tree: &Tree) -> Vec<Extend> {
        let mut leaves: Vec<NodeId> =
            (0..self.params.parallel.min(self.simulations)).map(|_| self.descend(tree)).collect();
        leaves.sort_unstable();
        leaves.dedup();
        self.simulations = self.simulations.saturating_sub(leaves.len().max(1));
        let (leaves, finished): (Vec<_>, Vec<_>) = leaves.into_iter().partition(|&at| tree.is_open(at));
        self.finished = finished;
        let steps = leaves.into_iter().map(|at| step_or_rest(tree, at, self.max_steps));
        steps.flat_map(|step| std::iter::repeat_n(step, self.params.expand)).collect()
    }
}

impl Rounds for Mcts {
    fn next(&mut self, tree: &mut Tree, told: &[NodeId]) -> Vec<Extend> {
        let mut told: Vec<NodeId> = told.to_vec();
        if !self.rolling {
            self.end_round(tree);
        }
        if std::mem::replace(&mut self.rolling, false) {
            // A rollout's value counts for the child that it began at; so does that of a child which ended itself.
            for &end in &told {
                let child = tree.parent(end);
                self.back_up(tree, child, tree.value(end));
            }
        } else if std::mem::replace(&mut self.begun, true) {
            close_twins(tree, &told);
            told.retain(|&node| tree.node(node).twin.is_none());
            let (open, ended): (Vec<NodeId>, Vec<NodeId>) = told.iter().partition(|&&node| tree.is_open(node));
            for &node in if self.rollouts { &ended } else { &told } {
                self.back_up(tree, node, tree.value(node));
            }
            if self.rollouts && !open.is_empty() && !self.is_found(tree, &ended) {
                self.rolling = true;
                return open.into_iter().map(Extend::solution).collect();
            }
        }
        if self.is_found(tree, &told) {
            return Vec::new();
        }
        // A round of simulations that end in finished texts asks for nothing: the next one is tried.
        while self.simulations > 0 {
            let requests = self.simulate(tree);
            if !requests.is_empty() {
                return requests;
            }
            self.end_round(tree);
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::Aggregation;
    use crate::search::node::End;

    fn grown(tree: &mut Tree, parent: NodeId, logprob: f64) -> NodeId {
        let id = tree.add(parent);
        let node = tree.node_mut(id);
        node.logprob = logprob;
        node.draws.push(crate::reward::Draw::default());
        node.end = Some(End::Step);
        id
    }

    fn mcts(params: MctsParams) -> Mcts {
        Mcts::new(&SearchParams { n: 100, mcts: params, ..SearchParams::default() }, true)
    }

    // Golden: the formulas worked out by hand with Python.
    #[test]
    fn uct_and_puct_weigh_value_against_visits() {
        let mut tree = Tree::new(0, Aggregation::Last);
        let root = tree.root();
        let (a, b) = (grown(&mut tree, root, -0.1), grown(&mut tree, root, -2.0));
        let mut uct = mcts(MctsParams::default());
        uct.stats.insert(a, Stat { visits: 4.0, q: 0.5, children: vec![] });
        assert!((uct.score(a, 10.0, 0.0) - 2.017_427_129_385_146).abs() < 1e-12);
        let mut puct =
            mcts(MctsParams { selection: Selection::Puct { base: 19652.0, init: 1.25 }, ..MctsParams::default() });
        puct.stats.insert(a, Stat { visits: 4.0, q: 0.5, children: vec![] });
        assert!((puct.score(a, 10.0, 0.6) - 0.974_553_995_794_700_9).abs() < 1e-12, "{}", puct.score(a, 10.0, 0.6));
        let priors = puct.priors(&tree, &[a, b]);
        assert!((priors[0] - 0.869_891_525_637_002_1).abs() < 1e-12 && (priors[0] + priors[1] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_simulation_that_comes_to_a_finished_text_again_counts() {
        let mut tree = Tree::new(0, Aggregation::Last);
        let root = tree.root();
        let (finished, open) = (grown(&mut tree, root, 0.0), grown(&mut tree, root, -5.0));
        tree.node_mut(finished).end = Some(End::Eog);
        let mut mcts = Mcts::new(
            &SearchParams { n: 40, mcts: MctsParams { parallel: 1, ..Default::default() }, ..Default::default() },
            true,
        );
        mcts.back_up(&tree, finished, 1.0);
        mcts.back_up(&tree, open, 0.1);
        let mut again = 0;
        while mcts.simulations > 0 && mcts.simulate(&tree).is_empty() {
            mcts.end_round(&tree);
            again += 1;
        }
        assert!((1..39).contains(&again), "{again}: the open step gets its turn");
        assert_eq!(mcts.stats[&finished].visits, 1.0 + again as f64);
        // The mean of 1 and 0.1, and once more 1 for each time.
        let expected = (1.1 + again as f64) / (2.0 + again as f64);
        mcts.end_round(&tree);
        assert!((mcts.stats[&root].q - expected).abs() < 1e-12, "{}", mcts.stats[&root].q);
    }

    #[test]
    fn values_go_up_as_a_mean_or_towards_the_best() {
        for (backup, expected) in [(Backup::Mean, 0.4), (Backup::Max(0.5), 0.5)] {
            let mut tree = Tree::new(0, Aggregation::Last);
            let root = tree.root();
            let (a, b) = (grown(&mut tree, root, -0.1), grown(&mut tree, root, -2.0));
            let mut mcts = mcts(MctsParams { backup, ..MctsParams::default() });
            mcts.back_up(&tree, a, 0.2);
            mcts.back_up(&tree, b, 0.6);
            assert!((mcts.stats[&root].q - expected).abs() < 1e-12, "{:?}", mcts.stats);
        }
    }
}
