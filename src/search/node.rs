//! A node of a search's tree: a run of tokens, why it ended, and the steps in it.

use crate::engine::Stream;
use crate::reward::{Draw, StepId};
use crate::text::TokenId;

/// A node of one tree. Numbers follow the order in which nodes were asked for, whatever the schedule; 0 is the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(pub(super) u32);

/// Why a node stopped growing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The model ended its text.
    Eog,
    /// A line with the marked answer is complete.
    Answer,
    /// The step that it was asked for is complete, or as long as steps may be.
    Step,
    /// The text holds as many tokens as a solution may.
    Length,
    /// The model's context is full.
    Context,
    /// The search's tokens ran out.
    Tokens,
    /// Its KV alone does not fit the memory budget.
    Memory,
    /// The model became less sure than it was asked to stay.
    Confidence,
    /// The search ended first.
    Interrupted,
    /// It is part of a prompt, from which nothing is drawn.
    Prompt,
    /// It is all that its grammar lets it be.
    Whole,
}

impl End {
    /// Every reason, as in reports.
    pub const ALL: [(Self, &'static str); 11] = [
        (Self::Eog, "eog"),
        (Self::Answer, "answer"),
        (Self::Step, "step"),
        (Self::Length, "length"),
        (Self::Context, "context"),
        (Self::Tokens, "tokens"),
        (Self::Memory, "memory"),
        (Self::Confidence, "confidence"),
        (Self::Interrupted, "interrupted"),
        (Self::Prompt, "prompt"),
        (Self::Whole, "whole"),
    ];

    /// The name used in reports.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(end, _)| *end == self).map_or("", |(_, name)| name)
    }

    /// Whether the text came to an end of its own.
    pub fn is_complete(self) -> bool {
        matches!(self, Self::Eog | Self::Answer | Self::Whole)
    }
}

/// One reasoning step inside a node, up to where it ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mark {
    /// Tokens and bytes of the node's text up to the step's end.
    pub tokens: usize,
    pub bytes: usize,
    /// The judge's value.
    pub score: Option<f32>,
}

/// What of a text the search's grammar is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// Nothing: it is held to no grammar, or to one of its own.
    No,
    /// All of it, or what stands behind the grammar's marker.
    Text,
    /// The node's own text from this byte on.
    From(usize),
}

/// A run of tokens drawn one after another.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub parent: Option<NodeId>,
    /// Children made so far: the next child's number.
    pub children: u64,
    /// Its random numbers, which depend on the seed and on the path of child numbers alone.
    pub stream: Stream,
    /// Tokens put into the model's mouth, then tokens drawn.
    pub tokens: Vec<TokenId>,
    pub forced: usize,
    /// It is part of a prompt: what comes below it is another text than what stands above.
    pub prompt: bool,
    pub held: Held,
    /// Its last tokens that make the mark which ended it: they are no part of what goes on.
    pub dropped: usize,
    /// One for each drawn token.
    pub draws: Vec<Draw>,
    /// The tokens' text, whole code points only.
    pub text: String,
    /// Sum of the drawn tokens' log-probabilities under the model's own distribution.
    pub logprob: f64,
    /// Its complete steps, and the last one however it ended.
    pub steps: Vec<Mark>,
    /// `None` while it grows.
    pub end: Option<End>,
    /// When it ended, in milliseconds since the search began.
    pub wall_ms: f64,
    /// An earlier sibling with the same tokens.
    pub twin: Option<NodeId>,
    /// Whether it may get children.
    pub keep: bool,
    /// Nothing will be asked of it any more.
    pub closed: bool,
}

impl Node {
    /// A node without tokens below `parent`.
    pub fn new(parent: Option<NodeId>, stream: Stream) -> Self {
        Self {
            parent,
            children: 0,
            stream,
            tokens: Vec::new(),
            forced: 0,
            prompt: false,
            held: Held::No,
            dropped: 0,
            draws: Vec::new(),
            text: String::new(),
            logprob: 0.0,
            steps: Vec::new(),
            end: None,
            wall_ms: 0.0,
            twin: None,
            keep: false,
            closed: false,
        }
    }

    /// Its tokens but for an end token or a mark that the model drew.
    pub fn lasting_tokens(&self) -> impl Iterator<Item = &TokenId> {
        let dropped = self.dropped.max(usize::from(self.end == Some(End::Eog)));
        self.tokens.iter().take(self.tokens.len().saturating_sub(dropped))
    }

    /// Takes the first of `marks` in the text off it, with the tokens that make it; `ends` says where in the text each of the tokens
    /// ends. Whether there was one.
    pub fn cut(&mut self, marks: &[String], ends: &[usize]) -> bool {
        let Some(at) = marks.iter().filter_map(|mark| self.text.find(mark.as_str())).min() else { return false };
        let kept = ends.partition_point(|&end| end <= at);
        self.dropped = self.tokens.len().saturating_sub(kept);
        self.text.truncate(kept.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(0));
        true
    }

    /// Where the step after the last complete one begins: tokens and bytes.
    pub fn open_step(&self) -> (usize, usize) {
        self.steps.last().map_or((0, 0), |mark| (mark.tokens, mark.bytes))
    }
}

impl NodeId {
    /// The search's own prompt.
    pub const ROOT: Self = Self(0);

    /// The node's number; 0 is the root.
    pub fn number(self) -> u64 {
        u64::from(self.0)
    }

    /// The judge's name for step `index` of this node.
    pub fn step(self, index: usize) -> StepId {
        StepId((self.number() << 24) + index as u64 + 1)
    }
}
