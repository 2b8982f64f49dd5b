//! The best answer among finished texts, by vote.

use crate::search::answer::{self, Answer};
use crate::search::outcome::Candidate;
use crate::search::program::Proposal;
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

/// A text with a vote.
struct Voter {
    text: String,
    weight: f64,
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
        let complete = |node: NodeId| tree.node(node).end.is_some_and(|end| end.is_complete());
        let voter = |&node: &NodeId| Voter::of(tree.text(node), complete(node), weight(node));
        Self::among(nodes.iter().map(voter).collect(), vote)
    }

    /// The best answer among proposals, by the same rules; an answer that was given counts as one that was marked.
    pub fn of_proposals(proposals: &[Proposal], vote: Vote) -> Self {
        let voter = |proposal: &Proposal| {
            let voter = Voter::of(proposal.text.clone(), proposal.complete, proposal.weight);
            match proposal.answer.as_deref().and_then(Answer::parse) {
                Some(given) => Voter { ballot: Some(given), ..voter },
                None => voter,
            }
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
            score: class.score,
        };
        Self {
            answer: ranking.first().map(|class| class.answer.text().to_owned()),
            text: best.text.clone(),
            score: Some(best.weight),
            candidates: ranking.iter().map(candidate).collect(),
        }
    }
}

impl Voter {
    fn of(text: String, complete: bool, weight: f64) -> Self {
        Self { ballot: vote_of(&text, complete), guess: guess_of(&text), text, weight, complete }
    }
}

/// The answer that `node` votes for: that of a text which came to its end, or one that the text marked.
pub(in crate::search) fn ballot(tree: &Tree, node: NodeId) -> Option<Answer> {
    vote_of(&tree.text(node), tree.node(node).end.is_some_and(|end| end.is_complete()))
}

/// What an unfinished text seems to say.
pub(in crate::search) fn guess(tree: &Tree, node: NodeId) -> Option<Answer> {
    guess_of(&tree.text(node))
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
