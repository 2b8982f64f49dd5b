//! The best answer among finished texts, by vote.

use crate::search::answer::{self, Answer};
use crate::search::node::{Held, NodeId};
use crate::search::outcome::Candidate;
use crate::search::program::Proposal;
use crate::search::tree::Tree;
use crate::search::vote::{Class, Tally, Vote};
use crate::text::Grammar;

/// The best answer so far.
#[derive(Debug, Default)]
pub(in crate::search) struct Verdict {
    pub answer: Option<String>,
    pub text: String,
    pub complete: bool,
    pub score: Option<f64>,
    pub candidates: Vec<Candidate>,
}

/// A text with a vote.
struct Voter {
    text: String,
    /// What its vote counts.
    weight: f64,
    /// What it is worth, in [0, 1].
    value: f64,
    /// It came to its end.
    complete: bool,
    /// What it votes for, and what it does where no text came to its end and none marked an answer.
    ballot: Option<Answer>,
    guess: Option<Answer>,
}

impl Verdict {
    /// The best answer among `nodes` by `vote`. Texts that came to their end, or marked an answer, vote; only when there is
    /// no such text do the unfinished ones.
    pub fn of(tree: &Tree, nodes: &[NodeId], vote: Vote, weight: &dyn Fn(NodeId) -> f64) -> Self {
        let voter = |&node: &NodeId| Voter {
            text: tree.text(node),
            weight: weight(node),
            value: tree.value(node),
            complete: is_complete(tree, node),
            ballot: ballot(tree, node),
            guess: guess(tree, node),
        };
        Self::among(nodes.iter().map(voter).collect(), vote)
    }

    /// The best answer among proposals, by the same rules; an answer that was given counts as one that was marked.
    pub fn of_proposals(proposals: &[Proposal], vote: Vote, grammar: Option<&Grammar>) -> Self {
        let voter = |proposal: &Proposal| Voter {
            text: proposal.text.clone(),
            weight: proposal.weight,
            value: proposal.weight,
            complete: proposal.complete,
            ballot: proposed(proposal, grammar),
            guess: if grammar.is_none() { guess_of(&proposal.text) } else { None },
        };
        Self::among(proposals.iter().map(voter).collect(), vote)
    }

    fn among(voters: Vec<Voter>, vote: Vote) -> Self {
        let count = |ballot: fn(&Voter) -> Option<Answer>| {
            let mut tally = Tally::default();
            voters.iter().enumerate().for_each(|(index, voter)| tally.cast(ballot(voter), index, voter.weight));
            tally.ranking(vote)
        };
        let mut ranking = count(|voter| voter.ballot.clone());
        if ranking.is_empty() {
            ranking = count(|voter| voter.guess.clone());
        }
        // Without any answer the best text stands for itself: a complete one if there is one, then the best.
        let fallback = || {
            let rank = |voter: &Voter| (voter.complete, voter.weight);
            let voters = voters.iter().filter(|voter| !voter.text.is_empty());
            voters.reduce(|best, voter| if rank(voter) > rank(best) { voter } else { best })
        };
        let best = ranking.first().and_then(|class| voters.get(class.best)).or_else(fallback);
        let Some(best) = best else { return Self::default() };
        let candidate = |class: &Class<usize>| Candidate {
            answer: class.answer.text().to_owned(),
            votes: class.votes,
            weight: class.weight,
            score: voters.get(class.best).map_or(class.score, |voter| voter.value),
        };
        Self {
            answer: ranking.first().map(|class| class.answer.text().to_owned()),
            text: best.text.clone(),
            complete: best.complete,
            score: Some(best.value),
            candidates: ranking.iter().map(candidate).collect(),
        }
    }
}

/// The answer that `node` votes for: that of a text which came to its end, or one that the text marked. With a grammar, the part
/// that is held to it of a text which came to its end.
pub(in crate::search) fn ballot(tree: &Tree, node: NodeId) -> Option<Answer> {
    let complete = is_complete(tree, node);
    let Some(grammar) = tree.grammar() else { return vote_of(tree.visible(&tree.text(node)), complete) };
    let text = match tree.node(node).held {
        Held::No => return None,
        Held::Text => tree.text(node),
        Held::From(byte) => return held(grammar, tree.node(node).text.get(byte..)?).filter(|_| complete),
    };
    held(grammar, grammar.part(&text)?).filter(|_| complete)
}

/// What an unfinished text seems to say; with a grammar nothing.
pub(in crate::search) fn guess(tree: &Tree, node: NodeId) -> Option<Answer> {
    if tree.grammar().is_some() {
        return None;
    }
    let text = tree.text(node);
    // What thinking came to is better than nothing.
    guess_of(tree.visible(&text)).or_else(|| guess_of(&text))
}

/// What is shown as the answer of `node`, however it ended.
pub(in crate::search) fn shown(tree: &Tree, node: NodeId) -> Option<Answer> {
    match tree.grammar() {
        Some(_) => ballot(tree, node),
        None if is_complete(tree, node) => answer::extract(tree.visible(&tree.text(node))).map(|found| found.answer),
        None => guess(tree, node),
    }
}

fn is_complete(tree: &Tree, node: NodeId) -> bool {
    tree.node(node).end.is_some_and(|end| end.is_complete())
}

fn held(grammar: &Grammar, part: &str) -> Option<Answer> {
    let part = part.trim();
    if part.is_empty() { None } else { Some(Answer::exactly(part, grammar.meaning(part))) }
}

/// What a proposal votes for.
pub(super) fn proposed(proposal: &Proposal, grammar: Option<&Grammar>) -> Option<Answer> {
    let given = proposal.answer.as_deref();
    match grammar {
        Some(grammar) => {
            let part = given.or_else(|| grammar.part(&proposal.text)).filter(|_| proposal.complete);
            part.and_then(|part| held(grammar, part))
        }
        None => given.and_then(Answer::parse).or_else(|| vote_of(&proposal.text, proposal.complete)),
    }
}

fn vote_of(text: &str, complete: bool) -> Option<Answer> {
    if complete {
        return answer::extract(text).map(|found| found.answer);
    }
    answer::extract_unfinished(text).filter(|found| found.marked).map(|found| found.answer)
}

fn guess_of(text: &str) -> Option<Answer> {
    answer::extract_unfinished(text).map(|found| found.answer)
}
