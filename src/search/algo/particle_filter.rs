//! Particle filtering (Puri et al., "A Probabilistic Inference Approach to Inference-Time Scaling of LLMs using Particle-Based
//! Monte Carlo Methods", arXiv 2502.01618): `n` particles take one step each and are drawn anew in proportion to the odds of
//! their values, finished ones with them, until all have finished.

use super::Extend;
use super::rounds::{Rounds, step_or_rest};
use crate::engine::Stream;
use crate::search::SearchParams;
use crate::search::node::NodeId;
use crate::search::tree::Tree;

pub(super) struct ParticleFilter {
    /// The random numbers of the draws, apart from those of the tree.
    stream: Stream,
    n: usize,
    max_steps: usize,
    /// A node several times stands for several particles.
    particles: Vec<NodeId>,
    /// All particles have; until then the leaves stand for them.
    finished: bool,
    round: u64,
}

/// A path of its own: no tree has that many children of its root.
const STREAM: u64 = u64::MAX;

impl ParticleFilter {
    pub fn new(params: &SearchParams) -> Self {
        Self {
            stream: Stream::new(params.seed).child(STREAM),
            n: params.n,
            max_steps: params.step.max_steps,
            particles: Vec::new(),
            finished: false,
            round: 0,
        }
    }

    /// As many draws with replacement as there are particles, by systematic inversion of independent uniforms.
    fn resample(&mut self, tree: &Tree) {
        let log_weights: Vec<f64> = self.particles.iter().map(|&node| log_odds(tree.value(node))).collect();
        let peak = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = log_weights.iter().map(|w| (w - peak).exp()).collect();
        let mass: f64 = weights.iter().sum();
        let stream = self.stream.child(self.round);
        let drawn = (0..self.particles.len() as u64).filter_map(|i| {
            let mut left = stream.uniform(i) * mass;
            let at = weights.iter().position(|weight| {
                left -= weight;
                left < 0.0
            });
            self.particles.get(at.unwrap_or(weights.len() - 1)).copied()
        });
        self.particles = drawn.collect();
        self.particles.sort_unstable();
    }
}

/// The published weight of a particle: logit of its value, kept finite.
fn log_odds(value: f64) -> f64 {
    let p = value.clamp(1e-7, 1.0 - 1e-7);
    (p / (1.0 - p)).ln()
}

impl Rounds for ParticleFilter {
    fn next(&mut self, tree: &mut Tree, told: &[NodeId]) -> Vec<Extend> {
        self.round += 1;
        if self.round == 1 {
            return vec![Extend::step(tree.root()); self.n];
        }
        // Whoever took a step is where the step led; those that had finished stay.
        self.particles.retain(|&node| !tree.is_open(node));
        self.particles.extend(told);
        self.finished = !self.particles.iter().any(|&node| tree.is_open(node));
        if !self.finished {
            self.resample(tree);
        }
        for &node in told {
            if !self.particles.contains(&node) {
                tree.close(node);
            }
        }
        let open = self.particles.iter().filter(|&&node| tree.is_open(node));
        open.map(|&at| step_or_rest(tree, at, self.max_steps)).collect()
    }

    fn voters(&self) -> Option<&[NodeId]> {
        self.finished.then_some(&self.particles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::Aggregation;
    use crate::search::node::{End, Mark};

    #[test]
    fn particles_are_drawn_by_the_odds_of_their_values() {
        let mut tree = Tree::new(0, Aggregation::Last);
        let mut filter = ParticleFilter::new(&SearchParams { n: 1000, ..SearchParams::default() });
        let ids: Vec<NodeId> = [0.75f32, 0.5]
            .map(|score| {
                let id = tree.add(tree.root());
                tree.node_mut(id).end = Some(End::Step);
                tree.node_mut(id).steps.push(Mark { tokens: 1, bytes: 1, score: Some(score) });
                id
            })
            .to_vec();
        filter.particles = ids.iter().copied().cycle().take(1000).collect();
        filter.resample(&tree);
        let first = filter.particles.iter().filter(|&&node| node == ids[0]).count();
        // Odds 3 : 1; binomial with standard deviation 13.7, five of them.
        assert!(first.abs_diff(750) < 69, "{first}");
    }
}
