//! Best-of-N with self-consistency (Wang et al., ICLR 2023): N independent samples, a majority vote over their answers,
//! and an early end once the vote is decided. The vote is over the samples told so far, in their order, so that samples
//! which merely ran at the same time do not count.

use super::{Algorithm, Extend, Verdict};
use crate::search::SearchParams;
use crate::search::algo::verdict;
use crate::search::tree::{NodeId, Tree};
use crate::search::vote::{EarlyStop, Tally};

pub(super) struct BestOfN {
    n: usize,
    max_tokens: u64,
    early_stop: EarlyStop,
    asked: usize,
    told: Vec<NodeId>,
    tally: Tally,
    decided: bool,
}

impl BestOfN {
    pub fn new(params: &SearchParams) -> Self {
        Self {
            n: params.n,
            max_tokens: params.max_tokens,
            early_stop: params.early_stop.clone(),
            asked: 0,
            told: Vec::new(),
            tally: Tally::default(),
            decided: false,
        }
    }
}

impl Algorithm for BestOfN {
    fn ask(&mut self, tree: &Tree) -> Option<Extend> {
        if self.asked >= self.n {
            return None;
        }
        self.asked += 1;
        Some(Extend { at: tree.root(), max_tokens: self.max_tokens, greedy: false })
    }

    fn tell(&mut self, tree: &Tree, node: NodeId) {
        self.told.push(node);
        self.tally.cast(verdict::ballot(tree, node), node, tree.confidence(node));
        self.decided = self.tally.is_decided(&self.early_stop);
    }

    fn is_done(&self) -> bool {
        self.decided || self.told.len() >= self.n
    }

    fn verdict(&self, tree: &Tree) -> Verdict {
        Verdict::by_majority(tree, &self.told)
    }
}
