//! The tree of a search: nodes in one arena, each a run of tokens that goes on from its parent.

use super::node::{End, Node, NodeId};
use crate::engine::Stream;
use crate::reward::Aggregation;
use crate::text::{Grammar, Thinking, TokenId};

/// The tree; its root stands for the prompt and holds no tokens.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    aggregation: Aggregation,
    /// What solutions are held to.
    grammar: Option<Grammar>,
    thinking: Option<Thinking>,
    newly_closed: Vec<NodeId>,
}

impl Tree {
    /// A tree of the root alone.
    pub fn new(seed: u64, aggregation: Aggregation) -> Self {
        let root = Node::new(None, Stream::new(seed));
        Self { nodes: vec![root], aggregation, grammar: None, thinking: None, newly_closed: Vec::new() }
    }

    /// The same with how answers are found in texts.
    pub fn reading(self, grammar: Option<Grammar>, thinking: Option<Thinking>) -> Self {
        Self { grammar, thinking, ..self }
    }

    /// What of a text stands behind the model's thinking.
    pub fn visible<'t>(&self, text: &'t str) -> &'t str {
        self.thinking.as_ref().map_or(text, |thinking| thinking.visible(text))
    }

    /// What solutions are held to.
    pub fn grammar(&self) -> Option<&Grammar> {
        self.grammar.as_ref()
    }

    pub fn root(&self) -> NodeId {
        NodeId::ROOT
    }

    /// All nodes but the root, in the order in which they were made.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..self.nodes.len() as u32).map(NodeId)
    }

    /// What the next child will be called, whoever gets it.
    pub fn next_id(&self) -> NodeId {
        NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX))
    }

    /// A new child, empty.
    pub fn add(&mut self, parent: NodeId) -> NodeId {
        let id = self.next_id();
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

    /// The parent; the root is its own.
    pub fn parent(&self, id: NodeId) -> NodeId {
        self.node(id).parent.unwrap_or(id)
    }

    /// `id` and everything above it, upwards, the root included.
    pub fn ancestry(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        std::iter::successors(Some(id), |&id| self.node(id).parent)
    }

    /// From the end of the last prompt to `id`; nothing for a prompt.
    pub fn path(&self, id: NodeId) -> Vec<NodeId> {
        let answers = |&id: &NodeId| id != self.root() && !self.node(id).prompt;
        let mut path: Vec<NodeId> = self.ancestry(id).take_while(answers).collect();
        path.reverse();
        path
    }

    /// Nodes between the last prompt and `id`, `id` included.
    pub fn depth(&self, id: NodeId) -> usize {
        self.path(id).len()
    }

    /// The text from the last prompt's end to the end of `id`.
    pub fn text(&self, id: NodeId) -> String {
        self.path(id).into_iter().map(|id| self.node(id).text.as_str()).collect()
    }

    /// The tokens from the root on that a text going on from `id` follows: an end token that the model drew on the way is
    /// not among them.
    pub fn tokens(&self, id: NodeId) -> Vec<TokenId> {
        let mut path: Vec<NodeId> = self.ancestry(id).collect();
        path.reverse();
        path.into_iter().flat_map(|id| self.node(id).lasting_tokens()).copied().collect()
    }

    /// The same from the last prompt's end on.
    pub fn text_tokens(&self, id: NodeId) -> Vec<TokenId> {
        self.path(id).into_iter().flat_map(|id| self.node(id).lasting_tokens()).copied().collect()
    }

    /// Tokens drawn from the last prompt's end to the end of `id`.
    pub fn drawn(&self, id: NodeId) -> u64 {
        self.path(id).into_iter().map(|id| self.node(id).draws.len() as u64).sum()
    }

    /// Geometric mean of the probabilities of the tokens drawn from the last prompt's end to the end of `id`; 0 without any.
    pub fn confidence(&self, id: NodeId) -> f64 {
        let (mut sum, mut count) = (0.0, 0);
        for node in self.path(id).into_iter().rev().map(|id| self.node(id)) {
            sum += node.logprob;
            count += node.draws.len();
        }
        if count == 0 { 0.0 } else { (sum / count as f64).exp() }
    }

    /// What the text up to the end of `id` is worth, in [0, 1]: the judge's values of its steps as one; without a judge,
    /// its confidence.
    pub fn value(&self, id: NodeId) -> f64 {
        let steps = self.path(id).into_iter().flat_map(|id| &self.node(id).steps);
        let scores: Vec<f32> = steps.filter_map(|mark| mark.score).collect();
        self.aggregation.of(&scores).map_or_else(|| self.confidence(id), f64::from)
    }

    /// What the judge said of the last step of `id`.
    pub fn score(&self, id: NodeId) -> Option<f32> {
        self.node(id).steps.last().and_then(|mark| mark.score)
    }

    /// Nodes without children, in their order.
    pub fn leaves(&self) -> Vec<NodeId> {
        self.ids().filter(|&id| self.node(id).children == 0).collect()
    }

    /// Whether the text of `id` can go on.
    pub fn is_open(&self, id: NodeId) -> bool {
        let node = self.node(id);
        id == self.root() || (node.end == Some(End::Step) && !node.closed)
    }

    /// Nothing more will be asked of `id`, so that its KV may go.
    pub fn close(&mut self, id: NodeId) {
        if id != self.root() && !std::mem::replace(&mut self.node_mut(id).closed, true) {
            self.newly_closed.push(id);
        }
    }

    /// The nodes closed since the last call.
    pub fn take_closed(&mut self) -> Vec<NodeId> {
        std::mem::take(&mut self.newly_closed)
    }

    /// Notes an earlier, ended sibling of `id` with the same tokens. Called in the order of the nodes, so that whichever is
    /// first does not depend on the schedule.
    pub fn find_twin(&mut self, id: NodeId) {
        let node = self.node(id);
        let twin = (1..id.0).map(NodeId).find(|&other| {
            let other = self.node(other);
            other.parent == node.parent && other.twin.is_none() && other.end == node.end && other.tokens == node.tokens
        });
        self.node_mut(id).twin = twin;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::Draw;
    use crate::search::node::Mark;

    fn grow(tree: &mut Tree, id: NodeId, text: &str, logprob: f64, scores: &[f32]) {
        let node = tree.node_mut(id);
        node.text.push_str(text);
        node.tokens.extend([1, 2]);
        node.draws.extend([Draw::default(); 2]);
        node.logprob = logprob;
        node.end = Some(End::Step);
        node.steps.extend(scores.iter().map(|&score| Mark { tokens: 2, bytes: text.len(), score: Some(score) }));
    }

    #[test]
    fn a_path_joins_its_nodes_and_its_probabilities() {
        let mut tree = Tree::new(1, Aggregation::Last);
        let (a, b) = (tree.add(tree.root()), tree.add(tree.root()));
        let c = tree.add(a);
        for (id, text, logprob) in [(a, "one ", -1.0), (b, "other", -9.0), (c, "two", -2.0)] {
            grow(&mut tree, id, text, logprob, &[]);
        }
        assert_eq!((tree.text(c), tree.depth(c), tree.drawn(c)), ("one two".to_owned(), 2, 4));
        assert!((tree.confidence(c) - (-0.75f64).exp()).abs() < 1e-12);
        assert_eq!(tree.value(c), tree.confidence(c), "without a judge");
        assert_eq!(tree.confidence(tree.root()), 0.0);
        assert_eq!((a.number(), b.number(), c.number()), (1, 2, 3));
        let root = Stream::new(1);
        assert_eq!(tree.node(c).stream, root.child(0).child(0));
        assert_eq!(tree.node(b).stream, root.child(1));
    }

    #[test]
    fn a_value_sums_up_the_steps_of_the_whole_path() {
        let mut tree = Tree::new(1, Aggregation::Min);
        let a = tree.add(tree.root());
        let b = tree.add(a);
        grow(&mut tree, a, "x", -1.0, &[0.9, 0.25]);
        grow(&mut tree, b, "y", -1.0, &[0.5]);
        assert_eq!((tree.value(a), tree.value(b), tree.score(b)), (0.25, 0.25, Some(0.5)));
    }

    #[test]
    fn a_prompt_on_the_way_begins_another_text() {
        let mut tree = Tree::new(1, Aggregation::Min);
        let a = tree.add(tree.root());
        let prompt = tree.add(a);
        let b = tree.add(prompt);
        for (id, text, logprob, scores) in [(a, "x", -8.0, &[0.1][..]), (b, "y", -2.0, &[0.5])] {
            grow(&mut tree, id, text, logprob, scores);
        }
        let node = tree.node_mut(prompt);
        (node.prompt, node.tokens, node.text) = (true, vec![7, 8, 9], "and?".into());
        assert_eq!((tree.text(b), tree.depth(b), tree.drawn(b), tree.value(b)), ("y".to_owned(), 1, 2, 0.5));
        assert!((tree.confidence(b) - (-1.0f64).exp()).abs() < 1e-12);
        assert_eq!((tree.text(prompt), tree.drawn(prompt)), (String::new(), 0));
        assert_eq!(tree.tokens(b), [1, 2, 7, 8, 9, 1, 2]);
    }

    #[test]
    fn a_text_that_goes_on_leaves_its_end_token_out() {
        let mut tree = Tree::new(1, Aggregation::Last);
        let a = tree.add(tree.root());
        grow(&mut tree, a, "x", -1.0, &[]);
        assert_eq!(tree.tokens(a), [1, 2]);
        tree.node_mut(a).end = Some(End::Eog);
        assert_eq!(tree.tokens(a), [1]);
    }

    #[test]
    fn twins_are_siblings_with_the_same_tokens_and_lead_to_the_first() {
        let mut tree = Tree::new(1, Aggregation::Last);
        let ids: Vec<NodeId> = (0..3).map(|_| tree.add(tree.root())).collect();
        let below = tree.add(ids[0]);
        for &id in ids.iter().chain([&below]) {
            grow(&mut tree, id, "x", -1.0, &[]);
            tree.find_twin(id);
        }
        let twins: Vec<_> = ids.iter().map(|&id| tree.node(id).twin).collect();
        assert_eq!(twins, [None, Some(ids[0]), Some(ids[0])]);
        assert_eq!(tree.node(below).twin, None, "another parent");
    }
}
