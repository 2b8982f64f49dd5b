//! Best-of-N: N independent samples and a vote over their answers. A majority vote (self-consistency, Wang et al., ICLR
//! 2023) may end early, once it is decided; it is over the samples told so far, in their order, so that samples which
//! merely ran at the same time do not count.

use super::{Algorithm, Extend, Verdict, verdict};
use crate::search::SearchParams;
use crate::search::node::NodeId;
use crate::search::tree::Tree;
use crate::search::vote::{EarlyStop, Tally, Vote};

pub(super) struct BestOfN {
    n: usize,
    vote: Vote,
    early_stop: EarlyStop,
    asked: usize,
    told: Vec<NodeId>,
    tally: Tally,
    decided: bool,
}

impl BestOfN {
    pub fn new(params: &SearchParams, vote: Vote) -> Self {
        // Only a majority can be decided before all samples are in.
        let early_stop = if vote == Vote::Majority { params.early_stop.clone() } else { EarlyStop::Never };
        Self { n: params.n, vote, early_stop, asked: 0, told: Vec::new(), tally: Tally::default(), decided: false }
    }
}

impl Algorithm for BestOfN {
    fn ask(&mut self, tree: &mut Tree) -> Option<Extend> {
        if self.asked >= self.n {
            return None;
        }
        self.asked += 1;
        Some(Extend::solution(tree.root()))
    }

    fn tell(&mut self, tree: &mut Tree, node: NodeId) {
        self.told.push(node);
        self.tally.cast(verdict::ballot(tree, node), node, tree.value(node));
        self.decided = self.tally.is_decided(&self.early_stop);
    }

    fn is_done(&self) -> bool {
        self.decided || self.told.len() >= self.n
    }

    fn verdict(&self, tree: &Tree) -> Verdict {
        Verdict::of(tree, &self.told, self.vote, &|node| tree.value(node))
    }
}
