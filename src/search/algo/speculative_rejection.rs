//! Speculative rejection (Sun et al., "Fast Best-of-N Decoding via Speculative Rejection", NeurIPS 2024): `n` samples grow
//! together; again and again the worse half by value is dropped. Where the publication waits until memory is full, a round
//! here is a fixed number of tokens, so that the outcome does not depend on the machine. Survivors keep their KV.

use serde::{Deserialize, Serialize};

use super::Extend;
use super::rounds::{Rounds, ranked};
use crate::search::SearchParams;
use crate::search::lane::Until;
use crate::search::node::NodeId;
use crate::search::tree::Tree;

/// Constants of [`Algo::SpeculativeRejection`](crate::search::Algo::SpeculativeRejection).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpeculativeRejectionParams {
    /// Share of the samples that is dropped after a round, in [0, 1). Published: 0.5.
    pub alpha: f64,
    /// Tokens of one round.
    pub round_tokens: u64,
}

impl Default for SpeculativeRejectionParams {
    fn default() -> Self {
        Self { alpha: 0.5, round_tokens: 32 }
    }
}

pub(super) struct SpeculativeRejection {
    params: SpeculativeRejectionParams,
    n: usize,
    begun: bool,
}

impl SpeculativeRejection {
    pub fn new(params: &SearchParams) -> Self {
        Self { params: params.speculative_rejection.clone(), n: params.n, begun: false }
    }

    fn round(&self, at: NodeId) -> Extend {
        Extend { until: Until::Tokens(self.params.round_tokens), ..Extend::step(at) }
    }
}

impl Rounds for SpeculativeRejection {
    fn next(&mut self, tree: &mut Tree, told: &[NodeId]) -> Vec<Extend> {
        if !std::mem::replace(&mut self.begun, true) {
            return vec![self.round(tree.root()); self.n];
        }
        // Texts that have ended compete for the places too: what is kept of the others depends on them.
        let all = ranked(tree, told.iter().copied());
        let places = (((1.0 - self.params.alpha) * told.len() as f64).round() as usize).max(1);
        let (best, rest) = all.split_at(places.min(all.len()));
        rest.iter().for_each(|&node| tree.close(node));
        let open: Vec<NodeId> = best.iter().copied().filter(|&node| tree.is_open(node)).collect();
        open.into_iter().map(|at| self.round(at)).collect()
    }
}
