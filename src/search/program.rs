//! The seam for programs: code above this room that says what a search puts to the model next, given what came of it.

use super::Vote;
use crate::error::Result;
use crate::observe::Interrupt;
use crate::text::{Grammar, TokenId};

/// Says what is grown, in place of an algorithm.
///
/// Everything else stays the search's own: one tree, one ledger, the batch, memory, the clock, pauses and traces. What a
/// program asks for may depend on nothing but what it was told, so that it asks for the same under every schedule, and a
/// search can be saved without it: it is told the same again.
pub trait Program: Send {
    /// Its name and all that decides what it asks for: a saved search goes on only with a program of the same name.
    fn name(&self) -> &str;

    /// What it wants next: at the beginning with `None`, then once for each thought that has ended, in the order in which it
    /// asked for them. A thought that was cut off by the budget or with the search is not told. An error fails the search.
    fn next(&mut self, told: Option<Thought>) -> Result<Vec<Request>>;

    /// How what it puts forward becomes one answer, unless [`SearchParams::vote`](super::SearchParams::vote) says.
    fn vote(&self) -> Vote {
        Vote::Majority
    }

    /// What ends the search early, told whenever it begins or goes on: work of the program's own that takes time has to heed
    /// it.
    fn attend(&mut self, interrupt: &Interrupt) {
        let _ = interrupt;
    }

    /// What it learned from elsewhere than thoughts, as a text; kept with a saved search and in the outcome.
    fn journal(&self) -> String {
        String::new()
    }

    /// The journal, if it has grown since the last call.
    fn news(&mut self) -> Option<String> {
        None
    }

    /// Takes over the journal of the same program in an earlier run, before it is asked for anything. An error refuses it.
    fn recall(&mut self, journal: &str) -> Result<()> {
        let _ = journal;
        Ok(())
    }

    /// Whether nothing could change what it has put forward; what still grows is given up.
    fn is_done(&self) -> bool;
}

/// The program's number for a thought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ThoughtId(pub u64);

/// Something that a program wants.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Request {
    /// A thought.
    Think(Call),
    /// A solution that counts from now on: whenever the search ends, the verdict is a vote over what was put forward. With
    /// nothing put forward it is the last text that holds an answer.
    PutForward(Proposal),
    /// Nothing of what was put forward counts any more.
    Withdraw,
    /// At most so many more solutions will be put forward: where a majority decides and they cannot change it, or
    /// [`SearchParams::early_stop`](super::SearchParams::early_stop) is content, the search ends.
    Expect(usize),
    /// Nothing will go on from this thought any more.
    LetGo(ThoughtId),
}

/// What is put to the model, and how its reply is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Any number that no thought of this program has yet.
    pub id: ThoughtId,
    /// The earlier thought that it goes on from, one with [`keep`](Self::keep); `None` for the search's own prompt.
    pub at: Option<ThoughtId>,
    /// What stands between that and the reply, in parts. Calls whose first parts are equal share them: a part is computed
    /// once, and replies to the same parts are decoded together. May be empty.
    pub prompt: Vec<Vec<TokenId>>,
    /// The beginning of the reply, put into the model's mouth.
    pub forced: String,
    /// Tokens of the reply, at most, where that is below [`SearchParams::max_tokens`](super::SearchParams::max_tokens).
    pub max_tokens: Option<u64>,
    /// Texts that end the reply; the one that did is part of it.
    pub stops: Vec<String>,
    /// Whether a complete line `#### answer` ends the reply.
    pub stop_at_answer: bool,
    /// What the drawn part of the reply has to be. Without it a reply that [solves](Self::solves) is held to
    /// [`SearchParams::grammar`](super::SearchParams::grammar).
    pub grammar: Option<Grammar>,
    /// Takes the most likely tokens instead of drawing them.
    pub greedy: bool,
    /// Whether the reply is a solution of the search's question: a judge looks at it, and its answer stands while nothing is
    /// put forward.
    pub solves: bool,
    /// Whether a later call may go on from it.
    pub keep: bool,
}

impl Call {
    /// A reply of any length that is drawn after `prompt` and is neither a solution nor gone on from.
    pub fn new(id: ThoughtId, prompt: Vec<Vec<TokenId>>) -> Self {
        Self {
            id,
            at: None,
            prompt,
            forced: String::new(),
            max_tokens: None,
            stops: Vec::new(),
            stop_at_answer: false,
            grammar: None,
            greedy: false,
            solves: false,
            keep: false,
        }
    }
}

/// A reply that has ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Thought {
    /// As it was asked for.
    pub id: ThoughtId,
    /// The reply, with what was put into the model's mouth; without what its prompt says.
    pub text: String,
    /// Why it ended.
    pub end: ThoughtEnd,
    /// What it is worth: the judge's values of its steps as one; without a judge its confidence.
    pub value: f64,
    /// Geometric mean of its drawn tokens' probabilities under the model.
    pub confidence: f64,
    /// Tokens drawn.
    pub tokens: u64,
}

/// Why a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ThoughtEnd {
    /// The model ended it, its answer is complete, or it is all that its grammar lets it be.
    Complete,
    /// One of the texts that end it stands there.
    Stop,
    /// It is as long as it may be.
    Length,
    /// The model's context or the memory had no room for more. The reply may be empty.
    Room,
}

/// A solution of the search's question.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The solution. Its answer is found in it unless `answer` says so.
    pub text: String,
    /// The answer, where the text does not say it in a form that [`answer::extract`](super::answer::extract) finds.
    pub answer: Option<String>,
    /// What it counts in a weighted vote and when votes are equal.
    pub weight: f64,
    /// Whether the text came to its end. An unmarked answer of one that did not counts only while there is no other.
    pub complete: bool,
}

impl Proposal {
    /// The solution that a thought is, at its own value.
    pub fn of(thought: &Thought) -> Self {
        let complete = thought.end == ThoughtEnd::Complete;
        Self { text: thought.text.clone(), answer: None, weight: thought.value, complete }
    }
}
