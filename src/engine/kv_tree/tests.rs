use super::*;
use crate::engine::native::PagePool;
use crate::kernels::{KvLayout, KvType};

pub(super) fn tree(limit_pages: u64) -> KvTree<PagePool> {
    let layout = KvLayout { ty: KvType::F16, n_layer: 1, n_head_kv: 1, head_dim: 8 };
    KvTree::new(PagePool::new(layout, limit_pages * layout.page_bytes()), 512)
}

/// Pages without memory, of an engine that is told who holds them.
#[derive(Default)]
pub(super) struct Counted {
    pub taken: PageId,
}

impl Pages for Counted {
    const TELLS_HOLDERS: bool = true;

    fn take(&mut self) -> Result<PageId> {
        self.taken += 1;
        Ok(self.taken - 1)
    }

    fn give(&mut self, _: PageId) {}
}

pub(super) fn append<P: Pages>(tree: &mut KvTree<P>, branch: &Branch, n: usize) -> Result<()> {
    let slot = tree.find(branch)?;
    tree.reserve(slot, n)?;
    tree.commit(slot, n);
    Ok(())
}

pub(super) fn tokens(tree: &KvTree<PagePool>, branch: &Branch) -> usize {
    let slot = tree.find(branch).unwrap();
    let path = tree.path(slot, tree.len(slot));
    path.iter().map(|s| s.tokens).sum()
}

pub(super) fn used_pages(tree: &KvTree<PagePool>) -> u64 {
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
