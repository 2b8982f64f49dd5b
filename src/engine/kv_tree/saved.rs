//! Branches with their KV as bytes, so that a later process can go on with them.
//!
//! All numbers are little-endian and of 64 bits: what a page looks like (format, layers, heads, head size); the number of
//! nodes, and for each its parent (or `u64::MAX`), the position of its first token, its tokens, and its pages; then the
//! number of branches and the node of each. Parents come before their children, and KV that branches share is written once.

use std::collections::HashMap;
use std::io::{Read, Write};

use super::{KvTree, NodeId, PageId, Pages};
use crate::engine::Branch;
use crate::error::{Error, Result};
use crate::kernels::PAGE_TOKENS;
use crate::storage::wire::{get_raw, get_u64, put_raw, put_u64};

const NO_PARENT: u64 = u64::MAX;

/// Pages whose content is bytes of this process.
pub(in crate::engine) trait StoredPages: Pages {
    /// Format, layers, heads and head size: pages of another shape do not fit.
    fn shape(&self) -> [u64; 4];

    /// The content of a page in use.
    fn bytes(&self, id: PageId) -> &[u8];

    /// The same, to be filled.
    fn bytes_mut(&mut self, id: PageId) -> &mut [u8];
}

impl<P: StoredPages> KvTree<P> {
    /// Writes `branches`, in this order.
    pub fn save(&self, branches: &[&Branch], out: &mut dyn Write) -> Result<()> {
        let mut places: HashMap<NodeId, u64> = HashMap::new();
        let mut order = Vec::new();
        let mut tips = Vec::with_capacity(branches.len());
        for branch in branches {
            let tip = self.slots[self.find(branch)?].node;
            let mut path: Vec<NodeId> = std::iter::successors(Some(tip), |&id| self.nodes[id].parent).collect();
            while let Some(id) = path.pop() {
                let next = order.len() as u64;
                places.entry(id).or_insert_with(|| {
                    order.push(id);
                    next
                });
            }
            tips.push(tip);
        }
        let place = |id: NodeId| places.get(&id).copied().unwrap_or(NO_PARENT);
        self.pages.shape().into_iter().chain([order.len() as u64]).try_for_each(|n| put_u64(out, n))?;
        for id in order {
            let node = &self.nodes[id];
            let parent = node.parent.map_or(NO_PARENT, place);
            [parent, node.start as u64, node.len as u64].into_iter().try_for_each(|n| put_u64(out, n))?;
            for &page in node.pages.iter().take(node.len.div_ceil(PAGE_TOKENS)) {
                put_raw(out, self.pages.bytes(page))?;
            }
        }
        put_u64(out, tips.len() as u64)?;
        tips.into_iter().try_for_each(|tip| put_u64(out, place(tip)))
    }

    /// Reads what [`save`](Self::save) wrote, into branches of this tree. On an error nothing of it stays.
    pub fn load(&mut self, input: &mut dyn Read, n_ctx: usize) -> Result<Vec<Branch>> {
        for expected in self.pages.shape() {
            if get_u64(input)? != expected {
                return Err(Error::format("the saved KV belongs to another model, or to another --kv format"));
            }
        }
        let mut nodes = Vec::new();
        let mut branches = Vec::new();
        let done = self.load_nodes(input, n_ctx, &mut nodes).and_then(|()| {
            for _ in 0..get_u64(input)? {
                let tip = *index(&nodes, get_u64(input)?)?;
                self.check_branches()?;
                // A branch owns its last node alone, so it goes on in an empty one.
                let node = self.add_node(Some(tip), self.end(tip));
                branches.push(self.add_branch(node));
            }
            Ok(())
        });
        // The branches hold what they need.
        nodes.into_iter().for_each(|node| self.drop_node(node));
        match done {
            Ok(()) => Ok(branches),
            Err(error) => {
                branches.into_iter().for_each(|branch| self.release(branch));
                Err(error)
            }
        }
    }

    fn load_nodes(&mut self, input: &mut dyn Read, n_ctx: usize, nodes: &mut Vec<NodeId>) -> Result<()> {
        for _ in 0..get_u64(input)? {
            let (parent, start, len) = (get_u64(input)?, get_u64(input)?, get_u64(input)?);
            let parent = if parent == NO_PARENT { None } else { Some(*index(nodes, parent)?) };
            let fits = start.checked_add(len).is_some_and(|end| end <= n_ctx as u64)
                && start <= parent.map_or(0, |parent| self.end(parent)) as u64;
            if !fits {
                return Err(Error::format("the saved KV names positions that cannot be"));
            }
            let id = self.add_node(parent, start as usize);
            nodes.push(id);
            for _ in 0..(len as usize).div_ceil(PAGE_TOKENS) {
                let page = self.pages.take()?;
                self.nodes[id].pages.push(page);
                get_raw(input, self.pages.bytes_mut(page))?;
            }
            self.nodes[id].len = len as usize;
        }
        Ok(())
    }
}

fn index(nodes: &[NodeId], at: u64) -> Result<&NodeId> {
    let node = usize::try_from(at).ok().and_then(|at| nodes.get(at));
    node.ok_or_else(|| Error::format("the saved KV refers to a node that it does not hold"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{append, tokens, tree, used_pages};

    fn saved() -> (Vec<u8>, Vec<usize>) {
        let mut tree = tree(100);
        let root = tree.root().unwrap();
        append(&mut tree, &root, 40).unwrap();
        let (a, b) = (tree.fork(&root).unwrap(), tree.fork(&root).unwrap());
        append(&mut tree, &a, 3).unwrap();
        append(&mut tree, &b, 50).unwrap();
        let c = tree.fork(&a).unwrap();
        let branches = [&root, &a, &b, &c];
        let mut bytes = Vec::new();
        tree.save(&branches, &mut bytes).unwrap();
        (bytes, branches.map(|branch| tokens(&tree, branch)).to_vec())
    }

    #[test]
    fn branches_come_back_with_their_tokens_and_share_what_they_shared() {
        let (bytes, lens) = saved();
        let mut other = tree(100);
        let branches = other.load(&mut bytes.as_slice(), 512).unwrap();
        let loaded: Vec<usize> = branches.iter().map(|branch| tokens(&other, branch)).collect();
        assert_eq!((loaded, used_pages(&other)), (lens, 5), "two shared pages, one and two of their own");
        let mut again = Vec::new();
        other.save(&branches.iter().collect::<Vec<_>>(), &mut again).unwrap();
        append(&mut other, &branches[1], 5).unwrap();
        assert_eq!(tokens(&other, &branches[3]), 43, "the others are not touched");
        branches.into_iter().for_each(|branch| other.release(branch));
        assert_eq!(used_pages(&other), 0);
    }

    #[test]
    fn damaged_bytes_are_refused_and_leave_nothing_behind() {
        let (bytes, _) = saved();
        for end in (0..bytes.len()).step_by(7) {
            let mut other = tree(100);
            assert!(other.load(&mut &bytes[..end], 512).is_err(), "{end}");
            assert_eq!((used_pages(&other), other.nodes.len()), (0, other.free_nodes.len()), "{end}");
        }
        for at in 0..64 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x81;
            let mut other = tree(100);
            if let Ok(branches) = other.load(&mut bytes.as_slice(), 512) {
                branches.into_iter().for_each(|branch| other.release(branch));
            }
            assert_eq!(used_pages(&other), 0, "{at}");
        }
        assert!(tree(2).load(&mut bytes.as_slice(), 512).is_err(), "a cap of two pages");
        assert!(tree(100).load(&mut bytes.as_slice(), 42).is_err(), "a shorter context");
    }
}
