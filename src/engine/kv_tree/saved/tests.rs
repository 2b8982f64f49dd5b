//! Saved branches: what comes back, and bytes that lie.

use super::*;
use crate::engine::kv_tree::tests::{Counted, append, tokens, tree, used_pages};
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
    // An empty node more for the one branch that had none to go on in.
    assert_eq!(save(&other, &branches.iter().collect::<Vec<_>>()).len(), bytes.len() + 24);
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
    let mut other = crate::engine::kv_tree::tests::tree(100);
    let branches = load(&mut other, &bytes, 512).unwrap();
    assert_eq!((tokens(&other, &branches[0]), used_pages(&other)), (43, 3), "two pages and one of its own, of five");
}

#[test]
fn holders_are_told_where_each_one_leaves_a_page_that_it_shares() {
    let mut tree = KvTree::new(Counted::default(), 512);
    let root = tree.root().unwrap();
    append(&mut tree, &root, 100).unwrap();
    let fork = tree.fork(&root).unwrap();
    tree.truncate(&fork, 40).unwrap();
    append(&mut tree, &fork, 3).unwrap();
    let mut ends = Vec::new();
    let mut note = |piece: &Piece<'_>, _: &mut dyn Write| {
        ends.push((piece.start, piece.end, piece.holders.iter().map(|(_, end)| *end).collect::<Vec<_>>()));
        Ok(())
    };
    tree.save(&[&fork, &root], &mut Vec::new(), &mut note).unwrap();
    let shared = |start, end| (start, end, vec![40, 100]);
    assert_eq!(ends[..5], [shared(0, 32), shared(32, 64), shared(64, 96), shared(96, 100), (40, 43, vec![43])]);
}

/// `n` nodes with these starts and tokens, each under the one before it, and `branches` branches at the last one.
fn chain(n: u64, node: impl Fn(u64) -> (u64, u64), branches: u64) -> Vec<u8> {
    let parent = |i: u64| i.checked_sub(1).unwrap_or(NO_PARENT);
    let nodes = (0..n).flat_map(|i| [parent(i), node(i).0, node(i).1]);
    let numbers = [n].into_iter().chain(nodes).chain([branches]).chain((0..branches).map(|_| n - 1));
    numbers.flat_map(u64::to_le_bytes).collect()
}

#[test]
fn paths_in_a_file_are_no_longer_than_a_context() {
    let mut hollow = tree(100);
    let branches = load(&mut hollow, &chain(50_000, |_| (0, 0), 512), 512).unwrap();
    assert!(branches.iter().all(|b| hollow.nodes[hollow.slots[b.slot as usize].node].parent.is_none()));
    assert_eq!(hollow.nodes.len() - hollow.free_nodes.len(), 512, "the empty nodes are gone");
    let still = chain(2, |_| (0, 1), 1);
    let error = load(&mut tree(100), &still, 512).unwrap_err();
    assert!(error.to_string().contains("positions"), "a node that covers all of its parent: {error}");
}

#[test]
fn a_file_cannot_ask_for_holders_without_end() {
    // 4,096 runs of one token, each held by 512 branches.
    let bytes = chain(4096, |i| (i, 1), 512);
    let mut tree = KvTree::new(Counted::default(), 512);
    let error = tree.load(&mut bytes.as_slice(), 4096, &mut |_, _, _| Ok(())).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
    assert_eq!((tree.pages.taken, tree.nodes.len()), (0, tree.free_nodes.len()), "nothing stays");
    let fewer = chain(1024, |i| (i, 1), 512);
    assert_eq!(tree.load(&mut fewer.as_slice(), 4096, &mut |_, _, _| Ok(())).unwrap().len(), 512);
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
