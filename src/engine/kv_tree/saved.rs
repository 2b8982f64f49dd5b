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
/// Holders of all pieces together, at most: 16 MiB. A path of a thousand forks has a thousand for each branch on it.
const MAX_HOLDERS: usize = 1 << 20;

/// The KV of one page.
#[cfg_attr(not(feature = "llama"), allow(dead_code, reason = "our own engine writes whole pages"))]
pub(in crate::engine) struct Piece<'a> {
    pub page: PageId,
    /// The position of its first token,
    pub start: usize,
    /// and of the first one behind it.
    pub end: usize,
    /// The branches whose path goes through it, and where each one leaves it; none for an engine that does not want to know
    /// ([`Pages::TELLS_HOLDERS`]).
    pub holders: &'a [(SlotId, usize)],
}

/// The tokens of one node that branches hold.
struct Run {
    node: NodeId,
    end: usize,
    holders: Vec<(SlotId, usize)>,
}

impl<P: Pages> KvTree<P> {
    /// Writes `branches`, in this order; `put` writes the KV of a piece. [`Unsupported`](crate::ErrorKind::Unsupported) when more
    /// than a million holders would have to be told.
    pub fn save(
        &self,
        branches: &[&Branch],
        out: &mut dyn Write,
        put: &mut dyn FnMut(&Piece<'_>, &mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let slots = branches.iter().map(|branch| self.find(branch)).collect::<Result<Vec<_>>>()?;
        let runs = self.runs(&slots)?;
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
    fn runs(&self, slots: &[SlotId]) -> Result<Vec<Run>> {
        let mut places: HashMap<NodeId, usize> = HashMap::new();
        let mut runs: Vec<Run> = Vec::new();
        let mut n_holders = 0;
        for &slot in slots {
            let mut path = Vec::new();
            let (mut end, mut next) = (self.len(slot), Some(self.slots[slot].node));
            while let Some(id) = next {
                end = end.min(self.end(id));
                path.push((id, end));
                end = end.min(self.nodes[id].start);
                // Whoever came through this node before left the ones above it at the same places.
                let known = !P::TELLS_HOLDERS && places.contains_key(&id);
                next = self.nodes[id].parent.filter(|_| !known);
            }
            if P::TELLS_HOLDERS {
                n_holders += path.len();
            }
            if n_holders > MAX_HOLDERS {
                let message = format!(
                    "branches that go through more than {MAX_HOLDERS} runs of tokens, shared ones counted for each"
                );
                return Err(Error::unsupported(message));
            }
            for (node, end) in path.into_iter().rev() {
                let place = *places.entry(node).or_insert_with(|| {
                    runs.push(Run { node, end, holders: Vec::new() });
                    runs.len() - 1
                });
                let run = &mut runs[place];
                run.end = run.end.max(end);
                if P::TELLS_HOLDERS {
                    run.holders.push((slot, end));
                }
            }
        }
        Ok(runs)
    }

    fn load_nodes(&mut self, input: &mut dyn Read, n_ctx: usize, nodes: &mut Vec<NodeId>) -> Result<()> {
        for _ in 0..get_u64(input)? {
            let (parent, start, len) = (get_u64(input)?, get_u64(input)?, get_u64(input)?);
            let parent = if parent == NO_PARENT { None } else { Some(*index(nodes, parent)?) };
            // Starts rise along a path, so that none has more nodes than the context has tokens.
            let (parent, last) = parent.map_or((None, 0), |parent| self.behind(parent));
            let first = parent.map_or(0, |parent| self.nodes[parent].start + 1);
            let fits = (first as u64..=last as u64).contains(&start)
                && start.checked_add(len).is_some_and(|end| end <= n_ctx as u64);
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
            let (parent, start) = self.behind(tip);
            let node = self.add_node(parent, start);
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
        for run in self.runs(&slots)? {
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
mod tests;
