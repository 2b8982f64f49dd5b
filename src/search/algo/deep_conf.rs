//! `DeepConf`, online (Fu et al., "Deep Think with Confidence", arXiv 2508.15260). A token's confidence is the mean negative
//! log-probability of the 20 most likely tokens; a group's is the mean over a window. Warm-up samples set the bar: a
//! percentile of their lowest groups. Later samples end when a group falls below it, and votes are weighed by confidence.

use serde::{Deserialize, Serialize};

use super::Extend;
use super::rounds::Rounds;
use crate::search::SearchParams;
use crate::search::lane::Bar;
use crate::search::node::NodeId;
use crate::search::tree::Tree;

/// Constants of [`Algo::DeepConf`](crate::search::Algo::DeepConf).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeepConfParams {
    /// Samples that set the bar. Published: 16.
    pub warm_up: usize,
    /// Tokens of one group. Published: 2048, for thoughts of tens of thousands of tokens.
    pub window: usize,
    /// Share of the warm-up samples that would have stayed above the bar, in (0, 1]. Published: 0.1 and 0.9.
    pub keep: f64,
}

impl Default for DeepConfParams {
    fn default() -> Self {
        Self { warm_up: 16, window: 2048, keep: 0.1 }
    }
}

pub(super) struct DeepConf {
    params: DeepConfParams,
    n: usize,
    round: usize,
}

impl DeepConf {
    pub fn new(params: &SearchParams) -> Self {
        Self { params: params.deep_conf.clone(), n: params.n, round: 0 }
    }

    fn bar(&self, tree: &Tree, samples: &[NodeId]) -> Bar {
        let mut lowest: Vec<f64> =
            samples.iter().map(|&node| lowest_group(&confidences(tree, node), self.params.window)).collect();
        lowest.sort_by(f64::total_cmp);
        // numpy's percentile with linear interpolation, as the published code takes it.
        let at = (1.0 - self.params.keep) * (lowest.len().max(1) - 1) as f64;
        let value = |i: usize| lowest.get(i).copied().unwrap_or(0.0);
        let (low, high) = (value(at.floor() as usize), value(at.ceil() as usize));
        Bar { window: self.params.window, least: low + (high - low) * at.fract() }
    }
}

fn confidences(tree: &Tree, node: NodeId) -> Vec<f64> {
    tree.node(node).draws.iter().map(|draw| f64::from(draw.confidence)).collect()
}

/// The least mean over a window; over everything when there is no whole window.
fn lowest_group(confidences: &[f64], window: usize) -> f64 {
    let mean = |group: &[f64]| group.iter().sum::<f64>() / group.len().max(1) as f64;
    if confidences.len() <= window {
        return mean(confidences);
    }
    confidences.windows(window.max(1)).map(mean).fold(f64::INFINITY, f64::min)
}

impl Rounds for DeepConf {
    fn next(&mut self, tree: &mut Tree, told: &[NodeId]) -> Vec<Extend> {
        self.round += 1;
        let warm_up = self.params.warm_up.min(self.n);
        match self.round {
            1 => vec![Extend { confidence: true, ..Extend::solution(tree.root()) }; warm_up],
            2 => {
                let bar = Some(self.bar(tree, told));
                vec![Extend { bar, confidence: true, ..Extend::solution(tree.root()) }; self.n - warm_up]
            }
            _ => Vec::new(),
        }
    }

    /// The mean confidence of the whole sample.
    fn weight(&self, tree: &Tree, node: NodeId) -> f64 {
        let confidences = confidences(tree, node);
        confidences.iter().sum::<f64>() / confidences.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::{Aggregation, Draw};

    // Golden: numpy.percentile([…], 90) and a moving mean in numpy.
    #[test]
    fn the_bar_is_a_percentile_of_the_lowest_groups() {
        assert_eq!(lowest_group(&[4.0, 1.0, 3.0, 5.0], 2), 2.0);
        assert_eq!(lowest_group(&[4.0, 2.0], 2048), 3.0);
        let mut tree = Tree::new(0, Aggregation::Last);
        let samples: Vec<NodeId> = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]
            .map(|confidence| {
                let id = tree.add(tree.root());
                tree.node_mut(id).draws.push(Draw { confidence, ..Draw::default() });
                id
            })
            .to_vec();
        let deep_conf = DeepConf::new(&SearchParams::default());
        assert!((deep_conf.bar(&tree, &samples).least - 5.5).abs() < 1e-12);
    }
}
