//! REBASE, reward-balanced search (Wu et al., arXiv 2408.00724): a frontier's nodes get children in proportion to a softmax of
//! their values, out of a budget of `n` leaves that shrinks by one with every text that ends.

use serde::{Deserialize, Serialize};

use super::Extend;
use super::rounds::{Rounds, close_twins, ranked, step_or_rest};
use crate::search::SearchParams;
use crate::search::node::NodeId;
use crate::search::tree::Tree;

/// Constants of REBASE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RebaseParams {
    /// Temperature of the softmax over values; above 0. Published: 0.2.
    pub temperature: f64,
    /// Steps, at most, before the rest is written in one go. Published: 25.
    pub max_depth: usize,
}

impl Default for RebaseParams {
    fn default() -> Self {
        Self { temperature: 0.2, max_depth: 25 }
    }
}

pub(super) struct Rebase {
    params: RebaseParams,
    max_steps: usize,
    /// Leaves still to be had.
    width: usize,
    begun: bool,
}

impl Rebase {
    pub fn new(params: &SearchParams) -> Self {
        let max_steps = params.step.max_steps.min(params.rebase.max_depth);
        Self { params: params.rebase.clone(), max_steps, width: params.n, begun: false }
    }

    /// How many children each of these values gets: best first, rounded up, until nothing is left.
    fn shares(&self, values: &[f64]) -> Vec<usize> {
        let peak = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weight = |value: f64| ((value - peak) / self.params.temperature).exp();
        let mut mass: f64 = values.iter().map(|&value| weight(value)).sum();
        let mut left = self.width;
        let mut shares = Vec::with_capacity(values.len());
        for &value in values {
            let share = if left == 0 { 0 } else { (left as f64 * weight(value) / mass).ceil() as usize };
            let share = share.min(left);
            shares.push(share);
            left -= share;
            mass -= weight(value);
        }
        shares
    }
}

impl Rounds for Rebase {
    fn next(&mut self, tree: &mut Tree, told: &[NodeId]) -> Vec<Extend> {
        if !std::mem::replace(&mut self.begun, true) {
            return vec![Extend::step(tree.root()); self.width];
        }
        let (open, ended): (Vec<NodeId>, Vec<NodeId>) = told.iter().partition(|&&node| tree.is_open(node));
        self.width = self.width.saturating_sub(ended.len());
        ended.into_iter().for_each(|node| tree.close(node));
        close_twins(tree, &open);
        let frontier = ranked(tree, open);
        let values: Vec<f64> = frontier.iter().map(|&node| tree.value(node)).collect();
        let mut requests = Vec::new();
        for (&at, share) in frontier.iter().zip(self.shares(&values)) {
            if share == 0 {
                tree.close(at);
            }
            requests.extend(std::iter::repeat_n(step_or_rest(tree, at, self.max_steps), share));
        }
        requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Golden: the definition in 40 digits of Python's decimal: ceil(W * exp(s / T) / Z), W and Z reduced node by node.
    #[test]
    fn children_follow_the_softmax_of_values() {
        let shares = |width: usize, values: &[f64]| {
            let params = SearchParams { n: width, ..SearchParams::default() };
            Rebase::new(&params).shares(values)
        };
        assert_eq!(shares(16, &[0.9, 0.5, 0.1]), [14, 2, 0]);
        assert_eq!(shares(16, &[0.5, 0.5, 0.5, 0.5]), [4, 4, 4, 4]);
        assert_eq!(shares(5, &[0.6, 0.5]), [4, 1]);
        assert_eq!(shares(0, &[0.6, 0.5]), [0, 0]);
        assert!(shares(3, &[]).is_empty());
    }
}
