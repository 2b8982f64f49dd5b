//! The KV tree: branches that share their prefix's pages.
//!
//! A node holds the KV of a run of tokens and hangs under the node whose tokens precede it. A branch owns its last
//! node alone and shares all others, so a fork only adds two empty nodes, and nothing is ever copied. What a page is, the
//! engine says ([`Pages`]).

mod saved;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::Branch;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::{PAGE_TOKENS, Stretch};

/// Serial numbers are unique in the process, so a handle of another engine never fits.
static NEXT_SERIAL: AtomicU64 = AtomicU64::new(1);

/// A page's number among those of its engine.
pub(super) type PageId = u32;

/// Room for the KV of [`PAGE_TOKENS`] tokens at a time, under a cap.
pub(super) trait Pages {
    /// Whether the engine wants to know who holds a page when it is saved or loaded.
    const TELLS_HOLDERS: bool;

    /// A page; an error of kind [`Memory`](ErrorKind::Memory) when the cap leaves no room for it.
    fn take(&mut self) -> Result<PageId>;

    /// Gives a page back.
    fn give(&mut self, id: PageId);
}

/// What [`Pages::take`] says when the cap leaves no room.
pub(super) fn out_of_pages(limit: u64, used: u64, page_bytes: u64) -> Error {
    let message = format!(
        "KV needs more than its {limit} bytes ({used} in use, {page_bytes} per page of {PAGE_TOKENS} tokens); raise the memory \
         budget"
    );
    Error::new(ErrorKind::Memory, message)
}

type NodeId = usize;

struct Node {
    parent: Option<NodeId>,
    /// Position of its first token; tokens of its ancestors from there on belong to other branches.
    start: usize,
    len: usize,
    pages: Vec<PageId>,
    /// Branches and nodes that hang on it.
    refs: usize,
}

struct Slot {
    node: NodeId,
    /// 0 when free.
    serial: u64,
}

/// A branch inside one forward pass: the slot it was found at.
pub(super) type SlotId = usize;

pub(super) struct KvTree<P> {
    pages: P,
    nodes: Vec<Node>,
    free_nodes: Vec<NodeId>,
    slots: Vec<Slot>,
    free_slots: Vec<SlotId>,
    max_branches: usize,
}

impl<P: Pages> KvTree<P> {
    pub fn new(pages: P, max_branches: usize) -> Self {
        Self {
            pages,
            nodes: Vec::new(),
            free_nodes: Vec::new(),
            slots: Vec::new(),
            free_slots: Vec::new(),
            max_branches,
        }
    }

    pub fn pages(&self) -> &P {
        &self.pages
    }

    pub fn pages_mut(&mut self) -> &mut P {
        &mut self.pages
    }

    /// A branch without tokens.
    pub fn root(&mut self) -> Result<Branch> {
        self.check_branches()?;
        let node = self.add_node(None, 0);
        Ok(self.add_branch(node))
    }

    /// A branch that starts where `at` stands: `at`'s node becomes common, both go on in empty ones.
    pub fn fork(&mut self, at: &Branch) -> Result<Branch> {
        let slot = self.find(at)?;
        self.check_branches()?;
        let node = self.slots[slot].node;
        let (parent, start) = self.behind(node);
        if parent == Some(node) {
            self.slots[slot].node = self.add_node(parent, start);
            // The branch's own hold on the node passed to its new child.
            self.nodes[node].refs -= 1;
        }
        let child = self.add_node(parent, start);
        Ok(self.add_branch(child))
    }

    /// Tokens that the branch at `slot` holds.
    pub fn len(&self, slot: SlotId) -> usize {
        self.end(self.slots[slot].node)
    }

    /// Whether any branch holds a token.
    pub fn holds_tokens(&self) -> bool {
        self.slots.iter().any(|slot| slot.serial != 0 && self.end(slot.node) > 0)
    }

    pub fn find(&self, branch: &Branch) -> Result<SlotId> {
        let slot = branch.slot as usize;
        match self.slots.get(slot) {
            Some(s) if s.serial == branch.serial => Ok(slot),
            _ => Err(Error::new(ErrorKind::InvalidArgument, "the branch belongs to another engine")),
        }
    }

    pub fn truncate(&mut self, branch: &Branch, len: usize) -> Result<()> {
        let slot = self.find(branch)?;
        if len > self.len(slot) {
            let message = format!("a branch of {} tokens cannot be cut to {len}", self.len(slot));
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        let own = self.slots[slot].node;
        if len >= self.nodes[own].start {
            self.nodes[own].len = len - self.nodes[own].start;
            self.trim(slot);
            return Ok(());
        }
        // The cut lies in tokens that other branches may share: hang an empty node at the cut.
        let mut ancestor = self.nodes[own].parent;
        while let Some(node) = ancestor.filter(|&node| self.nodes[node].start >= len) {
            ancestor = self.nodes[node].parent;
        }
        self.slots[slot].node = self.add_node(ancestor, len);
        self.drop_node(own);
        Ok(())
    }

    pub fn release(&mut self, branch: Branch) {
        if let Ok(slot) = self.find(&branch) {
            let node = self.slots[slot].node;
            self.slots[slot].serial = 0;
            self.free_slots.push(slot);
            self.drop_node(node);
        }
    }

    /// Takes the pages for `extra` tokens more than the branch holds. On an error nothing of this branch changed.
    pub fn reserve(&mut self, slot: SlotId, extra: usize) -> Result<()> {
        self.adopt_parent(slot);
        let node = self.slots[slot].node;
        let needed = (self.nodes[node].len + extra).div_ceil(PAGE_TOKENS);
        while self.nodes[node].pages.len() < needed {
            match self.pages.take() {
                Ok(page) => self.nodes[node].pages.push(page),
                Err(error) => {
                    self.trim(slot);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Gives back pages that the branch's tokens do not need.
    pub fn trim(&mut self, slot: SlotId) {
        let node = &mut self.nodes[self.slots[slot].node];
        for page in node.pages.drain(node.len.div_ceil(PAGE_TOKENS)..) {
            self.pages.give(page);
        }
    }

    /// Makes `extra` tokens, whose KV was written to reserved pages, part of the branch.
    pub fn commit(&mut self, slot: SlotId, extra: usize) {
        let node = self.slots[slot].node;
        self.nodes[node].len += extra;
    }

    /// Where the token at `position` lies: its page and its place in it. The position must be held or reserved, and
    /// past every shared token.
    pub fn place(&self, slot: SlotId, position: usize) -> (PageId, usize) {
        let node = &self.nodes[self.slots[slot].node];
        let offset = position - node.start;
        (node.pages[offset / PAGE_TOKENS], offset % PAGE_TOKENS)
    }

    /// The pages of the branch's first `len` tokens, in order of position; reserved tokens count.
    pub fn path(&self, slot: SlotId, len: usize) -> Vec<Stretch> {
        let mut path = Vec::with_capacity(len / PAGE_TOKENS + 2);
        let (mut end, mut next) = (len, Some(self.slots[slot].node));
        while let Some(id) = next {
            let node = &self.nodes[id];
            let held = end.saturating_sub(node.start);
            for i in (0..held.div_ceil(PAGE_TOKENS)).rev() {
                path.push(Stretch { page: node.pages[i], tokens: (held - i * PAGE_TOKENS).min(PAGE_TOKENS) });
            }
            end = end.min(node.start);
            next = node.parent;
        }
        path.reverse();
        path
    }

    /// Goes on in the parent when nobody else needs it, so that a lone line of thought fills its pages.
    fn adopt_parent(&mut self, slot: SlotId) {
        let own = self.slots[slot].node;
        let Some(parent) = self.nodes[own].parent else { return };
        if self.nodes[own].len == 0 && self.nodes[parent].refs == 1 {
            // Tokens past the branch's end belonged to branches that are gone.
            self.nodes[parent].len = self.nodes[own].start - self.nodes[parent].start;
            self.nodes[parent].refs += 1;
            self.slots[slot].node = parent;
            self.drop_node(own);
            self.trim(slot);
        }
    }

    /// Where a node that goes on from `node` hangs, and starts: beside one without tokens, so that starts rise along every path.
    fn behind(&self, node: NodeId) -> (Option<NodeId>, usize) {
        let parent = if self.nodes[node].len == 0 { self.nodes[node].parent } else { Some(node) };
        (parent, self.end(node))
    }

    fn end(&self, node: NodeId) -> usize {
        self.nodes[node].start + self.nodes[node].len
    }

    fn check_branches(&self) -> Result<()> {
        if self.slots.len() - self.free_slots.len() < self.max_branches {
            return Ok(());
        }
        let message = format!("{} branches are alive; release some first", self.max_branches);
        Err(Error::new(ErrorKind::Memory, message))
    }

    fn add_branch(&mut self, node: NodeId) -> Branch {
        let serial = NEXT_SERIAL.fetch_add(1, Ordering::Relaxed);
        let slot = self.free_slots.pop().unwrap_or_else(|| {
            self.slots.push(Slot { node, serial });
            self.slots.len() - 1
        });
        self.slots[slot] = Slot { node, serial };
        // `check_branches` keeps slots far below u32::MAX.
        Branch { slot: slot as u32, serial }
    }

    fn add_node(&mut self, parent: Option<NodeId>, start: usize) -> NodeId {
        if let Some(parent) = parent {
            self.nodes[parent].refs += 1;
        }
        let node = Node { parent, start, len: 0, pages: Vec::new(), refs: 1 };
        match self.free_nodes.pop() {
            Some(id) => {
                self.nodes[id] = node;
                id
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        }
    }

    /// Lets go of a node, and of its ancestors as far as nothing else hangs on them. Iterative: paths can be deep.
    fn drop_node(&mut self, node: NodeId) {
        let mut next = Some(node);
        while let Some(id) = next {
            let node = &mut self.nodes[id];
            node.refs -= 1;
            if node.refs > 0 {
                return;
            }
            for page in node.pages.drain(..) {
                self.pages.give(page);
            }
            next = node.parent.take();
            self.free_nodes.push(id);
        }
    }
}

#[cfg(test)]
mod tests;
