//! The best answer among finished nodes, by vote.

use crate::search::answer::{self, Answer};
use crate::search::outcome::Candidate;
use crate::search::tree::{NodeId, Tree};
use crate::search::vote::{Class, Tally, Vote};

/// The best answer so far.
#[derive(Debug, Default)]
pub(in crate::search) struct Verdict {
    pub answer: Option<String>,
    pub text: String,
    pub score: Option<f64>,
    pub candidates: Vec<Candidate>,
}

impl Verdict {
    /// The best answer among `nodes` by `vote`. Texts that came to their end, or marked an answer, vote; only when there is
    /// no such text do the unfinished ones.
    pub fn of(tree: &Tree, nodes: &[NodeId], vote: Vote, weight: &dyn Fn(NodeId) -> f64) -> Self {
        let count = |ballot: fn(&Tree, NodeId) -> Option<Answer>| {
            let mut tally = Tally::default();
            for &node in nodes {
                tally.cast(ballot(tree, node), node, weight(node));
            }
            tally.ranking(vote)
        };
        let mut ranking = count(ballot);
        if ranking.is_empty() {
            ranking = count(unfinished_ballot);
        }
        // Without any answer the best text stands for itself: a complete one if there is one, then the best.
        let fallback = || {
            let rank = |&node: &NodeId| (tree.node(node).end.is_some_and(|end| end.is_complete()), weight(node));
            let nodes = nodes.iter().copied().filter(|&node| !tree.text(node).is_empty());
            nodes.reduce(|best, node| if rank(&node) > rank(&best) { node } else { best })
        };
        let Some(best) = ranking.first().map(|class| class.best).or_else(fallback) else {
            return Self::default();
        };
        let candidate = |class: &Class| Candidate {
            answer: class.answer.text().to_owned(),
            votes: class.votes,
            weight: class.weight,
            score: class.score,
        };
        Self {
            answer: ranking.first().map(|class| class.answer.text().to_owned()),
            text: tree.text(best),
            score: Some(weight(best)),
            candidates: ranking.iter().map(candidate).collect(),
        }
    }
}

/// The answer that `node` votes for: that of a text which came to its end, or one that the text marked.
pub(in crate::search) fn ballot(tree: &Tree, node: NodeId) -> Option<Answer> {
    let text = tree.text(node);
    if tree.node(node).end.is_some_and(|end| end.is_complete()) {
        return answer::extract(&text).map(|found| found.answer);
    }
    answer::extract_unfinished(&text).filter(|found| found.marked).map(|found| found.answer)
}

fn unfinished_ballot(tree: &Tree, node: NodeId) -> Option<Answer> {
    answer::extract_unfinished(&tree.text(node)).map(|found| found.answer)
}
