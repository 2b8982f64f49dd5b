//! Branches with their KV as bytes, so that a later process can go on with them.
//!
//! All numbers are little-endian and of 64 bits: the number of nodes, and for each its parent (or `u64::MAX`), the position of its first
//! token and its tokens; the number of branches and the node of each; then the KV of each node, page by page, as the engine writes it.
//! Parents come before their children, and KV that branches share is written once.

use std::collections::HashMap;
use std::io::{Read, Write};

use super::{KvTree, NodeId, PageId, Pages, SlotId};
use crate::engine::Branch;
use crate::error::{Error, Result};
use crate::kernels::PAGE_TOKENS;
use crate::storage::wire::{get_u64, put_u64};

const NO_PARENT: u64 = u64::MAX;

/// The KV of one page.
#[cfg_attr(not(feature = "llama"), allow(dead_code, reason = "our own engine writes whole pages"))]
pub(in crate::engine) struct Piece<'a> {
    pub page: PageId,
    /// The position of its first token,
    pub start: usize,
    /// and of the first one behind it.
    pub end: usize,
    /// The branches whose path goes through it, and where each one leaves it.
    pub holders: &'a [(SlotId, usize)],
}

/// The tokens of one node that branches hold.
struct Run {
    node: NodeId,
    end: usize,
    holders: Vec<(SlotId, usize)>,
}

impl<P: Pages> KvTree<P> {
    /// Writes `branches`, in this order; `put` writes the KV of a piece.
    pub fn save(
        &self,
        branches: &[&Branch],
        out: &mut dyn Write,
        put: &mut dyn FnMut(&Piece<'_>, &mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let slots = branches.iter().map(|branch| self.find(branch)).collect::<Result<Vec<_>>>()?;
        let runs = self.runs(&slots);
        let places: HashMap<NodeId, u64> = runs.iter().zip(0..).map(|(run, place)| (run.node, place)).collect();
        let place = |id: NodeId| places.get(&id).copied().unwrap_or(NO_PARENT);
        put_u64(out, runs.len() as u64)?;
        for run in &runs {
            let node = &self.nodes[run.node];
            let parent = node.parent.map_or(NO_PARENT, place);
            [parent, node.start as u64, (run.end - node.start) as u64].into_iter().try_for_each(|n| put_u64(out, n))?;
        }
        put_u64(out, slots.len() as u64)?;
        slots.iter().try_for_each(|&slot| put_u64(out, place(self.slots[slot].node)))?;
        for run in &runs {
            let node = &self.nodes[run.node];
            for (&page, start) in node.pages.iter().zip((node.start..run.end).step_by(PAGE_TOKENS)) {
                let end = run.end.min(start + PAGE_TOKENS);
                put(&Piece { page, start, end, holders: &run.holders }, out)?;
            }
        }
        Ok(())
    }

    /// Reads what [`save`](Self::save) wrote, into branches of this tree; `get` reads the KV of a piece. On an error nothing of it stays.
    pub fn load(
        &mut self,
        input: &mut dyn Read,
        n_ctx: usize,
        get: &mut dyn FnMut(&mut P, &Piece<'_>, &mut dyn Read) -> Result<()>,
    ) -> Result<Vec<Branch>> {
        let mut nodes = Vec::new();
        let mut branches = Vec::new();
        let done = self
            .load_nodes(input, n_ctx, &mut nodes)
            .and_then(|()| self.load_branches(input, &nodes, &mut branches))
            .and_then(|()| self.load_pages(input, &branches, get));
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

    /// What these branches hold, parents before their children.
    fn runs(&self, slots: &[SlotId]) -> Vec<Run> {
        let mut places: HashMap<NodeId, usize> = HashMap::new();
        let mut runs: Vec<Run> = Vec::new();
        for &slot in slots {
            let mut path = Vec::new();
            let (mut end, mut next) = (self.len(slot), Some(self.slots[slot].node));
            while let Some(id) = next {
                end = end.min(self.end(id));
                path.push((id, end));
                end = end.min(self.nodes[id].start);
                next = self.nodes[id].parent;
            }
            for (node, end) in path.into_iter().rev() {
                let place = *places.entry(node).or_insert_with(|| {
                    runs.push(Run { node, end, holders: Vec::new() });
                    runs.len() - 1
                });
                let run = &mut runs[place];
                run.end = run.end.max(end);
                run.holders.push((slot, end));
            }
        }
        runs
    }

    fn load_nodes(&mut self, input: &mut dyn Read, n_ctx: usize, nodes: &mut Vec<NodeId>) -> Result<()> {
        for _ in 0..get_u64(input)? {
            let (parent, start, len) = (get_u64(input)?, get_u64(input)?, get_u64(input)?);
            let parent = if parent == NO_PARENT { None } else { Some(*index(nodes, parent)?) };
            let fits = start.checked_add(len).is_some_and(|end| end <= n_ctx as u64)
                && start <= parent.map_or(0, |parent| self.end(parent)) as u64
                && start >= parent.map_or(0, |parent| self.nodes[parent].start) as u64;
            if !fits {
                return Err(Error::format("the saved KV names positions that cannot be"));
            }
            let id = self.add_node(parent, start as usize);
            self.nodes[id].len = len as usize;
            nodes.push(id);
        }
        Ok(())
    }

    fn load_branches(&mut self, input: &mut dyn Read, nodes: &[NodeId], branches: &mut Vec<Branch>) -> Result<()> {
        for _ in 0..get_u64(input)? {
            let tip = *index(nodes, get_u64(input)?)?;
            self.check_branches()?;
            // A branch owns its last node alone, so it goes on in an empty one.
            let node = self.add_node(Some(tip), self.end(tip));
            branches.push(self.add_branch(node));
        }
        Ok(())
    }

    fn load_pages(
        &mut self,
        input: &mut dyn Read,
        branches: &[Branch],
        get: &mut dyn FnMut(&mut P, &Piece<'_>, &mut dyn Read) -> Result<()>,
    ) -> Result<()> {
        let slots = branches.iter().map(|branch| self.find(branch)).collect::<Result<Vec<_>>>()?;
        for run in self.runs(&slots) {
            for start in (self.nodes[run.node].start..self.end(run.node)).step_by(PAGE_TOKENS) {
                let end = self.end(run.node).min(start + PAGE_TOKENS);
                let page = self.pages.take()?;
                self.nodes[run.node].pages.push(page);
                get(&mut self.pages, &Piece { page, start, end, holders: &run.holders }, input)?;
            }
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
    use super::*;
    use crate::engine::native::PagePool;
    use crate::storage::wire::{get_raw, put_raw};

    fn save(tree: &KvTree<PagePool>, branches: &[&Branch]) -> Vec<u8> {
        let mut bytes = Vec::new();
        tree.save(branches, &mut bytes, &mut |piece, out| put_raw(out, tree.pages.bytes(piece.page))).unwrap();
        bytes
    }

    fn load(tree: &mut KvTree<PagePool>, mut bytes: &[u8], n_ctx: usize) -> Result<Vec<Branch>> {
        tree.load(&mut bytes, n_ctx, &mut |pages, piece, input| get_raw(input, pages.bytes_mut(piece.page)))
    }

    fn saved() -> (Vec<u8>, Vec<usize>) {
        let mut tree = tree(100);
        let root = tree.root().unwrap();
        append(&mut tree, &root, 40).unwrap();
        let (a, b) = (tree.fork(&root).unwrap(), tree.fork(&root).unwrap());
        append(&mut tree, &a, 3).unwrap();
        append(&mut tree, &b, 50).unwrap();
        let c = tree.fork(&a).unwrap();
        let branches = [&root, &a, &b, &c];
        (save(&tree, &branches), branches.map(|branch| tokens(&tree, branch)).to_vec())
    }

    #[test]
    fn branches_come_back_with_their_tokens_and_share_what_they_shared() {
        let (bytes, lens) = saved();
        let mut other = tree(100);
        let branches = load(&mut other, &bytes, 512).unwrap();
        let loaded: Vec<usize> = branches.iter().map(|branch| tokens(&other, branch)).collect();
        assert_eq!((loaded, used_pages(&other)), (lens, 5), "two shared pages, one and two of their own");
        // An empty node more for each branch, which it goes on in.
        assert_eq!(save(&other, &branches.iter().collect::<Vec<_>>()).len(), bytes.len() + 4 * 24);
        append(&mut other, &branches[1], 5).unwrap();
        assert_eq!(tokens(&other, &branches[3]), 43, "the others are not touched");
        branches.into_iter().for_each(|branch| other.release(branch));
        assert_eq!(used_pages(&other), 0);
    }

    #[test]
    fn what_no_saved_branch_holds_is_not_written() {
        let mut tree = tree(100);
        let root = tree.root().unwrap();
        append(&mut tree, &root, 100).unwrap();
        let fork = tree.fork(&root).unwrap();
        tree.truncate(&fork, 40).unwrap();
        append(&mut tree, &fork, 3).unwrap();
        let bytes = save(&tree, &[&fork]);
        let mut other = super::super::tests::tree(100);
        let branches = load(&mut other, &bytes, 512).unwrap();
        assert_eq!(
            (tokens(&other, &branches[0]), used_pages(&other)),
            (43, 3),
            "two pages and one of its own, of five"
        );
        // Where each branch leaves a page that it shares.
        let mut ends = Vec::new();
        let mut note = |piece: &Piece<'_>, _: &mut dyn Write| {
            ends.push((piece.start, piece.end, piece.holders.iter().map(|(_, end)| *end).collect::<Vec<_>>()));
            Ok(())
        };
        tree.save(&[&fork, &root], &mut Vec::new(), &mut note).unwrap();
        let shared = |start, end| (start, end, vec![40, 100]);
        assert_eq!(ends[..5], [shared(0, 32), shared(32, 64), shared(64, 96), shared(96, 100), (40, 43, vec![43])]);
    }

    #[test]
    fn damaged_bytes_are_refused_and_leave_nothing_behind() {
        let (bytes, _) = saved();
        for end in (0..bytes.len()).step_by(7) {
            let mut other = tree(100);
            assert!(load(&mut other, &bytes[..end], 512).is_err(), "{end}");
            assert_eq!((used_pages(&other), other.nodes.len()), (0, other.free_nodes.len()), "{end}");
        }
        for at in 0..64 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x81;
            let mut other = tree(100);
            if let Ok(branches) = load(&mut other, &bytes, 512) {
                branches.into_iter().for_each(|branch| other.release(branch));
            }
            assert_eq!(used_pages(&other), 0, "{at}");
        }
        assert!(load(&mut tree(2), &bytes, 512).is_err(), "a cap of two pages");
        assert!(load(&mut tree(100), &bytes, 42).is_err(), "a shorter context");
    }
}
