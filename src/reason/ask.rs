//! One request of a method to the model.

use super::desk::Reply;
use super::prompts::turns;
use crate::text::{ChatMessage, Grammar};

/// What is put to the model, and how its reply is drawn: as long as the search's own solutions may be, sampled as they are,
/// neither a solution itself nor gone on from, unless said otherwise.
#[derive(Clone)]
pub struct Ask {
    pub(super) beginning: Beginning,
    pub(super) begin: String,
    pub(super) max_tokens: Option<u64>,
    pub(super) stops: Vec<String>,
    pub(super) stop_at_answer: bool,
    pub(super) grammar: Option<Grammar>,
    pub(super) greedy: bool,
    pub(super) solves: bool,
    pub(super) keep: bool,
}

/// Where a reply follows.
#[derive(Clone)]
pub(super) enum Beginning {
    /// A conversation.
    Messages(Vec<ChatMessage>),
    /// The conversation of an earlier reply, that reply, and more messages.
    After(Reply, Vec<ChatMessage>),
    /// An earlier reply and a text, within the same turn.
    Within(Reply, String),
}

impl Ask {
    /// A reply to a user's message, or to the turns of a [prompt](super::Setting::words) that has examples in turns of their own.
    pub fn user(text: impl Into<String>) -> Self {
        Self::messages(turns(&text.into()))
    }

    /// A reply to a conversation, which a user begins.
    pub fn messages(messages: Vec<ChatMessage>) -> Self {
        Self::of(Beginning::Messages(messages))
    }

    /// A reply to what a user says to `reply`. If that was [`kept`](Self::kept), nothing is computed twice.
    pub fn after(reply: &Reply, text: impl Into<String>) -> Self {
        Self::of(Beginning::After(reply.clone(), turns(&text.into())))
    }

    /// What the model says when its turn goes on after `reply`, which was [`kept`](Self::kept), with this text, in which
    /// nothing counts as a control token.
    pub fn within(reply: &Reply, text: impl Into<String>) -> Self {
        Self::of(Beginning::Within(reply.clone(), text.into()))
    }

    /// Puts the beginning of the reply into the model's mouth.
    #[must_use]
    pub fn begin(self, text: impl Into<String>) -> Self {
        Self { begin: text.into(), ..self }
    }

    /// A reply of at most `n` tokens.
    #[must_use]
    pub fn at_most(self, n: u64) -> Self {
        Self { max_tokens: Some(n), ..self }
    }

    /// Ends the reply with this text.
    #[must_use]
    pub fn stop(mut self, text: impl Into<String>) -> Self {
        self.stops.push(text.into());
        self
    }

    /// Holds what is drawn to a grammar.
    #[must_use]
    pub fn held_to(self, grammar: &Grammar) -> Self {
        Self { grammar: Some(grammar.clone()), ..self }
    }

    /// Takes the most likely tokens.
    #[must_use]
    pub fn greedy(self) -> Self {
        Self { greedy: true, ..self }
    }

    /// A solution of the question: a line `#### answer` ends it, a judge looks at it, and its answer stands while nothing was
    /// put forward.
    #[must_use]
    pub fn solution(self) -> Self {
        Self { solves: true, stop_at_answer: true, ..self }
    }

    /// A reply that is gone on from.
    #[must_use]
    pub fn kept(self) -> Self {
        Self { keep: true, ..self }
    }

    fn of(beginning: Beginning) -> Self {
        Self {
            beginning,
            begin: String::new(),
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
