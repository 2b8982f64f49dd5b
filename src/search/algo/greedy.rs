//! Greedy decoding: one child of the prompt, the most likely token each time.

use super::{Algorithm, Extend, Verdict};
use crate::search::SearchParams;
use crate::search::tree::{NodeId, Tree};

pub(super) struct Greedy {
    max_tokens: u64,
    asked: bool,
    told: Vec<NodeId>,
}

impl Greedy {
    pub fn new(params: &SearchParams) -> Self {
        Self { max_tokens: params.max_tokens, asked: false, told: Vec::new() }
    }
}

impl Algorithm for Greedy {
    fn ask(&mut self, tree: &Tree) -> Option<Extend> {
        let first = !std::mem::replace(&mut self.asked, true);
        first.then_some(Extend { at: tree.root(), max_tokens: self.max_tokens, greedy: true })
    }

    fn tell(&mut self, _: &Tree, node: NodeId) {
        self.told.push(node);
    }

    fn is_done(&self) -> bool {
        !self.told.is_empty()
    }

    fn verdict(&self, tree: &Tree) -> Verdict {
        Verdict::by_majority(tree, &self.told)
    }
}
