//! Greedy decoding: one child of the prompt, the most likely token each time.

use super::{Algorithm, Extend, Verdict};
use crate::search::Vote;
use crate::search::node::NodeId;
use crate::search::tree::Tree;

#[derive(Default)]
pub(super) struct Greedy {
    asked: bool,
    told: Vec<NodeId>,
}

impl Algorithm for Greedy {
    fn ask(&mut self, tree: &mut Tree) -> Option<Extend> {
        let first = !std::mem::replace(&mut self.asked, true);
        first.then(|| Extend { greedy: true, ..Extend::solution(tree.root()) })
    }

    fn tell(&mut self, _: &mut Tree, node: NodeId) {
        self.told.push(node);
    }

    fn is_done(&self) -> bool {
        !self.told.is_empty()
    }

    fn verdict(&self, tree: &Tree) -> Verdict {
        Verdict::of(tree, &self.told, Vote::Best, &|node| tree.value(node))
    }
}
