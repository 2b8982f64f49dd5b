//! The KV tree: branches that share their prefix's pages.
//!
//! A node holds the KV of a run of tokens and hangs under the node whose tokens precede it. A branch owns its last
//! node alone and shares all others, so a fork only adds two empty nodes, and nothing is ever copied.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::Branch;
use crate::engine::native::pages::{PageId, PagePool};
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::{KvLayout, PAGE_TOKENS, Stretch};

/// Serial numbers are unique in the process, so a handle of another engine never fits.
static NEXT_SERIAL: AtomicU64 = AtomicU64::new(1);

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

pub(super) struct KvTree {
    pages: PagePool,
    nodes: Vec<Node>,
    free_nodes: Vec<NodeId>,
    slots: Vec<Slot>,
    free_slots: Vec<SlotId>,
    max_branches: usize,
}

impl KvTree {
    pub fn new(layout: KvLayout, limit: u64, max_branches: usize) -> Self {
        Self {
            pages: PagePool::new(layout, limit),
            nodes: Vec::new(),
            free_nodes: Vec::new(),
            slots: Vec::new(),
            free_slots: Vec::new(),
            max_branches,
        }
    }

    pub fn pages(&self) -> &PagePool {
        &self.pages
    }

    pub fn pages_mut(&mut self) -> &mut PagePool {
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
        let (parent, start) = if self.nodes[node].len == 0 {
            (self.nodes[node].parent, self.nodes[node].start)
        } else {
            let start = self.end(node);
            self.slots[slot].node = self.add_node(Some(node), start);
            // The branch's own hold on the node passed to its new child.
            self.nodes[node].refs -= 1;
            (Some(node), start)
        };
        let child = self.add_node(parent, start);
        Ok(self.add_branch(child))
    }

    /// Tokens that the branch at `slot` holds.
    pub fn len(&self, slot: SlotId) -> usize {
        self.end(self.slots[slot].node)
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

    fn end(&self, node: NodeId) -> usize {
        self.nodes[node].start + self.nodes[node].len
    }

    fn check_branches(&self) -> Result<()> {
        if self.slots.len() - self.free_slots.len() < self.max_branches {
            return Ok(());
        }
        let message = format!("{} branches are alive; release some first", self.max_branches);
        Err(Error::new(ErrorKind::InvalidArgument, message))
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
mod tests {
    use super::*;
    use crate::kernels::KvType;

    fn tree(limit_pages: u64) -> KvTree {
        let layout = KvLayout { ty: KvType::F16, n_layer: 1, n_head_kv: 1, head_dim: 8 };
        KvTree::new(layout, limit_pages * layout.page_bytes(), 512)
    }

    fn append(tree: &mut KvTree, branch: &Branch, n: usize) -> Result<()> {
        let slot = tree.find(branch)?;
        tree.reserve(slot, n)?;
        tree.commit(slot, n);
        Ok(())
    }

    fn tokens(tree: &KvTree, branch: &Branch) -> usize {
        let slot = tree.find(branch).unwrap();
        let path = tree.path(slot, tree.len(slot));
        path.iter().map(|s| s.tokens).sum()
    }

    fn used_pages(tree: &KvTree) -> u64 {
        tree.pages.used() / tree.pages.layout().page_bytes()
    }

    #[test]
    fn forks_share_pages_and_take_their_own_only_when_they_grow() {
        let mut tree = tree(100);
        let root = tree.root().unwrap();
        append(&mut tree, &root, 40).unwrap();
        assert_eq!(used_pages(&tree), 2);
        let forks: Vec<_> = (0..256).map(|_| tree.fork(&root).unwrap()).collect();
        assert_eq!(used_pages(&tree), 2, "a fork copies nothing");
        append(&mut tree, &forks[0], 1).unwrap();
        assert_eq!(used_pages(&tree), 3);
        assert_eq!((tokens(&tree, &forks[0]), tokens(&tree, &forks[1]), tokens(&tree, &root)), (41, 40, 40));
        tree.release(root);
        forks.into_iter().for_each(|b| tree.release(b));
        assert_eq!(used_pages(&tree), 0, "everything was given back");
        assert_eq!(tree.nodes.len(), tree.free_nodes.len());
    }

    #[test]
    fn a_page_cap_refuses_and_leaves_the_branch_as_it_was() {
        let mut tree = tree(2);
        let root = tree.root().unwrap();
        append(&mut tree, &root, 32).unwrap();
        assert_eq!(append(&mut tree, &root, 33).unwrap_err().kind(), ErrorKind::Memory);
        assert_eq!((tokens(&tree, &root), used_pages(&tree)), (32, 1));
        append(&mut tree, &root, 32).unwrap();
    }

    #[test]
    fn truncation_inside_a_shared_prefix_leaves_the_others_whole() {
        let mut tree = tree(100);
        let mut root = tree.root().unwrap();
        append(&mut tree, &root, 70).unwrap();
        let fork = tree.fork(&root).unwrap();
        append(&mut tree, &root, 5).unwrap();
        tree.truncate(&root, 33).unwrap();
        assert_eq!((tokens(&tree, &root), tokens(&tree, &fork)), (33, 70));
        append(&mut tree, &root, 3).unwrap();
        let slot = tree.find(&root).unwrap();
        let lens: Vec<_> = tree.path(slot, 36).iter().map(|s| s.tokens).collect();
        assert_eq!(lens, [32, 1, 3]);
        tree.release(fork);
        tree.truncate(&root, 0).unwrap();
        assert_eq!(used_pages(&tree), 0);
        assert_eq!(tree.truncate(&root, 1).unwrap_err().kind(), ErrorKind::InvalidArgument);
        root = tree.fork(&root).unwrap();
        assert_eq!(tokens(&tree, &root), 0);
    }

    #[test]
    fn deep_chains_are_released_without_recursion() {
        let mut tree = tree(200_000);
        tree.max_branches = 200_000;
        let branch = tree.root().unwrap();
        let mut others = Vec::new();
        for _ in 0..100_000 {
            append(&mut tree, &branch, 1).unwrap();
            others.push(tree.fork(&branch).unwrap());
        }
        assert_eq!((tokens(&tree, &branch), used_pages(&tree)), (100_000, 100_000));
        others.into_iter().for_each(|b| tree.release(b));
        tree.release(branch);
        assert_eq!(used_pages(&tree), 0);
    }

    #[test]
    fn a_lone_line_goes_on_in_its_parents_page() {
        let mut tree = tree(100);
        let mut branch = tree.root().unwrap();
        for _ in 0..64 {
            append(&mut tree, &branch, 1).unwrap();
            let next = tree.fork(&branch).unwrap();
            tree.release(std::mem::replace(&mut branch, next));
        }
        assert_eq!((tokens(&tree, &branch), used_pages(&tree)), (64, 2));
    }

    #[test]
    fn a_handle_of_another_tree_does_not_fit() {
        let (mut a, b) = (tree(1), tree(1));
        let branch = a.root().unwrap();
        assert!(b.find(&branch).is_err());
    }
}
