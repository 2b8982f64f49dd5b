//! Ended nodes that keep their KV for children.

use std::collections::BTreeMap;

use crate::engine::Branch;
use crate::search::node::NodeId;

/// Branches by node, each holding the path up to the node's end but for its last token.
#[derive(Default)]
pub(super) struct Kept {
    branches: BTreeMap<NodeId, (u64, Branch)>,
    /// Counts uses, so that the longest unused is known.
    clock: u64,
}

/// More branches than a tree of this many open nodes needs; an engine holds a few thousand at most.
const MOST: usize = 1024;

impl Kept {
    /// Keeps `branch`; what has to be given back to the engine for it is returned.
    pub fn insert(&mut self, node: NodeId, branch: Branch) -> Option<Branch> {
        self.clock += 1;
        let crowded = if self.branches.len() >= MOST { self.evict() } else { None };
        self.branches.insert(node, (self.clock, branch)).map(|(_, old)| old).or(crowded)
    }

    /// The branch of `node`, which is in use now.
    pub fn get(&mut self, node: NodeId) -> Option<&Branch> {
        self.clock += 1;
        let (used, branch) = self.branches.get_mut(&node)?;
        *used = self.clock;
        Some(branch)
    }

    pub fn remove(&mut self, node: NodeId) -> Option<Branch> {
        self.branches.remove(&node).map(|(_, branch)| branch)
    }

    /// Takes out the branch that was not used for the longest time.
    pub fn evict(&mut self) -> Option<Branch> {
        let (&node, _) = self.branches.iter().min_by_key(|(_, (used, _))| *used)?;
        self.remove(node)
    }

    pub fn take_all(&mut self) -> impl Iterator<Item = Branch> + use<> {
        std::mem::take(&mut self.branches).into_values().map(|(_, branch)| branch)
    }

    /// Nodes and their branches, in the order of the nodes.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Branch)> {
        self.branches.iter().map(|(&node, (_, branch))| (node, branch))
    }
}
