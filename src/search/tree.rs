//! The tree of a search: nodes in one arena, each a run of tokens that goes on from its parent.

use crate::engine::Stream;
use crate::text::TokenId;

/// A node of one tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(u32);

/// Why a node stopped growing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The model ended its text.
    Eog,
    /// A line with the marked answer is complete.
    Answer,
    /// Its own cap in tokens.
    Length,
    /// The model's context is full.
    Context,
    /// The search's tokens ran out.
    Tokens,
    /// Its KV alone does not fit the memory budget.
    Memory,
    /// The search ended first.
    Interrupted,
}

impl End {
    /// Whether the text came to an end of its own.
    pub fn is_complete(self) -> bool {
        matches!(self, Self::Eog | Self::Answer)
    }

    /// The name used in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eog => "eog",
            Self::Answer => "answer",
            Self::Length => "length",
            Self::Context => "context",
            Self::Tokens => "tokens",
            Self::Memory => "memory",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A run of tokens drawn one after another.
#[derive(Debug)]
pub(super) struct Node {
    pub parent: Option<NodeId>,
    /// Children made so far: the next child's number.
    children: u64,
    /// Its random numbers, which depend on the seed and on the path of child numbers alone.
    pub stream: Stream,
    pub tokens: Vec<TokenId>,
    /// The tokens' text, whole code points only.
    pub text: String,
    /// Sum of the tokens' log-probabilities under the model's own distribution.
    pub logprob: f64,
    /// `None` while it grows.
    pub end: Option<End>,
}

/// The tree; its root stands for the prompt and holds no tokens.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    /// A tree of the root alone.
    pub fn new(seed: u64) -> Self {
        Self { nodes: vec![Node::new(None, Stream::new(seed))] }
    }

    pub fn root(&self) -> NodeId {
        NodeId(0)
    }

    /// A new child of `parent` without tokens.
    pub fn add(&mut self, parent: NodeId) -> NodeId {
        let id = NodeId(self.nodes.len() as u32);
        let above = self.node_mut(parent);
        let stream = above.stream.child(above.children);
        above.children += 1;
        self.nodes.push(Node::new(Some(parent), stream));
        id
    }

    /// Ids come from this tree's own `add`, which never removes a node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    /// `id` and everything above it, upwards.
    pub fn ancestry(&self, id: NodeId) -> impl Iterator<Item = &Node> {
        std::iter::successors(Some(self.node(id)), |node| node.parent.map(|parent| self.node(parent)))
    }

    /// The text from the prompt's end to the end of `id`.
    pub fn text(&self, id: NodeId) -> String {
        let mut parts: Vec<&str> = self.ancestry(id).map(|node| node.text.as_str()).collect();
        parts.reverse();
        parts.concat()
    }

    /// Geometric mean of the probabilities of the tokens from the prompt's end to the end of `id`; 0 without tokens.
    pub fn confidence(&self, id: NodeId) -> f64 {
        let (sum, count) = self.ancestry(id).fold((0.0, 0), |(s, n), node| (s + node.logprob, n + node.tokens.len()));
        if count == 0 { 0.0 } else { (sum / count as f64).exp() }
    }
}

impl Node {
    fn new(parent: Option<NodeId>, stream: Stream) -> Self {
        Self { parent, children: 0, stream, tokens: Vec::new(), text: String::new(), logprob: 0.0, end: None }
    }
}

impl NodeId {
    /// The node's number in events: the root is 0, the others count from 1 in the order in which they were made.
    pub fn number(self) -> u64 {
        u64::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_joins_its_nodes_and_its_probabilities() {
        let mut tree = Tree::new(1);
        let (a, b) = (tree.add(tree.root()), tree.add(tree.root()));
        let c = tree.add(a);
        for (id, text, logprob) in [(a, "one ", -1.0), (b, "other", -9.0), (c, "two", -2.0)] {
            let node = tree.node_mut(id);
            node.text.push_str(text);
            node.tokens.extend([1, 2]);
            node.logprob = logprob;
        }
        assert_eq!(tree.text(c), "one two");
        assert!((tree.confidence(c) - (-0.75f64).exp()).abs() < 1e-12);
        assert_eq!(tree.confidence(tree.root()), 0.0);
        assert_eq!((tree.root().number(), a.number(), b.number(), c.number()), (0, 1, 2, 3));
        let root = Stream::new(1);
        assert_eq!(tree.node(c).stream, root.child(0).child(0));
        assert_eq!(tree.node(b).stream, root.child(1));
    }
}
